// Conditional and partial requests (RFC 9110, 13 and 14), as pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kiln::http {

struct ByteRange {
  enum class Kind : std::uint8_t {
    whole,          // no range, several, or none that is understood: the whole file
    part,           // [first, first + length)
    unsatisfiable,  // 416
  };
  Kind kind = Kind::whole;
  std::uint64_t first = 0;
  std::uint64_t length = 0;
};

// `range`: the field's value; one range of bytes is honoured.
ByteRange parse_range(std::string_view range, std::uint64_t size);

// True when If-None-Match names the etag (weak comparison) or is "*".
bool names_etag(std::string_view if_none_match, std::string_view etag);

}  // namespace kiln::http
