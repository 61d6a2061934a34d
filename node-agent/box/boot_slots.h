// The boot environment on the disk, and RAUC's questions about it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "box/boot_environment.h"

namespace kiln::box {

class BootSlots {
 public:
  // `folder` holds grubenv, and grubenv.good: the copy that GRUB and we fall back to.
  explicit BootSlots(std::filesystem::path folder = "/boot/esp/kiln") : folder_(std::move(folder)) {}

  // grubenv; its copy where it is damaged; a fresh one where both are, with `booted` good. Errors: io.
  [[nodiscard]] Result<BootEnvironment> load() const;
  // Both files, written over in place: truncating them would leave nothing after a power cut, and a renamed
  // file is one that GRUB could not write to while the old one is still its. Errors: io, full.
  [[nodiscard]] Status store(const BootEnvironment& environment) const;
  // Writes what load() found where one of the files is damaged. True: something was repaired.
  [[nodiscard]] Result<bool> repair() const;

 private:
  std::filesystem::path folder_;
};

// The slot that runs, from the kernel's arguments ("… rauc.slot=A …"). "": none, this is no box.
std::string booted_slot(const std::filesystem::path& cmdline = "/proc/cmdline");

// A word among the kernel's arguments, with or without a value.
bool kernel_argument(std::string_view name, const std::filesystem::path& cmdline = "/proc/cmdline");

// RAUC's custom bootloader backend: get-primary, set-primary SLOT, get-state SLOT, set-state SLOT good|bad,
// get-current. What RAUC reads goes to `out`. Errors: invalid with the form that is right; those of the file.
Status boot_slots_command(const BootSlots& slots, const std::vector<std::string>& words, std::string& out);

}  // namespace kiln::box
