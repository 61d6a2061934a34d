// What `kiln-resident` asks a Blender for, and how: one JSON line over a unix socket, answered by lines until
// one of them is the end.
//
//   {"line": "…"}                                        of the log
//   {"doing": "rendering frame 7", "percent": 12.5}      how far it is
//   {"failed": {"code", "message", "scope"}}             the end
//   {"done": true}                                       the end
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "payloads/frames.h"
#include "payloads/messages.h"
#include "session/blender.h"
#include "session/stop.h"

namespace kiln::session {

constexpr std::size_t max_request_bytes = 1024UL * 1024;
constexpr std::string_view socket_variable = "KILN_RESIDENT_SOCKET";

struct RenderRequest {
  std::string scene;   // absolute; "" with a script: an empty scene
  std::string frames;  // as FrameSet has it; "" with a script: none
  std::string output;  // absolute; what is rendered lies below it
  std::string name;  // of the pictures below the output, without extension ("tile_####"); "": the scene's own
  std::string format;
  payloads::Device device = payloads::Device::any;
  bool autoexec = false;
  std::optional<std::array<double, 4>> border;  // x0, x1, y0, y1 of the picture, 0 to 1 from its lower left
  std::optional<std::uint32_t> samples;
  std::optional<std::uint32_t> sample_offset;
  std::map<std::string, std::string> overrides;  // resident/kiln_resident.py lists the names
  std::string script;                            // absolute; runs in place of rendering
  std::vector<std::string> arguments;            // of the script

  friend bool operator==(const RenderRequest&, const RenderRequest&) = default;
};

std::string encode(const RenderRequest& request);
// Errors: invalid, saying what would be right; too_large.
Result<RenderRequest> decode_render_request(std::string_view text);

// Has it done by that Blender: process, scene, every frame, its checks, its sync. `work` has the listeners,
// wakes, limits and, where the scene lies in a job's files, the tree and its identity; the rest is filled in
// from the request.
Step<void> carry_out(const RenderRequest& request, Blender& blender, BlenderWork& work);

// An answer as it crosses the socket, with its line end.
std::string line_answer(std::string_view line);
std::string progress_answer(BlenderWork& work);
std::string end_answer(const Step<void>& end);

}  // namespace kiln::session
