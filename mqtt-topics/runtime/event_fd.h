// A flag that a thread can wait for together with other descriptors.
#pragma once

#include <chrono>

#include "runtime/fd.h"

namespace kiln::runtime {

class EventFd {
 public:
  EventFd();  // not set
  void set();
  void clear();
  [[nodiscard]] bool is_set() const;
  // True when it is, or becomes, set within the timeout; a negative timeout waits for ever.
  [[nodiscard]] bool wait(std::chrono::milliseconds timeout) const;
  // Readable while set. For poll only: whoever reads from it clears the flag behind our back.
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  Fd fd_;
};

}  // namespace kiln::runtime
