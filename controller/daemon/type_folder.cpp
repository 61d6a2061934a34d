#include "daemon/type_folder.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "runtime/files.h"

namespace kiln::controller {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t max_types = 200;  // more is some other folder

compiler::JobType read_type(const fs::path& file) {
  compiler::JobType type;
  type.name = to_utf8(file.stem().string());
  type.text.is_json = file.extension() == ".json";
  if (auto named = compiler::check_type_name(type.name); !named) {
    type.error = named.error().message;
    return type;
  }
  std::error_code error;
  if (const auto size = fs::file_size(file, error); !error && size > payloads::max_template_bytes) {
    type.error = fmt::format("{} bytes; a template may have {}", size, payloads::max_template_bytes);
    return type;
  }
  auto text = runtime::read_file(file, payloads::max_template_bytes);
  if (text)
    type.text.text = std::move(*text);
  else
    type.error = text.error().message;
  return type;
}

}  // namespace

std::vector<compiler::JobType> read_types(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const auto extension = at->path().extension();
    std::error_code unreadable;
    const bool is_type = extension == ".yaml" || extension == ".yml" || extension == ".json";
    if (is_type && at->is_regular_file(unreadable)) files.push_back(at->path());
  }
  std::sort(files.begin(), files.end());
  if (files.size() > max_types) files.resize(max_types);
  std::vector<compiler::JobType> types;
  types.reserve(files.size());
  for (const auto& file : files) types.push_back(read_type(file));
  return types;
}

}  // namespace kiln::controller
