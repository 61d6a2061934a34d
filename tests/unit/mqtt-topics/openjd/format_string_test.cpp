#include "openjd/format_string.h"

#include "check.h"

using kiln::openjd::FormatString;

namespace {

void references_are_replaced() {
  const kiln::openjd::Symbols symbols = {
      {"Param.A", "1"}, {"Task.Param.Frame", "7"}, {"Param.Braces", "{{Param.A}}"}};
  const struct {
    std::string text;
    std::string want;
  } cases[] = {
      {"", ""},
      {"plain { } text", "plain { } text"},
      {"{{Param.A}}", "1"},
      {"a{{ Param.A }}b{{\tTask.Param.Frame\n}}c", "a1b7c"},
      {"{{Param . A}}", "1"},
      {"{{Param.A}}{{Param.A}}", "11"},
      {"{{Param.Braces}}", "{{Param.A}}"},  // what is put in is not read again
  };
  for (const auto& one : cases) {
    const auto format = FormatString::parse(one.text);
    check_ok(format);
    check_equal(format->text(), one.text);
    const auto resolved = format->resolve(symbols);
    check_ok(resolved);
    check_equal(*resolved, one.want);
  }
  const auto unknown = FormatString::parse("{{Param.B}}")->resolve(symbols);
  check(!unknown.has_value());
  check_contains(unknown.error().message, "{{Param.B}}");
}

void what_is_no_format_string_is_refused() {
  const struct {
    std::string text;
    std::string part;
  } cases[] = {
      {"{{", "not closed"},
      {"a {{Param.A", "character 3"},
      {"}}", "closes nothing"},
      {"{{Param.A}} }}", "closes nothing"},
      {"{{}}", "names no value"},
      {"{{  }}", "names no value"},
      {"{{Param.}}", "no name of a value"},
      {"{{.A}}", "no name of a value"},
      {"{{Param..A}}", "no name of a value"},
      {"{{Param.1A}}", "no name of a value"},
      {"{{Param.A + 1}}", "EXPR"},
      {"{{len(Param.A)}}", "EXPR"},
      {"{{Param.Ä}}", "no name of a value"},
      {"{{{{Param.A}}}}", "no name of a value"},
  };
  for (const auto& one : cases) {
    const auto format = FormatString::parse(one.text);
    check(!format.has_value());
    check_contains(format.error().message, one.part);
  }
}

void a_literal_is_taken_as_it_is() {
  const auto literal = FormatString::literal("{{Param.A}}");
  check(!literal.has_references());
  check_equal(*literal.resolve({}), "{{Param.A}}");
}

}  // namespace

int main() {
  return kiln::test::run(
      "format_string",
      {{"references are replaced by their values, once", &references_are_replaced},
       {"what is no format string is refused, with why", &what_is_no_format_string_is_refused},
       {"a literal is taken as it is", &a_literal_is_taken_as_it_is}});
}
