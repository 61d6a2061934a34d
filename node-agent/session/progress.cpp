#include "session/progress.h"

#include <algorithm>
#include <charconv>

namespace kiln::session {

namespace {

void skip_spaces(std::string_view& text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
}

std::optional<double> take_number(std::string_view& text) {
  skip_spaces(text);
  unsigned long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return static_cast<double>(value);
}

// `17/400` or `3 / 64` after the word, as a share.
struct Count {
  double done = 0;
  double of = 0;
};
std::optional<Count> count_after(std::string_view line, std::string_view word) {
  const auto at = line.rfind(word);
  if (at == std::string_view::npos) return std::nullopt;
  line.remove_prefix(at + word.size());
  const auto done = take_number(line);
  skip_spaces(line);
  if (!done || line.empty() || line.front() != '/') return std::nullopt;
  line.remove_prefix(1);
  const auto of = take_number(line);
  if (!of || *of <= 0) return std::nullopt;
  return Count{std::min(*done, *of), *of};
}

}  // namespace

std::optional<double> parse_share(std::string_view line) {
  auto samples = count_after(line, "Sample ");
  if (!samples) samples = count_after(line, "Rendering ");
  if (const auto tiles = count_after(line, "Rendered ")) {
    // The tile in work counts by its samples; once all are rendered the sample count is the last tile's.
    const double within = samples && tiles->done < tiles->of ? samples->done / samples->of : 0;
    return (tiles->done + within) / tiles->of;
  }
  if (!samples) return std::nullopt;
  return samples->done / samples->of;
}

bool is_status_line(std::string_view line) {
  return line.starts_with("Fra:") || line.find("| Fra:") != std::string_view::npos;
}

void Estimate::set_share(double share) {
  share_ = std::clamp(share, 0.0, 1.0);
}

void Estimate::end_frame(double seconds) {
  ++done_;
  share_ = 0;
  // Half the newest: a scene's first frame also pays for what the next ones find ready.
  typical_s_ = typical_s_ ? (*typical_s_ + seconds) / 2 : seconds;
}

Estimate::Now Estimate::at(double elapsed_s) {
  Now now;
  if (done_ >= frames_) {
    now.percent = 100;
    now.eta_s = 0;
    return now;
  }
  // A share below 2 % extrapolates noise.
  constexpr double usable_share = 0.02;
  constexpr double almost = 0.98;  // saving and checking come after the last sample
  std::optional<double> frame_s = typical_s_;
  if (share_ >= usable_share && (!frame_s || elapsed_s > *frame_s)) frame_s = elapsed_s / share_;
  double share = share_;
  if (frame_s && *frame_s > 0) share = std::max(share, elapsed_s / *frame_s);
  share = std::min(share, almost);

  const auto frames = static_cast<double>(frames_);
  highest_ = std::max(highest_, 100 * (static_cast<double>(done_) + share) / frames);
  now.percent = highest_;
  if (frame_s) {
    const double after = static_cast<double>(frames_ - done_ - 1) * *frame_s;
    now.eta_s = std::max(0.0, *frame_s - elapsed_s) + after;
  }
  return now;
}

}  // namespace kiln::session
