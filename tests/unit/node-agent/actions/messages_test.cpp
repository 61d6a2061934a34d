#include "actions/messages.h"

#include "check.h"

using namespace kiln::actions;

namespace {

// A message as one line of text, so that a table can say what is expected.
std::string told(std::string_view line) {
  const auto message = parse_message(line);
  if (!message) return "output";
  struct Teller {
    std::string operator()(const ProgressMessage& one) { return fmt::format("progress {}", one.percent); }
    std::string operator()(const StatusMessage& one) { return fmt::format("status '{}'", one.text); }
    std::string operator()(const FailMessage& one) { return fmt::format("fail '{}'", one.text); }
    std::string operator()(const EnvMessage& one) {
      return fmt::format("{} {}='{}'", one.is_secret ? "secret" : "env", one.name, one.value);
    }
    std::string operator()(const UnsetEnvMessage& one) { return fmt::format("unset {}", one.name); }
    std::string operator()(const LogLevelMessage& one) {
      return fmt::format("level {}", static_cast<int>(one.level));
    }
    std::string operator()(const BadMessage& one) {
      return fmt::format("bad{}{}", one.is_fatal ? " fatal" : "",
                         one.secret.empty() ? "" : " hides " + one.secret);
    }
  };
  return std::visit(Teller(), *message);
}

struct Line {
  std::string_view line;
  std::string_view want;
};

void expect(std::initializer_list<Line> lines) {
  for (const auto& [line, want] : lines)
    check_equal(fmt::format("{}: {}", line, told(line)), fmt::format("{}: {}", line, want));
}

void messages_are_understood() {
  expect({
      {"openjd_progress: 0", "progress 0"},
      {"openjd_progress: 12.5", "progress 12.5"},
      {"openjd_progress: 100", "progress 100"},
      {"openjd_progress: 1e1", "progress 10"},
      {"openjd_status: loading  assets ", "status 'loading  assets '"},
      {"openjd_status: ", "status ''"},
      {"openjd_status: a: b", "status 'a: b'"},
      {"openjd_fail: no such scene", "fail 'no such scene'"},
      {"openjd_env: A=b", "env A='b'"},
      {"openjd_env: A=", "env A=''"},
      {"openjd_env: _a1=b=c d ", "env _a1='b=c d '"},
      {"openjd_env: \"A=two\\nlines\"", "env A='two\nlines'"},
      {"openjd_env: A=\"quoted\"", "env A='\"quoted\"'"},
      {"openjd_redacted_env: A=b", "secret A='b'"},
      {"openjd_unset_env: A", "unset A"},
      {"openjd_session_runtime_loglevel: DEBUG", "level 0"},
      {"openjd_session_runtime_loglevel: ERROR", "level 3"},
  });
}

void a_message_starts_its_line_and_is_spelled_exactly() {
  expect({
      {"", "output"},
      {"openjd", "output"},
      {" openjd_progress: 5", "output"},
      {"x openjd_env: A=b", "output"},
      {"openjd_progress:5", "output"},
      {"openjd_progress 5", "output"},
      {"OPENJD_PROGRESS: 5", "output"},
      {"openjd_progress : 5", "output"},
      {"openjd_env:A=b", "output"},
      {"openjd_future: 5", "output"},
      {"openjd_progress_more: 5", "output"},
  });
}

void what_is_malformed_says_so() {
  expect({
      {"openjd_progress: ", "bad"},
      {"openjd_progress: half", "bad"},
      {"openjd_progress: -1", "bad"},
      {"openjd_progress: 100.1", "bad"},
      {"openjd_progress: nan", "bad"},
      {"openjd_progress: 5 ", "bad"},
      {"openjd_progress: 5%", "bad"},
      {"openjd_session_runtime_loglevel: LOUD", "bad"},
      {"openjd_env: A", "bad fatal"},
      {"openjd_env: ", "bad fatal"},
      {"openjd_env: =b", "bad fatal"},
      {"openjd_env: 1A=b", "bad fatal"},
      {"openjd_env: A B=c", "bad fatal"},
      {"openjd_env:  A=b", "bad fatal"},
      {"openjd_env: \"A=b", "bad fatal"},
      {"openjd_unset_env: ", "bad fatal"},
      {"openjd_unset_env: A=b", "bad fatal"},
      {"openjd_unset_env: A ", "bad fatal"},
      {"openjd_redacted_env: A B=c", "bad fatal hides c"},
      {"openjd_redacted_env: hush", "bad fatal hides hush"},
  });
}

void a_refusal_never_repeats_a_secret() {
  for (const auto* line : {"openjd_redacted_env: hush-hush", "openjd_redacted_env: A B=hush-hush"}) {
    const auto message = parse_message(line);
    check(message.has_value());
    check(std::get<BadMessage>(*message).why.find("hush-hush") == std::string::npos);
  }
}

void a_name_has_at_most_256_characters() {
  const std::string name(256, 'A');
  check_equal(told("openjd_unset_env: " + name), "unset " + name);
  check_equal(told("openjd_unset_env: " + name + "A"), "bad fatal");
  check_equal(told("openjd_env: " + name + "A=b"), "bad fatal");
}

}  // namespace

int main() {
  return kiln::test::run(
      "messages", {
                      {"messages are understood", &messages_are_understood},
                      {"a message starts its line and is spelled exactly",
                       &a_message_starts_its_line_and_is_spelled_exactly},
                      {"what is malformed says so", &what_is_malformed_says_so},
                      {"a refusal never repeats a secret", &a_refusal_never_repeats_a_secret},
                      {"a variable's name has at most 256 characters", &a_name_has_at_most_256_characters},
                  });
}
