// Which entries an archive of a renderer may have. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kiln::bundles {

// An archive that is a mistake, or made to fill a disk. Blender 4.2 has 7,000 entries and 1.3 GB.
struct Bounds {
  std::size_t max_entries = 200'000;
  std::uint64_t max_bytes = 32ULL << 30U;
};

enum class Kind : std::uint8_t { folder, file, link, other };

// As the archive says it.
struct Entry {
  std::string path;
  Kind kind = Kind::other;
  std::string link;       // of a link: where it leads
  std::string hard_link;  // of a file: it is that earlier one
  bool is_executable = false;
};

// Judges one archive's entries, in their order. After the first error it is of no use.
class Entries {
 public:
  explicit Entries(Bounds bounds = {}) : bounds_(bounds) {}

  // The entry's path as it is to be written: "./a/b/" becomes "a/b", "" is the archive's own root. Errors:
  // invalid, naming the entry and what is wrong with it; too_large.
  Result<std::string> take(const Entry& entry);
  // So many bytes of it have been read. Errors: too_large.
  Status add_bytes(std::uint64_t count);
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

  // Path of the executable called so that lies nearest to the root. Errors: not_found, saying what there is.
  [[nodiscard]] Result<std::string> program(std::string_view name) const;

 private:
  Status take_parents(const std::string& path);
  const Bounds bounds_;
  std::map<std::string, std::pair<Kind, bool>> seen_;  // path -> kind, executable
  std::uint64_t bytes_ = 0;
};

}  // namespace kiln::bundles
