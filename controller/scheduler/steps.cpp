// The steps of a job: how their tasks are cut, and which may start.
//
//   a step starts     when every task of the steps in its `after` is done
//   its task i starts when task i of each step in its `pairs_with` is done
#include <algorithm>
#include <cmath>

#include "scheduler/farm_data.h"

namespace kiln::scheduler {

namespace {

// Units of the next task: what takes about the target, but no more than leaves a few tasks for every slot, so
// that the last ones end together (guided self-scheduling).
std::uint32_t next_cut(const Step& step, std::uint32_t slots) {
  const auto left = step.units_left();
  std::uint32_t want = std::max<std::uint32_t>(step.spec.chunk, 1);
  if (step.done_units > 0 && step.done_s > 0) {
    const double unit_s = step.done_s / static_cast<double>(step.done_units);
    // Never much larger than what was measured: the first tasks may have been the light ones.
    const double growth = 4.0 * static_cast<double>(step.done_units) / step.counts.done;
    const double fitting = std::min(std::floor(step.spec.target_s / unit_s), std::ceil(growth));
    want = static_cast<std::uint32_t>(std::clamp(fitting, 1.0, static_cast<double>(std::max(left, 1U))));
  }
  constexpr std::uint32_t rounds = 2;
  const auto share = (left + rounds * slots - 1) / std::max(rounds * slots, 1U);
  return std::clamp(std::min(want, std::max(share, 1U)), 1U, std::max(left, 1U));
}

}  // namespace

std::uint32_t FarmState::Data::take_fresh(Job& job, Step& step) {
  const auto index = step.first + static_cast<std::uint32_t>(step.tasks.size());
  step.tasks.emplace_back();
  if (step.is_cut()) {
    const auto slots = static_cast<std::uint32_t>(std::max<std::size_t>(pools[step.pool].usable.size(), 1));
    const auto units = next_cut(step, slots);
    step.cuts.push_back(step.cuts.back() + units);
    const auto left = step.units_left();
    set_total(job, step, static_cast<std::uint32_t>(step.tasks.size()) + (left + units - 1) / units);
  }
  refresh_ready(job, step, 0);
  return index;
}

void FarmState::Data::estimate(Job& job, Instant now) {
  auto& means = job.row.step_mean_s;
  means.clear();
  for (const auto& step : job.steps) {
    double mean_s = step.counts.done == 0 ? 0 : step.done_s / step.counts.done;
    // What is left may be cut larger or smaller than what is done.
    const auto left = step.total - step.counts.done;
    if (step.is_cut() && step.done_units > 0 && left > 0) {
      const auto units = step.spec.units - std::min<std::uint64_t>(step.done_units, step.spec.units);
      mean_s = step.done_s / static_cast<double>(step.done_units) * static_cast<double>(units) / left;
    }
    means.push_back(mean_s);
  }
  job.row.slots_at_work = job.slots;
  const auto left_s = job.row.state == JobState::active ? eta_s(job.row) : std::nullopt;
  job.row.eta_unix_ms = left_s ? now.unix_ms + static_cast<std::int64_t>(1000 * *left_s) : 0;
}

bool FarmState::Data::pair_is_ready(const Job& job, const Step& step, std::uint32_t index) {
  const auto local = index - step.first;
  return std::all_of(step.spec.pairs_with.begin(), step.spec.pairs_with.end(), [&](StepNo other) {
    const auto& partner = job.steps[other];
    return local < partner.tasks.size() && partner.tasks[local].state == TaskState::done;
  });
}

void FarmState::Data::refresh_followers(Job& job, const Step& step, std::uint32_t index) {
  const auto local = index - step.first;
  const bool is_task_done = step.tasks[local].state == TaskState::done;
  for (const auto number : step.pair_followers) {
    auto& follower = job.steps[number];
    if (local >= follower.total) continue;
    const auto theirs = follower.first + local;
    if (follower.tasks.size() <= local) follower.tasks.resize(std::size_t{local} + 1);
    auto& task = follower.tasks[local];
    if (task.state != TaskState::queued) continue;
    unqueue(job, theirs, task);
    if (is_task_done) requeue(job, theirs, task);
  }
  if (step.followers.empty()) return;
  for (const auto number : step.followers) {
    auto& follower = job.steps[number];
    std::uint32_t waits = 0;
    for (const auto other : follower.spec.after) waits += job.steps[other].is_done() ? 0 : 1;
    if (waits == follower.waits) continue;
    follower.waits = waits;
    refresh_ready(job, follower, 0);
    for (const auto& [group, tasks] : follower.requeued) refresh_ready(job, follower, group);
  }
}

}  // namespace kiln::scheduler
