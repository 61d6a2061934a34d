// After a start: is this system good? See verdict.h for what is asked; here it is looked up and acted upon.
#pragma once

#include "base/result.h"
#include "box/boot_slots.h"
#include "box/facts.h"

namespace kiln::box {

// Returns when the slot is judged. After an update that is bad it restarts the box and does not return.
// Writes <run>/health.json: {"slot","version","state","message"}, state one of checking, good, rolled-back,
// interrupted. Errors: io, when the boot environment cannot be written.
Status watch_health(const Places& places, const BootSlots& slots);

}  // namespace kiln::box
