#include "daemon/rest.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "base/text.h"
#include "runtime/clock.h"
#include "runtime/process.h"

namespace kiln::agent {

namespace {

constexpr std::chrono::seconds patience{30};
constexpr std::size_t max_output_bytes = 4UL * 1024;
constexpr std::size_t max_said_bytes = 300;

std::string run(const std::vector<std::string>& argv, int cancel_fd) {
  runtime::CaptureOptions options;
  options.timeout = patience;
  options.max_output_bytes = max_output_bytes;
  options.cancel_fd = cancel_fd;
  const auto captured = runtime::run_capture(argv, options);
  if (!captured) return captured.error().message;
  if (captured->status.ok()) return {};
  auto said = to_utf8(captured->output);
  for (auto& c : said) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  while (!said.empty() && said.back() == ' ') said.pop_back();
  return fmt::format("{}: {}{}{}", argv.front(), captured->status.str(), said.empty() ? "" : ": ",
                     clip(said, max_said_bytes));
}

}  // namespace

RestCommand::RestCommand(std::vector<std::string> argv, std::function<void(std::string trouble)> on_end)
    : thread_([this, argv = std::move(argv), on_end = std::move(on_end)] {
        auto trouble = run(argv, stop_.fd());
        if (!stop_.is_set()) on_end(std::move(trouble));
      }) {}

RestCommand::~RestCommand() {
  stop_.set();
  thread_.join();
}

std::int64_t slept_ms() {
  const auto awake = std::chrono::steady_clock::now().time_since_epoch();  // CLOCK_MONOTONIC
  return runtime::now().mono_ms - std::chrono::duration_cast<std::chrono::milliseconds>(awake).count();
}

}  // namespace kiln::agent
