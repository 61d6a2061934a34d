// From the stick onto the computer's own disk.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "box/facts.h"

namespace kiln::box {

// A disk, as `lsblk --bytes --json` tells.
struct Disk {
  std::string path;  // "/dev/nvme0n1"
  std::string model;
  std::uint64_t bytes = 0;
};
// Whole disks that could be written: no loop devices, no optical ones, none read-only. Errors: invalid.
Result<std::vector<Disk>> parse_disks(std::string_view lsblk_json);

// The one disk besides `booted` with room for two slots and data. Errors: not_found; conflict when there are
// several, naming them and how to say which.
Result<Disk> only_other_disk(const std::vector<Disk>& disks, const std::string& booted);

// Erases `target` and makes it a box of this system: same kiln.toml, ids of its own, A the slot that runs
// here. "" or "auto": the only other disk. Errors: as above; conflict for the disk that runs; io.
Status install_to(const Places& places, const std::string& target);

}  // namespace kiln::box
