// What can be told of a scene without opening it. Blender crashes on a file of a newer major version, so its
// header is read before Blender sees the file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "payloads/http_bodies.h"

namespace kiln::session {

struct BlenderVersion {
  int major = 0;
  int minor = 0;
  int patch = 0;
  [[nodiscard]] std::string str() const;  // "3.4.1"
  friend auto operator<=>(const BlenderVersion&, const BlenderVersion&) = default;
};

// The version in `blender --version`'s first line ("Blender 4.2.3 LTS"); nullopt when there is none.
std::optional<BlenderVersion> parse_version(std::string_view output);

// The version that saved a file, from its first bytes, uncompressed: `BLENDER-v304…` until 4.x,
// `BLENDER17-01v0500…` since 5.0. nullopt for what is no .blend file. The patch number is not in there.
std::optional<BlenderVersion> parse_blend_header(std::string_view bytes);

// Reads the header of a plain, gzip or Zstandard .blend file. Errors: not_found; io; invalid when it is no
// .blend file or ends before its header does.
Result<BlenderVersion> read_blend_header(const std::filesystem::path& path);

struct SceneCheck {
  std::optional<payloads::Failure> failure;  // missing-scene, bad-scene, newer-blender
  std::string warning;                       // saved by a newer minor version: opens, may lose something
};
SceneCheck check_scene(const std::filesystem::path& path, const BlenderVersion& blender);

}  // namespace kiln::session
