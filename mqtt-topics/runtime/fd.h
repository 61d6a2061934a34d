// A file descriptor that is closed once.
#pragma once

#include <unistd.h>

#include <chrono>
#include <utility>

namespace kiln::runtime {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;

  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

// True when reading from `fd` would not block within the timeout; a negative timeout waits for ever.
[[nodiscard]] bool wait_readable(int fd, std::chrono::milliseconds timeout);

}  // namespace kiln::runtime
