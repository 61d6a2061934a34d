// Control groups, version 2: where systemd left a part of the tree to us (Delegate=memory pids), the kernel
// itself bounds each slot's cage.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"
#include "runtime/fd.h"

namespace kiln::cage {

// The part that is ours. `root`: /sys/fs/cgroup; `self`: the text of /proc/self/cgroup. Moves this process
// into a group of its own below, since a group with processes cannot have groups with bounds. Errors:
// not_found where there is no version 2; denied where it is not ours, or lacks memory and pids; each saying
// so.
Result<std::filesystem::path> take_over(const std::filesystem::path& root = "/sys/fs/cgroup",
                                        const std::string& self = "");

// One group below, for as long as this object lives.
class Group {
 public:
  Group() = default;
  // Errors: io.
  static Result<Group> make(const std::filesystem::path& folder, std::uint64_t memory_bytes,
                            std::uint64_t processes);
  ~Group();
  Group(Group&& other) noexcept;
  Group& operator=(Group&& other) noexcept;

  // cgroup.procs, open for writing; below 0: none.
  [[nodiscard]] int join_fd() const { return join_.get(); }
  // How often the kernel killed in here because memory ran out.
  [[nodiscard]] std::uint64_t out_of_memory() const;
  void kill() const;

 private:
  std::filesystem::path folder_;
  runtime::Fd join_;
};

}  // namespace kiln::cage
