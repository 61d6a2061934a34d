#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "cli/text.h"

namespace kiln::cli {

namespace {

constexpr int fallback_width = 80;
constexpr int fallback_height = 24;

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

winsize window_of(std::FILE* stream) {
  winsize window{};
  if (ioctl(fileno(stream), TIOCGWINSZ, &window) != 0) window = {};
  return window;
}

}  // namespace

Terminal::Terminal(std::FILE* stream) : stream_(stream) {
  const int fd = fileno(stream);
  is_tty_ = fd >= 0 && isatty(fd) == 1;
  const char* term = std::getenv("TERM");
  const bool is_dumb = term == nullptr || std::strcmp(term, "dumb") == 0;
  color_ = is_tty_ && !is_dumb && !is_set("NO_COLOR");
}

int Terminal::width() const {
  if (!is_tty_) return 0;
  const int columns = window_of(stream_).ws_col;
  return columns > 0 ? columns : fallback_width;
}

int Terminal::height() const {
  if (!is_tty_) return 0;
  const int rows = window_of(stream_).ws_row;
  return rows > 0 ? rows : fallback_height;
}

void Terminal::raw(std::string_view text) {
  // A reader that is gone (`kiln jobs | head`) ends the program by SIGPIPE; other write errors have no place
  // to go.
  (void)std::fwrite(text.data(), 1, text.size(), stream_);
  (void)std::fflush(stream_);
}

void Terminal::line(std::string_view text) {
  end_status(false);
  raw(std::string(text) + "\n");
}

void Terminal::status(std::string_view text) {
  if (!is_tty_) return;
  // One column less than there are: a full line makes some terminals wrap.
  raw("\r\033[K" + fit(text, width() - 1));
  drawn_ = true;
}

void Terminal::end_status(bool keep) {
  if (!drawn_) return;
  drawn_ = false;
  raw(keep ? "\n" : "\r\033[K");
}

std::string styled(std::string_view text, Style style, bool color) {
  if (!color || style == Style::plain) return std::string(text);
  const char* code = "";
  switch (style) {
    case Style::plain:
      break;
    case Style::bold:
      code = "1";
      break;
    case Style::dim:
      code = "2";
      break;
    case Style::red:
      code = "31";
      break;
    case Style::green:
      code = "32";
      break;
    case Style::yellow:
      code = "33";
      break;
    case Style::blue:
      code = "34";
      break;
  }
  return std::string("\033[") + code + "m" + std::string(text) + "\033[0m";
}

}  // namespace kiln::cli
