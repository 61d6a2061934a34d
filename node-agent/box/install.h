// What the unprivileged agent may ask root for: an update from a signed bundle, a restart, sleep. Each
// request is a file in the agent's run folder that a systemd path unit waits for.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "box/boot_slots.h"
#include "box/facts.h"

namespace kiln::box {

// "{"bundle": PATH}"; the path must be of a plain file below `allowed`. What RAUC makes of the file is
// another matter: it checks the signature and every block. Errors: invalid with what would be right,
// not_found.
Result<std::filesystem::path> requested_bundle(std::string_view request,
                                               const std::filesystem::path& allowed);

// Of a line of rauc's output, " 40% Checking slot root.1 (B)"; nullopt for any other.
std::optional<unsigned> progress_of(std::string_view line);

// Takes <agent>/install.json away and installs what it names into the idle slot. Progress and outcome stand
// in <run>/install.json: {"state":"installing|installed|failed","percent","version","message"}. Errors: those
// of RAUC.
Status install_requested(const Places& places, const BootSlots& slots);

// Takes the request <agent>/<what> away, then `systemctl <what>`: reboot or suspend.
Status do_requested(const Places& places, const std::string& what);

}  // namespace kiln::box
