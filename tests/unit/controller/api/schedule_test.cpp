#include "api/schedule.h"

#include "check.h"

using namespace kiln::api;
using kiln::scheduler::Window;

namespace {

void a_window_is_read_and_written() {
  const struct {
    const char *days, *from, *to;
    Window window;
    const char *shown_days, *shown_to;
  } cases[] = {
      {"mon-fri", "20:00", "07:00", {0x1F, 1200, 420}, "mon-fri", "07:00"},
      {"daily", "00:00", "24:00", {0x7F, 0, 1440}, "daily", "24:00"},
      {"sat,sun", "00:00", "00:00", {0x60, 0, 1440}, "sat,sun", "24:00"},
      {"fri-mon", "22:30", "23:59", {0x71, 1350, 1439}, "mon,fri-sun", "23:59"},
      {"mon-sun", "00:00", "00:01", {0x7F, 0, 1}, "daily", "00:01"},
      {"wed,mon,fri", "12:00", "12:00", {0x15, 720, 720}, "mon,wed,fri", "12:00"},
      {"tue", "08:00", "18:00", {0x02, 480, 1080}, "tue", "18:00"},
  };
  for (const auto& one : cases) {
    const auto window = parse_window(one.days, one.from, one.to);
    check_ok(window);
    check(*window == one.window);
    check_equal(days_text(window->days), one.shown_days);
    check_equal(hour_text(window->from_min), one.from);
    check_equal(hour_text(window->to_min), one.shown_to);
  }
}

void every_set_of_days_survives_the_round_trip() {
  for (unsigned days = 1; days < 128; ++days) {
    const auto set = static_cast<std::uint8_t>(days);
    const auto again = parse_window(days_text(set), "01:02", "03:04");
    check_ok(again);
    check_equal(static_cast<unsigned>(again->days), days);
    const kiln::Json list(kiln::Json::Array{to_json(*again)});
    const auto read = read_schedule(list);
    check_ok(read);
    check(*read == std::vector<Window>{*again});
  }
}

void what_is_no_window_is_refused_in_words() {
  const struct {
    const char *days, *from, *to, *part;
  } cases[] = {
      {"", "00:00", "24:00", "mon-fri"},     {"mo-fr", "00:00", "24:00", "'mo-fr' are no days"},
      {"mon-", "00:00", "24:00", "no days"}, {"mon,,tue", "00:00", "24:00", "no days"},
      {"Mon", "00:00", "24:00", "no days"},  {"mon", "8:00", "24:00", "'8:00' is no time"},
      {"mon", "08:60", "24:00", "no time"},  {"mon", "08:00", "24:01", "no time"},
      {"mon", "24:00", "07:00", "next day"}, {"mon", "08:00 ", "09:00", "no time"},
      {"mon", "-8:00", "09:00", "no time"},  {"mon-fri-sun", "08:00", "09:00", "no days"},
  };
  for (const auto& one : cases) {
    const auto window = parse_window(one.days, one.from, one.to);
    check(!window.has_value());
    check_contains(window.error().message, one.part);
  }
  kiln::Json::Array many(max_windows + 1, kiln::Json::object({{"days", "mon"}}));
  check(!read_schedule(kiln::Json(many)).has_value());
  many.pop_back();
  check_ok(read_schedule(kiln::Json(many)));
}

// 2026-11-23 was a Monday; minutes since its midnight, in local time two hours ahead of UTC.
bool is_open_at(const std::vector<Window>& schedule, int day, int hour, int minute) {
  constexpr std::int64_t monday_ms = 1'795'392'000'000;
  const std::int64_t local_min = (day * 24 + hour) * 60 + minute;
  return kiln::scheduler::is_in_schedule(schedule, monday_ms + (local_min - 120) * 60'000, 7'200);
}

void hours_across_midnight_belong_to_the_day_they_began() {
  const std::vector<Window> nights = {*parse_window("mon-fri", "20:00", "07:00")};
  const struct {
    int day, hour, minute;
    bool is_open;
  } cases[] = {
      {0, 6, 59, false},  // Sunday's night is not in it
      {0, 12, 0, false}, {0, 19, 59, false}, {0, 20, 0, true}, {0, 23, 59, true}, {1, 0, 0, true},
      {1, 6, 59, true},  {1, 7, 0, false},   {4, 21, 0, true}, {5, 3, 0, true},  // Friday's night
      {5, 21, 0, false}, {6, 3, 0, false},
  };
  for (const auto& one : cases) {
    if (is_open_at(nights, one.day, one.hour, one.minute) != one.is_open)
      print_error("day %d %02d:%02d\n", one.day, one.hour, one.minute);
    check_equal(is_open_at(nights, one.day, one.hour, one.minute), one.is_open);
  }
}

void without_windows_it_is_always_open_and_several_add_up() {
  check(is_open_at({}, 3, 3, 3));
  const std::vector<Window> two = {*parse_window("sat,sun", "00:00", "24:00"),
                                   *parse_window("wed", "12:00", "13:00")};
  check(is_open_at(two, 5, 0, 0));
  check(is_open_at(two, 6, 23, 59));
  check(!is_open_at(two, 7, 0, 0));
  check(is_open_at(two, 2, 12, 59));
  check(!is_open_at(two, 2, 13, 0));
}

}  // namespace

int main() {
  return kiln::test::run(
      "schedule", {{"a window is read and written", a_window_is_read_and_written},
                   {"every set of days survives the round trip", every_set_of_days_survives_the_round_trip},
                   {"what is no window is refused in words", what_is_no_window_is_refused_in_words},
                   {"hours across midnight belong to the day they began",
                    hours_across_midnight_belong_to_the_day_they_began},
                   {"without windows it is always open, and several add up",
                    without_windows_it_is_always_open_and_several_add_up}});
}
