// The log: fields in the journal when systemd started us, plain lines on stderr otherwise.
//
//   log::info("fleet", "node {} is back", id);     12:01:02 info  fleet: node n1 is back
#pragma once

#include <fmt/core.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace kiln::log {

enum class Level { debug, info, warn, error };

std::string_view to_string(Level level);
// "debug", "info", "warn" or "error". Errors: invalid.
Result<Level> parse_level(std::string_view text);

// Quieter messages are dropped from here on; info at the start.
void set_level(Level level);
[[nodiscard]] bool is_on(Level level);

// A journal field beside the message: {"JOB", "7-k3fqa"} becomes KILN_JOB=7-k3fqa. On a terminal the message
// says it all. Names are A-Z, 0-9 and _.
using Field = std::pair<std::string_view, std::string_view>;

// From any thread. `room` names the speaker. One line: control characters in the message are escaped.
void write(Level level, std::string_view room, std::string_view message,
           std::initializer_list<Field> fields = {});

// A line as it stands on stderr, without colour and time.
std::string line(Level level, std::string_view room, std::string_view message);

template <class... Args>
void debug(std::string_view room, fmt::format_string<Args...> text, Args&&... args) {
  if (is_on(Level::debug)) write(Level::debug, room, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void info(std::string_view room, fmt::format_string<Args...> text, Args&&... args) {
  if (is_on(Level::info)) write(Level::info, room, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void warn(std::string_view room, fmt::format_string<Args...> text, Args&&... args) {
  if (is_on(Level::warn)) write(Level::warn, room, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void error(std::string_view room, fmt::format_string<Args...> text, Args&&... args) {
  write(Level::error, room, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace kiln::log
