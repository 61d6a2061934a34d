// Time as the pure rooms see it: a value passed in, never a clock that is read.
#pragma once

#include <cstdint>

namespace kiln {

// One moment, on two scales. Decisions (leases, grace periods) compare mono_ms, which never jumps;
// records that people read keep unix_ms, which may.
struct Instant {
  std::int64_t mono_ms = 0;
  std::int64_t unix_ms = 0;

  [[nodiscard]] Instant after_ms(std::int64_t ms) const { return {mono_ms + ms, unix_ms + ms}; }
  friend bool operator==(const Instant&, const Instant&) = default;
};

}  // namespace kiln
