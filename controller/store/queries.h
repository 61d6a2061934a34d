// The reader's SQL, in one place: a test asks SQLite for the plan of each and refuses a scan or a sort.
#pragma once

#include <string>
#include <vector>

#include "store/rows.h"

namespace kiln::store {

struct Queries {
  // Parameters: the filters named, then ?: numbers below this one, ?: at most so many.
  std::string jobs, jobs_by_state, jobs_by_user, jobs_by_user_state;
  std::string job_by_id, job_by_number;
  // Parameters: job number, from this task on, (state,) at most so many. The first reads rows of any state.
  std::string tasks, tasks_done, tasks_in_state, tasks_held;
  std::string attempts;  // job id, task
  // Parameters: (job id,) at most so many, after skipping so many.
  std::string results, results_of_job;
  std::string nodes, node;
};

const Queries& queries();
std::vector<std::string> all_queries();

}  // namespace kiln::store
