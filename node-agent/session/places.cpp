#include "session/places.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <system_error>

namespace kiln::session {

namespace fs = std::filesystem;

namespace {

bool has_drive(std::string_view path) {
  return path.size() > 1 && std::isalpha(static_cast<unsigned char>(path[0])) != 0 && path[1] == ':';
}

bool is_windows(std::string_view path) {
  return has_drive(path) || path.starts_with("\\\\");
}

bool is_absolute(std::string_view path) {
  return path.starts_with('/') || is_windows(path);
}

// "/mnt/show/a" and "C:\show\a" as paths that can lie below a folder.
std::string without_root(std::string path) {
  if (is_windows(path)) {
    if (has_drive(path)) path.erase(0, 2);
    std::replace(path.begin(), path.end(), '\\', '/');
  }
  path.erase(0, std::min(path.find_first_not_of('/'), path.size()));
  return path;
}

// "" for the folder itself.
Result<std::string> inside(const openjd::ParameterValue& parameter, const std::string& value) {
  auto clean = fs::path(value).lexically_normal();
  if (!clean.empty() && *clean.begin() == "..") {
    return fail(Code::invalid, fmt::format("parameter {}: '{}' leads out of the job's folder; write a path "
                                           "without '..'",
                                           parameter.name, parameter.value));
  }
  if (clean == ".") return std::string();
  auto text = clean.native();
  if (text.ends_with('/')) text.pop_back();
  return text;
}

std::string below(const fs::path& folder, const std::string& relative) {
  return relative.empty() ? folder.native() : (folder / relative).native();
}

}  // namespace

Result<Place> place_of(const openjd::ParameterValue& parameter, const Places& places,
                       const actions::PathMapping& mapping) {
  Place out;
  if (parameter.data_flow == "OUT" || parameter.data_flow == "INOUT") {
    const auto relative = inside(parameter, without_root(parameter.value));
    if (!relative) return fail(relative.error());
    out.path = below(places.output, *relative);
    out.folder = parameter.object_type == "FILE" && !relative->empty() ? fs::path(out.path).parent_path()
                                                                       : fs::path(out.path);
    return out;
  }
  if (parameter.value.empty()) return out;
  if (is_absolute(parameter.value) || places.tree.empty()) {
    out.path = mapping.apply(parameter.value);
    return out;
  }
  const auto relative = inside(parameter, parameter.value);
  if (!relative) return fail(relative.error());
  out.path = below(places.tree, *relative);
  return out;
}

bool is_missing(const openjd::ParameterValue& parameter, const Place& place, const Places& places) {
  if (parameter.data_flow != "IN" || parameter.value.empty()) return false;
  if (places.tree.empty() || is_absolute(parameter.value)) return false;
  std::error_code error;
  return !fs::exists(place.path, error);
}

Result<actions::PathMapping> mapping_of(const fs::path& root,
                                        const std::vector<payloads::PathMapping>& mappings) {
  std::map<std::string, std::string> rules;
  for (const auto& one : mappings) {
    auto from = one.from;
    const char slash = is_windows(from) ? '\\' : '/';
    if (is_windows(from)) std::replace(from.begin(), from.end(), '/', '\\');
    fs::path to = one.to;
    rules.emplace(from, (root / to).native());
    // Upwards while both sides agree on the name: the file's, then each folder's.
    for (;;) {
      const auto cut = from.rfind(slash);
      if (cut == std::string::npos || from.substr(cut + 1) != to.filename().native()) break;
      from.erase(cut);
      to = to.parent_path();
      const auto name = from.rfind(slash);
      if (name == std::string::npos || to.empty() || from.substr(name + 1) != to.filename().native()) break;
      if (!rules.emplace(from, (root / to).native()).second) break;  // known, and all above it
    }
  }
  std::vector<actions::PathRule> list;
  list.reserve(rules.size());
  for (auto& [from, to] : rules) {
    const auto format = is_windows(from) ? actions::PathFormat::windows : actions::PathFormat::posix;
    list.push_back({format, from, to});
  }
  return actions::PathMapping::create(std::move(list));
}

}  // namespace kiln::session
