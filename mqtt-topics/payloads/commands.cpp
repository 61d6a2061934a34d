// Commands and their answers.
#include "payloads/codec.h"
#include "payloads/http_bodies.h"
#include "payloads/messages.h"

namespace kiln::payloads {

namespace {

constexpr std::size_t max_op_bytes = 32;

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

void read_attempt(JsonReader& in, std::uint32_t& out) {
  in.required("attempt", out);
  if (in.ok() && out == 0) in.reject("attempt", "attempts count from 1");
}

std::optional<SlotKind> parse_slot_kind(std::string_view text) {
  for (const auto kind : {SlotKind::any, SlotKind::cpu, SlotKind::gpu}) {
    if (text == to_string(kind)) return kind;
  }
  return std::nullopt;
}

void read_template_task(JsonReader& in, TemplateTask& out) {
  read_digest(in, "document", out.document);
  in.required("step", out.step);
  in.required("first", out.first);
  in.optional("count", out.count);
  in.optional("inputs", out.inputs);
  if (in.ok() && out.count == 0) in.reject("count", "at least 1 is expected");
}

void read_run(JsonReader& in, RunTask& out) {
  std::string frames;
  read_task_id(in, "task", out.task);
  read_attempt(in, out.attempt);
  in.required("renderer", out.renderer);
  in.member("frames", out.renderer != "openjd");
  in.optional("frames", frames, FrameSet::max_text);
  if (!in.ok()) return;
  if (!is_id(out.renderer)) return in.reject("renderer", "a renderer's name is expected: blender, noop");
  const bool opens_scene = out.renderer != "noop" && out.renderer != "openjd";
  read_digest(in, "manifest", out.manifest, !opens_scene);
  read_options(in, out.options);
  if (in.ok() && opens_scene && out.options.scene_file.empty()) in.reject("options.scene_file", "missing");
  std::string slot = "any";
  in.optional("slot", slot);
  const auto kind = parse_slot_kind(slot);
  if (in.ok() && !kind) in.reject("slot", "any, cpu or gpu is expected");
  if (kind) out.slot = *kind;
  in.optional("memory_mib", out.memory_mib);
  read_bundle(in, "bundle", out.bundle);
  read_object(in, "template", out.renderer == "openjd", out.of_template, read_template_task);
  if (frames.empty() && !out.of_template.document.empty()) return;
  auto parsed = FrameSet::parse(frames);
  if (!parsed) return in.reject("frames", parsed.error());
  out.frames = std::move(*parsed);
}

void read_cancel(JsonReader& in, CancelTask& out) {
  read_task_id(in, "task", out.task);
  read_attempt(in, out.attempt);
}

void read_update(JsonReader& in, UpdateImage& out) {
  in.required("rollout", out.rollout);
  read_attempt(in, out.attempt);
  read_digest(in, "image", out.image);
  in.required("bytes", out.bytes, max_image_bytes);
  read_name(in, "version", out.version);
  if (in.ok() && out.bytes == 0) in.reject("bytes", "an image has some");
}

}  // namespace

std::string_view to_string(Device device) {
  switch (device) {
    case Device::any:
      return "any";
    case Device::cpu:
      return "cpu";
    case Device::gpu:
      return "gpu";
  }
  return "any";
}
std::string_view to_string(SlotKind kind) {
  switch (kind) {
    case SlotKind::any:
      return "any";
    case SlotKind::cpu:
      return "cpu";
    case SlotKind::gpu:
      return "gpu";
  }
  return "any";
}
std::optional<Device> parse_device(std::string_view text) {
  for (const auto device : {Device::any, Device::cpu, Device::gpu}) {
    if (text == to_string(device)) return device;
  }
  return std::nullopt;
}

Json to_json(const RenderOptions& options) {
  Json json{Json::Object()};
  set_some(json, "scene_file", options.scene_file);
  set_some(json, "format", options.format);
  if (options.autoexec) json.set("autoexec", true);
  if (options.device != Device::any) json.set("device", to_string(options.device));
  if (options.max_run_s != 0) json.set("max_run_s", options.max_run_s);
  if (options.stall_s != 0) json.set("stall_s", options.stall_s);
  return json;
}

void read_options(JsonReader& in, RenderOptions& out) {
  read_object(in, "options", false, out, [](JsonReader& item, RenderOptions& read) {
    item.optional("scene_file", read.scene_file);
    item.optional("format", read.format, max_name_bytes);
    item.optional("autoexec", read.autoexec);
    std::string device = "any";
    item.optional("device", device);
    item.optional("max_run_s", read.max_run_s, max_limit_s);
    item.optional("stall_s", read.stall_s, max_limit_s);
    if (item.ok() && !read.scene_file.empty() && !is_safe_path(read.scene_file)) {
      item.reject("scene_file", "a path inside the manifest is expected, as in scenes/shot.blend");
    }
    const bool is_format =
        read.format.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == std::string::npos;
    if (item.ok() && !is_format)
      item.reject("format", "a Blender image format is expected, as in PNG or OPEN_EXR");
    const auto known = parse_device(device);
    if (item.ok() && !known) item.reject("device", "any, cpu or gpu is expected");
    if (known) read.device = *known;
  });
}

std::string encode(const Command& command) {
  Json json{Json::Object()};
  const auto op = [&](std::string_view name) {
    json.set("op", name);
    json.set("cid", command.cid);
    json.set("epoch", command.epoch);
  };
  std::visit(Overloaded{
                 [&](const RunTask& run) {
                   op("run");
                   json.set("task", run.task.str());
                   json.set("attempt", run.attempt);
                   json.set("renderer", run.renderer);
                   set_some(json, "manifest", run.manifest);
                   if (!run.frames.empty()) json.set("frames", run.frames.str());
                   if (run.slot != SlotKind::any) json.set("slot", to_string(run.slot));
                   if (run.memory_mib != 0) json.set("memory_mib", run.memory_mib);
                   if (!run.bundle.name.empty()) json.set("bundle", to_json(run.bundle));
                   if (const auto& task = run.of_template; !task.document.empty()) {
                     Json points = Json::object(
                         {{"document", task.document}, {"step", task.step}, {"first", task.first}});
                     if (task.count != 1) points.set("count", task.count);
                     if (task.inputs) points.set("inputs", true);
                     json.set("template", std::move(points));
                   }
                   if (run.options != RenderOptions{}) json.set("options", to_json(run.options));
                 },
                 [&](const CancelTask& cancel) {
                   op("cancel");
                   json.set("task", cancel.task.str());
                   json.set("attempt", cancel.attempt);
                 },
                 [&](const Drain&) { op("drain"); },
                 [&](const Resume&) { op("resume"); },
                 [&](const Rebirth&) { op("rebirth"); },
                 [&](const Reboot&) { op("reboot"); },
                 [&](const Sleep&) { op("sleep"); },
                 [&](const UpdateImage& update) {
                   op("update");
                   json.set("rollout", update.rollout);
                   json.set("attempt", update.attempt);
                   json.set("image", update.image);
                   json.set("bytes", update.bytes);
                   json.set("version", name_text(update.version));
                 },
                 [&](const WithdrawUpdate& withdraw) {
                   op("withdraw");
                   json.set("rollout", withdraw.rollout);
                 },
                 [&](const UnknownCommand& unknown) { op(unknown.op); },
             },
             command.op);
  return json.dump();
}

Result<Command> decode_command(std::string_view text) {
  return decode_text<Command>(text, "command", [](JsonReader& in, Command& out) {
    std::string op;
    read_cid(in, out.cid);
    in.required("epoch", out.epoch);
    in.required("op", op, max_op_bytes);
    if (!in.ok()) return;
    if (op == "run") {
      read_run(in, out.op.emplace<RunTask>());
    } else if (op == "cancel") {
      read_cancel(in, out.op.emplace<CancelTask>());
    } else if (op == "drain") {
      out.op = Drain{};
    } else if (op == "resume") {
      out.op = Resume{};
    } else if (op == "rebirth") {
      out.op = Rebirth{};
    } else if (op == "reboot") {
      out.op = Reboot{};
    } else if (op == "sleep") {
      out.op = Sleep{};
    } else if (op == "update") {
      read_update(in, out.op.emplace<UpdateImage>());
    } else if (op == "withdraw") {
      in.required("rollout", out.op.emplace<WithdrawUpdate>().rollout);
    } else {
      out.op = UnknownCommand{op};
    }
  });
}

std::string encode(const Ack& ack) {
  Json json = Json::object({{"cid", ack.cid}, {"ok", ack.ok}});
  set_some(json, "code", ack.code);
  set_some(json, "message", sentence(ack.message));
  return json.dump();
}

Result<Ack> decode_ack(std::string_view text) {
  return decode_text<Ack>(text, "ack", [](JsonReader& in, Ack& out) {
    read_cid(in, out.cid);
    in.required("ok", out.ok);
    in.optional("code", out.code, max_name_bytes);
    in.optional("message", out.message, max_text_bytes);
  });
}

}  // namespace kiln::payloads
