// A task's log in bounded memory: how it began and how it ended survive, the middle goes first.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

namespace kiln::session {

class LogRing {
 public:
  // Keeps the first quarter of max_bytes, and the newest of what came after it.
  explicit LogRing(std::size_t max_bytes = default_bytes)
      : head_max_(max_bytes / 4), tail_max_(max_bytes - head_max_) {}

  void add(std::string_view line);  // without its newline; longer than 4 KiB is cut
  // The lines, invalid UTF-8 replaced; a line in the middle counts what was dropped.
  [[nodiscard]] std::string text() const;

  // The API and its readers take a log whole; 256 KiB is some thousand lines.
  static constexpr std::size_t default_bytes = 256UL * 1024;

 private:
  std::size_t head_max_;
  std::size_t tail_max_;
  std::string head_;
  std::deque<std::string> tail_;
  std::size_t tail_bytes_ = 0;
  std::size_t dropped_ = 0;
};

}  // namespace kiln::session
