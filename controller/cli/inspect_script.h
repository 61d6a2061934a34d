// inspect_scene.py, embedded at build time.
#pragma once

#include <string_view>

namespace kiln::cli {

std::string_view inspect_script();

}  // namespace kiln::cli
