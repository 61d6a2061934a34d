// Bytes as a process writes them, cut into lines of bounded length. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace kiln::actions {

class Lines {
 public:
  static constexpr std::size_t max_bytes = 64UL * 1024;

  // Calls on_line(std::string_view line, bool is_cut) for every line that is now complete, without "\n" and
  // "\r\n". What is beyond max_bytes of a line is thrown away.
  template <class OnLine>
  void add(std::string_view bytes, OnLine on_line) {
    while (!bytes.empty()) {
      const auto end = bytes.find('\n');
      keep(bytes.substr(0, end));
      if (end == bytes.npos) return;
      tell(on_line);
      bytes.remove_prefix(end + 1);
    }
  }
  // The last line, which no line break ends.
  template <class OnLine>
  void finish(OnLine on_line) {
    if (!line_.empty()) tell(on_line);
  }

 private:
  void keep(std::string_view part) {
    const auto room = max_bytes - line_.size();
    is_cut_ = is_cut_ || part.size() > room;
    line_ += part.substr(0, room);
  }
  template <class OnLine>
  void tell(OnLine& on_line) {
    std::string_view line = line_;
    if (!is_cut_ && line.ends_with('\r')) line.remove_suffix(1);
    on_line(line, is_cut_);
    line_.clear();
    is_cut_ = false;
  }

  std::string line_;
  bool is_cut_ = false;
};

}  // namespace kiln::actions
