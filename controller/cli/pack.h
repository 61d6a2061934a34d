// Where each file that a scene refers to goes in the job's tree. Pure.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/inspection.h"
#include "payloads/http_bodies.h"

namespace kiln::cli {

struct PackedFile {
  std::string path;              // in the manifest
  std::filesystem::path source;  // on this machine
  friend bool operator==(const PackedFile&, const PackedFile&) = default;
};

struct Pack {
  std::filesystem::path root;  // the folder on this machine that the tree mirrors
  std::string scene_file;      // the scene in the tree
  std::vector<PackedFile> files;
  std::vector<payloads::PathMapping> mappings;
};

// The tree mirrors the deepest folder that holds the scene and all that it names by relative paths, directly
// or through libraries, so those stay true unchanged. What is named by an absolute path gets a mapping; what
// lies outside that folder goes to `_outside/<its absolute path>`, where files still stand to each other as
// before. Missing files are left out, and so are unneeded ones that lie outside. `scene` is absolute and
// normal. Errors: invalid, naming a file whose name cannot travel; too_large over max_manifest_files.
Result<Pack> plan_pack(const std::filesystem::path& scene, const std::vector<Reference>& references);

}  // namespace kiln::cli
