#include "base/ids.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace kiln {

namespace {

constexpr std::size_t max_id_length = 32;
constexpr std::size_t sha256_hex_digits = 64;

bool is_id_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}
bool is_lower_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

}  // namespace

std::string_view to_string(Code code) {
  switch (code) {
    case Code::invalid:
      return "invalid";
    case Code::not_found:
      return "not-found";
    case Code::conflict:
      return "conflict";
    case Code::denied:
      return "denied";
    case Code::too_large:
      return "too-large";
    case Code::unsupported:
      return "unsupported";
    case Code::unavailable:
      return "unavailable";
    case Code::timeout:
      return "timeout";
    case Code::full:
      return "full";
    case Code::io:
      return "io";
    case Code::internal:
      return "internal";
  }
  return "internal";
}

void bug(const char* file, int line, const char* expression) {
  std::fprintf(stderr, "kiln: bug at %s:%d: %s does not hold\n", file, line, expression);
  std::abort();
}

bool is_id(std::string_view text) {
  return !text.empty() && text.size() <= max_id_length && std::all_of(text.begin(), text.end(), is_id_char);
}

bool is_digest(std::string_view text) {
  constexpr std::string_view prefix = "sha256:";
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return text.size() == sha256_hex_digits && std::all_of(text.begin(), text.end(), is_lower_hex);
}

template <class Tag>
Error Id<Tag>::bad_id(std::string_view what, std::string_view text) {
  return Error{Code::invalid, fmt::format("'{}' is no {} id: 1 to 32 of a-z, 0-9 and -",
                                          text.substr(0, 2 * max_id_length), what)};
}
template class Id<JobTag>;
template class Id<NodeTag>;

std::string TaskId::str() const {
  return fmt::format("{}-{}", job.str(), index);
}

Result<TaskId> TaskId::parse(std::string_view text) {
  const auto dash = text.rfind('-');
  if (is_id(text) && dash != std::string_view::npos) {
    const auto digits = text.substr(dash + 1);
    TaskId id;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id.index);
    auto job = JobId::parse(text.substr(0, dash));
    const bool canonical = digits.size() == 1 || !digits.starts_with('0');
    if (job && error == std::errc{} && end == digits.data() + digits.size() && canonical) {
      id.job = std::move(*job);
      return id;
    }
  }
  return fail(Code::invalid,
              fmt::format("'{}' is no task id: a job's id, '-' and the task's number, as in 7-k3fqa-12",
                          text.substr(0, 2 * max_id_length)));
}

JobId make_job_id(std::uint64_t number, std::uint32_t random) {
  constexpr std::string_view alphabet = "abcdefghijkmnpqrstuvwxyz23456789";  // no l, o, 0, 1: read aloud
  static_assert(alphabet.size() == 32);
  std::string text = fmt::format("{}-", number);
  for (int i = 0; i < 5; ++i) text += alphabet[(random >> (5 * i)) & 31U];
  auto id = JobId::parse(text);
  KILN_ASSERT(id.has_value());
  return *id;
}

}  // namespace kiln
