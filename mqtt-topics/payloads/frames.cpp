#include "payloads/frames.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace kiln::payloads {

namespace {

constexpr std::int64_t lowest_frame = -FrameSet::max_frame;
constexpr std::int64_t highest_frame = FrameSet::max_frame;

// Frames before duplicates are dropped: `1-1000000` written a thousand times is no set but an attack.
constexpr std::size_t max_typed_frames = 4 * FrameSet::max_frames;

// A part as typed: first, first-last or first-lastxstep.
struct Part {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t step = 1;
  [[nodiscard]] std::size_t count() const { return static_cast<std::size_t>((last - first) / step) + 1; }
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n";
  const auto begin = text.find_first_not_of(blank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blank) - begin + 1);
}

// Takes a number off the front of `rest`. False: none stands there. A number beyond 64 bits becomes the
// largest, which is out of range anyway.
bool take_number(std::string_view& rest, std::int64_t& out) {
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), out);
  if (error == std::errc::invalid_argument) return false;
  if (error == std::errc::result_out_of_range) out = std::numeric_limits<std::int64_t>::max();
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  return true;
}

bool take(std::string_view& rest, char c) {
  if (!rest.starts_with(c)) return false;
  rest.remove_prefix(1);
  return true;
}

Status check_frame(std::int64_t frame) {
  if (frame >= lowest_frame && frame <= highest_frame) return {};
  return fail(Code::invalid,
              fmt::format("a frame lies out of range: frames go from {} to {}", lowest_frame, highest_frame));
}

Result<Part> parse_part(std::string_view text) {
  constexpr std::size_t shown = 32;
  if (text.empty())
    return fail(Code::invalid, "a frame is missing: write 1-24, 7 or 1-100x10, with one comma between two");
  Part part;
  std::string_view rest = text;
  bool is_form = take_number(rest, part.first);
  part.last = part.first;
  if (is_form && take(rest, '-')) {
    is_form = take_number(rest, part.last);
    if (is_form && take(rest, 'x')) is_form = take_number(rest, part.step);
  }
  if (!is_form || !rest.empty()) {
    return fail(Code::invalid,
                fmt::format("'{}' is no frame range: write 1-24, 7 or 1-100x10", text.substr(0, shown)));
  }
  for (const auto frame : {part.first, part.last}) {
    if (auto checked = check_frame(frame); !checked) {
      return fail(std::move(checked.error()).with(fmt::format("'{}'", text.substr(0, shown))));
    }
  }
  if (part.step < 1)
    return fail(Code::invalid, fmt::format("'{}': the step after x is 1 or more", text.substr(0, shown)));
  if (part.last < part.first) {
    return fail(Code::invalid,
                fmt::format("{} runs backwards: write {}-{}", text.substr(0, shown), part.last, part.first));
  }
  part.step = std::min(part.step, highest_frame - lowest_frame + 1);  // a larger step changes nothing
  return part;
}

Result<std::vector<Part>> parse_parts(std::string_view text) {
  if (text.size() > FrameSet::max_text) {
    return fail(Code::too_large,
                fmt::format("{} bytes of frame ranges; at most {}", text.size(), FrameSet::max_text));
  }
  if (trimmed(text).empty()) return fail(Code::invalid, "no frames: write 1-24, 7 or 1-100x10");
  std::vector<Part> parts;
  std::size_t typed = 0;
  for (std::size_t begin = 0; begin <= text.size();) {
    const auto end = std::min(text.find(',', begin), text.size());
    auto part = parse_part(trimmed(text.substr(begin, end - begin)));
    if (!part) return fail(std::move(part.error()));
    typed += part->count();
    if (typed > max_typed_frames) {
      return fail(Code::too_large, fmt::format("more than {} frames; split the job", FrameSet::max_frames));
    }
    parts.push_back(*part);
    begin = end + 1;
  }
  return parts;
}

}  // namespace

