// A job's tail: nothing waits any more, slots are idle, and a slow node still works on the last frames. Such
// a task is started a second time on an idle node that should be done sooner; the first valid result wins,
// the other start is told to stop.
#include <fmt/core.h>

#include <algorithm>

#include "scheduler/farm_data.h"

namespace kiln::scheduler {

namespace {

constexpr int max_looked_at = 8;          // leases per step(): keeps it O(1)
constexpr std::int64_t least_ms = 2'000;  // a task that is over so soon is not worth a second start
constexpr std::uint32_t least_done = 3;   // tasks of the step, before a mean says anything

// Mean seconds of a task of the job on that node; of the step where the node has none done.
double mean_s(const Job& job, const Step& step, NodeNo node) {
  const auto here = job.speed.find(node);
  if (here != job.speed.end() && here->second.second > 0) return here->second.first / here->second.second;
  return step.done_s / step.counts.done;
}

}  // namespace

void Turn::start_again() {
  if (!data_.connected || data_.disk_full || data_.policy.tail_factor <= 0) return;
  int looked_at = 0;
  for (const auto number : data_.job_pools) {
    const auto& pool = data_.pools[number];
    if (pool.idle_slots == 0 || !pool.heads.empty() || !data_.limits_allow(pool)) continue;
    // The tasks that render longest: where they are is known by the nodes at work, the idle ones hold
    // nothing.
    for (auto place = pool.usable.rbegin(); place != pool.usable.rend(); ++place) {
      if (place->first == 0 || ++looked_at > max_looked_at || pool.idle_slots == 0) break;
      const auto& busy = data_.node(node_of(place->second));
      const Lease* slowest = nullptr;
      LeaseKey slowest_key;
      for (const auto& key : busy.held) {
        const auto& lease = *data_.find_lease(key);
        if (lease.phase != payloads::TaskPhase::rendering || lease.started_mono_ms == 0 || key.twin) continue;
        if (data_.step_of(data_.jobs.at(key.job), key.index).pool != number) continue;
        // Once: what went wrong with the second start would go wrong with the third.
        if (data_.touched(data_.jobs.at(key.job), key.index)->attempt != lease.attempt) continue;
        if (slowest != nullptr && slowest->started_mono_ms <= lease.started_mono_ms) continue;
        slowest = &lease;
        slowest_key = key;
      }
      if (slowest == nullptr) continue;
      auto& job = data_.jobs.at(slowest_key.job);
      const auto& step = data_.step_of(job, slowest_key.index);
      if (!job.may_run() || job.is_pinned() || step.counts.done < least_done) continue;
      const auto elapsed_ms = now_.mono_ms - slowest->started_mono_ms;
      const double step_ms = 1000 * step.done_s / step.counts.done;
      if (elapsed_ms < least_ms || static_cast<double>(elapsed_ms) < data_.policy.tail_factor * step_ms)
        continue;
      const Group elsewhere{0, slowest->node, job.avoids};
      const auto idle = std::find_if(pool.open.begin(), pool.open.end(), [&](const auto& one) {
        return one.first < full_level && !elsewhere.has(node_of(one.second)) &&
               data_.node(node_of(one.second)).lanes.at(kind_of(one.second)).idle > 0 &&
               (pool.needs.bundle.name.empty() || data_.has_renderer(number, node_of(one.second)));
      });
      if (idle == pool.open.end()) continue;
      // Nobody knows how long the slow one still takes; so far it took longer than the idle one would in all.
      if (1000 * mean_s(job, step, node_of(idle->second)) > static_cast<double>(elapsed_ms)) continue;
      remark(fmt::format("task {} is started again on {}: {} has worked on it for {} s, {:.1f} s are usual",
                         task_id(slowest_key).str(), data_.node(node_of(idle->second)).row.id.str(),
                         busy.row.id.str(), elapsed_ms / 1000, step_ms / 1000));
      hand_out(job, {slowest_key.job, slowest_key.index, true}, idle->second);
      break;  // the places have changed; the next step looks again
    }
  }
}

}  // namespace kiln::scheduler
