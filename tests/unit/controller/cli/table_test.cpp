#include "cli/table.h"

#include <sstream>

#include "check.h"
#include "cli/text.h"

namespace {

using namespace kiln::cli;

const std::vector<Column> columns = {
    {"JOB", true}, {"NAME", false, 6}, {"STATE"}, {"USER", false, 0, 2}, {"AGE", true, 0, 1}};
const std::vector<Row> rows = {{{"7"}, {"turntable of a vase"}, {"running"}, {"ana"}, {"2 min"}},
                               {{"12"}, {"窯"}, {"done"}, {""}, {"3 h"}}};

void a_pipe_gets_everything() {
  check_equal(table_text(columns, rows, 0, false),
              "JOB  NAME                 STATE    USER    AGE\n"
              "  7  turntable of a vase  running  ana   2 min\n"
              " 12  窯                   done             3 h\n");
}

void a_narrow_terminal_cuts_then_leaves_out() {
  check_equal(table_text(columns, rows, 40, false),
              "JOB  NAME           STATE    USER    AGE\n"
              "  7  turntable of…  running  ana   2 min\n"
              " 12  窯             done             3 h\n");
  check_equal(table_text(columns, rows, 28, false),
              "JOB  NAME    STATE      AGE\n"
              "  7  turnt…  running  2 min\n"
              " 12  窯      done       3 h\n");
  for (int width = 20; width < 60; ++width) {
    std::istringstream lines(table_text(columns, rows, width, true));
    for (std::string line; std::getline(lines, line);) check(columns_of(line) <= width);
  }
}

void colours_do_not_move_columns() {
  const auto text = table_text({{"A"}, {"B"}}, {{{"x", Style::red}, {"y"}}}, 0, true);
  check_contains(text, "\033[31mx\033[0m  y\n");
}

void no_rows_leave_the_heading() {
  check_equal(table_text({{"A"}, {"B"}}, {}, 0, false), "A  B\n");
}

}  // namespace

int main() {
  return kiln::test::run("cli table",
                         {{"a pipe gets everything", a_pipe_gets_everything},
                          {"a narrow terminal cuts, then leaves out", a_narrow_terminal_cuts_then_leaves_out},
                          {"colours do not move columns", colours_do_not_move_columns},
                          {"no rows leave the heading", no_rows_leave_the_heading}});
}