// Takes frames one by one and keeps them as the longest runs that a left-to-right reading finds. A step other
// than 1 needs three frames: "1,5" stays what it is. The result depends on the frames' order alone.
class FrameSet::Builder {
 public:
  void add(std::int32_t frame) {
    if (open_.count == 1 && frame > open_.first) {
      open_.step = frame - open_.first;
      open_.count = 2;
    } else if (open_.count >= 2 && frame == last() + open_.step) {
      ++open_.count;
    } else if (open_.count == 2 && open_.step != 1) {
      const auto second = last();
      close({open_.first, 1, 1, 0});
      open_ = {second, 1, 1, 0};
      add(frame);
    } else {
      if (open_.count > 0) close(open_);
      open_ = {frame, 1, 1, 0};
    }
  }

  FrameSet finish() {
    if (open_.count == 2 && open_.step != 1) {
      close({open_.first, 1, 1, 0});
      open_ = {last(), 1, 1, 0};
    }
    if (open_.count > 0) close(open_);
    open_ = {};
    return std::move(set_);
  }

 private:
  [[nodiscard]] std::int32_t last() const {
    return open_.first + static_cast<std::int32_t>(open_.count - 1) * open_.step;
  }
  void close(Run run) {
    run.before = set_.size_;
    set_.size_ += run.count;
    set_.runs_.push_back(run);
  }

  FrameSet set_;
  Run open_;
};

Result<FrameSet> FrameSet::parse(std::string_view text) {
  const auto parts = parse_parts(text);
  if (!parts) return fail(parts.error());

  const auto lowest = std::min_element(parts->begin(), parts->end(), [](auto& a, auto& b) {
                        return a.first < b.first;
                      })->first;
  const auto highest =
      std::max_element(parts->begin(), parts->end(), [](auto& a, auto& b) { return a.last < b.last; })->last;
  std::vector<bool> is_in(static_cast<std::size_t>(highest - lowest) + 1);
  std::size_t count = 0;
  Builder builder;
  for (const auto& part : *parts) {
    for (auto frame = part.first; frame <= part.last; frame += part.step) {
      const auto place = static_cast<std::size_t>(frame - lowest);
      if (is_in[place]) continue;
      is_in[place] = true;
      if (++count > max_frames) {
        return fail(Code::too_large, fmt::format("more than {} frames; split the job", max_frames));
      }
      builder.add(static_cast<std::int32_t>(frame));
    }
  }
  FrameSet set = builder.finish();
  // Few letters can name many runs once duplicates are dropped ("1-100000x3,1-100000"), and a command must
  // hold them.
  if (const auto size = set.str().size(); size > max_text) {
    return fail(Code::too_large,
                fmt::format("without its duplicates this frame list takes {} bytes; at most {}: split "
                            "the job, or give frames in order",
                            size, max_text));
  }
  return set;
}

FrameSet FrameSet::of(std::int32_t frame) {
  Builder builder;
  builder.add(frame);
  return builder.finish();
}

std::int32_t FrameSet::at(std::size_t i) const {
  KILN_ASSERT(i < size_);
  const auto after = std::upper_bound(runs_.begin(), runs_.end(), i,
                                      [](std::size_t n, const Run& run) { return n < run.before; });
  const Run& run = *std::prev(after);
  return run.first + static_cast<std::int32_t>(i - run.before) * run.step;
}

FrameSet FrameSet::slice(std::size_t from, std::size_t count) const {
  from = std::min(from, size_);
  count = std::min(count, size_ - from);
  if (count == size_) return *this;
  Builder builder;
  auto run = std::upper_bound(runs_.begin(), runs_.end(), from,
                              [](std::size_t n, const Run& r) { return n < r.before; });
  if (run != runs_.begin()) --run;
  for (std::size_t i = from; i < from + count; ++i) {
    if (i >= run->before + run->count) ++run;
    builder.add(run->first + static_cast<std::int32_t>(i - run->before) * run->step);
  }
  return builder.finish();
}

std::string FrameSet::str() const {
  std::string text;
  for (const auto& run : runs_) {
    if (!text.empty()) text += ',';
    text += fmt::format("{}", run.first);
    if (run.count == 1) continue;
    text += fmt::format("-{}", run.first + static_cast<std::int32_t>(run.count - 1) * run.step);
    if (run.step != 1) text += fmt::format("x{}", run.step);
  }
  return text;
}

}  // namespace kiln::payloads
