#include "daemon/programs.h"

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <utility>

#include "base/text.h"
#include "runtime/log.h"
#include "runtime/process.h"
#include "session/runner.h"

namespace kiln::agent {

namespace {

constexpr std::chrono::seconds patience{10};  // a cold disk; none of them does more than print
constexpr std::size_t max_output_bytes = 64UL * 1024;
constexpr std::size_t max_version_bytes = 32;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

}  // namespace

bool is_installed(const std::string& program) {
  if (program.find('/') != std::string::npos) return ::access(program.c_str(), X_OK) == 0;
  return runtime::find_program(program).has_value();
}

std::string find_version(std::string_view output) {
  for (std::size_t i = 0; i < output.size(); ++i) {
    if (!is_digit(output[i])) continue;
    auto end = i;
    while (end < output.size() && (is_digit(output[end]) || (output[end] == '.' && end + 1 < output.size() &&
                                                             is_digit(output[end + 1])))) {
      ++end;
    }
    const auto word = output.substr(i, end - i);
    // Not the 12 of "deb12" nor the folder of ".povray/3.7/povray.conf"; but the 4.2 of "v4.2".
    const char before = i == 0 ? ' ' : output[i - 1];
    const bool is_path = before == '/' || (end < output.size() && output[end] == '/');
    const bool is_own_word = (!is_letter(before) || before == 'v' || before == 'V') && !is_path;
    if (is_own_word && word.find('.') != std::string_view::npos) {
      return std::string(word.substr(0, max_version_bytes));
    }
    i = end;
  }
  return {};
}

std::optional<payloads::RendererInfo> detect_program(const std::string& program) {
  runtime::CaptureOptions options;
  options.timeout = patience;
  options.max_output_bytes = max_output_bytes;
  for (const char* flag : {"--version", "-version"}) {
    const auto captured = runtime::run_capture({program, flag}, options);
    if (!captured) {
      log::warn("agent", "{} {}: {}", program, flag, captured.error().message);
      return std::nullopt;
    }
    auto version = find_version(captured->output);
    if (captured->status.ok() && !version.empty()) {
      return payloads::RendererInfo{std::filesystem::path(program).filename().string(), std::move(version)};
    }
  }
  log::warn("agent", "{} says no version for --version nor for -version: it is left out", program);
  return std::nullopt;
}

Programs::Programs(const Config& config) : blender_(config.blender) {
  for (const auto& program : config.programs) {
    if (std::filesystem::path(program).filename() != "blender")
      missing_.push_back(program);  // it has its own
  }
}

const std::vector<payloads::RendererInfo>& Programs::look() {
  if (!has_blender_ && is_installed(blender_)) {
    auto blender = session::Runner::detect(blender_);
    has_blender_ = !blender.empty();
    found_.insert(found_.begin(), blender.begin(), blender.end());
    for (const auto& one : blender) log::info("agent", "found {} {}", one.name, one.version);
  }
  for (auto& program : std::exchange(missing_, {})) {
    if (!is_installed(program)) {
      missing_.push_back(std::move(program));
    } else if (auto one = detect_program(program)) {
      log::info("agent", "found {} {}", one->name, one->version);
      found_.push_back(std::move(*one));
    }
  }
  return found_;
}

}  // namespace kiln::agent
