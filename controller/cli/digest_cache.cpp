#include "cli/digest_cache.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <sstream>
#include <vector>

#include "base/ids.h"
#include "runtime/files.h"
#include "runtime/sha256.h"

namespace kiln::cli {

namespace {

constexpr std::size_t max_entries = 100'000;
constexpr std::uint64_t max_file_bytes = 64ULL * 1024 * 1024;
// A file touched this recently may change again within the same tick of the file system's clock.
constexpr std::int64_t settled_s = 3;

std::int64_t nanoseconds(const timespec& time) {
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

}  // namespace

DigestCache::DigestCache(std::filesystem::path file) : file_(std::move(file)) {
  const auto text = runtime::read_file(file_, max_file_bytes);
  if (!text) return;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream in(line);
    std::uint64_t device = 0, inode = 0, size = 0;
    std::int64_t mtime = 0, ctime = 0;
    Entry entry;
    if (in >> device >> inode >> size >> mtime >> ctime >> entry.used_s >> entry.digest &&
        is_digest(entry.digest)) {
      entries_[{device, inode, size, mtime, ctime}] = std::move(entry);
    }
  }
}

Result<DigestCache::Digest> DigestCache::digest(const std::filesystem::path& file,
                                                const std::function<bool()>& cancelled) {
  const auto look = [&](struct stat& seen) -> Status {
    if (::stat(file.c_str(), &seen) != 0) {
      return fail(runtime::os_error(errno, fmt::format("while reading {}", file.string())));
    }
    if (!S_ISREG(seen.st_mode)) return fail(Code::invalid, fmt::format("{} is no file", file.string()));
    return {};
  };
  const auto key_of = [](const struct stat& seen) {
    return Key{seen.st_dev, seen.st_ino, static_cast<std::uint64_t>(seen.st_size), nanoseconds(seen.st_mtim),
               nanoseconds(seen.st_ctim)};
  };
  struct stat before {
  }, after{};
  if (auto seen = look(before); !seen) return fail(std::move(seen.error()));
  const auto size = static_cast<std::uint64_t>(before.st_size);
  const std::int64_t now_s = std::time(nullptr);
  if (const auto known = entries_.find(key_of(before)); known != entries_.end()) {
    known->second.used_s = now_s;
    return Digest{known->second.digest, size};
  }
  auto digest = runtime::digest_of_file(file, cancelled);
  if (!digest) return fail(std::move(digest.error()));
  if (auto seen = look(after); !seen) return fail(std::move(seen.error()));
  if (key_of(before) != key_of(after)) {
    return fail(Code::conflict,
                fmt::format("{} changed while it was being read: wait until it is written, then try "
                            "again",
                            file.string()));
  }
  if (now_s - std::max(before.st_mtim.tv_sec, before.st_ctim.tv_sec) > settled_s) {
    entries_[key_of(before)] = {*digest, now_s};
    is_changed_ = true;
  }
  return Digest{std::move(*digest), size};
}

Status DigestCache::save() const {
  if (!is_changed_) return {};
  std::vector<std::pair<const Key*, const Entry*>> kept;
  for (const auto& [key, entry] : entries_) kept.emplace_back(&key, &entry);
  if (kept.size() > max_entries) {
    std::nth_element(kept.begin(), kept.begin() + max_entries, kept.end(),
                     [](const auto& a, const auto& b) { return a.second->used_s > b.second->used_s; });
    kept.resize(max_entries);
  }
  std::string text;
  for (const auto& [key, entry] : kept) {
    const auto& [device, inode, size, mtime, ctime] = *key;
    text += fmt::format("{} {} {} {} {} {} {}\n", device, inode, size, mtime, ctime, entry->used_s,
                        entry->digest);
  }
  if (auto made = runtime::make_folders(file_.parent_path()); !made) return made;
  return runtime::write_file_atomically(file_, text, 0600);
}

}  // namespace kiln::cli
