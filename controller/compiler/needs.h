// A step's host requirements as what the scheduler asks of nodes and of the farm's limits.
#pragma once

#include <string_view>
#include <vector>

#include "openjd/create_job.h"
#include "openjd/problems.h"
#include "scheduler/rows.h"

namespace kiln::compiler {

inline constexpr std::string_view limit_prefix = "kiln:amount.limit.";

// `where`: the step's path in the template. `limits`: what the submission asks of each task besides.
scheduler::Needs needs_of(const openjd::Step& step, const std::vector<payloads::LimitUse>& limits,
                          std::string_view where, openjd::Problems& problems);

// Of one limit asked for twice, the larger.
void add_limit(std::vector<payloads::LimitUse>& limits, const payloads::LimitUse& use);

}  // namespace kiln::compiler
