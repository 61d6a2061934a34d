#include "cli/pack.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"

namespace kiln::cli {

namespace fs = std::filesystem;

namespace {

bool is_relative(const Reference& reference) {
  return reference.raw.starts_with("//");
}

bool lies_below(const fs::path& path, const fs::path& folder) {
  const auto [in_folder, in_path] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  // A folder written with a trailing slash ends in an empty name.
  return in_folder == folder.end() || (in_folder->empty() && std::next(in_folder) == folder.end());
}

fs::path common_folder(fs::path folder, const fs::path& path) {
  while (!lies_below(path, folder)) folder = folder.parent_path();
  return folder;
}

// Grows the root until the scene, and every library in it, finds below it what it names relatively.
fs::path root_of(const fs::path& scene, const std::vector<Reference>& references) {
  fs::path root = scene.parent_path();
  for (bool grew = true; grew;) {
    grew = false;
    for (const auto& reference : references) {
      if (!reference.needed || reference.missing || !is_relative(reference)) continue;
      if (!lies_below(reference.from, root) || lies_below(reference.path, root)) continue;
      root = common_folder(root, reference.path);
      grew = true;
    }
  }
  return root;
}

// The folder for what lies outside: a name that the root's own files do not use.
std::string outside_folder(const fs::path& root, const std::vector<Reference>& references) {
  std::string name = "_outside";
  const auto is_taken = [&](const Reference& reference) {
    return lies_below(reference.path, root) &&
           *fs::path(reference.path).lexically_relative(root).begin() == fs::path(name);
  };
  while (std::any_of(references.begin(), references.end(), is_taken)) name += '_';
  return name;
}

}  // namespace

Result<Pack> plan_pack(const fs::path& scene, const std::vector<Reference>& references) {
  KILN_ASSERT(scene.is_absolute());
  Pack pack;
  pack.root = root_of(scene, references);
  const std::string outside = outside_folder(pack.root, references);
  const auto inside = [&](const fs::path& path) {
    return path.lexically_relative(pack.root).generic_string();
  };
  pack.scene_file = inside(scene);

  std::map<std::string, fs::path> files{{pack.scene_file, scene}};
  std::map<std::string, std::string> mappings;
  for (const auto& reference : references) {
    const fs::path path = reference.path;
    const bool is_inside = lies_below(path, pack.root);
    if (reference.missing || !path.is_absolute() || (!reference.needed && !is_inside)) continue;
    // A file outside looks for its own neighbours outside, even for those that the root has too.
    const bool from_inside = lies_below(reference.from, pack.root);
    const bool goes_inside = is_inside && (from_inside || !is_relative(reference));
    const std::string to = goes_inside ? inside(path) : outside + path.generic_string();
    if (!payloads::is_safe_path(to) || !is_one_line(reference.raw)) {
      return fail(Code::invalid,
                  fmt::format("{} names '{}', which cannot travel: rename it without backslashes and "
                              "control characters, in UTF-8 and at most 1000 bytes",
                              reference.user, to_utf8(reference.path)));
    }
    files.emplace(to, path);
    if (!is_relative(reference)) mappings.emplace(reference.raw, to);
  }
  if (!payloads::is_safe_path(pack.scene_file)) {
    return fail(Code::invalid, fmt::format("'{}' cannot travel: rename it without backslashes and control "
                                           "characters, in UTF-8 and at most 1000 bytes",
                                           to_utf8(scene.string())));
  }
  if (files.size() > payloads::max_manifest_files) {
    return fail(Code::too_large, fmt::format("the scene refers to {} files; a job holds {}", files.size(),
                                             payloads::max_manifest_files));
  }
  for (auto& [path, source] : files) pack.files.push_back({path, std::move(source)});
  for (auto& [from, to] : mappings) pack.mappings.push_back({from, std::move(to)});
  return pack;
}

}  // namespace kiln::cli
