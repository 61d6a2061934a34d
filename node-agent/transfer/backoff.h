// How long to wait before the next try.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>

namespace kiln::transfer {

// 0.5 s, doubling to 30 s, each somewhere between half of it and all of it, so that the boxes of a farm do
// not all come back in the same moment.
class Backoff {
 public:
  std::int64_t next_ms() {
    const auto ceiling = std::min(first_ms << std::min(failures_++, 16U), max_ms);
    return std::uniform_int_distribution<std::int64_t>(ceiling / 2, ceiling)(random());
  }
  void reset() { failures_ = 0; }
  [[nodiscard]] unsigned failures() const { return failures_; }

 private:
  static std::minstd_rand& random() {
    thread_local std::minstd_rand engine{std::random_device{}()};
    return engine;
  }
  static constexpr std::int64_t first_ms = 500;   // a restarting controller is back in about a second
  static constexpr std::int64_t max_ms = 30'000;  // after an outage of hours nobody waits longer than this

  unsigned failures_ = 0;
};

}  // namespace kiln::transfer
