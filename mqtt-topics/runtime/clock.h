// The one place that reads a clock for decisions; everyone else is handed an Instant.
#pragma once

#include "base/time.h"

namespace kiln::runtime {

// mono_ms is CLOCK_BOOTTIME: it goes on while the box sleeps, so that a lease does too.
Instant now();

}  // namespace kiln::runtime
