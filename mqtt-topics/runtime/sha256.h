// SHA-256 (OpenSSL): names of contents.
#pragma once

#include <cstddef>
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
  // "sha256:<64 hex digits>". The object is spent afterwards.
  std::string finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string digest_of(std::string_view bytes);
// `cancelled` is asked once a MiB; when it says true: timeout. Errors: io, not_found, timeout.
Result<std::string> digest_of_file(const std::filesystem::path& path,
                                   const std::function<bool()>& cancelled = {});

// RFC 9530: `sha-256=:<base64>:` to and from "sha256:<hex>". Among several digests the sha-256 one is taken.
std::string to_content_digest(std::string_view digest);
// Errors: invalid, saying what would be right.
Result<std::string> from_content_digest(std::string_view header);

}  // namespace kiln::runtime
