// The one place that reads a clock for decisions; everyone else is handed an Instant.
#pragma once

#include "base/time.h"

namespace kiln::runtime {

// mono_ms is CLOCK_BOOTTIME: it goes on while the box sleeps, so that a lease does too.
Instant now();

// Seconds that the local time of this machine (TZ, /etc/localtime) was ahead of UTC then: 3600 in a Berlin
// winter.
std::int32_t utc_offset_s(std::int64_t unix_ms);

}  // namespace kiln::runtime
