#include "actions/messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/json.h"
#include "openjd/names.h"
#include "openjd/numbers.h"

namespace kiln::actions {

namespace {

// As long as a template's own variables may be.
constexpr std::size_t max_name = 256;

Message progress(std::string_view text) {
  const auto percent = openjd::real_of(text);
  if (percent && *percent >= 0 && *percent <= 100) return ProgressMessage{*percent};
  return BadMessage{"openjd_progress takes a number from 0 to 100"};
}

Message log_level(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, LogLevel>, 4> levels{{{"DEBUG", LogLevel::debug},
                                                                         {"INFO", LogLevel::info},
                                                                         {"WARNING", LogLevel::warning},
                                                                         {"ERROR", LogLevel::error}}};
  for (const auto& [name, level] : levels) {
    if (text == name) return LogLevelMessage{level};
  }
  return BadMessage{"openjd_session_runtime_loglevel takes DEBUG, INFO, WARNING or ERROR"};
}

bool is_variable(std::string_view name) {
  return name.size() <= max_name && openjd::is_identifier(name);
}

// NAME=value, or the same as a JSON string, so that a value may have line breaks: "KEY=two\nlines".
Message assignment(std::string_view word, std::string_view text, bool is_secret) {
  std::string decoded;
  std::string_view assignment = text;
  if (text.starts_with('"')) {
    const auto json = Json::parse(text, {.bytes = 1024UL * 1024});
    if (json && json->as_string() != nullptr) {
      decoded = *json->as_string();
      assignment = decoded;
    }
  }
  const auto equals = assignment.find('=');
  const auto secret = [&](std::string_view hidden) { return std::string(is_secret ? hidden : ""); };
  if (equals == assignment.npos) {
    return BadMessage{fmt::format("{} takes NAME=value; there is no '=' in it", word), true,
                      secret(assignment)};
  }
  const auto name = assignment.substr(0, equals);
  const auto value = assignment.substr(equals + 1);
  if (!is_variable(name)) {
    return BadMessage{
        fmt::format("{} takes NAME=value; a name has 1 to {} latin letters, digits and '_', and no "
                    "digit first",
                    word, max_name),
        true, secret(value)};
  }
  if (value.find('\0') != value.npos)
    return BadMessage{fmt::format("{}: a variable's value cannot hold a NUL", word), true, secret(value)};
  return EnvMessage{std::string(name), std::string(value), is_secret};
}

Message unset(std::string_view text) {
  if (is_variable(text)) return UnsetEnvMessage{std::string(text)};
  return BadMessage{
      fmt::format("openjd_unset_env takes one variable's name: 1 to {} latin letters, digits and "
                  "'_', and no digit first",
                  max_name),
      true};
}

}  // namespace

std::optional<Message> parse_message(std::string_view line) {
  if (!line.starts_with("openjd_")) return std::nullopt;
  const auto colon = line.find(": ");
  if (colon == line.npos) return std::nullopt;
  const auto word = line.substr(0, colon);
  const auto text = line.substr(colon + 2);
  if (word == "openjd_progress") return progress(text);
  if (word == "openjd_status") return StatusMessage{std::string(text)};
  if (word == "openjd_fail") return FailMessage{std::string(text)};
  if (word == "openjd_env") return assignment(word, text, false);
  if (word == "openjd_redacted_env") return assignment(word, text, true);
  if (word == "openjd_unset_env") return unset(text);
  if (word == "openjd_session_runtime_loglevel") return log_level(text);
  return std::nullopt;
}

}  // namespace kiln::actions
