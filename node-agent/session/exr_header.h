// Walks the attributes of an OpenEXR header (OpenEXR's file layout: name, type, size, value).
#pragma once

#include <cstdint>
#include <string_view>

#include "session/bytes.h"

namespace kiln::session {

// Calls on_attribute(name, place of its value, size) for each attribute from `at` on, which is past the
// header's closing null on return. Numbers are read through `in`, whose ran_out() tells of a header without
// an end. false: cut off within an attribute.
template <class OnAttribute>
bool walk_exr_header(Bytes& in, std::string_view all, std::uint64_t& at, const OnAttribute& on_attribute) {
  while (in.u8(at) != 0) {
    const auto name_end = all.find('\0', at);
    if (name_end == std::string_view::npos) return false;
    const auto type_end = all.find('\0', name_end + 1);
    if (type_end == std::string_view::npos) return false;
    const auto size = in.u32(type_end + 1);
    const std::uint64_t value = type_end + 5;
    if (!in.has(value, size)) return false;
    on_attribute(all.substr(at, name_end - at), value, size);
    at = value + size;
  }
  ++at;
  return true;
}

}  // namespace kiln::session
