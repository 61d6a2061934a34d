// Many threads post values, one owner drains them in batches. Bounded; the owner can wait for it by poll
// together with signals and sockets.
#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

#include "runtime/event_fd.h"

namespace kiln::runtime {

template <class T>
class Queue {
 public:
  explicit Queue(std::size_t capacity) : capacity_(capacity) {}

  // From any thread, never waits. False when the queue holds `capacity` values or was closed: the value is
  // dropped and the caller says what that means.
  [[nodiscard]] bool push(T value) {
    const std::lock_guard lock(mutex_);
    if (is_closed_ || values_.size() >= capacity_) return false;
    values_.push_back(std::move(value));
    if (values_.size() == 1) ready_.set();
    return true;
  }

  // Owner only: everything queued, oldest first, as soon as there is something; empty when the timeout
  // passes, or at once when the queue is closed and empty. A negative timeout waits for ever.
  std::vector<T> pop_all(std::chrono::milliseconds timeout) {
    std::vector<T> taken;
    if (!ready_.wait(timeout)) return taken;
    const std::lock_guard lock(mutex_);
    taken.swap(values_);
    if (!is_closed_) ready_.clear();
    return taken;
  }

  // Nothing is taken any more; what is queued can still be popped.
  void close() {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    ready_.set();
  }

  [[nodiscard]] bool is_closed() const {
    const std::lock_guard lock(mutex_);
    return is_closed_;
  }
  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return values_.size();
  }
  // Readable while something is queued, and from close() on. For poll only; pop_all reads.
  [[nodiscard]] int fd() const { return ready_.fd(); }

 private:
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::vector<T> values_;
  bool is_closed_ = false;
  EventFd ready_;  // set while values_ is not empty, and from close() on
};

}  // namespace kiln::runtime
