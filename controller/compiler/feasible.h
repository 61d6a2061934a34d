// What no node of the farm can ever do, said when a job is submitted.
#pragma once

#include <vector>

#include "compiler/compile.h"
#include "scheduler/rows.h"

namespace kiln::compiler {

// A problem for each step that none of the nodes is fit for, naming the requirement and the nearest nodes.
// None at all while no node is known, or one has not introduced itself yet: a box that just came looks for
// its renderers for some seconds.
std::vector<Problem> impossible(const CompiledJob& job, const std::vector<scheduler::NodeRow>& nodes);

}  // namespace kiln::compiler
