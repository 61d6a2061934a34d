#include "cli/text.h"

#include "check.h"

namespace {

using namespace kiln::cli;

void durations_read_naturally() {
  const struct {
    double seconds;
    const char* text;
  } cases[] = {{0, "0.0 s"},           {0.84, "0.8 s"},
               {9.96, "10 s"},         {59.4, "59 s"},
               {59.6, "1 min 00 s"},   {250, "4 min 10 s"},
               {3599.7, "1 h 00 min"}, {7500, "2 h 05 min"},
               {90000, "1 d 1 h"},     {-1, "-"}};
  for (const auto& one : cases) check_equal(duration_text(one.seconds), one.text);
}

void sizes_read_naturally() {
  const struct {
    std::uint64_t bytes;
    const char* text;
  } cases[] = {{0, "0 B"},          {999, "999 B"},      {1000, "1.0 kB"},         {9'960, "10 kB"},
               {999'499, "999 kB"}, {999'600, "1.0 MB"}, {1'400'000'000, "1.4 GB"}};
  for (const auto& one : cases) check_equal(bytes_text(one.bytes), one.text);
}

void percent_is_full_only_at_the_end() {
  check_equal(percent_text(99.99), "99%");
  check_equal(percent_text(100), "100%");
  check_equal(percent_text(-3), "0%");
  check_equal(percent_text(1e300), "100%");
}

void columns_count_what_a_terminal_shows() {
  check_equal(columns_of("kiln"), 4);
  check_equal(columns_of("Köln"), 4);
  check_equal(columns_of("窯"), 2);
  check_equal(columns_of("e\u0301"), 1);
  check_equal(columns_of("\033[31mred\033[0m"), 3);
  check_equal(columns_of("\xff"), 1);
}

void a_cut_keeps_the_width_and_closes_colours() {
  check_equal(fit("abcdef", 6), "abcdef");
  check_equal(fit("abcdef", 4), "abc…");
  check_equal(fit("窯窯窯", 4), "窯…");
  check_equal(fit("abcdef", 0), "abcdef");
  check_equal(fit("\033[31mabcdef\033[0m", 3), "\033[31mab…\033[0m");
}

void names_from_the_network_cannot_steer_the_terminal() {
  check_equal(harmless("a\033[2Jb"), "a\xEF\xBF\xBD[2Jb");
  check_equal(harmless("a\nb"),
              "a\xEF\xBF\xBD"
              "b");
  check_equal(harmless("\xff"), "\xEF\xBF\xBD");
}

void a_progress_line_fits_its_width() {
  const Progress progress{"kiln", 41.7, "10/24 frames", 61.0};
  check_equal(progress_line(progress, 60, false),
              "kiln  [######----------]  41%  10/24 frames  1 min 01 s left");
  check_equal(progress_line(progress, 60, true),
              "kiln  ▕██████▋·········▏  41%  10/24 frames  1 min 01 s left");
  for (int width = 10; width < 140; ++width) {
    check(columns_of(progress_line(progress, width, true)) <= width);
    check(columns_of(progress_line(progress, width, false)) <= width);
  }
  check_equal(progress_line({"", 0, "", {}}, 20, false), "[-------------]   0%");
  check_equal(progress_line({"", 100, "", {}}, 20, false), "[#############] 100%");
}

void ages_are_rough() {
  check_equal(ago_text(0, 1000), "-");
  check_equal(ago_text(5000, 1000), "now");
  check_equal(ago_text(1000, 13'000), "12 s ago");
  check_equal(ago_text(1000, 121'000), "2 min ago");
}

}  // namespace

int main() {
  return kiln::test::run(
      "cli text",
      {{"durations read naturally", durations_read_naturally},
       {"sizes read naturally", sizes_read_naturally},
       {"100% is shown only when all is done", percent_is_full_only_at_the_end},
       {"columns count what a terminal shows", columns_count_what_a_terminal_shows},
       {"a cut keeps the width and closes colours", a_cut_keeps_the_width_and_closes_colours},
       {"names from the network cannot steer the terminal", names_from_the_network_cannot_steer_the_terminal},
       {"a progress line fits its width", a_progress_line_fits_its_width},
       {"ages are rough", ages_are_rough}});
}
