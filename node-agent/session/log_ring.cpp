#include "session/log_ring.h"

#include <fmt/format.h>

#include <utility>

#include "base/text.h"

namespace kiln::session {

void LogRing::add(std::string_view line) {
  constexpr std::size_t max_line = 4096;
  std::string kept = to_utf8(line.substr(0, max_line));
  kept += '\n';
  if (tail_.empty() && head_.size() + kept.size() <= head_max_) {
    head_ += kept;
    return;
  }
  tail_bytes_ += kept.size();
  tail_.push_back(std::move(kept));
  while (tail_bytes_ > tail_max_) {
    tail_bytes_ -= tail_.front().size();
    tail_.pop_front();
    ++dropped_;
  }
}

std::string LogRing::text() const {
  std::string all = head_;
  if (dropped_ > 0) all += fmt::format("[{} lines left out]\n", dropped_);
  for (const auto& line : tail_) all += line;
  return all;
}

}  // namespace kiln::session
