#include "runtime/clock.h"

#include <stdlib.h>
#include <time.h>

#include "check.h"

using kiln::runtime::utc_offset_s;

namespace {

constexpr std::int64_t winter_ms = 1'768'478'400'000;  // 2026-01-15 12:00 UTC
constexpr std::int64_t summer_ms = 1'784'116'800'000;  // 2026-07-15 12:00 UTC

void local_time_is_ahead_of_utc_by_the_zone_and_its_summer() {
  const struct {
    const char* zone;  // POSIX rules: no zone files are needed
    std::int64_t unix_ms;
    std::int32_t offset_s;
  } cases[] = {
      {"UTC0", winter_ms, 0},
      {"CET-1CEST,M3.5.0,M10.5.0/3", winter_ms, 3'600},
      {"CET-1CEST,M3.5.0,M10.5.0/3", summer_ms, 7'200},
      {"EST5EDT,M3.2.0,M11.1.0", winter_ms, -18'000},
      {"IST-5:30", summer_ms, 19'800},
  };
  for (const auto& one : cases) {
    ::setenv("TZ", one.zone, 1);
    ::tzset();
    check_equal(utc_offset_s(one.unix_ms), one.offset_s);
  }
}

void time_goes_on() {
  const auto before = kiln::runtime::now();
  const auto after = kiln::runtime::now();
  check(after.mono_ms >= before.mono_ms);
  check(before.unix_ms > winter_ms - 365LL * 86'400'000);
}

}  // namespace

int main() {
  return kiln::test::run("clock", {{"local time is ahead of UTC by the zone and its summer",
                                    local_time_is_ahead_of_utc_by_the_zone_and_its_summer},
                                   {"time goes on", time_goes_on}});
}
