// `kiln-agent --check`: what this box has and whether it reaches the farm, for a person.
#pragma once

#include "daemon/config.h"

namespace kiln::agent {

// Prints to stdout. True: it could render for the farm now. Changes nothing on the box.
bool check_box(const Config& config);

}  // namespace kiln::agent
