// What the warden sees of the processes in its cage. Reads /proc and folders that belong to somebody hostile:
// nothing is trusted, nothing is followed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace kiln::cage {

struct Seen {
  pid_t pid = 0;
  pid_t parent = 0;
  bool is_zombie = false;
  std::uint64_t threads = 0;
  std::uint64_t started = 0;    // tells a process from a later one of the same number
  std::uint64_t rss_bytes = 0;  // with what it shares
};
// Everything in /proc but `self`.
std::vector<Seen> look_around(pid_t self);

// What they hold in memory: what several share counts once. Costs a walk through their page tables.
std::uint64_t shared_out_bytes(const std::vector<Seen>& all);

struct Usage {
  std::uint64_t bytes = 0;
  bool is_too_deep = false;  // folders in folders beyond what anybody needs
};
// What the folders take on their disks. Folders that their owner closed are opened again.
Usage usage_of(const std::vector<std::string>& folders);

// Files without a name that those processes hold open: on the disks of `folders`, and in memory.
struct Nameless {
  std::uint64_t disk_bytes = 0;
  std::uint64_t memory_bytes = 0;
};
Nameless nameless(const std::vector<Seen>& all, const std::vector<std::string>& folders);

}  // namespace kiln::cage
