// What boots of flashed boxes that failed had to say: the boxes deliver it once they are back on the system
// before.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "files/layout.h"

namespace kiln::files {

inline constexpr std::size_t max_boot_logs = 12;  // of one node; the oldest go
inline constexpr std::size_t max_boot_log_bytes = 4UL * 1024 * 1024;

// The kernel's id of a boot: a UUID.
bool is_boot_id(std::string_view text);

class BootLogs {
 public:
  explicit BootLogs(Layout layout) : layout_(std::move(layout)) {}

  // The same boot's again replaces it. Errors: invalid (no boot's id), too_large, full, io.
  Status write(const NodeId& node, const std::string& boot, std::string_view text) const;

  struct Kept {
    std::string boot;
    std::uint64_t bytes = 0;
    std::int64_t at_ms = 0;  // unix, when it was delivered
  };
  [[nodiscard]] std::vector<Kept> list(const NodeId& node) const;  // the newest first
  // Errors: not_found, io.
  [[nodiscard]] Result<OpenFile> open(const NodeId& node, const std::string& boot) const;

 private:
  Layout layout_;
};

}  // namespace kiln::files
