// `openjd check`: whether a file is a valid job or environment template, and everything that is wrong if not.
#pragma once

#include <cstdio>
#include <filesystem>

namespace kiln::openjd {

// 0 and one line on `out` when the template is valid; otherwise 1 and a line a problem on `err`, each
// "FILE: PATH: what is wrong; what is right".
int check_file(const std::filesystem::path& file, std::FILE* out, std::FILE* err);

}  // namespace kiln::openjd
