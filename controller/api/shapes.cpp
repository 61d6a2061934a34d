#include "api/shapes.h"

#include <fmt/format.h>

#include "http/target.h"

namespace kiln::api {

namespace {

Json strings(const std::vector<std::string>& list) {
  Json::Array array(list.begin(), list.end());
  return Json(std::move(array));
}

Json optional_json(const std::optional<double>& value) {
  return value ? Json(*value) : Json();
}

void set_error(Json& json, const std::string& code, const std::string& message) {
  if (!code.empty()) json.set("error", Json::object({{"code", code}, {"message", message}}));
}

void set_live(Json& json, const LiveNode& live) {
  Json tasks(Json::Array{});
  for (const auto& task : live.tasks.run) tasks.push(payloads::to_json(task));
  Json gpus(Json::Array{});
  for (const auto& [index, telemetry] : live.gpus) {
    Json gpu = Json::object({{"index", index}});
    const Json values = payloads::to_json(telemetry);
    if (const auto* members = values.as_object()) {
      for (const auto& [key, value] : *members) gpu.set(key, value);
    }
    gpus.push(std::move(gpu));
  }
  json.set("tasks", std::move(tasks));
  json.set("warm", strings(live.tasks.warm));
  json.set("gpus", std::move(gpus));
  if (live.host) json.set("host", payloads::to_json(*live.host));
}

// Steps of a job from a template: what they are cut into, and how far they are.
void set_template(Json& json, const scheduler::JobRow& job) {
  if (job.spec.steps.empty()) return;
  json.set("document", job.spec.document);
  Json steps(Json::Array{});
  for (std::size_t i = 0; i < job.spec.steps.size(); ++i) {
    const auto& step = job.spec.steps[i];
    Json one = Json::object({{"name", step.name}, {"units", step.units}, {"chunk", step.chunk}});
    if (step.target_s != 0) one.set("target_s", step.target_s);
    if (!step.frames.empty()) one.set("frames", step.frames.str());
    Json after(Json::Array{});
    for (const auto number : step.after) after.push(job.spec.steps[number].name);
    one.set("after", std::move(after));
    if (!step.pairs_with.empty()) {
      Json pairs(Json::Array{});
      for (const auto number : step.pairs_with) pairs.push(job.spec.steps[number].name);
      one.set("pairs_with", std::move(pairs));
    }
    if (i < job.steps.size()) one.set("tasks", payloads::to_json(job.steps[i]));
    steps.push(std::move(one));
  }
  json.set("steps", std::move(steps));
}

void set_wishes(Json& json, const scheduler::JobRow& job) {
  const auto& production = job.spec.production;
  if (!production.project.empty()) json.set("project", production.project);
  if (!production.sequence.empty()) json.set("sequence", production.sequence);
  if (!production.shot.empty()) json.set("shot", production.shot);
  const auto& wishes = job.wishes;
  if (wishes.slot_limit != 0) json.set("slot_limit", wishes.slot_limit);
  if (wishes.node_limit != 0) json.set("node_limit", wishes.node_limit);
  if (!wishes.tags.empty()) json.set("tags", strings(wishes.tags));
  if (!wishes.after.empty()) json.set("after", Json(Json::Array(wishes.after.begin(), wishes.after.end())));
  if (wishes.start_ms != 0) json.set("start_ms", wishes.start_ms);
}

}  // namespace

Json to_json(const scheduler::JobRow& job, const std::string& output_dir) {
  Json json = Json::object({{"id", job.id.str()},
                            {"number", job.number},
                            {"name", job.spec.name},
                            {"type", job.spec.type.empty() ? job.spec.renderer : job.spec.type},
                            {"state", scheduler::shown_state(job)},
                            {"priority", job.priority},
                            {"user", job.user},
                            {"frames", job.spec.frames.str()},
                            {"chunk", job.spec.chunk},
                            {"tasks", payloads::to_json(job.counts)},
                            {"percent", scheduler::percent(job)}});
  if (const auto eta = scheduler::eta_s(job)) json.set("eta_s", *eta);
  json.set("message", job.message);
  json.set("warnings", strings(job.warnings));
  json.set("held", job.held);
  const auto& options = job.spec.options;
  if (options.device != payloads::Device::any) json.set("device", payloads::to_string(options.device));
  if (options.max_run_s != 0) json.set("max_run_s", options.max_run_s);
  if (options.stall_s != 0) json.set("stall_s", options.stall_s);
  if (job.spec.retries) json.set("retries", *job.spec.retries);
  if (job.spec.fail_pct) json.set("fail_pct", *job.spec.fail_pct);
  set_template(json, job);
  set_wishes(json, job);
  json.set("scene_file", options.scene_file);
  json.set("manifest", job.spec.manifest);
  json.set("created_ms", job.created_ms);
  json.set("started_ms", job.started_ms);
  json.set("finished_ms", job.finished_ms);
  json.set("render_s", job.render_s);
  json.set("output_dir", output_dir);
  return json;
}

Json to_json(const scheduler::TaskRow& task, const scheduler::JobRow& job, const payloads::HeldTask* held) {
  Json json = Json::object({{"id", task.id.str()},
                            {"index", task.id.index},
                            {"frames", job.spec.task_frames(task.id.index).str()},
                            {"state", scheduler::to_string(task.state)},
                            {"attempt", task.attempt},
                            {"failures", task.failures},
                            {"node", task.node.str()}});
  set_error(json, task.error_code, task.error_message);
  if (task.review == scheduler::Review::held) json.set("held", scheduler::held_reason(task));
  json.set("seconds", task.seconds);
  json.set("started_ms", task.started_ms);
  json.set("finished_ms", task.finished_ms);
  if (held != nullptr) {
    json.set("percent", held->percent);
    if (held->eta_s) json.set("eta_s", *held->eta_s);
    json.set("phase", payloads::to_string(held->phase));
  }
  return json;
}

Json to_json(const scheduler::AttemptRow& attempt) {
  Json json = Json::object({{"attempt", attempt.attempt},
                            {"node", attempt.node.str()},
                            {"state", scheduler::to_string(attempt.state)}});
  set_error(json, attempt.error_code, attempt.error_message);
  json.set("assigned_ms", attempt.assigned_ms);
  json.set("started_ms", attempt.started_ms);
  json.set("finished_ms", attempt.finished_ms);
  json.set("log", fmt::format("/api/v1/tasks/{}/attempts/{}/log", attempt.task.str(), attempt.attempt));
  return json;
}

Json to_json(const scheduler::ResultRow& result) {
  const std::string& job = result.task.job.str();
  const std::string path = http::encode_path(result.file.path);
  Json json = Json::object({{"job", job},
                            {"task", result.task.str()},
                            {"attempt", result.attempt},
                            {"node", result.node.str()},
                            {"frame", result.file.frame},
                            {"path", result.file.path},
                            {"digest", result.file.digest},
                            {"size", result.file.size},
                            {"width", result.file.width},
                            {"height", result.file.height},
                            {"seconds", result.file.seconds},
                            {"finished_ms", result.finished_ms},
                            {"url", fmt::format("/api/v1/jobs/{}/files/{}", job, path)},
                            {"thumbnail", fmt::format("/api/v1/jobs/{}/thumbnails/{}", job, path)}});
  if (result.file.blank != payloads::Blank::no) json.set("blank", payloads::to_string(result.file.blank));
  if (result.held) json.set("held", true);
  return json;
}

Json to_json(const scheduler::NodeRow& node, const LiveNode& live) {
  Json json = Json::object({{"id", node.id.str()},
                            {"name", node.info.name.empty() ? node.id.str() : node.info.name},
                            {"presence", scheduler::to_string(node.presence)},
                            {"drained", node.drained},
                            {"first_seen_ms", node.first_seen_ms},
                            {"last_seen_ms", node.last_seen_ms},
                            {"tasks_done", node.tasks_done},
                            {"tasks_failed", node.tasks_failed},
                            {"info", payloads::to_json(node.info)}});
  if (!node.quarantine.empty()) {
    json.set("quarantine",
             Json::object({{"reason", node.quarantine}, {"until_ms", node.quarantine_until_ms}}));
  }
  set_live(json, live);
  return json;
}

Json to_json(const TelemetryPoint& point) {
  return Json(Json::Array{Json(point.ts), optional_json(point.temp_c), optional_json(point.util_pct)});
}

Json live_json(const NodeId& node, const LiveNode& live) {
  Json json = Json::object({{"id", node.str()}});
  set_live(json, live);
  return json;
}

}  // namespace kiln::api
