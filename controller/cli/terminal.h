// Where output goes, and what that place can show. A pipe gets plain lines of any length; a terminal gets
// colours (unless NO_COLOR is set or TERM is dumb) and lines that fit.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace kiln::cli {

enum class Style { plain, bold, dim, red, green, yellow, blue };

class Terminal {
 public:
  // Does not own the stream. Asks the environment once: NO_COLOR, TERM, COLUMNS.
  explicit Terminal(std::FILE* stream);

  [[nodiscard]] bool is_tty() const { return is_tty_; }
  [[nodiscard]] bool color() const { return color_; }
  // Columns now (the window may have been resized); 0 when this is no terminal: no limit.
  [[nodiscard]] int width() const;
  [[nodiscard]] int height() const;

  void line(std::string_view text);  // the text and a line feed, flushed
  void raw(std::string_view text);   // the text, flushed

  // A line that replaces the one drawn before it. Only on a terminal; nothing elsewhere.
  void status(std::string_view text);
  // Ends the status line, if one is drawn: keeps it, or wipes it.
  void end_status(bool keep);

 private:
  std::FILE* stream_;
  bool is_tty_ = false;
  bool color_ = false;
  bool drawn_ = false;
};

// The text in that style when color, else as it is.
std::string styled(std::string_view text, Style style, bool color);

}  // namespace kiln::cli
