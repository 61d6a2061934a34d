// The small texts of a system: files of one line, as the kernel has them, and KEY=value lines.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace kiln::runtime {

// Without the white space at its end; "" where there is none to be read.
std::string first_line(const std::filesystem::path& file);

// What stands after `KEY=` on a line of its own, to the end of it; "" where no line has that key.
std::string value_of(std::string_view text, std::string_view key);

}  // namespace kiln::runtime
