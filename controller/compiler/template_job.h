// The part of compile() for jobs from a template of Open Job Description.
#pragma once

#include "compiler/compile.h"
#include "openjd/problems.h"

namespace kiln::compiler {

// Adds spec.name, spec.steps and the document's text to the job; what is wrong goes to `problems`.
void compile_template(const payloads::JobSubmission& submission, const payloads::TemplateText& text,
                      CompiledJob& job, openjd::Problems& problems);

}  // namespace kiln::compiler
