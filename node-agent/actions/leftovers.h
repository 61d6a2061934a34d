// Processes that an action leaves behind, wherever they went: into another process group, another session,
// or to init.
#pragma once

#include <sys/types.h>

#include <string_view>

namespace kiln::actions {

// The variable that every process of a session carries in its environment: "<session>/<part>".
constexpr std::string_view marker_name = "KILN_SESSION";

// Kills every process whose marker starts with `marker`, its descendants, and the descendants of `root` (0:
// none; root itself is left alone). Returns once none is left, or after 5 s when one cannot die (it hangs in
// the kernel). A process that left its group, cleared its environment and outlived its parent is not found.
void kill_leftovers(std::string_view marker, pid_t root = 0);

}  // namespace kiln::actions
