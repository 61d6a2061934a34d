// The version of this build, as CMakeLists.txt names it.
#pragma once

#include <string_view>

namespace kiln {

extern const std::string_view version;  // "0.1.0"

}  // namespace kiln
