#include "payloads/frames.h"

#include <algorithm>

#include "check.h"

using kiln::payloads::FrameSet;

namespace {

std::vector<std::int32_t> frames_of(const FrameSet& set) {
  std::vector<std::int32_t> frames;
  for (std::size_t i = 0; i < set.size(); ++i) frames.push_back(set.at(i));
  return frames;
}

void ranges_read_as_artists_write_them() {
  const struct {
    const char* text;
    const char* canonical;
    std::vector<std::int32_t> frames;
  } cases[] = {
      {"7", "7", {7}},
      {"1-4", "1-4", {1, 2, 3, 4}},
      {"1,5,9", "1-9x4", {1, 5, 9}},
      {"1,5", "1,5", {1, 5}},
      {"1-10x3", "1-10x3", {1, 4, 7, 10}},
      {"1-9x3", "1-7x3", {1, 4, 7}},
      {"1-9x100", "1", {1}},
      {"5-5", "5", {5}},
      {"-3--1", "-3--1", {-3, -2, -1}},
      {"-3-1", "-3-1", {-3, -2, -1, 0, 1}},
      {" 1-2 , 4 ", "1-2,4", {1, 2, 4}},
      {"9,5,1", "9,5,1", {9, 5, 1}},
      {"1-5x2,1-5", "1-5x2,2,4", {1, 3, 5, 2, 4}},
      {"1,1,1", "1", {1}},
      {"1-3,2-5", "1-5", {1, 2, 3, 4, 5}},
      {"1,4-6", "1,4-6", {1, 4, 5, 6}},
      {"3,4,5,1,2", "3-5,1-2", {3, 4, 5, 1, 2}},
      {"1048574", "1048574", {1048574}},
      {"007", "7", {7}},
  };
  for (const auto& one : cases) {
    const auto set = FrameSet::parse(one.text);
    check_ok(set);
    check_equal(set->str(), one.canonical);
    check(frames_of(*set) == one.frames);
    const auto again = FrameSet::parse(set->str());
    check_ok(again);
    check(*again == *set);
  }
}

void a_wrong_range_is_named_with_the_right_way_to_write_it() {
  const struct {
    std::string text;
    const char* message;
  } cases[] = {
      {"", "no frames: write 1-24, 7 or 1-100x10"},
      {"  ", "no frames: write 1-24, 7 or 1-100x10"},
      {"10-1", "10-1 runs backwards: write 1-10"},
      {"1,10-1", "10-1 runs backwards: write 1-10"},
      {"a-b", "'a-b' is no frame range: write 1-24, 7 or 1-100x10"},
      {"1-", "'1-' is no frame range: write 1-24, 7 or 1-100x10"},
      {"1-10x", "'1-10x' is no frame range: write 1-24, 7 or 1-100x10"},
      {"1x2", "'1x2' is no frame range: write 1-24, 7 or 1-100x10"},
      {"1-10y2", "'1-10y2' is no frame range: write 1-24, 7 or 1-100x10"},
      {"1.5", "'1.5' is no frame range: write 1-24, 7 or 1-100x10"},
      {"+1", "'+1' is no frame range: write 1-24, 7 or 1-100x10"},
      {"1 2", "'1 2' is no frame range: write 1-24, 7 or 1-100x10"},
      {"1-10x0", "'1-10x0': the step after x is 1 or more"},
      {"1-10x-1", "'1-10x-1': the step after x is 1 or more"},
      {"1,,2", "a frame is missing: write 1-24, 7 or 1-100x10, with one comma between two"},
      {"1,", "a frame is missing: write 1-24, 7 or 1-100x10, with one comma between two"},
      {"99999999", "'99999999': a frame lies out of range: frames go from -1048574 to 1048574"},
      {"1-99999999999999999999999",
       "'1-99999999999999999999999': a frame lies out of range: frames go from -1048574 to 1048574"},
      {"-1048574-1048574", "more than 1000000 frames; split the job"},
      {"1-1000000,-5", "more than 1000000 frames; split the job"},
      {std::string(9000, '1'), "9000 bytes of frame ranges; at most 8192"},
  };
  for (const auto& one : cases) {
    const auto set = FrameSet::parse(one.text);
    check(!set.has_value());
    check_equal(set.error().message, one.message);
  }
}

void a_long_list_of_the_same_frames_is_refused_and_not_walked() {
  std::string text = "1-1000000";
  for (int i = 0; i < 700; ++i) text += ",1-1000000";
  const auto set = FrameSet::parse(text);
  check(!set.has_value());
  check_equal(set.error().message, "more than 1000000 frames; split the job");
}

void a_set_whose_text_would_not_fit_a_command_is_refused() {
  const auto set = FrameSet::parse("1-100000x3,1-100000");
  check(!set.has_value());
  check_contains(set.error().message, "split the job");
}

void a_large_set_is_a_few_bytes() {
  const auto set = FrameSet::parse("1-1000000");
  check_ok(set);
  check_equal(set->size(), FrameSet::max_frames);
  check_equal(set->at(999'999), 1'000'000);
  check_equal(set->slice(500'000, 3).str(), "500001-500003");
}

void slices_cover_the_set_in_order_and_keep_the_canonical_form() {
  for (const char* text : {"1-100x10,1-100", "7", "1,2,4,8,16,32", "9,8,7,1-5", "-5-5,20-40x4"}) {
    const auto set = *FrameSet::parse(text);
    for (std::size_t chunk = 1; chunk <= 7; ++chunk) {
      std::vector<std::int32_t> joined;
      for (std::size_t from = 0; from < set.size(); from += chunk) {
        const auto slice = set.slice(from, chunk);
        check_equal(slice.size(), std::min(chunk, set.size() - from));
        const auto again = FrameSet::parse(slice.str());
        check_ok(again);
        check(*again == slice);
        for (const auto frame : frames_of(slice)) joined.push_back(frame);
      }
      check(joined == frames_of(set));
    }
    check(set.slice(0, set.size()) == set);
    check(set.slice(set.size(), 5).empty());
    check(set.slice(1'000'000, 1'000'000).empty());
  }
}

void one_frame_is_a_set() {
  check(FrameSet::of(-3) == *FrameSet::parse("-3"));
  check(FrameSet().empty());
  check_equal(FrameSet().str(), "");
}

}  // namespace

int main() {
  return kiln::test::run(
      "frames", {{"ranges read as artists write them", ranges_read_as_artists_write_them},
                 {"a wrong range is named with the right way to write it",
                  a_wrong_range_is_named_with_the_right_way_to_write_it},
                 {"a long list of the same frames is refused, not walked",
                  a_long_list_of_the_same_frames_is_refused_and_not_walked},
                 {"a set whose text would not fit a command is refused",
                  a_set_whose_text_would_not_fit_a_command_is_refused},
                 {"a large set is a few bytes", a_large_set_is_a_few_bytes},
                 {"slices cover the set in order", slices_cover_the_set_in_order_and_keep_the_canonical_form},
                 {"one frame is a set", one_frame_is_a_set}});
}
