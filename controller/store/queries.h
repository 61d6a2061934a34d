// The reader's SQL, in one place: a test asks SQLite for the plan of each and refuses a scan or a sort.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "store/rows.h"

namespace kiln::store {

// What a list of jobs may be filtered by, as bits: any of them together.
enum JobFilter : unsigned { by_user = 1, by_state = 2, by_project = 4, by_sequence = 8, by_shot = 16 };
inline constexpr unsigned job_filters = 32;

struct Queries {
  // By filters. Parameters: those of the filters in the order of their bits, then: numbers below this one, at
  // most so many.
  std::array<std::string, job_filters> jobs;
  std::string job_by_id, job_by_number;
  // Parameters: the project, the sequence, at most so many, after skipping so many.
  std::string projects, sequences, shots;
  // Parameters: job number, (state,) from this task on, below that one, at most so many. The first reads rows
  // of any state.
  std::string tasks, tasks_done, tasks_in_state, tasks_held;
  std::string last_task;   // job number, from this task on, below that one
  std::string task_times;  // the same
  std::string attempts;    // job id, task
  // Parameters: (job id, from this task on, below that one,) at most so many, after skipping so many.
  std::string results, results_of_job;
  std::string nodes, node;
  // Parameters: (node,) from this hour on, before that one, at most so many.
  std::string usage, usage_of_node;
  std::string limits, fair_share, renderers;
};

const Queries& queries();
std::vector<std::string> all_queries();

}  // namespace kiln::store
