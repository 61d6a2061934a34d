#include "cli/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>

#include "base/text.h"

namespace kiln::cli {

namespace {

struct Range {
  char32_t first, last;
};
// Unicode 15, EastAsianWidth W and F, coarsely; and emoji.
constexpr std::array wide_ranges = {
    Range{0x1100, 0x115f},   Range{0x2e80, 0x303e},   Range{0x3041, 0x33ff}, Range{0x3400, 0x4dbf},
    Range{0x4e00, 0x9fff},   Range{0xa000, 0xa4cf},   Range{0xac00, 0xd7a3}, Range{0xf900, 0xfaff},
    Range{0xfe30, 0xfe6f},   Range{0xff00, 0xff60},   Range{0xffe0, 0xffe6}, Range{0x1f300, 0x1f64f},
    Range{0x1f900, 0x1f9ff}, Range{0x20000, 0x3fffd},
};
constexpr std::array combining_ranges = {
    Range{0x0300, 0x036f}, Range{0x1ab0, 0x1aff}, Range{0x200b, 0x200f},
    Range{0x20d0, 0x20ff}, Range{0xfe00, 0xfe0f}, Range{0xfe20, 0xfe2f},
};

template <std::size_t n>
bool lies_in(char32_t c, const std::array<Range, n>& ranges) {
  return std::any_of(ranges.begin(), ranges.end(), [c](Range r) { return c >= r.first && c <= r.last; });
}

char32_t decode(std::string_view sequence) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(sequence[i]); };
  switch (sequence.size()) {
    case 1:
      return byte(0);
    case 2:
      return (byte(0) & 0x1fU) << 6U | (byte(1) & 0x3fU);
    case 3:
      return (byte(0) & 0x0fU) << 12U | (byte(1) & 0x3fU) << 6U | (byte(2) & 0x3fU);
    default:
      return (byte(0) & 0x07U) << 18U | (byte(1) & 0x3fU) << 12U | (byte(2) & 0x3fU) << 6U |
             (byte(3) & 0x3fU);
  }
}

// The next thing in a text: an escape sequence (no columns) or a character.
struct Piece {
  std::string_view bytes;
  int columns = 1;
  bool is_escape = false;
};
Piece next_piece(std::string_view text) {
  if (text.size() >= 2 && text[0] == '\033' && text[1] == '[') {
    const auto end = text.find_first_of("mKHJhl", 2);
    const auto length = end == std::string_view::npos ? text.size() : end + 1;
    return {text.substr(0, length), 0, true};
  }
  const auto length = utf8_length(text);
  if (length == 0) return {text.substr(0, 1), 1, false};
  const char32_t c = decode(text.substr(0, length));
  const int columns = lies_in(c, combining_ranges) ? 0 : lies_in(c, wide_ranges) ? 2 : 1;
  return {text.substr(0, length), columns, false};
}

std::tm local_time(std::int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm parts{};
  localtime_r(&seconds, &parts);
  return parts;
}

std::string bar_of(double share, int columns, bool unicode) {
  static constexpr std::array<const char*, 8> eighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const double filled = std::clamp(share, 0.0, 1.0) * columns;
  std::string bar;
  if (!unicode) {
    const int whole = static_cast<int>(filled);
    return "[" + std::string(static_cast<std::size_t>(whole), '#') +
           std::string(static_cast<std::size_t>(columns - whole), '-') + "]";
  }
  const int steps = static_cast<int>(filled * 8);
  int drawn = 0;
  for (; drawn < steps / 8; ++drawn) bar += "█";
  if (steps % 8 != 0) bar += eighths[static_cast<std::size_t>(steps % 8)], ++drawn;
  for (; drawn < columns; ++drawn) bar += "·";
  return "▕" + bar + "▏";
}

}  // namespace

int columns_of(std::string_view text) {
  int columns = 0;
  while (!text.empty()) {
    const auto piece = next_piece(text);
    columns += piece.columns;
    text.remove_prefix(piece.bytes.size());
  }
  return columns;
}

