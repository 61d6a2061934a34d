#include "cage/watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

namespace kiln::cage {

namespace {

constexpr std::uint64_t block_bytes = 512;  // of st_blocks, whatever the file system's
constexpr unsigned max_depth = 100;         // each level holds a descriptor open

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

// Closes fd, whatever comes of it.
Folder folder_of(int fd) {
  Folder folder(fd >= 0 ? ::fdopendir(fd) : nullptr);
  if (!folder && fd >= 0) ::close(fd);
  return folder;
}

std::string read_small(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::array<char, 4096> buffer{};
  const auto got = ::read(fd, buffer.data(), buffer.size());
  ::close(fd);
  return got > 0 ? std::string(buffer.data(), static_cast<std::size_t>(got)) : std::string();
}

bool is_number(const char* name) {
  return name[0] != '\0' && std::string_view(name).find_first_not_of("0123456789") == std::string_view::npos;
}

// "17 (a name) with) S 1 …": the name may hold anything.
bool parse_stat(const std::string& text, Seen& seen) {
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) return false;
  char state = 0;
  int parent = 0;
  unsigned long long threads = 0;
  unsigned long long started = 0;
  long long pages = 0;
  const auto* rest = text.c_str() + name_end + 1;
  constexpr const char* form =
      " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %llu %*d %llu %*u %lld";
  if (std::sscanf(rest, form, &state, &parent, &threads, &started, &pages) != 5) return false;
  seen.parent = parent;
  seen.is_zombie = state == 'Z' || state == 'X';
  seen.threads = threads;
  seen.started = started;
  seen.rss_bytes =
      static_cast<std::uint64_t>(std::max(0LL, pages)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return true;
}

std::uint64_t pss_bytes(pid_t pid) {
  const auto text = read_small("/proc/" + std::to_string(pid) + "/smaps_rollup");
  const auto at = text.find("\nPss:");
  unsigned long long kib = 0;
  if (at == std::string::npos || std::sscanf(text.c_str() + at, "\nPss: %llu", &kib) != 1) return 0;
  return kib * 1024;
}

using Known = std::set<std::pair<dev_t, ino_t>>;

void add_up(int fd, unsigned depth, Known& links, Usage& usage) {
  auto folder = folder_of(fd);
  if (!folder) return;
  const int here = ::dirfd(folder.get());
  while (const auto* entry = ::readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat info {};
    if (::fstatat(here, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    // One with several names counts once.
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1 && !links.insert({info.st_dev, info.st_ino}).second)
      continue;
    usage.bytes += static_cast<std::uint64_t>(info.st_blocks) * block_bytes;
    if (!S_ISDIR(info.st_mode)) continue;
    if (depth == max_depth) {
      usage.is_too_deep = true;
      return;
    }
    constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int inner = ::openat(here, entry->d_name, flags);
    if (inner < 0 && errno == EACCES && ::fchmodat(here, entry->d_name, 0700, 0) == 0)
      inner = ::openat(here, entry->d_name, flags);
    add_up(inner, depth + 1, links, usage);
  }
}

}  // namespace

std::vector<Seen> look_around(pid_t self) {
  std::vector<Seen> all;
  const Folder proc(::opendir("/proc"));
  if (!proc) return all;
  while (const auto* entry = ::readdir(proc.get())) {
    if (!is_number(entry->d_name)) continue;
    Seen seen;
    seen.pid = std::atoi(entry->d_name);
    if (seen.pid == self) continue;
    if (parse_stat(read_small(std::string("/proc/") + entry->d_name + "/stat"), seen)) all.push_back(seen);
  }
  return all;
}

std::uint64_t shared_out_bytes(const std::vector<Seen>& all) {
  std::uint64_t sum = 0;
  for (const auto& one : all) {
    if (one.is_zombie) continue;
    const auto pss = pss_bytes(one.pid);
    sum += pss != 0 ? pss : one.rss_bytes;
  }
  return sum;
}

Usage usage_of(const std::vector<std::string>& folders) {
  Usage usage;
  Known links;
  for (const auto& one : folders)
    add_up(::open(one.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), 0, links, usage);
  return usage;
}

Nameless nameless(const std::vector<Seen>& all, const std::vector<std::string>& folders) {
  std::set<dev_t> disks;
  for (const auto& one : folders) {
    struct stat info {};
    if (::stat(one.c_str(), &info) == 0) disks.insert(info.st_dev);
  }
  Nameless out;
  Known known;
  for (const auto& one : all) {
    const Folder list(::opendir(("/proc/" + std::to_string(one.pid) + "/fd").c_str()));
    if (!list) continue;
    while (const auto* entry = ::readdir(list.get())) {
      if (!is_number(entry->d_name)) continue;
      struct stat info {};
      // Through the link: what is open, wherever its name went.
      if (::fstatat(::dirfd(list.get()), entry->d_name, &info, 0) != 0) continue;
      if (!S_ISREG(info.st_mode) || info.st_nlink != 0 || !known.insert({info.st_dev, info.st_ino}).second)
        continue;
      auto& sum = disks.count(info.st_dev) > 0 ? out.disk_bytes : out.memory_bytes;
      sum += static_cast<std::uint64_t>(info.st_blocks) * block_bytes;
    }
  }
  return out;
}

}  // namespace kiln::cage
