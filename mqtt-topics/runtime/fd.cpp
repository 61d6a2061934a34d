#include "runtime/fd.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>

#include "base/result.h"

namespace kiln::runtime {

bool wait_readable(int fd, std::chrono::milliseconds timeout) {
  using Clock = std::chrono::steady_clock;
  const bool is_bounded = timeout.count() >= 0;
  // A deadline centuries away would overflow the clock.
  constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 365);
  const auto deadline = Clock::now() + std::min(timeout, longest);
  for (;;) {
    int left_ms = -1;
    if (is_bounded) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
      left_ms = static_cast<int>(std::clamp<std::int64_t>(left, 0, std::numeric_limits<int>::max()));
    }
    pollfd one{fd, POLLIN, 0};
    const int ready = ::poll(&one, 1, left_ms);
    if (ready > 0) return true;
    if (ready == 0) return false;
    KILN_ASSERT(errno == EINTR);
  }
}

}  // namespace kiln::runtime
