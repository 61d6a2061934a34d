#include "scheduler/rows.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace kiln::scheduler {

namespace {

std::uint32_t chunks_of(std::size_t units, std::uint32_t chunk) {
  const std::size_t each = std::max<std::uint32_t>(chunk, 1);
  return static_cast<std::uint32_t>((units + each - 1) / each);
}

payloads::FrameSet chunk_at(const payloads::FrameSet& frames, std::uint32_t chunk, std::uint32_t index) {
  const std::size_t each = std::max<std::uint32_t>(chunk, 1);
  const std::size_t from = index * each;
  if (from >= frames.size()) return {};
  return frames.slice(from, std::min(each, frames.size() - from));
}

bool covers(const Window& window, std::int64_t minute) {
  const auto is_on = [&](std::int64_t day) { return ((window.days >> ((day + 7) % 7)) & 1U) != 0; };
  const auto day = minute / day_min;
  const auto at = minute % day_min;
  if (window.to_min > window.from_min) return is_on(day) && at >= window.from_min && at < window.to_min;
  return (is_on(day) && at >= window.from_min) || (is_on(day - 1) && at < window.to_min);
}

}  // namespace

bool is_in_schedule(const std::vector<Window>& schedule, std::int64_t unix_ms, std::int32_t utc_offset_s) {
  if (schedule.empty()) return true;
  constexpr std::int64_t week_min = 7 * day_min;
  constexpr std::int64_t first_monday_min = 4 * day_min;  // 1970-01-05
  const auto minute = unix_ms / 60'000 + utc_offset_s / 60 - first_monday_min;
  const auto of_week = ((minute % week_min) + week_min) % week_min;
  return std::any_of(schedule.begin(), schedule.end(),
                     [&](const auto& window) { return covers(window, of_week); });
}

std::uint32_t StepSpec::max_tasks() const {
  return target_s != 0 ? units : chunks_of(units, chunk);
}

std::uint32_t JobSpec::task_count() const {
  if (steps.empty()) return chunks_of(frames.size(), chunk);
  std::uint32_t count = 0;
  for (const auto& step : steps) count += step.max_tasks();
  return count;
}

payloads::FrameSet JobSpec::task_frames(std::uint32_t index) const {
  if (steps.empty()) return chunk_at(frames, chunk, index);
  const auto place = place_of(index);
  const auto& step = steps[place.step];
  if (step.target_s != 0) return {};
  return chunk_at(step.frames, step.chunk, index - place.first);
}

std::vector<StepSpec> JobSpec::all_steps() const {
  if (!steps.empty()) return steps;
  StepSpec only;
  only.frames = frames;
  only.units = static_cast<std::uint32_t>(frames.size());
  only.chunk = chunk;
  only.needs.renderer = renderer;
  only.needs.device = options.device;
  only.needs.limits = limits;
  return {std::move(only)};
}

JobSpec::Place JobSpec::place_of(std::uint32_t index) const {
  Place place;
  while (place.step + 1 < steps.size()) {
    const auto next = place.first + steps[place.step].max_tasks();
    if (index < next) break;
    place.first = next;
    ++place.step;
  }
  return place;
}

std::string_view to_string(TaskState state) {
  switch (state) {
    case TaskState::queued:
      return "queued";
    case TaskState::assigned:
      return "assigned";
    case TaskState::running:
      return "running";
    case TaskState::done:
      return "done";
    case TaskState::failed:
      return "failed";
    case TaskState::cancelled:
      return "cancelled";
  }
  return "queued";
}

std::string_view to_string(AttemptState state) {
  switch (state) {
    case AttemptState::assigned:
      return "assigned";
    case AttemptState::running:
      return "running";
    case AttemptState::done:
      return "done";
    case AttemptState::failed:
      return "failed";
    case AttemptState::lost:
      return "lost";
    case AttemptState::superseded:
      return "superseded";
    case AttemptState::cancelled:
      return "cancelled";
  }
  return "assigned";
}

std::string_view to_string(NodePresence presence) {
  switch (presence) {
    case NodePresence::unknown:
      return "unknown";
    case NodePresence::online:
      return "online";
    case NodePresence::draining:
      return "draining";
    case NodePresence::offline:
      return "offline";
  }
  return "unknown";
}

std::string_view to_string(Review review) {
  switch (review) {
    case Review::none:
      return "";
    case Review::held:
      return "held";
    case Review::accepted:
      return "accepted";
  }
  return "";
}

