#include "runtime/clock.h"

#include <ctime>

namespace kiln::runtime {

namespace {

std::int64_t read_ms(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<std::int64_t>(time.tv_sec) * 1'000 + time.tv_nsec / 1'000'000;
}

}  // namespace

std::int32_t utc_offset_s(std::int64_t unix_ms) {
  const auto seconds = static_cast<std::time_t>(unix_ms / 1'000);
  std::tm local{};
  ::tzset();  // localtime_r alone would not notice that somebody set another zone
  if (::localtime_r(&seconds, &local) == nullptr) return 0;
  return static_cast<std::int32_t>(::timegm(&local) - seconds);
}

Instant now() {
  return {read_ms(CLOCK_BOOTTIME), read_ms(CLOCK_REALTIME)};
}

}  // namespace kiln::runtime
