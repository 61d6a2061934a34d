#include "http/range.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace kiln::http {

namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

ByteRange parse_range(std::string_view range, std::uint64_t size) {
  constexpr std::string_view unit = "bytes=";
  if (!range.starts_with(unit)) return {};
  range.remove_prefix(unit.size());
  const std::size_t dash = range.find('-');
  if (dash == std::string_view::npos || range.find(',') != std::string_view::npos) return {};
  const auto first = number(range.substr(0, dash));
  const auto last = number(range.substr(dash + 1));
  const bool has_first = dash > 0;
  const bool has_last = dash + 1 < range.size();
  if ((has_first && !first) || (has_last && !last) || (!has_first && !has_last)) return {};
  if (!has_first) {  // the last bytes
    if (*last == 0 || size == 0) return {ByteRange::Kind::unsatisfiable, 0, 0};
    const std::uint64_t length = std::min(*last, size);
    return {ByteRange::Kind::part, size - length, length};
  }
  if (has_last && *last < *first) return {};
  if (*first >= size) return {ByteRange::Kind::unsatisfiable, 0, 0};
  const std::uint64_t end = has_last ? std::min(*last, size - 1) : size - 1;
  return {ByteRange::Kind::part, *first, end - *first + 1};
}

bool names_etag(std::string_view if_none_match, std::string_view etag) {
  if (etag.empty()) return false;
  while (!if_none_match.empty()) {
    const std::size_t comma = if_none_match.find(',');
    std::string_view one = if_none_match.substr(0, comma);
    if_none_match = comma == std::string_view::npos ? std::string_view() : if_none_match.substr(comma + 1);
    while (!one.empty() && (one.front() == ' ' || one.front() == '\t')) one.remove_prefix(1);
    while (!one.empty() && (one.back() == ' ' || one.back() == '\t')) one.remove_suffix(1);
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == "*" || one == etag) return true;
  }
  return false;
}

}  // namespace kiln::http
