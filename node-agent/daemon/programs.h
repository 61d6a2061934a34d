// What can render here beside Blender: programs that are found in PATH and say their version.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config.h"
#include "payloads/messages.h"

namespace kiln::agent {

// Whether there is such a program: a path, or a name in PATH.
bool is_installed(const std::string& program);

// The first version in a program's words, as in "5.1.9" of "ffmpeg version 5.1.9-0+deb12u1"; "" when it has
// none. Pure.
std::string find_version(std::string_view output);

// The program's name (the last part of a path) and version, from `--version` or else `-version`. A child that
// is given ten seconds and 64 KiB for each.
std::optional<payloads::RendererInfo> detect_program(const std::string& program);

// Looks for Blender and the others, and again for what was not there: an installation needs no restart.
class Programs {
 public:
  explicit Programs(const Config& config);

  // May take seconds. What was found is found for good.
  const std::vector<payloads::RendererInfo>& look();
  [[nodiscard]] const std::vector<payloads::RendererInfo>& found() const { return found_; }
  [[nodiscard]] bool has_blender() const { return has_blender_; }

 private:
  const std::string blender_;
  std::vector<std::string> missing_;  // not installed when last looked for
  std::vector<payloads::RendererInfo> found_;
  bool has_blender_ = false;
};

}  // namespace kiln::agent
