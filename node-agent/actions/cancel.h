// The wish, from any thread, that what runs in a session should end.
#pragma once

#include <cstdint>
#include <limits>
#include <mutex>

#include "runtime/event_fd.h"

namespace kiln::actions {

class Cancel {
 public:
  struct Wish {
    std::uint64_t count = 0;  // how many times it was wished; 0: never
    // Between the notification and the kill; an action that asks for less gets less.
    std::int64_t max_notify_ms = 0;
  };

  static constexpr std::int64_t as_the_action_says = std::numeric_limits<std::int64_t>::max();

  void wish(std::int64_t max_notify_ms) {
    const std::lock_guard lock(mutex_);
    ++wish_.count;
    wish_.max_notify_ms = max_notify_ms;
    event_.set();
  }
  // The newest wish; fd() is not readable any more until there is another.
  Wish take() {
    const std::lock_guard lock(mutex_);
    event_.clear();
    return wish_;
  }
  [[nodiscard]] int fd() const { return event_.fd(); }

 private:
  std::mutex mutex_;
  runtime::EventFd event_;
  Wish wish_;
};

}  // namespace kiln::actions
