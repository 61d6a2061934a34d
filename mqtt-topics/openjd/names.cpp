#include "openjd/names.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace kiln::openjd {

bool is_identifier(std::string_view text) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return !text.empty() && is_letter(text[0]) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return is_letter(c) || is_digit(c); });
}

bool has_control(std::string_view text, std::string_view allowed) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // C0 and DEL are one byte, C1 (U+0080 to U+009F) is 0xC2 and one more.
    const bool is_c1 = byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (is_c1 || ((byte < 0x20 || byte == 0x7f) && allowed.find(text[i]) == allowed.npos)) return true;
  }
  return false;
}

bool is_near(std::string_view a, std::string_view b) {
  constexpr std::size_t max_bytes = 40;
  constexpr std::size_t max_edits = 2;
  if (a.size() > max_bytes || b.size() > max_bytes) return false;
  if (std::max(a.size(), b.size()) - std::min(a.size(), b.size()) > max_edits) return false;
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()] <= max_edits;
}

}  // namespace kiln::openjd
