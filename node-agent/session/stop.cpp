#include "session/stop.h"

#include <fmt/format.h>

#include "runtime/files.h"

namespace kiln::session {

using payloads::FailureScope;

namespace {

constexpr std::uint64_t mib = 1024UL * 1024;

}  // namespace

Stop stopped_by(const Error& error, std::string_view doing, const std::filesystem::path& scratch) {
  auto code = error.code;
  if (const auto space = runtime::disk_space(scratch); space && space->free_bytes < mib) code = Code::full;
  if (code == Code::full) {
    return {false,
            {"disk-full",
             fmt::format("no space left below {} on this box: free some ({}: {})", scratch.string(), doing,
                         error.message),
             FailureScope::attempt}};
  }
  return {false,
          {code == Code::invalid ? "frame-invalid" : "scratch-unusable",
           fmt::format("{}: {}", doing, error.message), FailureScope::attempt}};
}

Stop not_fetched(const Error& error, std::string_view doing, const std::filesystem::path& scratch) {
  if (error.code == Code::full) return stopped_by(error, doing, scratch);
  const bool gone = error.code == Code::not_found;
  return {false,
          {gone ? "missing-file" : "fetch-failed", fmt::format("while {}: {}", doing, error.message),
           gone ? FailureScope::job : FailureScope::attempt}};
}

Stop no_renderer(const Error& error) {
  switch (error.code) {
    case Code::not_found:
      return {false, {"renderer-gone", error.message, FailureScope::job}};
    case Code::invalid:
      return {false, {"renderer-broken", error.message, FailureScope::attempt}};
    case Code::full:
      return {false, {"renderer-no-room", error.message, FailureScope::attempt}};
    default:
      return {false, {"fetch-failed", error.message, FailureScope::attempt}};
  }
}

}  // namespace kiln::session
