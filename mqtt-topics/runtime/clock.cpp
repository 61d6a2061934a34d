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

Instant now() {
  return {read_ms(CLOCK_BOOTTIME), read_ms(CLOCK_REALTIME)};
}

}  // namespace kiln::runtime
