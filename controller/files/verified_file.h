// A file that is written under a temporary name while its digest is computed, and gets its own name only when
// size and digest are what was declared.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"
#include "runtime/files.h"
#include "runtime/sha256.h"

namespace kiln::files {

class VerifiedFile {
 public:
  // Opens `path` for `size` bytes, of which the first `keep` are there already: they are read and hashed, and
  // what lies behind them is cut off. Reserves the space. Errors: full (says how much is needed), io.
  static Result<VerifiedFile> open(const std::filesystem::path& path, std::string digest, std::uint64_t size,
                                   std::uint64_t keep = 0);

  // Appends. Errors: too_large past the declared size; full, io.
  Status write(std::string_view bytes);
  // All is there, is what the digest says, and is on disk. Errors: invalid (too few bytes, or another
  // digest), full, io.
  Status verify();
  // Cuts what lies behind the last whole write, and gives back the space reserved there.
  void release() const;

  [[nodiscard]] std::uint64_t written() const { return written_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] const std::string& digest() const { return digest_; }

 private:
  runtime::Fd fd_;
  runtime::Sha256 hash_;
  std::string digest_;
  std::uint64_t size_ = 0;
  std::uint64_t written_ = 0;
};

}  // namespace kiln::files
