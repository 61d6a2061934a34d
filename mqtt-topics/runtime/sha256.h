// SHA-256, Kiln's name for content, and its two spellings: "sha256:<64 hex>" among us and
// "sha-256=:<base64>:" in an HTTP Content-Digest (RFC 9530).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kiln::runtime {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::string_view bytes);
  // "sha256:<hex>" of all since construction or the last finish(); starts anew.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string digest_of(std::string_view bytes);

// Reads the file in pieces; asks `cancelled` (may be empty) between them. Errors: not_found, denied, io;
// timeout when cancelled.
Result<std::string> digest_of_file(const std::filesystem::path& path,
                                   const std::function<bool()>& cancelled = {});

// "sha256:<hex>" -> "sha-256=:<base64>:". The digest is valid (is_digest).
std::string to_content_digest(std::string_view digest);
// The sha-256 member of a Content-Digest header as "sha256:<hex>"; other algorithms beside it are ignored.
// Errors: invalid.
Result<std::string> from_content_digest(std::string_view header);

}  // namespace kiln::runtime
