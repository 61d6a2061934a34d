// Draws the first screen on the terminal that it is started on.
#pragma once

#include "base/result.h"
#include "box/facts.h"

namespace kiln::box {

// Draws again when something changed, every two seconds; ends only when the terminal does. Errors: io.
Status run_console(const Places& places);

}  // namespace kiln::box
