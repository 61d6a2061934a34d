// The request target, decoded.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "http/head.h"

namespace kiln::http {

struct Target {
  // "/api/v1/jobs/7" has four. Decoded; "/" has none. A last empty segment ("/a/") is kept.
  std::vector<std::string> segments;
  std::vector<std::pair<std::string, std::string>> query;  // decoded, in order
};

// Refuses (400): broken percent-encoding, control characters, text that is no UTF-8, a backslash, '.' or '..'
// as a segment (also with an encoded slash beside it), more than 64 query parameters, a fragment.
tl::expected<Target, Refusal> parse_target(std::string_view target);

// For a URL's path: '/' stays, all but unreserved characters (RFC 3986, 2.3) is percent-encoded.
std::string encode_path(std::string_view path);

}  // namespace kiln::http
