// Frame sets as artists write them: `1-24`, `1,5,9`, `1-100x10`, `-3--1`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kiln::payloads {

// An ordered set of frame numbers, held as runs: a job of 100,000 frames costs a few bytes. The order is the
// one written, so that `1-100x10,1-100` renders every tenth frame first; a frame named twice counts once.
class FrameSet {
 public:
  // Errors: invalid, naming the part that is wrong and what would be right ("10-1 runs backwards: write
  // 1-10"; "'a-b' is no frame range: write 1-24, 7 or 1-100x10"); too_large over max_frames, or over
  // max_text bytes as typed or as str() would have it. Spaces around a part are allowed. Frames lie in
  // Blender's own range, -1048574 to 1048574 (MINAFRAME, MAXFRAME).
  static Result<FrameSet> parse(std::string_view text);
  static FrameSet of(std::int32_t frame);

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  // The i-th frame, i < size(). O(log runs).
  [[nodiscard]] std::int32_t at(std::size_t i) const;
  // The frames [from, from + count) of this set as a set: a chunk.
  [[nodiscard]] FrameSet slice(std::size_t from, std::size_t count) const;
  // Canonical text; parse(str()) equals this.
  [[nodiscard]] std::string str() const;

  friend bool operator==(const FrameSet&, const FrameSet&) = default;

  static constexpr std::int32_t max_frame = 1'048'574;  // Blender's MAXFRAME; MINAFRAME is its negative
  static constexpr std::size_t max_frames = 1'000'000;
  static constexpr std::size_t max_text = 8ULL * 1024;  // leaves room for the rest of a 16 KiB message

 private:
  struct Run {
    std::int32_t first = 0;
    std::uint32_t count = 0;
    std::int32_t step = 1;
    std::size_t before = 0;  // frames in the runs before this one
    friend bool operator==(const Run&, const Run&) = default;
  };
  class Builder;  // makes the one form that a sequence of frames has, so that equal sets compare equal

  std::vector<Run> runs_;
  std::size_t size_ = 0;
};

}  // namespace kiln::payloads
