#include "payloads/messages.h"

#include <algorithm>

#include "payloads/codec.h"
#include "payloads/http_bodies.h"

namespace kiln::payloads {

// ---- what codec.h promises ------------------------------------------------------------------------------

namespace {

constexpr std::size_t short_digest_digits = 8;
constexpr std::string_view bundle_name_form =
    "a renderer's name and version are expected, as in blender-4.2.1: small letters, digits, '.' and '-'";

bool is_cid(std::string_view text) {
  return !text.empty() && text.size() <= max_cid_bytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

}  // namespace

void read_task_id(JsonReader& in, std::string_view key, TaskId& out) {
  std::string text;
  in.required(key, text);
  if (!in.ok()) return;
  auto id = TaskId::parse(text);
  if (!id) return in.reject(key, id.error());
  out = std::move(*id);
}

void read_cid(JsonReader& in, std::string& out) {
  in.required("cid", out);
  if (in.ok() && !is_cid(out)) {
    in.reject("cid", fmt::format("1 to {} printable characters without spaces are expected", max_cid_bytes));
  }
}

void read_digest(JsonReader& in, std::string_view key, std::string& out, bool may_be_empty) {
  may_be_empty ? in.optional(key, out) : in.required(key, out);
  if (in.ok() && !is_digest(out) && !(may_be_empty && out.empty())) {
    in.reject(key, "'sha256:' and 64 lower-case hex digits are expected");
  }
}

void read_name(JsonReader& in, std::string_view key, std::string& out) {
  in.optional(key, out, max_name_bytes);
  if (in.ok() && !is_one_line(out)) in.reject(key, "one line without control characters is expected");
}

void read_tags(JsonReader& in, std::vector<std::string>& out) {
  read_strings(in, "tags", max_tags, max_name_bytes, out);
  if (in.ok() && !std::all_of(out.begin(), out.end(), [](const auto& tag) { return is_id(tag); }))
    in.reject("tags", "each is expected to be 1 to 32 of a-z, 0-9 and -");
}

void read_amount(JsonReader& in, std::string_view key, double& out) {
  in.optional(key, out);
  if (in.ok() && out < 0) in.reject(key, fmt::format("{} is below 0", out));
}
void read_amount(JsonReader& in, std::string_view key, std::optional<double>& out) {
  in.optional(key, out);
  if (in.ok() && out && *out < 0) in.reject(key, fmt::format("{} is below 0", *out));
}

void read_percent(JsonReader& in, double& out) {
  in.optional("percent", out);
  if (in.ok() && (out < 0 || out > 100)) in.reject("percent", fmt::format("{} is not from 0 to 100", out));
}

// ---- controller -----------------------------------------------------------------------------------------

std::string encode(const ControllerStatus& status) {
  Json json = Json::object({{"state", status.online ? "online" : "offline"}, {"epoch", status.epoch}});
  set_some(json, "version", name_text(status.version));
  set_some(json, "url", status.url);
  set_some(json, "farm", status.farm);
  return json.dump();
}

Result<ControllerStatus> decode_controller_status(std::string_view text) {
  return decode_text<ControllerStatus>(text, "controller status", [](JsonReader& in, ControllerStatus& out) {
    std::string state;
    in.required("state", state);
    in.required("epoch", out.epoch);
    read_name(in, "version", out.version);
    in.optional("url", out.url);
    in.optional("farm", out.farm, max_name_bytes);
    out.online = state == "online";
    if (!out.online && state != "offline") in.reject("state", "online or offline is expected");
  });
}

Json to_json(const ControllerSummary& summary) {
  return Json::object({{"nodes_online", summary.nodes_online},
                       {"nodes_pending", summary.nodes_pending},
                       {"slots", summary.slots},
                       {"slots_busy", summary.slots_busy},
                       {"tasks_queued", summary.tasks_queued},
                       {"tasks_running", summary.tasks_running},
                       {"tasks_failed", summary.tasks_failed},
                       {"jobs_active", summary.jobs_active}});
}
std::string encode(const ControllerSummary& summary) {
  return to_json(summary).dump();
}

Result<ControllerSummary> decode_controller_summary(std::string_view text) {
  return decode_text<ControllerSummary>(text, "controller summary",
                                        [](JsonReader& in, ControllerSummary& out) {
                                          in.required("nodes_online", out.nodes_online);
                                          in.optional("nodes_pending", out.nodes_pending);
                                          in.required("slots", out.slots);
                                          in.required("slots_busy", out.slots_busy);
                                          in.required("tasks_queued", out.tasks_queued);
                                          in.required("tasks_running", out.tasks_running);
                                          in.required("tasks_failed", out.tasks_failed);
                                          in.required("jobs_active", out.jobs_active);
                                        });
}

// ---- nodes ----------------------------------------------------------------------------------------------

std::string_view to_string(NodeState state) {
  switch (state) {
    case NodeState::online:
      return "online";
    case NodeState::draining:
      return "draining";
    case NodeState::offline:
      return "offline";
  }
  return "offline";
}

std::string_view to_string(TaskPhase phase) {
  switch (phase) {
    case TaskPhase::queued:
      return "queued";
    case TaskPhase::fetching:
      return "fetching";
    case TaskPhase::rendering:
      return "rendering";
    case TaskPhase::delivering:
      return "delivering";
  }
  return "queued";
}

std::string encode(const NodeStatus& status) {
  return Json::object({{"state", to_string(status.state)}, {"sid", status.sid}}).dump();
}

Result<NodeStatus> decode_node_status(std::string_view text) {
  return decode_text<NodeStatus>(text, "node status", [](JsonReader& in, NodeStatus& out) {
    std::string state;
    in.required("state", state);
    in.required("sid", out.sid);
    for (const auto known : {NodeState::online, NodeState::draining, NodeState::offline}) {
      if (state == to_string(known)) {
        out.state = known;
        return;
      }
    }
    in.reject("state", "online, draining or offline is expected");
  });
}

Json to_json(const NodeInfo& info) {
  Json renderers{Json::Array()};
  for (const auto& renderer : info.renderers) {
    renderers.push(
        Json::object({{"name", name_text(renderer.name)}, {"version", name_text(renderer.version)}}));
  }
  Json gpus{Json::Array()};
  for (const auto& gpu : info.gpus) {
    Json json = Json::object(
        {{"index", gpu.index}, {"name", name_text(gpu.name)}, {"vendor", name_text(gpu.vendor)}});
    set_some(json, "uuid", name_text(gpu.uuid));
    json.set("memory_mib", gpu.memory_mib);
    set_some(json, "driver", name_text(gpu.driver));
    gpus.push(std::move(json));
  }
  Json json = Json::object({{"sid", info.sid},
                            {"name", name_text(info.name)},
                            {"os", name_text(info.os)},
                            {"agent_version", name_text(info.agent_version)},
                            {"cpu", name_text(info.cpu)},
                            {"cores", info.cores},
                            {"memory_mib", info.memory_mib},
                            {"slots", info.slots},
                            {"renderers", std::move(renderers)},
                            {"gpus", std::move(gpus)}});
  if (info.gpu_slots != 0) json.set("gpu_slots", info.gpu_slots);
  if (!info.tags.empty()) json.set("tags", Json(Json::Array(info.tags.begin(), info.tags.end())));
  set_some(json, "mac", info.mac);
  if (!info.bundles.empty()) {
    Json bundles{Json::Array()};
    for (const auto& bundle : info.bundles) {
      Json one = Json::object({{"name", bundle.name}, {"digest", bundle.digest}});
      if (bundle.fetching) one.set("fetching", true);
      bundles.push(std::move(one));
    }
    json.set("bundles", std::move(bundles));
  }
  if (info.bundles_max_mib != 0) json.set("bundles_max_mib", info.bundles_max_mib);
  return json;
}
std::string encode(const NodeInfo& info) {
  return to_json(info).dump();
}

Result<NodeInfo> decode_node_info(std::string_view text) {
  return decode_text<NodeInfo>(text, "node info", [](JsonReader& in, NodeInfo& out) {
    in.required("sid", out.sid);
    read_name(in, "name", out.name);
    read_name(in, "os", out.os);
    read_name(in, "agent_version", out.agent_version);
    read_name(in, "cpu", out.cpu);
    in.optional("cores", out.cores);
    in.optional("memory_mib", out.memory_mib);
    in.required("slots", out.slots, max_slots);
    in.optional("gpu_slots", out.gpu_slots, max_gpus);
    if (in.ok() && out.gpu_slots > out.slots) in.reject("gpu_slots", "at most as many as slots are expected");
    read_tags(in, out.tags);
    in.optional("mac", out.mac, max_name_bytes);
    read_items(in, "renderers", max_renderers, out.renderers, [](JsonReader& item, RendererInfo& renderer) {
      item.member("name", true);
      read_name(item, "name", renderer.name);
      read_name(item, "version", renderer.version);
    });
    read_items(in, "gpus", max_gpus, out.gpus, [](JsonReader& item, GpuInfo& gpu) {
      item.required("index", gpu.index, max_gpu_index);
      read_name(item, "name", gpu.name);
      read_name(item, "vendor", gpu.vendor);
      read_name(item, "uuid", gpu.uuid);
      item.optional("memory_mib", gpu.memory_mib);
      read_name(item, "driver", gpu.driver);
    });
    read_items(in, "bundles", max_bundles, out.bundles, [](JsonReader& item, HeldBundle& bundle) {
      item.required("name", bundle.name);
      item.required("digest", bundle.digest);
      item.optional("fetching", bundle.fetching);
      if (item.ok() && !is_bundle_name(bundle.name)) item.reject("name", bundle_name_form);
      const bool is_short = bundle.digest.size() == short_digest_digits &&
                            bundle.digest.find_first_not_of("0123456789abcdef") == std::string::npos;
      if (item.ok() && !is_short) item.reject("digest", "8 hex digits are expected");
    });
    in.optional("bundles_max_mib", out.bundles_max_mib);
  });
}

// ---- renderers that nodes fetch -------------------------------------------------------------------------

bool is_bundle_name(std::string_view text) {
  const auto is_plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= max_bundle_name_bytes && text.front() >= 'a' &&
         text.front() <= 'z' && text.find("..") == std::string_view::npos &&
         text.find('-') != std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [&](char c) { return is_plain(c) || c == '.' || c == '-'; });
}

std::string short_digest(std::string_view digest) {
  const auto hex = digest.substr(std::min(digest.find(':') + 1, digest.size()));
  return std::string(hex.substr(0, short_digest_digits));
}

Json to_json(const Bundle& bundle) {
  return Json::object({{"name", bundle.name},
                       {"version", bundle.version},
                       {"digest", bundle.digest},
                       {"size", bundle.size},
                       {"unpacked_bytes", bundle.unpacked_bytes},
                       {"program", bundle.program}});
}

void read_bundle(JsonReader& in, std::string_view key, Bundle& out) {
  read_object(in, key, false, out, [](JsonReader& item, Bundle& bundle) {
    item.required("name", bundle.name);
    item.required("version", bundle.version, max_name_bytes);
    read_digest(item, "digest", bundle.digest);
    item.required("size", bundle.size);
    item.required("unpacked_bytes", bundle.unpacked_bytes);
    item.required("program", bundle.program, max_text_bytes);
    if (item.ok() && !is_bundle_name(bundle.name)) item.reject("name", bundle_name_form);
    if (item.ok() && !is_safe_path(bundle.program))
      item.reject("program", "a path inside the archive is expected");
  });
}

Json to_json(const HeldTask& task) {
  Json json =
      Json::object({{"task", task.task.str()}, {"attempt", task.attempt}, {"state", to_string(task.phase)}});
  if (task.slot >= 0) json.set("slot", task.slot);
  json.set("frame", task.frame);
  json.set("percent", tenths(task.percent));
  set_some(json, "eta_s", tenths(task.eta_s));
  return json;
}

std::string encode(const NodeTasks& tasks) {
  Json run{Json::Array()};
  const auto listed = std::min(tasks.run.size(), max_tasks_listed);
  for (std::size_t i = 0; i < listed; ++i) run.push(to_json(tasks.run[i]));
  Json json = Json::object({{"sid", tasks.sid}, {"seq", tasks.seq}, {"run", std::move(run)}});
  if (tasks.warm.empty()) return json.dump();
  Json with_warm = json;
  Json warm{Json::Array()};
  for (const auto& manifest : tasks.warm) warm.push(manifest);
  with_warm.set("warm", std::move(warm));
  auto text = with_warm.dump();
  return text.size() <= max_message_bytes ? text : json.dump();
}

Result<NodeTasks> decode_node_tasks(std::string_view text) {
  return decode_text<NodeTasks>(text, "node tasks", [](JsonReader& in, NodeTasks& out) {
    in.required("sid", out.sid);
    in.required("seq", out.seq);
    in.member("run", true);
    read_items(in, "run", max_tasks_listed, out.run, [](JsonReader& item, HeldTask& task) {
      std::string state;
      read_task_id(item, "task", task.task);
      item.required("attempt", task.attempt);
      item.required("state", state);
      item.optional("slot", task.slot, -1, static_cast<int>(max_slots) - 1);
      item.optional("frame", task.frame, -FrameSet::max_frame, FrameSet::max_frame);
      read_percent(item, task.percent);
      read_amount(item, "eta_s", task.eta_s);
      for (const auto known :
           {TaskPhase::queued, TaskPhase::fetching, TaskPhase::rendering, TaskPhase::delivering}) {
        if (state == to_string(known)) {
          task.phase = known;
          return;
        }
      }
      item.reject("state", "queued, fetching, rendering or delivering is expected");
    });
    constexpr std::size_t digest_bytes = 71;
    read_strings(in, "warm", max_slots, digest_bytes, out.warm);
    for (const auto& manifest : out.warm) {
      if (!manifest.empty() && !is_digest(manifest))
        in.reject("warm", "digests or empty strings are expected");
    }
  });
}

Json to_json(const GpuTelemetry& gpu) {
  Json json{Json::Object()};
  set_some(json, "temp_c", tenths(gpu.temp_c));
  set_some(json, "util_pct", tenths(gpu.util_pct));
  set_some(json, "power_w", tenths(gpu.power_w));
  set_some(json, "mem_mib", tenths(gpu.mem_mib));
  set_some(json, "fan_pct", tenths(gpu.fan_pct));
  json.set("ts", gpu.ts);
  return json;
}
std::string encode(const GpuTelemetry& gpu) {
  return to_json(gpu).dump();
}

Result<GpuTelemetry> decode_gpu_telemetry(std::string_view text) {
  return decode_text<GpuTelemetry>(text, "gpu telemetry", [](JsonReader& in, GpuTelemetry& out) {
    in.optional("temp_c", out.temp_c);
    read_amount(in, "util_pct", out.util_pct);
    read_amount(in, "power_w", out.power_w);
    read_amount(in, "mem_mib", out.mem_mib);
    read_amount(in, "fan_pct", out.fan_pct);
    in.required("ts", out.ts);
  });
}

Json to_json(const HostTelemetry& host) {
  Json json{Json::Object()};
  set_some(json, "cpu_temp_c", tenths(host.cpu_temp_c));
  json.set("cpu_pct", tenths(host.cpu_pct));
  json.set("mem_used_mib", host.mem_used_mib);
  json.set("mem_total_mib", host.mem_total_mib);
  json.set("disk_free_mib", host.disk_free_mib);
  json.set("disk_total_mib", host.disk_total_mib);
  json.set("ts", host.ts);
  return json;
}
std::string encode(const HostTelemetry& host) {
  return to_json(host).dump();
}

Result<HostTelemetry> decode_host_telemetry(std::string_view text) {
  return decode_text<HostTelemetry>(text, "host telemetry", [](JsonReader& in, HostTelemetry& out) {
    in.optional("cpu_temp_c", out.cpu_temp_c);
    read_amount(in, "cpu_pct", out.cpu_pct);
    in.optional("mem_used_mib", out.mem_used_mib);
    in.optional("mem_total_mib", out.mem_total_mib);
    in.optional("disk_free_mib", out.disk_free_mib);
    in.optional("disk_total_mib", out.disk_total_mib);
    in.required("ts", out.ts);
  });
}

std::string encode(const NodeEvent& event) {
  Json json = Json::object({{"kind", event.kind}});
  set_some(json, "message", sentence(event.message));
  set_some(json, "task", event.task);
  json.set("ts", event.ts);
  return json.dump();
}

Result<NodeEvent> decode_node_event(std::string_view text) {
  return decode_text<NodeEvent>(text, "node event", [](JsonReader& in, NodeEvent& out) {
    in.required("kind", out.kind);
    in.optional("message", out.message, max_text_bytes);
    in.optional("task", out.task);
    in.required("ts", out.ts);
    if (in.ok() && !is_id(out.kind)) in.reject("kind", "1 to 32 of a-z, 0-9 and - are expected");
    if (out.task.empty()) return;
    if (auto task = TaskId::parse(out.task); !task) in.reject("task", task.error());
  });
}

std::string_view to_string(UpdateState state) {
  switch (state) {
    case UpdateState::idle:
      return "idle";
    case UpdateState::downloading:
      return "downloading";
    case UpdateState::downloaded:
      return "downloaded";
    case UpdateState::installing:
      return "installing";
    case UpdateState::installed:
      return "installed";
    case UpdateState::restarting:
      return "restarting";
    case UpdateState::good:
      return "good";
    case UpdateState::rolled_back:
      return "rolled-back";
    case UpdateState::failed:
      return "failed";
  }
  return "idle";
}

std::optional<UpdateState> parse_update_state(std::string_view text) {
  using S = UpdateState;
  for (const auto state : {S::idle, S::downloading, S::downloaded, S::installing, S::installed, S::restarting,
                           S::good, S::rolled_back, S::failed}) {
    if (text == to_string(state)) return state;
  }
  return std::nullopt;
}

Json to_json(const NodeUpdate& update) {
  Json json = Json::object({{"version", name_text(update.version)}});
  set_some(json, "machine", name_text(update.machine));
  set_some(json, "slot", name_text(update.slot));
  json.set("state", to_string(update.state));
  if (!update.image.empty()) {
    json.set("image", update.image);
    json.set("rollout", update.rollout);
    json.set("attempt", update.attempt);
    json.set("percent", tenths(update.percent));
  }
  set_some(json, "message", sentence(update.message));
  Json::Array problems;
  for (const auto& one : update.problems) {
    if (problems.size() < max_problems) problems.emplace_back(sentence(one));
  }
  if (!problems.empty()) json.set("problems", Json(std::move(problems)));
  return json;
}
std::string encode(const NodeUpdate& update) {
  return to_json(update).dump();
}

Result<NodeUpdate> decode_node_update(std::string_view text) {
  return decode_text<NodeUpdate>(text, "node update", [](JsonReader& in, NodeUpdate& out) {
    std::string state;
    in.member("version", true);
    read_name(in, "version", out.version);
    read_name(in, "machine", out.machine);
    read_name(in, "slot", out.slot);
    in.required("state", state);
    read_digest(in, "image", out.image, true);
    in.optional("rollout", out.rollout);
    in.optional("attempt", out.attempt);
    read_percent(in, out.percent);
    in.optional("message", out.message, max_text_bytes);
    read_strings(in, "problems", max_problems, max_text_bytes, out.problems);
    if (!in.ok()) return;
    const auto known = parse_update_state(state);
    if (!known) {
      return in.reject("state",
                       "idle, downloading, downloaded, installing, installed, restarting, good, rolled-back "
                       "or failed is expected");
    }
    out.state = *known;
    if (out.image.empty() &&
        (out.state != UpdateState::idle || out.rollout != 0 || out.attempt != 0 || out.percent != 0))
      in.reject("image", "missing: only what is idle has none");
  });
}

// ---- jobs -----------------------------------------------------------------------------------------------

Json to_json(const TaskCounts& counts) {
  return Json::object({{"queued", counts.queued},
                       {"running", counts.running},
                       {"done", counts.done},
                       {"failed", counts.failed},
                       {"cancelled", counts.cancelled}});
}

Json to_json(const JobStatus& status) {
  Json json = Json::object({{"name", name_text(status.name)},
                            {"state", status.state},
                            {"priority", status.priority},
                            {"tasks", to_json(status.tasks)},
                            {"percent", tenths(status.percent)}});
  set_some(json, "eta_s", tenths(status.eta_s));
  return json;
}
std::string encode(const JobStatus& status) {
  return to_json(status).dump();
}

Result<JobStatus> decode_job_status(std::string_view text) {
  return decode_text<JobStatus>(text, "job status", [](JsonReader& in, JobStatus& out) {
    read_name(in, "name", out.name);
    in.required("state", out.state, max_name_bytes);
    in.required("priority", out.priority, 0, 100);
    read_percent(in, out.percent);
    read_amount(in, "eta_s", out.eta_s);
    read_object(in, "tasks", true, out.tasks, [](JsonReader& item, TaskCounts& count) {
      item.required("queued", count.queued);
      item.required("running", count.running);
      item.required("done", count.done);
      item.required("failed", count.failed);
      item.required("cancelled", count.cancelled);
    });
  });
}

Json to_json(const JobEvent& event) {
  Json json = Json::object({{"task", event.task.str()}, {"frames", event.frames}, {"state", event.state}});
  json.set("attempt", event.attempt);
  set_some(json, "node", event.node);
  set_some(json, "seconds", tenths(event.seconds));
  set_some(json, "message", sentence(event.message));
  return json;
}
std::string encode(const JobEvent& event) {
  return to_json(event).dump();
}

Result<JobEvent> decode_job_event(std::string_view text) {
  return decode_text<JobEvent>(text, "job event", [](JsonReader& in, JobEvent& out) {
    read_task_id(in, "task", out.task);
    in.required("frames", out.frames, FrameSet::max_text);
    in.required("state", out.state, max_name_bytes);
    in.required("attempt", out.attempt);
    in.optional("node", out.node);
    read_amount(in, "seconds", out.seconds);
    in.optional("message", out.message, max_text_bytes);
    if (in.ok() && !out.node.empty() && !is_id(out.node)) in.reject("node", "a node's id is expected");
  });
}

// ---- requests -------------------------------------------------------------------------------------------

std::string encode(const Request& request) {
  Json body = request.body;
  if (body.find("cid") == nullptr) body.set("cid", request.cid);
  return body.dump();
}

Result<Request> decode_request(std::string_view text) {
  const auto json = Json::parse(text);
  if (!json) return fail(Error(json.error()).with("request"));
  return decode_object<Request>(*json, "request", [&](JsonReader& in, Request& out) {
    read_cid(in, out.cid);
    out.body = *json;
  });
}

std::string encode(const Response& response) {
  Json json = Json::object({{"cid", response.cid}, {"status", response.status}});
  set_some(json, "error", sentence(response.error));
  if (!response.data.is_null()) json.set("data", response.data);
  return json.dump();
}

Result<Response> decode_response(std::string_view text) {
  return decode_text<Response>(text, "response", [](JsonReader& in, Response& out) {
    constexpr int lowest_status = 100;
    constexpr int highest_status = 599;
    read_cid(in, out.cid);
    in.required("status", out.status, lowest_status, highest_status);
    in.optional("error", out.error, max_text_bytes);
    if (const Json* data = in.member("data", false)) out.data = *data;
  });
}

std::string peek_cid(std::string_view text) {
  const auto json = Json::parse(text);
  if (!json) return "";
  const Json* cid = json->find("cid");
  const auto* found = cid == nullptr ? nullptr : cid->as_string();
  return found != nullptr && is_cid(*found) ? *found : "";
}

}  // namespace kiln::payloads
