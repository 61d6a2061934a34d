#include "runtime/facts.h"

#include <algorithm>

#include "runtime/files.h"

namespace kiln::runtime {

namespace {

constexpr std::size_t max_line_bytes = 4096;

}  // namespace

std::string first_line(const std::filesystem::path& file) {
  auto text = read_file(file, max_line_bytes).value_or("");
  text.resize(std::min(text.find('\n'), text.size()));
  text.resize(text.find_last_not_of(" \t\r") + 1);
  return text;
}

std::string value_of(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.starts_with(key) && line.substr(key.size()).starts_with('='))
      return std::string(line.substr(key.size() + 1));
  }
  return {};
}

}  // namespace kiln::runtime
