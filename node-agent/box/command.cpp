#include "box/command.h"

#include <fmt/format.h>

#include "runtime/process.h"

namespace kiln::box {

Result<std::string> output_of(const std::vector<std::string>& argv, std::chrono::seconds timeout,
                              std::size_t max_bytes) {
  runtime::CaptureOptions options;
  options.timeout = timeout;
  options.max_output_bytes = max_bytes;
  auto done = runtime::run_capture(argv, options);
  if (!done) return fail(std::move(done.error()));
  if (done->status.ok()) return std::move(done->output);
  return fail(Code::io, fmt::format("{}: {}: {}", argv[0], done->status.str(), done->output));
}

Status run(const std::vector<std::string>& argv, std::chrono::seconds timeout) {
  auto done = output_of(argv, timeout);
  return done ? Status() : Status(fail(std::move(done.error())));
}

}  // namespace kiln::box
