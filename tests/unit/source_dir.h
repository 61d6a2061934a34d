// Where the project lies, for tests that read its documents.
#pragma once

#include <cstdlib>
#include <filesystem>

namespace kiln::test {

// KILN_SOURCE as ctest sets it; of a test that is started by hand, from the build folder, the compiler's
// word.
inline std::filesystem::path source_dir() {
  if (const char* named = std::getenv("KILN_SOURCE")) return named;
  return std::filesystem::path(__FILE__).parent_path() / "../..";
}

}  // namespace kiln::test
