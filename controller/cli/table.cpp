#include "cli/table.h"

#include <algorithm>
#include <numeric>

#include "cli/text.h"

namespace kiln::cli {

namespace {

constexpr int gap = 2;

int total(const std::vector<int>& widths) {
  int shown = 0, sum = 0;
  for (const int width : widths) {
    if (width < 0) continue;
    sum += width;
    ++shown;
  }
  return sum + gap * std::max(0, shown - 1);
}

// Takes columns away until the line fits: first from the widest that may be cut, then whole ones by rank.
void shrink(const std::vector<Column>& columns, std::vector<int>& widths, int limit) {
  for (;;) {
    int over = total(widths) - limit;
    while (over > 0) {
      int widest = -1;
      for (std::size_t i = 0; i < columns.size(); ++i) {
        const bool can_give = columns[i].least > 0 && widths[i] > columns[i].least;
        if (can_give && (widest < 0 || widths[i] > widths[static_cast<std::size_t>(widest)])) {
          widest = static_cast<int>(i);
        }
      }
      if (widest < 0) break;
      --widths[static_cast<std::size_t>(widest)];
      --over;
    }
    if (over <= 0) return;
    std::size_t victim = columns.size();
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const bool may_go = widths[i] >= 0 && columns[i].rank > 0;
      if (may_go && (victim == columns.size() || columns[i].rank > columns[victim].rank)) victim = i;
    }
    if (victim == columns.size()) return;
    widths[victim] = -1;
  }
}

void put(std::string& line, const Cell& cell, const Column& column, int width, bool color) {
  const std::string text = fit(cell.text, width);
  const auto blanks = static_cast<std::size_t>(std::max(0, width - columns_of(text)));
  if (!line.empty()) line.append(gap, ' ');
  if (column.is_right) line.append(blanks, ' ');
  line += styled(text, cell.style, color);
  if (!column.is_right) line.append(blanks, ' ');
}

}  // namespace

std::string table_text(const std::vector<Column>& columns, const std::vector<Row>& rows, int width,
                       bool color) {
  std::vector<int> widths;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    int widest = std::max(1, columns_of(columns[i].title));
    for (const auto& row : rows) widest = std::max(widest, columns_of(row[i].text));
    widths.push_back(widest);
  }
  if (width > 0) shrink(columns, widths, width);

  std::string out;
  const auto add_line = [&](const auto& cell_of) {
    std::string line;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (widths[i] >= 0) put(line, cell_of(i), columns[i], widths[i], color);
    }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  };
  add_line([&](std::size_t i) { return Cell{columns[i].title, Style::dim}; });
  for (const auto& row : rows) {
    add_line([&](std::size_t i) { return row[i]; });
  }
  return out;
}

}  // namespace kiln::cli
