// What nodes did with their time, and what came to nothing.
#include <algorithm>

#include "scheduler/farm_data.h"

namespace kiln::scheduler {

namespace {
constexpr std::int64_t hour_ms = 3'600'000;
constexpr std::int64_t most_ms =
    60'000;  // between two looks: more is a clock that jumped, or a controller that slept
}  // namespace

void Turn::account(Node& node) {
  const auto since = node.used_mono_ms;
  node.used_mono_ms = now_.mono_ms;
  const auto hour = now_.unix_ms - now_.unix_ms % hour_ms;
  if (node.hour.hour_ms != hour) {
    if (node.hour.hour_ms != 0) effects_.emplace_back(SaveUsage{node.hour});
    node.hour = {node.row.id, hour, {}};
  }
  if (since == 0 || !node.placed.present) return;
  const auto passed_s =
      static_cast<double>(std::clamp<std::int64_t>(now_.mono_ms - since, 0, most_ms)) / 1000;
  for (auto* use : {&node.row.use, &node.hour.use}) {
    use->online_s += passed_s * node.placed.slots;
    use->busy_s += passed_s * node.placed.busy;
  }
  if (node.placed.busy > 0 && passed_s > 0) node.stats_dirty = true;
}

void Turn::waste(Job& job, Node& node, const Lease& lease, double Waste::*kind) {
  if (lease.started_ms == 0) return;
  const auto seconds = static_cast<double>(std::max<std::int64_t>(now_.unix_ms - lease.started_ms, 0)) / 1000;
  job.row.waste.*kind += seconds;
  node.row.use.waste.*kind += seconds;
  node.hour.use.waste.*kind += seconds;
  node.stats_dirty = true;
  touch(job);
}

}  // namespace kiln::scheduler
