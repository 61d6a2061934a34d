// From what a client submits to what the scheduler schedules. Pure; README.md says where this room goes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "base/result.h"
#include "compiler/job_types.h"
#include "openjd/problems.h"
#include "payloads/http_bodies.h"
#include "scheduler/rows.h"

namespace kiln::compiler {

inline constexpr std::uint32_t max_chunk_frames = 1000;
inline constexpr std::uint32_t max_job_tasks = 1'000'000;  // of all steps; a frame set holds as many

using openjd::Problem;

// Everything that stands against a submission.
struct Refusal {
  Code code = Code::invalid;
  std::vector<Problem> problems;  // at least one
  std::size_t left_out = 0;       // problems beyond those

  Refusal(Code why, std::vector<Problem> all) : code(why), problems(std::move(all)) {}
  explicit Refusal(const openjd::Problems& all) : problems(all.list()), left_out(all.left_out()) {}
  explicit Refusal(const Error& error) : code(error.code), problems{{"", error.message}} {}

  // One sentence, for who reads one line: the first, and how many more there are.
  [[nodiscard]] Error error() const;
  // A line a problem.
  [[nodiscard]] std::string text() const;
};

template <class T>
using Accepted = tl::expected<T, Refusal>;

struct CompiledJob {
  scheduler::JobSpec spec;      // without the digests of its manifest and document: nothing is stored yet
  scheduler::JobWishes wishes;  // without `after`: what jobs there are is not known here
  std::string document;         // text of its JobDocument; "" for a job without a template
};

// `types`: the job types that a submission may name. A submission of a template is refused with everything
// that is wrong, each with its path in the template ("steps[1].parameterSpace…"), "parameters.<name>", or the
// submission's field ("frame_by_frame[0]").
Accepted<CompiledJob> compile(const payloads::JobSubmission& submission, const std::vector<JobType>& types);

// The still-image formats that Blender writes, as its image_settings.file_format names them.
const std::vector<std::string_view>& image_formats();

}  // namespace kiln::compiler
