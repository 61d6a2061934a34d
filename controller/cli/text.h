// Values as people read them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kiln::cli {

// Columns that a terminal needs for the text: wide characters count two, combining ones and escape sequences
// none.
int columns_of(std::string_view text);
// At most that many columns, cut with an ellipsis; escape sequences cost nothing and are closed. 0 or less:
// as is.
std::string fit(std::string_view text, int columns);
// What came over the wire, safe for a terminal: control characters and invalid UTF-8 become U+FFFD.
std::string harmless(std::string_view text);
std::string harmless_lines(std::string_view text);  // line ends and tabs stay

std::string bytes_text(std::uint64_t bytes);  // "512 B", "1.4 MB" (decimal units)
std::string duration_text(double seconds);    // "0.8 s", "12 s", "4 min 10 s", "2 h 05 min", "3 d 4 h"
std::string ago_text(std::int64_t then_ms, std::int64_t now_ms);  // "now", "12 s ago"; "-" for 0
std::string clock_text(std::int64_t unix_ms);                     // local "14:03:11"
std::string date_text(std::int64_t unix_ms);                      // local "2026-11-22 14:03"; "-" for 0
std::string percent_text(double percent);                         // "41%"; never 100% before all is done

// What a progress bar shows.
struct Progress {
  std::string label;   // before the bar
  double percent = 0;  // 0 to 100
  std::string facts;   // after it: "10/24 frames"
  std::optional<double> eta_s;
};
// `label  ████████░░░░  41%  10/24 frames  1 min left` in that many columns; the bar takes what the words
// leave, and goes when that is too little. `unicode` false draws with # and -.
std::string progress_line(const Progress& progress, int columns, bool unicode);

}  // namespace kiln::cli
