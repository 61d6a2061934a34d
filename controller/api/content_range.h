// The Content-Range of an upload.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace kiln::api {

struct UploadRange {
  std::uint64_t first = 0;
  std::uint64_t length = 0;
  std::uint64_t total = 0;
};
// "bytes a-b/total". Errors: invalid.
Result<UploadRange> parse_content_range(std::string_view field);

}  // namespace kiln::api
