#include "session/render_request.h"

#include <fmt/format.h>

#include <system_error>

#include "base/text.h"
#include "runtime/files.h"

namespace kiln::session {

namespace fs = std::filesystem;
using payloads::FailureScope;

namespace {

constexpr std::size_t max_path_bytes = 4096;  // PATH_MAX
constexpr std::size_t max_arguments = 4096;
constexpr std::size_t max_overrides = 64;
constexpr std::uint32_t max_samples = 1U << 24U;  // Cycles' own bound

Json texts(const std::vector<std::string>& list) {
  Json out{Json::Array{}};
  for (const auto& one : list) out.push(one);
  return out;
}

void read_border(JsonReader& in, RenderRequest& request) {
  const auto* list = in.array("border", 4);
  if (list == nullptr) return;
  std::array<double, 4> border{};
  bool is_right = list->size() == 4;
  for (std::size_t i = 0; is_right && i < 4; ++i) {
    const auto* number = (*list)[i].as_number();
    is_right = number != nullptr && *number >= 0 && *number <= 1;
    if (is_right) border.at(i) = *number;
  }
  if (!is_right || border[0] >= border[1] || border[2] >= border[3])
    return in.reject("border", "must be X0,X1,Y0,Y1 with 0 <= X0 < X1 <= 1 and 0 <= Y0 < Y1 <= 1");
  request.border = border;
}

void read_count(JsonReader& in, std::string_view key, std::optional<std::uint32_t>& out) {
  if (in.member(key, false) == nullptr) return;
  std::uint32_t count = 0;
  in.optional(key, count, max_samples);
  out = count;
}

void read_texts(JsonReader& in, const Json& json, RenderRequest& request) {
  if (const auto* list = in.array("arguments", max_arguments)) {
    for (const auto& one : *list) {
      const auto* text = one.as_string();
      if (text == nullptr) return in.reject("arguments", "must be a list of texts");
      request.arguments.push_back(*text);
    }
  }
  const auto* set = json.find("set");
  const auto* members = set != nullptr ? set->as_object() : nullptr;
  if (set != nullptr && members == nullptr) return in.reject("set", "must be an object of texts");
  if (members == nullptr) return;
  if (members->size() > max_overrides) return in.reject("set", "has too many members");
  for (const auto& [name, value] : *members) {
    const auto* text = value.as_string();
    if (text == nullptr) return in.reject("set", "must be an object of texts");
    request.overrides[name] = *text;
  }
}

void check(JsonReader& in, const RenderRequest& request) {
  const auto is_absolute = [](const std::string& path) { return path.starts_with('/'); };
  if (!is_absolute(request.output)) in.reject("output", "must be an absolute path");
  if (!request.scene.empty() && !is_absolute(request.scene)) in.reject("scene", "must be an absolute path");
  if (!request.script.empty() && !is_absolute(request.script))
    in.reject("script", "must be an absolute path");
  if (request.script.empty() && request.scene.empty()) in.reject("scene", "is needed");
  if (request.script.empty() && request.frames.empty()) in.reject("frames", "are needed");
  if (request.frames.empty()) return;
  if (auto frames = payloads::FrameSet::parse(request.frames); !frames)
    in.reject("frames", frames.error().message);
}

Json settings_of(const RenderRequest& request) {
  Json out{Json::Object{}};
  if (!request.name.empty()) out.set("name", request.name);
  if (request.border) {
    Json border{Json::Array{}};
    for (const auto one : *request.border) border.push(one);
    out.set("border", std::move(border));
  }
  if (request.samples) out.set("samples", *request.samples);
  if (request.sample_offset) out.set("sample_offset", *request.sample_offset);
  if (!request.overrides.empty()) {
    Json set{Json::Object{}};
    for (const auto& [name, value] : request.overrides) set.set(name, value);
    out.set("set", std::move(set));
  }
  return out;
}

// The scene's place: below the tree that the work brings, or by itself.
void locate(const RenderRequest& request, BlenderWork& work) {
  std::error_code error;
  if (!work.tree.root.empty()) {
    const auto root = fs::weakly_canonical(work.tree.root, error);
    const auto scene = fs::weakly_canonical(request.scene, error).native();
    if (scene.starts_with(root.native() + "/")) {
      work.options.scene_file = scene.substr(root.native().size() + 1);
      return;
    }
  }
  const fs::path scene = request.scene;
  work.tree = {.root = scene.parent_path(), .mappings = {}, .hold = {}};
  work.options.scene_file = scene.filename().string();
  work.identity = identity_of(scene);
}

Step<void> run_script(const RenderRequest& request, Blender& blender, BlenderWork& work) {
  auto done = blender.run_script(work, request.script, request.arguments, request.frames);
  blender.end();  // whatever it left in there is nobody else's
  return done;
}

}  // namespace

std::string encode(const RenderRequest& request) {
  auto out = Json::object({{"scene", request.scene},
                           {"frames", request.frames},
                           {"output", request.output},
                           {"name", request.name},
                           {"format", request.format},
                           {"device", payloads::to_string(request.device)},
                           {"autoexec", request.autoexec},
                           {"script", request.script},
                           {"arguments", texts(request.arguments)}});
  const auto settings = settings_of(request);
  for (const char* key : {"border", "samples", "sample_offset", "set"}) {
    if (const auto* value = settings.find(key)) out.set(key, *value);
  }
  return out.dump();
}

Result<RenderRequest> decode_render_request(std::string_view text) {
  const auto json = Json::parse(text, {.bytes = max_request_bytes, .depth = 4, .values = 16'384});
  if (!json) return fail(Error(json.error()).with("render request"));
  JsonReader in(*json, "render request");
  RenderRequest request;
  std::string device;
  in.optional("scene", request.scene, max_path_bytes);
  in.optional("frames", request.frames, payloads::FrameSet::max_text);
  in.required("output", request.output, max_path_bytes);
  in.optional("name", request.name);
  in.optional("format", request.format);
  in.optional("device", device);
  in.optional("autoexec", request.autoexec);
  in.optional("script", request.script, max_path_bytes);
  if (!device.empty()) {
    const auto known = payloads::parse_device(device);
    if (known) request.device = *known;
    if (!known) in.reject("device", "must be any, cpu or gpu");
  }
  read_border(in, request);
  read_count(in, "samples", request.samples);
  read_count(in, "sample_offset", request.sample_offset);
  read_texts(in, *json, request);
  check(in, request);
  return in.finish(std::move(request));
}

Step<void> carry_out(const RenderRequest& request, Blender& blender, BlenderWork& work) {
  work.options.format = request.format;
  work.options.device = request.device;
  work.options.autoexec = request.autoexec;
  work.settings = settings_of(request);
  work.output = request.output;
  // A part of a picture may well be empty.
  work.looks_for_blank = !request.border;
  if (auto made = output_of(work); !made) {
    return tl::make_unexpected(
        Stop{false, {"scratch-unusable", "making the output folder: " + made.error().message, {}}});
  }
  if (!request.scene.empty()) locate(request, work);
  auto frames = payloads::FrameSet();
  if (!request.frames.empty()) frames = *payloads::FrameSet::parse(request.frames);
  work.frames = frames.size();
  if (request.scene.empty()) blender.end();  // a script without a scene gets a Blender of its own
  if (auto started = blender.ensure_process(work); !started) return started;
  if (!request.scene.empty()) {
    if (auto opened = blender.ensure_scene(work); !opened) return opened;
  }
  if (!request.script.empty()) return run_script(request, blender, work);
  for (std::size_t i = 0; i < frames.size(); ++i) {
    if (work.cancelled()) return tl::make_unexpected(Stop{true, {}});
    if (auto done = blender.render_frame(work, frames.at(i)); !done) return done;
  }
  if (auto synced = blender.sync(work); !synced) return synced;
  blender.note_end(work);
  return {};
}

std::string line_answer(std::string_view line) {
  return Json::object({{"line", to_utf8(line)}}).dump() + "\n";
}

std::string progress_answer(BlenderWork& work) {
  const auto now = work.now();
  return Json::object({{"doing", to_utf8(work.doing)}, {"percent", now ? now->percent : 0}}).dump() + "\n";
}

std::string end_answer(const Step<void>& end) {
  if (end) return Json::object({{"done", true}}).dump() + "\n";
  const auto& why = end.error();
  if (why.cancelled) {
    return Json::object({{"failed", Json::object({{"code", "cancelled"}, {"message", "cancelled"}})}})
               .dump() +
           "\n";
  }
  return Json::object(
             {{"failed",
               Json::object({{"code", why.failure.code},
                             {"message", to_utf8(why.failure.message)},
                             {"scope", why.failure.scope == FailureScope::job ? "job" : "attempt"}})}})
             .dump() +
         "\n";
}

}  // namespace kiln::session
