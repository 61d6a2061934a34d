#include "cli/steering.h"

#include <stdlib.h>
#include <time.h>

#include "check.h"

using namespace kiln::cli;

namespace {

constexpr std::int64_t hour_ms = 3'600'000;
constexpr std::int64_t noon_ms = 1'795'694'400'000;  // 2026-11-26 12:00 UTC

void a_schedule_is_typed_as_it_is_shown() {
  const struct {
    std::vector<std::string> words;
    const char* json;
    const char* shown;
  } cases[] = {
      {{"always"}, "[]", "always"},
      {{"mon-fri", "20:00-07:00"},
       R"([{"days":"mon-fri","from":"20:00","to":"07:00"}])",
       "mon-fri 20:00-07:00"},
      {{"mon-fri 20:00-07:00 sat,sun"},
       R"([{"days":"mon-fri","from":"20:00","to":"07:00"},{"days":"sat,sun"}])",
       nullptr},
      {{"20:00-7:00"}, R"([{"from":"20:00","to":"07:00"}])", nullptr},
      {{"sat", "sun", "12:00-24:00"},
       R"([{"days":"sat"},{"days":"sun","from":"12:00","to":"24:00"}])",
       nullptr},
  };
  for (const auto& one : cases) {
    const auto schedule = parse_schedule(one.words);
    check_ok(schedule);
    check_equal(schedule->dump(), one.json);
    if (one.shown != nullptr) check_equal(schedule_text(*schedule), one.shown);
  }
  const auto full = kiln::Json::parse(
      R"([{"days":"mon-fri","from":"20:00","to":"07:00"},{"days":"sat,sun","from":"00:00","to":"24:00"}])");
  check_equal(schedule_text(*full), "mon-fri 20:00-07:00; sat,sun");
  for (const auto& words : std::vector<std::vector<std::string>>{
           {}, {""}, {"mon", "always"}, {"mon", "20:00"}, {"always", "20:00-21:00"}}) {
    const auto bad = parse_schedule(words);
    check(!bad.has_value());
    check_contains(bad.error().message, "mon-fri 20:00-07:00");
  }
}

void a_moment_is_typed_as_people_say_it() {
  ::setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
  ::tzset();
  const struct {
    const char* text;
    std::int64_t unix_ms;
  } cases[] = {
      {"now", 0},
      {"+2h", noon_ms + 2 * hour_ms},
      {"+90m", noon_ms + hour_ms + hour_ms / 2},
      {"20:00", noon_ms + 7 * hour_ms},   // 13:00 there
      {"13:00", noon_ms + 24 * hour_ms},  // that is now: tomorrow
      {"8:15", noon_ms + 19 * hour_ms + hour_ms / 4},
      {"2026-11-27 20:00", noon_ms + 31 * hour_ms},
      {"2026-11-27T20:00", noon_ms + 31 * hour_ms},
      {"2026-07-01 12:00", 1'782'900'000'000},  // summer: two hours ahead
  };
  for (const auto& one : cases) {
    const auto moment = parse_moment(one.text, noon_ms);
    check_ok(moment);
    check_equal(*moment, one.unix_ms);
  }
  for (const char* text : {"", "soon", "+h", "+2d", "+-2h", "24:00", "7:5", "2026-02-31 12:00",
                           "2026-13-01 12:00", "2026-11-27", "2026-11-27 25:00"}) {
    const auto moment = parse_moment(text, noon_ms);
    if (moment) print_error("'%s'\n", text);
    check(!moment.has_value());
    check_contains(moment.error().message, "20:00");
  }
}

void a_limit_is_a_name_and_a_number() {
  const auto limit = parse_limit("nuke=4");
  check_ok(limit);
  check_equal(limit->first, "nuke");
  check_equal(limit->second, 4U);
  check_equal(parse_limit("nuke=0")->second, 0U);
  for (const char* text : {"", "nuke", "nuke=", "=4", "Nuke=4", "nuke=-1", "nuke=4x", "nuke=100001"})
    check(!parse_limit(text).has_value());
}

}  // namespace

int main() {
  return kiln::test::run("steering",
                         {{"a schedule is typed as it is shown", a_schedule_is_typed_as_it_is_shown},
                          {"a moment is typed as people say it", a_moment_is_typed_as_people_say_it},
                          {"a limit is a name and a number", a_limit_is_a_name_and_a_number}});
}
