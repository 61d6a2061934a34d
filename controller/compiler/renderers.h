// Which of the farm's renderers a job's tasks need.
#pragma once

#include <string>
#include <vector>

#include "compiler/compile.h"
#include "scheduler/rows.h"

namespace kiln::compiler {

// Fills in what of the job's needs is one of those renderers: `wanted`, which the submission names ("":
// none), and host requirements kiln:attr.renderer that name one; of several values the first that is there.
// Values hold no dots, so blender-4_2_1 is blender-4.2.1. What is left asks for a program that is installed
// on a node. Problems: a name that is none of them, with the list of those there are.
std::vector<Problem> choose_renderers(CompiledJob& job, const std::string& wanted,
                                      const std::vector<scheduler::RendererRow>& renderers,
                                      const std::vector<scheduler::NodeRow>& nodes);

}  // namespace kiln::compiler
