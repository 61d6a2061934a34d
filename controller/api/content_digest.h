// The Content-Digest field (RFC 9530) and the Content-Range of an upload, as pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kiln::api {

// "sha-256=:<base64>:" (other algorithms beside it are passed over) as "sha256:<hex>". Errors: invalid.
Result<std::string> parse_content_digest(std::string_view field);

struct UploadRange {
  std::uint64_t first = 0;
  std::uint64_t length = 0;
  std::uint64_t total = 0;
};
// "bytes a-b/total". Errors: invalid.
Result<UploadRange> parse_content_range(std::string_view field);

}  // namespace kiln::api
