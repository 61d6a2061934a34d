// The first thing at boot: kiln.toml becomes the box's settings.
#pragma once

#include "base/result.h"
#include "box/facts.h"

namespace kiln::box {

// Writes agent.toml, the network's file, the SSH key and its port, the time zone and the host's name. Goes on
// after a mistake: what is wrong stands in <run>/problems.d and on the console. Errors: io, when nothing can
// be written at all.
Status set_up(const Places& places);

// The rest of it where the controller had to be found first: agent.toml, and what the screen shows. Errors:
// io.
Status use_controller(const Places& places, const std::string& controller);

}  // namespace kiln::box
