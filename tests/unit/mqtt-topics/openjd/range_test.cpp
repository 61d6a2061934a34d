#include "openjd/range.h"

#include <set>

#include "check.h"

using kiln::openjd::IntRanges;

namespace {

std::string values(const IntRanges& ranges) {
  std::string out;
  for (std::uint64_t i = 0; i < ranges.size(); ++i)
    out += (i > 0 ? "," : "") + fmt::format("{}", ranges.at(i));
  return out;
}

void expressions_mean_what_the_specification_says() {
  const struct {
    std::string text;
    std::string want;
    std::string printed;
  } cases[] = {
      {"7", "7", "7"},
      {"1 - 5", "1,2,3,4,5", "1-5"},
      {"1 - -1", "1", "1"},
      {"5-1", "5", "5"},
      {"-1 - 1", "-1,0,1", "-1-1"},
      {"1-5:2", "1,3,5", "1-5:2"},
      {"10-15:2,1-5", "1,2,3,4,5,10,12,14", "1-5,10-14:2"},
      {"1-10:4", "1,5,9", "1-9:4"},
      {"10-1:-3", "1,4,7,10", "1-10:3"},
      {"10-1:3", "10", "10"},
      {"\t3 ,1, 2 ", "1,2,3", "1-3"},
      {"-5--3", "-5,-4,-3", "-5--3"},
      {"8,7", "7,8", "7,8"},
      {"1-3,4-6", "1,2,3,4,5,6", "1-6"},
      {"007", "7", "7"},
      {"9223372036854775806-9223372036854775807", "9223372036854775806,9223372036854775807",
       "9223372036854775806,9223372036854775807"},
      {"-9223372036854775808", "-9223372036854775808", "-9223372036854775808"},
  };
  for (const auto& one : cases) {
    const auto ranges = IntRanges::parse(one.text);
    check_ok(ranges);
    check_equal(values(*ranges), one.want);
    check_equal(ranges->to_text(), one.printed);
  }
}

void what_is_no_range_is_refused_with_its_place() {
  const struct {
    std::string text;
    std::string part;
  } cases[] = {
      {"", "at character 1"},
      {" ", "at character 2"},
      {"a", "at character 1"},
      {"1-", "at character 3"},
      {"1-2:", "step"},
      {"1-2:0", "step"},
      {"1,", "at character 3"},
      {"1 2", "at character 3"},
      {"1-2-3", "at character 4"},
      {"1:2", "at character 2"},
      {"1.5", "at character 2"},
      {"+1", "at character 1"},
      {"1\n", "at character 2"},
      {"9223372036854775808", "64 bits"},
      {"1-10,5-15", "overlap"},
      {"1-10:4,10-15", "'1-10:4' and '10-15' overlap"},
      {"1-10:2,2-10:2", "overlap"},
      {"3,3", "overlap"},
      {"1-1000000001", "more than 1000000000"},
      {"-9223372036854775808-9223372036854775807", "more than 1000000000"},
      {"1-1000000000,2000000000", "more than 1000000000"},
  };
  for (const auto& one : cases) {
    const auto ranges = IntRanges::parse(one.text);
    check(!ranges.has_value());
    check_contains(ranges.error().message, one.part);
  }
}

void a_range_is_never_expanded() {
  const auto ranges = IntRanges::parse("1-1000000000");
  check_ok(ranges);
  check_equal(ranges->size(), 1'000'000'000U);
  check_equal(ranges->ranges().size(), 1U);
  check_equal(ranges->at(999'999'999), 1'000'000'000);
  check_equal(ranges->slice(500'000'000, 3).to_text(), "500000001-500000003");
}

void a_slice_is_what_stands_there() {
  const auto ranges = IntRanges::parse("1-3,5,10-20:5,100-104");
  check_ok(ranges);
  for (std::uint64_t begin = 0; begin < ranges->size(); ++begin) {
    for (std::uint64_t count = 0; begin + count <= ranges->size(); ++count) {
      const auto slice = ranges->slice(begin, count);
      check_equal(slice.size(), count);
      for (std::uint64_t i = 0; i < count; ++i) check_equal(slice.at(i), ranges->at(begin + i));
    }
  }
}

void a_set_of_values_finds_its_ranges() {
  const struct {
    std::vector<std::int64_t> values;
    std::string want;
  } cases[] = {
      {{5}, "5"},
      {{7, 8}, "7,8"},
      {{3, 1, 2}, "1-3"},
      {{1, 3, 5, 7}, "1-7:2"},
      {{1, 3, 4, 7, 8, 10}, "1,3,4,7,8,10"},
      {{10, 20, 30, 31, 32, 33}, "10-30:10,31-33"},
      {{1, 1, 2, 2}, "1,2"},
      {{-9223372036854775807 - 1, 9223372036854775807}, "-9223372036854775808,9223372036854775807"},
  };
  for (const auto& one : cases) {
    const auto ranges = IntRanges::of(one.values);
    check_equal(ranges.to_text(), one.want);
    const std::set<std::int64_t> distinct(one.values.begin(), one.values.end());
    check_equal(ranges.size(), distinct.size());
    std::uint64_t i = 0;
    for (const auto value : distinct) check_equal(ranges.at(i++), value);
  }
}

}  // namespace

int main() {
  return kiln::test::run(
      "range",
      {{"expressions mean what the specification says", &expressions_mean_what_the_specification_says},
       {"what is no range is refused with its place", &what_is_no_range_is_refused_with_its_place},
       {"a range of a billion values is one entry", &a_range_is_never_expanded},
       {"a slice is what stands there", &a_slice_is_what_stands_there},
       {"a set of values finds its ranges", &a_set_of_values_finds_its_ranges}});
}
