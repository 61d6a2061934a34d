// The command that restarts this box or puts it to sleep.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "runtime/event_fd.h"

namespace kiln::agent {

// Runs it on a thread of its own, for half a minute at most. It is not waited for: `systemctl suspend`
// returns before the box sleeps or after it was woken, and `systemctl reboot` may return never.
class RestCommand {
 public:
  // on_end: from its thread; "" when the command ended well, else what went wrong.
  RestCommand(std::vector<std::string> argv, std::function<void(std::string trouble)> on_end);
  ~RestCommand();  // ends it, and tells nobody
  RestCommand(const RestCommand&) = delete;
  RestCommand& operator=(const RestCommand&) = delete;

 private:
  runtime::EventFd stop_;
  std::thread thread_;
};

// How long this box has slept since it was started. Kept by the kernel: two of its clocks, of which one goes
// on meanwhile.
std::int64_t slept_ms();

}  // namespace kiln::agent
