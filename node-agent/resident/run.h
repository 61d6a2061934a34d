// Has a request done: by the slot whose socket the environment names, or by a Blender of its own.
#pragma once

#include <cstdio>

#include "resident/options.h"

namespace kiln::resident {

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

// Prints the renderer's lines, openjd_progress and openjd_status, and when it fails openjd_fail. `signals`
// becomes readable when it shall end: a signalfd. Returns the exit status: 0, exit_failed, or 128 and the
// signal's number.
int run(const Options& options, int signals, std::FILE* out);

}  // namespace kiln::resident
