// Digests of files, remembered: a scene's textures are hashed once, not at every submission.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <tuple>

#include "base/result.h"

namespace kiln::cli {

// A file whose device, inode, size and times are as before has the content as before. The change time is one
// of them: a content put back in under an old modification time is still noticed.
class DigestCache {
 public:
  // file: where they are kept ("<device> <inode> <size> <mtime_ns> <ctime_ns> <used_s> <digest>" a line);
  // what cannot be read there is forgotten.
  explicit DigestCache(std::filesystem::path file);

  struct Digest {
    std::string digest;
    std::uint64_t size = 0;
  };
  // Errors: not_found, io, timeout when cancelled, conflict when the file changes while it is read.
  Result<Digest> digest(const std::filesystem::path& file, const std::function<bool()>& cancelled);
  // Writes what was learned; keeps the 100,000 used last. Errors: io, full.
  Status save() const;

 private:
  using Key = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::int64_t, std::int64_t>;
  struct Entry {
    std::string digest;
    std::int64_t used_s = 0;
  };
  std::filesystem::path file_;
  std::map<Key, Entry> entries_;
  bool is_changed_ = false;
};

}  // namespace kiln::cli
