// GRUB's environment block as the two-slot boot uses it: which slot first, which are good, how often tried.
// Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace kiln::box {

// Slots are called "A" and "B", as RAUC and the kernel's arguments call them.
bool is_slot(std::string_view slot);
std::string other_slot(std::string_view slot);

class BootEnvironment {
 public:
  // A block's size: GRUB reads and writes 1024 bytes, two sectors.
  static constexpr std::size_t block_bytes = 1024;
  // GRUB counts tries up to this; then the slot is passed over (image/grub.cfg).
  static constexpr int max_tries = 3;

  // What a fresh image holds: A good, B empty.
  BootEnvironment();
  // Errors: invalid, for what is no block, or one without ORDER.
  static Result<BootEnvironment> parse(std::string_view block);
  // Exactly block_bytes. What this program writes stays within the first sector of 512 bytes, so that a power
  // cut leaves the old block or the new one. Errors: too_large when the variables of others do not fit.
  [[nodiscard]] Result<std::string> block() const;

  // The slot that is tried first. "": none.
  [[nodiscard]] std::string primary() const;
  [[nodiscard]] bool is_good(std::string_view slot) const;
  [[nodiscard]] int tries(std::string_view slot) const;

  // First from now on, good, with all its tries.
  void set_primary(std::string_view slot);
  // Good: all its tries again. Bad: not started until it is made good.
  void set_good(std::string_view slot, bool good);

  [[nodiscard]] std::string get(std::string_view name) const;  // "" = is not there
  void set(std::string_view name, std::string_view value);

  friend bool operator==(const BootEnvironment&, const BootEnvironment&) = default;

 private:
  std::vector<std::pair<std::string, std::string>> variables_;
};

}  // namespace kiln::box
