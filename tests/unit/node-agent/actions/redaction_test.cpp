#include "actions/redaction.h"

#include "check.h"

using kiln::actions::Redaction;

namespace {

void secrets_are_hidden_wherever_they_stand() {
  struct Row {
    std::vector<std::string_view> secrets;
    std::string_view line;
    std::string_view want;
  };
  const std::vector<Row> rows{
      {{}, "plain", "plain"},
      {{""}, "plain", "plain"},
      {{"hush"}, "hush", "********"},
      {{"hush"}, "a hush b hush", "a ******** b ********"},
      {{"hush"}, "HUSH hus ush", "HUSH hus ush"},
      {{"a"}, "banana", "b********n********n********"},
      {{"hush", "hushhush"}, "hushhush", "********"},
      {{"abc", "bcd"}, "xabcdx", "x********x"},
      {{"aa"}, "aaa", "********"},
      {{"äö"}, "xäöx", "x********x"},
      {{"first line\nsecond line"}, "and second line too", "and ******** too"},
      {{"first line\r\nsecond line"}, "first line", "********"},
      {{"{\n}"}, "}", "********"},
      {{"{\n}"}, "f() {}", "f() {}"},
  };
  for (const auto& row : rows) {
    Redaction redaction;
    for (const auto secret : row.secrets) redaction.add(secret);
    check_equal(redaction.apply(row.line), row.want);
  }
}

void a_line_that_was_cut_hides_a_secret_that_only_began() {
  Redaction redaction;
  redaction.add("hush-hush");
  check_equal(redaction.apply("say hush-h", true), "say ********");
  check_equal(redaction.apply("say hush-h", false), "say hush-h");
  check_equal(redaction.apply("say hush-hush", true), "say ********");
  check_equal(redaction.apply("h", true), "********");
}

}  // namespace

int main() {
  return kiln::test::run(
      "redaction", {
                       {"secrets are hidden wherever they stand", &secrets_are_hidden_wherever_they_stand},
                       {"a line that was cut hides a secret that only began",
                        &a_line_that_was_cut_hides_a_secret_that_only_began},
                   });
}
