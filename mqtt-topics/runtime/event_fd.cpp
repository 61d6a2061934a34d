#include "runtime/event_fd.h"

#include <sys/eventfd.h>

#include <cstdint>

#include "base/result.h"

namespace kiln::runtime {

EventFd::EventFd() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  KILN_ASSERT(fd_);
}

// The counter saturates far beyond reach; EAGAIN would still mean "set".
void EventFd::set() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(fd_.get(), &one, sizeof one);
}

void EventFd::clear() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto read = ::read(fd_.get(), &count, sizeof count);
}

bool EventFd::is_set() const {
  return wait(std::chrono::milliseconds(0));
}

bool EventFd::wait(std::chrono::milliseconds timeout) const {
  return wait_readable(fd_.get(), timeout);
}

}  // namespace kiln::runtime
