// What a scene refers to, as the Blender on this machine says it (inspect_scene.py).
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kiln::cli {

// One file that the scene names.
struct Reference {
  std::string kind;  // "image", "library", …
  std::string raw;   // as the scene holds it; "//" = relative to `from`'s folder
  std::string path;  // absolute, normal
  std::string from;  // the blend file that holds it
  std::string user;  // who needs it: "image 'wood'"
  bool missing = false;
  bool needed = true;  // false: the picture does not depend on it
  friend bool operator==(const Reference&, const Reference&) = default;
};

struct Inspection {
  std::string blender;     // version that answered
  std::string saved_with;  // version that saved the scene
  std::string scene;
  std::string engine;
  int frame_start = 1, frame_end = 1, frame_step = 1;
  int width = 0, height = 0;
  std::string camera;
  std::string output;  // the scene's output path
  std::string format;  // "PNG"
  bool movie = false;  // the format is a film, not frames
  std::vector<Reference> references;
  std::vector<std::string> problems;  // keep it from rendering
  std::vector<std::string> warnings;  // make a wrong picture
  // "1-24", "1-100x10".
  [[nodiscard]] std::string frames() const;
};

// Errors: invalid.
Result<Inspection> decode_inspection(std::string_view text);

// Runs `blender` on the scene. Its start takes seconds. Errors: not_found when there is no such program;
// timeout; invalid when the scene could not be opened or the answer makes no sense (with Blender's last
// words).
Result<Inspection> inspect(const std::string& blender, const std::filesystem::path& scene,
                           std::chrono::milliseconds timeout);

}  // namespace kiln::cli
