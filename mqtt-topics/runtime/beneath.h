// A folder that somebody else writes to, who is not trusted: what is named below it is reached without
// following a link, whatever they put in the way while we look.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/fd.h"

namespace kiln::runtime {

class Beneath {
 public:
  // The folders above it are trusted, itself is not: a link in its place is refused. Errors: not_found,
  // denied for a link, io.
  static Result<Beneath> open(const std::filesystem::path& folder);

  // Paths are relative, without "..", or refused as invalid; "" is the folder itself.
  // A folder below. Errors: not_found, denied for a link.
  [[nodiscard]] Result<Beneath> folder(const std::filesystem::path& path) const;
  // The same, made where it is not there.
  [[nodiscard]] Result<Beneath> make_folders(const std::filesystem::path& path) const;
  // Every regular file, by its path, sorted; folders that their owner closed are opened. Errors: io.
  [[nodiscard]] Result<std::vector<std::string>> files() const;
  // Moves a regular file to a name in `to`, in place of a file that is there; by copying between file
  // systems. Errors: invalid when it is no regular file, and then it is nowhere; not_found, full, io.
  [[nodiscard]] Status move_file(const std::filesystem::path& path, const Beneath& to,
                                 const std::string& name) const;
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  explicit Beneath(Fd fd) : fd_(std::move(fd)) {}
  [[nodiscard]] Result<Beneath> walk(const std::filesystem::path& path, bool makes) const;
  Fd fd_;
};

}  // namespace kiln::runtime
