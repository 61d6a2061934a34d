// A table as text. Pure: given columns, rows and a width, gives lines.
#pragma once

#include <string>
#include <vector>

#include "cli/terminal.h"

namespace kiln::cli {

struct Column {
  std::string title;
  bool is_right = false;  // numbers stand right
  int least = 0;          // columns it may be cut down to; 0: never cut
  int rank = 0;           // what does not fit after cutting is left out, the highest rank first; 0: never
};

struct Cell {
  std::string text;
  Style style = Style::plain;
};
using Row = std::vector<Cell>;  // one cell a column

// Heading and rows, each ending in a line feed; width 0: as wide as it needs. Lines have no trailing blanks.
std::string table_text(const std::vector<Column>& columns, const std::vector<Row>& rows, int width,
                       bool color);

}  // namespace kiln::cli
