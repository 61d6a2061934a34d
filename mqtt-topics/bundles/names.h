// What an archive of a renderer is called. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace kiln::bundles {

struct Name {
  std::string name;     // "blender"
  std::string version;  // "4.2.1"
  // "blender-4.2.1": what jobs name.
  [[nodiscard]] std::string str() const { return name + '-' + version; }
};

// From a file's name, as Blender's makers choose it: "blender-4.2.1-linux-x64.tar.xz". Errors: invalid where
// it tells no name and version, and where it says that the build is for another system.
Result<Name> name_of_file(std::string_view file);

// Errors: invalid, saying what would be right.
Status check_name(const Name& name);

}  // namespace kiln::bundles
