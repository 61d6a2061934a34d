#include "runtime/log.h"

#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "base/text.h"

namespace kiln::log {

namespace {

constexpr std::size_t max_line_bytes = 8ULL * 1024;  // a renderer's whole output is no log line

std::atomic<Level> level_now = Level::info;

// systemd names the device and inode of the journal's socket; if stderr is that, we talk to the journal.
bool is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &status) != 0) return false;
  return fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

int priority(Level level) {
  switch (level) {
    case Level::debug:
      return LOG_DEBUG;
    case Level::info:
      return LOG_INFO;
    case Level::warn:
      return LOG_WARNING;
    case Level::error:
      return LOG_ERR;
  }
  return LOG_ERR;
}

std::string_view colour(Level level) {
  switch (level) {
    case Level::debug:
      return "\x1b[2m";
    case Level::info:
      return "";
    case Level::warn:
      return "\x1b[33m";
    case Level::error:
      return "\x1b[31m";
  }
  return "";
}

// What a node says must not move our cursor or forge a second line.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : to_utf8(clip(text, max_line_bytes))) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

void write_journal(Level level, std::string_view room, std::string_view message,
                   std::initializer_list<Field> fields) {
  std::vector<std::string> entries = {fmt::format("MESSAGE={}: {}", room, escaped(message)),
                                      fmt::format("PRIORITY={}", priority(level)),
                                      fmt::format("KILN_ROOM={}", room)};
  for (const auto& [name, value] : fields) entries.push_back(fmt::format("KILN_{}={}", name, value));
  std::vector<iovec> parts;
  parts.reserve(entries.size());
  for (auto& entry : entries) parts.push_back({entry.data(), entry.size()});
  ::sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));
}

void write_stderr(Level level, std::string_view room, std::string_view message) {
  static const bool is_terminal = ::isatty(STDERR_FILENO) == 1;
  const std::time_t seconds = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  const auto tint = is_terminal ? colour(level) : std::string_view();
  const auto text = fmt::format("{:02}:{:02}:{:02} {}{}{}\n", local.tm_hour, local.tm_min, local.tm_sec, tint,
                                line(level, room, message), tint.empty() ? "" : "\x1b[0m");
  // One write a line: lines of several threads and programs do not mix.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

std::string_view to_string(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warn:
      return "warn";
    case Level::error:
      return "error";
  }
  return "error";
}

Result<Level> parse_level(std::string_view text) {
  for (const auto level : {Level::debug, Level::info, Level::warn, Level::error}) {
    if (text == to_string(level)) return level;
  }
  return fail(Code::invalid,
              fmt::format("'{}' is no log level: debug, info, warn or error is expected", text));
}

void set_level(Level level) {
  level_now = level;
}
bool is_on(Level level) {
  return level >= level_now.load(std::memory_order_relaxed);
}

std::string line(Level level, std::string_view room, std::string_view message) {
  return fmt::format("{:<5} {}: {}", to_string(level), room, escaped(message));
}

void write(Level level, std::string_view room, std::string_view message,
           std::initializer_list<Field> fields) {
  if (!is_on(level)) return;
  static const bool to_journal = is_journal();
  to_journal ? write_journal(level, room, message, fields) : write_stderr(level, room, message);
}

}  // namespace kiln::log
