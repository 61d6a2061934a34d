#include "openjd/range.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "openjd/numbers.h"
#include "openjd/problems.h"

namespace kiln::openjd {

namespace {

// A range as it is written. Two of them overlap when what stands between their ends does, whatever their
// steps leave out: "1-10:4,10-15" is refused by the specification.
struct Written {
  std::string_view text;
  std::int64_t low = 0;
  std::int64_t high = 0;
  IntRange range;
};

class RangeText {
 public:
  explicit RangeText(std::string_view text) : text_(text) {}

  Result<std::vector<Written>> parse() {
    std::vector<Written> out;
    while (true) {
      skip_space();
      const auto begin = at_;
      auto element = read();
      if (!element) return fail(std::move(element.error()));
      element->text = text_.substr(begin, at_ - begin);
      out.push_back(*element);
      skip_space();
      if (at_ == text_.size()) return out;
      if (!take(',')) return wrong("',' and the next range belong here");
    }
  }

 private:
  [[nodiscard]] tl::unexpected<Error> wrong(std::string_view message) const {
    return fail(Code::invalid,
                fmt::format("at character {}: {}; a range reads like '1-24', '1-100:10' or '1,5,9-12'",
                            at_ + 1, message));
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::optional<std::int64_t> integer() {
    skip_space();
    const auto begin = at_;
    if (at_ < text_.size() && text_[at_] == '-') ++at_;
    const auto digits = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    if (at_ == digits) {
      at_ = begin;
      return std::nullopt;
    }
    const auto value = integer_of(text_.substr(begin, at_ - begin));
    if (!value) at_ = begin;
    return value;
  }

  Result<Written> read() {
    const auto first = integer();
    if (!first) return wrong("a whole number of at most 64 bits belongs here");
    Written out{{}, *first, *first, {*first, 1, 1}};
    if (!take('-')) return out;
    const auto last = integer();
    if (!last) return wrong("the range's last number belongs here");
    std::int64_t step = 1;
    if (take(':')) {
      const auto written = integer();
      if (!written || *written == 0) return wrong("a step belongs here, a whole number other than 0");
      step = *written;
    }
    const bool is_single = *first == *last || (*last > *first) != (step > 0);
    if (is_single) return out;
    out.low = std::min(*first, *last);
    out.high = std::max(*first, *last);
    const std::uint64_t distance = static_cast<std::uint64_t>(out.high) - static_cast<std::uint64_t>(out.low);
    const std::uint64_t size =
        step > 0 ? static_cast<std::uint64_t>(step) : ~static_cast<std::uint64_t>(step) + 1;
    const std::uint64_t steps = distance / size;
    if (steps >= IntRanges::max_values) {
      return fail(Code::too_large, fmt::format("more than {} values", IntRanges::max_values));
    }
    out.range.count = steps + 1;
    out.range.step = out.range.count == 1 ? 1 : size;
    // A range that runs down starts at the lowest value that it reaches.
    if (step < 0) {
      out.range.first = static_cast<std::int64_t>(static_cast<std::uint64_t>(*first) - steps * size);
    }
    return out;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

Result<IntRanges> IntRanges::parse(std::string_view text) {
  auto written = RangeText(text).parse();
  if (!written) return fail(std::move(written.error()));
  std::sort(written->begin(), written->end(), [](const Written& a, const Written& b) {
    return std::pair(a.low, a.high) < std::pair(b.low, b.high);
  });
  IntRanges out;
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < written->size(); ++i) {
    const auto& one = (*written)[i];
    if (i > 0 && (*written)[i - 1].high >= one.low) {
      return fail(Code::invalid, fmt::format("{} and {} overlap; each value belongs into one range only",
                                             quoted((*written)[i - 1].text), quoted(one.text)));
    }
    count += one.range.count;
    if (count > max_values) return fail(Code::too_large, fmt::format("more than {} values", max_values));
    out.append(one.range);
  }
  return out;
}

IntRanges IntRanges::of(std::vector<std::int64_t> values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  IntRanges out;
  for (std::size_t i = 0; i < values.size();) {
    IntRange range{values[i], 1, 1};
    if (++i < values.size()) {
      range.step = static_cast<std::uint64_t>(values[i]) - static_cast<std::uint64_t>(range.first);
      while (i < values.size() &&
             static_cast<std::uint64_t>(values[i]) - static_cast<std::uint64_t>(range.last()) == range.step) {
        ++range.count;
        ++i;
      }
    }
    out.append(range);
  }
  return out;
}

void IntRanges::append(IntRange range) {
  const std::uint64_t before = size();
  if (!ranges_.empty()) {
    auto& previous = ranges_.back();
    const std::uint64_t gap =
        static_cast<std::uint64_t>(range.first) - static_cast<std::uint64_t>(previous.last());
    const bool fits =
        (previous.step == range.step || (previous.count == 1 && gap == range.step)) && gap == range.step;
    if (fits) {
      previous.step = range.step;
      previous.count += range.count;
      ends_.back() = before + range.count;
      return;
    }
  }
  if (range.count == 1) range.step = 1;
  ranges_.push_back(range);
  ends_.push_back(before + range.count);
}

std::int64_t IntRanges::at(std::uint64_t index) const {
  const auto end = std::upper_bound(ends_.begin(), ends_.end(), index);
  KILN_ASSERT(end != ends_.end());
  const auto which = static_cast<std::size_t>(end - ends_.begin());
  return ranges_[which].at(index - (*end - ranges_[which].count));
}

IntRanges IntRanges::slice(std::uint64_t index, std::uint64_t count) const {
  IntRanges out;
  auto which = static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), index) - ends_.begin());
  while (count > 0 && which < ranges_.size()) {
    const auto& range = ranges_[which];
    const std::uint64_t offset = index - (ends_[which] - range.count);
    const std::uint64_t taken = std::min(count, range.count - offset);
    out.append({range.at(offset), taken, range.step});
    index += taken;
    count -= taken;
    ++which;
  }
  return out;
}

std::string IntRanges::to_text() const {
  std::string out;
  for (const auto& range : ranges_) {
    if (!out.empty()) out += ',';
    out += fmt::format("{}", range.first);
    if (range.count == 2) out += fmt::format(",{}", range.last());
    if (range.count > 2) out += fmt::format("-{}", range.last());
    if (range.count > 2 && range.step != 1) out += fmt::format(":{}", range.step);
  }
  return out;
}

}  // namespace kiln::openjd
