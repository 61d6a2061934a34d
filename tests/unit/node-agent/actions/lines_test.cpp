#include "actions/lines.h"

#include "check.h"

using kiln::actions::Lines;

namespace {

std::string told(std::initializer_list<std::string_view> writes, bool finishes = true) {
  Lines lines;
  std::string out;
  const auto on_line = [&](std::string_view line, bool is_cut) {
    out += fmt::format("[{}]{}", line, is_cut ? "!" : "");
  };
  for (const auto bytes : writes) lines.add(bytes, on_line);
  if (finishes) lines.finish(on_line);
  return out;
}

void lines_come_whole_however_they_were_written() {
  check_equal(told({"a\nb\n"}), "[a][b]");
  check_equal(told({"a", "b", "\nc"}), "[ab][c]");
  check_equal(told({"a\r\nb\r", "\n"}), "[a][b]");
  check_equal(told({"\n\n"}), "[][]");
  check_equal(told({"a\rb\n"}), "[a\rb]");
  check_equal(told({""}), "");
  check_equal(told({"open"}, false), "");
}

void a_line_is_bounded_and_says_that_it_was_cut() {
  const std::string full(Lines::max_bytes, 'x');
  check_equal(told({full + "\n"}), fmt::format("[{}]", full));
  check_equal(told({full, "y\nz\n"}), fmt::format("[{}]![z]", full));
  check_equal(told({full, full, full, "\nz"}), fmt::format("[{}]![z]", full));
}

}  // namespace

int main() {
  return kiln::test::run(
      "lines",
      {
          {"lines come whole however they were written", &lines_come_whole_however_they_were_written},
          {"a line is bounded, and says that it was cut", &a_line_is_bounded_and_says_that_it_was_cut},
      });
}
