// The page, built into the binary. build.mjs writes the table.
#pragma once

#include <string_view>
#include <vector>

namespace kiln::web {

struct Asset {
  std::string_view path;  // "/index.html"
  std::string_view content_type;
  std::string_view gzip;  // the bytes, gzipped
  std::string_view etag;  // quoted, of the plain bytes
};

const std::vector<Asset>& assets();

}  // namespace kiln::web