std::string held_reason(const TaskRow& task) {
  if (task.review != Review::held) return "";
  return task.blank == payloads::Blank::transparent
             ? "fully transparent, while the frames beside it are not: look at it, then accept it or render "
               "it again"
             : "all black, while the frames beside it are not: look at it, then accept it or render it again";
}

std::string_view shown_state(const JobRow& job) {
  switch (job.state) {
    case JobState::active:
      return job.started_ms == 0 ? "queued" : "running";
    case JobState::paused:
      return "paused";
    case JobState::done:
      return "done";
    case JobState::failed:
      return "failed";
    case JobState::cancelled:
      return "cancelled";
  }
  return "queued";
}

double percent(const JobRow& job) {
  const auto total = job.counts.total();
  return total == 0 ? 0 : 100.0 * job.counts.done / total;
}

namespace {

// How many whole steps come before each, one after another. Steps that go pairwise go side by side.
std::vector<std::uint32_t> levels_of(const std::vector<StepSpec>& steps) {
  std::vector<std::uint32_t> levels(std::max<std::size_t>(steps.size(), 1), 0);
  // Mostly they stand in order, and one round does; never more than there are steps, since there is no cycle.
  for (std::size_t round = 0; round < steps.size(); ++round) {
    const auto before = levels;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      for (const auto other : steps[i].after) levels[i] = std::max(levels[i], levels[other] + 1);
      for (const auto other : steps[i].pairs_with) levels[i] = std::max(levels[i], levels[other]);
    }
    if (levels == before) break;
  }
  return levels;
}

// What is left of steps that go side by side.
struct Level {
  double work_s = 0;  // on one slot
  double tasks = 0;
  double longest_s = 0;  // of one task, on average
};

// Slots are busy until nothing waits any more; from then on each ends when its task does, the last one about
// a whole task later.
double seconds_of(const Level& level, double slots) {
  if (level.tasks <= 0) return 0;
  const double mean_s = level.work_s / level.tasks;
  const double tail_s = level.tasks <= slots ? 0 : mean_s / 2 * (1 - 1 / slots);
  return std::max(level.work_s / slots + tail_s, level.longest_s);
}

double left_s(const JobRow& job) {
  const double usual_s = job.render_s / job.counts.done;
  const auto levels = levels_of(job.spec.steps);
  std::map<std::uint32_t, Level> left;
  double running = 0;
  for (std::size_t i = 0; i < job.step_mean_s.size() && i < levels.size(); ++i) {
    const auto& counts = job.spec.steps.empty() ? job.counts : job.steps.at(i);
    const double mean_s = job.step_mean_s[i] > 0 ? job.step_mean_s[i] : usual_s;
    // Of what renders half is done, on average; what is out beyond the slots only waits there.
    const double at_work = std::min<double>(counts.running, std::max(0.0, job.slots_at_work - running));
    running += at_work;
    const double tasks = counts.queued + counts.running;
    if (tasks == 0) continue;
    auto& level = left[levels[i]];
    level.work_s += mean_s * (tasks - at_work / 2);
    level.tasks += tasks;
    level.longest_s = std::max(level.longest_s, counts.queued > 0 ? mean_s : mean_s / 2);
  }
  double sum_s = 0;
  for (const auto& [number, level] : left) sum_s += seconds_of(level, job.slots_at_work);
  return sum_s;
}

}  // namespace

std::optional<double> eta_s(const JobRow& job) {
  const auto& counts = job.counts;
  if (counts.done == 0 || counts.running == 0) return std::nullopt;
  if (!job.step_mean_s.empty() && job.slots_at_work > 0) return left_s(job);
  // As the store has it: without a scheduler nobody knows more than the counts.
  const double mean_s = job.render_s / counts.done;
  // counts.running includes what waits on a node behind its slots: one task a slot, more of short ones, as
  // Policy::queue_ahead_ms (2 s) and max_queue_ahead (16) have it.
  const double ahead = std::clamp(2.0 / std::max(mean_s, 0.001), 1.0, 16.0);
  const double slots = std::max(1.0, std::round(counts.running / (1 + ahead)));
  // What renders now is half done, on average.
  const double left = std::max(0.0, counts.queued + counts.running - slots / 2);
  return mean_s * left / slots;
}

payloads::JobStatus job_status(const JobRow& job) {
  payloads::JobStatus status;
  status.name = job.spec.name;
  status.state = shown_state(job);
  status.priority = job.priority;
  status.tasks = job.counts;
  status.percent = percent(job);
  status.eta_s = eta_s(job);
  return status;
}

}  // namespace kiln::scheduler
