// What an action says to Kiln on its stdout and stderr: one line each, "openjd_progress: 50". Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace kiln::actions {

struct ProgressMessage {
  double percent = 0;  // 0 to 100
};
struct StatusMessage {
  std::string text;
};
struct FailMessage {
  std::string text;
};
struct EnvMessage {
  std::string name;
  std::string value;
  bool is_secret = false;  // openjd_redacted_env
};
struct UnsetEnvMessage {
  std::string name;
};
// No part of the specification, but what openjd's own runtime understands.
enum class LogLevel { debug, info, warning, error };
struct LogLevelMessage {
  LogLevel level = LogLevel::info;
};
// The line starts like a message and is none.
struct BadMessage {
  std::string why;  // and what would be right; never repeats the line
  bool is_fatal =
      false;  // one about an environment variable: what follows would run in the wrong environment
  std::string secret = {};  // what a malformed openjd_redacted_env wanted to hide
};

using Message = std::variant<ProgressMessage, StatusMessage, FailMessage, EnvMessage, UnsetEnvMessage,
                             LogLevelMessage, BadMessage>;

// A line without its line break. Nothing: it is output like any other. The message's word stands at the very
// start of the line, followed by a colon and one space; what comes after belongs to it as it is.
std::optional<Message> parse_message(std::string_view line);

}  // namespace kiln::actions