std::string fit(std::string_view text, int columns) {
  if (columns <= 0 || columns_of(text) <= columns) return std::string(text);
  std::string out;
  int used = 0;
  bool is_styled = false;
  while (!text.empty()) {
    const auto piece = next_piece(text);
    if (!piece.is_escape && used + piece.columns > columns - 1) break;
    out += piece.bytes;
    used += piece.columns;
    is_styled = is_styled || piece.is_escape;
    text.remove_prefix(piece.bytes.size());
  }
  out += "…";
  if (is_styled) out += "\033[0m";
  return out;
}

std::string harmless(std::string_view text) {
  std::string out;
  for (const char c : to_utf8(text)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += "\xEF\xBF\xBD";
    } else {
      out += c;
    }
  }
  return out;
}

std::string harmless_lines(std::string_view text) {
  std::string out;
  for (std::size_t from = 0; from < text.size();) {
    const auto end = std::min(text.find_first_of("\n\t", from), text.size());
    out += harmless(text.substr(from, end - from));
    if (end < text.size()) out += text[end];
    from = end + 1;
  }
  return out;
}

std::string bytes_text(std::uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  static constexpr std::array units = {"kB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes) / 1000;
  std::size_t unit = 0;
  // 999.95 would print as 1000.0.
  while (value >= 999.5 && unit + 1 < units.size()) value /= 1000, ++unit;
  return value < 9.95 ? fmt::format("{:.1f} {}", value, units[unit])
                      : fmt::format("{:.0f} {}", value, units[unit]);
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "-";
  if (seconds < 9.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::int64_t>(std::min(std::round(seconds), 1e15));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
  return fmt::format("{} d {} h", whole / 86400, whole % 86400 / 3600);
}

std::string ago_text(std::int64_t then_ms, std::int64_t now_ms) {
  if (then_ms == 0) return "-";
  const std::int64_t seconds = (now_ms - then_ms) / 1000;
  if (seconds < 3) return "now";  // clocks differ, too
  if (seconds < 60) return fmt::format("{} s ago", seconds);
  if (seconds < 3600) return fmt::format("{} min ago", seconds / 60);
  if (seconds < 86400) return fmt::format("{} h ago", seconds / 3600);
  return fmt::format("{} d ago", seconds / 86400);
}

std::string clock_text(std::int64_t unix_ms) {
  const std::tm t = local_time(unix_ms);
  return fmt::format("{:02}:{:02}:{:02}", t.tm_hour, t.tm_min, t.tm_sec);
}

std::string date_text(std::int64_t unix_ms) {
  if (unix_ms == 0) return "-";
  const std::tm t = local_time(unix_ms);
  return fmt::format("{}-{:02}-{:02} {:02}:{:02}", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour,
                     t.tm_min);
}

std::string percent_text(double percent) {
  if (!std::isfinite(percent)) return "0%";
  return fmt::format("{}%", static_cast<int>(std::floor(std::clamp(percent, 0.0, 100.0))));
}

std::string progress_line(const Progress& progress, int columns, bool unicode) {
  std::string tail = fmt::format("{:>4}", percent_text(progress.percent));
  if (!progress.facts.empty()) tail += "  " + progress.facts;
  if (progress.eta_s) tail += "  " + duration_text(*progress.eta_s) + " left";
  const std::string head = progress.label.empty() ? "" : progress.label + "  ";
  constexpr int longest_bar = 40, shortest_bar = 8, frame = 3;  // two borders and a space
  const int room = (columns > 0 ? columns : 100) - columns_of(head) - columns_of(tail) - frame;
  if (room < shortest_bar) return fit(head + tail, columns);
  return head + bar_of(progress.percent / 100, std::min(room, longest_bar), unicode) + " " + tail;
}

}  // namespace kiln::cli
