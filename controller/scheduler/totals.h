// What is added up from rows, for people. Nothing is decided by it.
#pragma once

#include <cstdint>
#include <vector>

#include "scheduler/rows.h"

namespace kiln::scheduler {

// The jobs of a project, of a sequence of it, or of a shot of that.
struct ProductionRow {
  payloads::Production production;  // whose; the parts below are empty. All empty: jobs of no project
  std::uint32_t jobs = 0;
  std::uint32_t jobs_open = 0;  // of them active or paused
  payloads::TaskCounts counts;  // of their tasks
  double render_s = 0;          // sum over done tasks
  Waste waste = {};
  std::int64_t newest_ms = 0;  // unix: when one was last submitted, started or ended
  friend bool operator==(const ProductionRow&, const ProductionRow&) = default;
};

// How long tasks that are done took. A unit is a frame, or a point of the parameter space.
struct TaskTimes {
  NodeId node;  // empty: on all nodes
  std::uint32_t tasks = 0;
  std::uint64_t units = 0;
  double total_s = 0;
  double median_s = 0;  // of a task
  double p95_s = 0;     // 95 of 100 tasks took no longer
  [[nodiscard]] double mean_s() const { return tasks == 0 ? 0 : total_s / tasks; }
  [[nodiscard]] double unit_s() const { return units == 0 ? 0 : total_s / static_cast<double>(units); }
  friend bool operator==(const TaskTimes&, const TaskTimes&) = default;
};
// Tasks that took more than the class before it allows, and no more than this.
struct TimeClass {
  double up_to_s = 0;
  std::uint32_t tasks = 0;
  friend bool operator==(const TimeClass&, const TimeClass&) = default;
};
struct JobTimes {
  TaskTimes all;
  std::vector<TaskTimes> by_node;  // by id
  std::vector<TimeClass>
      histogram;  // 1, 2, 5, 10, … from the fastest task to the slowest; empty ones between
  friend bool operator==(const JobTimes&, const JobTimes&) = default;
};

}  // namespace kiln::scheduler
