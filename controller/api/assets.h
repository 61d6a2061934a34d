// The page's files, as an interface: the daemon implements it with what the web room built into the binary.
#pragma once

#include <optional>
#include <string_view>

namespace kiln::api {

struct Asset {
  std::string_view bytes;  // outlive the program's threads
  std::string_view content_type;
  bool is_gzip = false;
  std::string_view etag;  // quoted
};

class Assets {
 public:
  virtual ~Assets() = default;
  // `path`: "/index.html". Thread-safe.
  [[nodiscard]] virtual std::optional<Asset> find(std::string_view path) const = 0;
};

}  // namespace kiln::api
