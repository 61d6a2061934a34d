// Sets of integers as range expressions write them: "1-5", "1-100:10", "-3 - 3,7". Never expanded: a range
// of ten million frames is one entry.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kiln::openjd {

// The values first, first + step, … : `count` of them, in increasing order. step is 1 when count is.
struct IntRange {
  std::int64_t first = 0;
  std::uint64_t count = 1;
  std::uint64_t step = 1;

  // index < count
  [[nodiscard]] std::int64_t at(std::uint64_t index) const {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(first) + index * step);
  }
  [[nodiscard]] std::int64_t last() const { return at(count - 1); }
  friend bool operator==(const IntRange&, const IntRange&) = default;
};

class IntRanges {
 public:
  // Errors: invalid, saying at which character; too_large over max_values. "1-1" and "5-1" are one value
  // each (the specification's definition of a range); ranges may not overlap.
  static Result<IntRanges> parse(std::string_view text);
  // Of a set of values, in any order.
  static IntRanges of(std::vector<std::int64_t> values);

  [[nodiscard]] std::uint64_t size() const { return ends_.empty() ? 0 : ends_.back(); }
  // The index-th value in increasing order; index < size(). O(log ranges).
  [[nodiscard]] std::int64_t at(std::uint64_t index) const;
  // The values from `index` on, `count` of them.
  [[nodiscard]] IntRanges slice(std::uint64_t index, std::uint64_t count) const;
  // "1-3,5,7-20:2"; two values are written out.
  [[nodiscard]] std::string to_text() const;
  // Sorted, disjoint, merged.
  [[nodiscard]] const std::vector<IntRange>& ranges() const { return ranges_; }

  // Beyond, a step has more tasks than a farm will ever run, and sums of sizes must fit 64 bits.
  static constexpr std::uint64_t max_values = 1'000'000'000;

 private:
  void append(IntRange range);

  std::vector<IntRange> ranges_;
  std::vector<std::uint64_t> ends_;  // how many values the ranges up to and with each hold
};

}  // namespace kiln::openjd
