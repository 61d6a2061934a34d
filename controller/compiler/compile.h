// From what a client submits to what the scheduler schedules. Pure; README.md says where this room goes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "payloads/frames.h"
#include "payloads/http_bodies.h"

namespace kiln::compiler {

inline constexpr std::uint32_t max_chunk_frames = 1000;

struct CompiledJob {
  std::string name;
  std::string renderer;  // "blender" | "noop"
  payloads::FrameSet frames;
  std::uint32_t chunk = 1;
  payloads::RenderOptions options;
  std::optional<std::uint32_t> retries = {};
  std::optional<std::uint32_t> fail_pct = {};
};

// Errors: invalid or too_large; the message starts with the field ("frames: …", "options.format: …") and says
// what would be right.
Result<CompiledJob> compile(const payloads::JobSubmission& submission);

// The still-image formats that Blender writes, as its image_settings.file_format names them.
const std::vector<std::string_view>& image_formats();

}  // namespace kiln::compiler
