#include "api/shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "api/schedule.h"
#include "http/target.h"
#include "runtime/clock.h"

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

// The scheduler's own estimate where it has one.
void set_eta(Json& json, const scheduler::JobRow& job, std::int64_t now_ms) {
  if (job.eta_unix_ms != 0) {
    json.set("eta_s", static_cast<double>(std::max<std::int64_t>(0, job.eta_unix_ms - now_ms)) / 1000);
  } else if (const auto eta = scheduler::eta_s(job)) {
    json.set("eta_s", *eta);
  }
}

void set_wishes(Json& json, const scheduler::JobWishes& wishes) {
  if (wishes.slot_limit != 0) json.set("slot_limit", wishes.slot_limit);
  if (wishes.node_limit != 0) json.set("node_limit", wishes.node_limit);
  if (!wishes.tags.empty()) json.set("tags", strings(wishes.tags));
  if (!wishes.after.empty()) json.set("after", Json(Json::Array(wishes.after.begin(), wishes.after.end())));
  if (wishes.start_ms != 0) json.set("start_ms", wishes.start_ms);
}

// Steps of a job from a template: what they are cut into, and how far they are.
void set_template(Json& json, const scheduler::JobRow& job) {
  const auto& steps = job.spec.steps;
  if (steps.empty()) return;
  json.set("document", job.spec.document);
  const auto names = [&](const std::vector<std::uint32_t>& numbers) {
    Json list(Json::Array{});
    for (const auto number : numbers) list.push(steps[number].name);
    return list;
  };
  Json list(Json::Array{});
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto& step = steps[i];
    Json one = Json::object({{"name", step.name}, {"units", step.units}, {"chunk", step.chunk}});
    if (step.target_s != 0) one.set("target_s", step.target_s);
    if (!step.frames.empty()) one.set("frames", step.frames.str());
    one.set("after", names(step.after));
    if (!step.pairs_with.empty()) one.set("pairs_with", names(step.pairs_with));
    if (i < job.steps.size()) one.set("tasks", payloads::to_json(job.steps[i]));
    list.push(std::move(one));
  }
  json.set("steps", std::move(list));
}

// The frames that a task holds, also where its chunk was cut as it was handed out; else its place among the
// points of its step's parameter space.
void set_work(Json& json, const scheduler::TaskRow& task, const scheduler::JobRow& job) {
  const auto& steps = job.spec.steps;
  if (steps.empty()) {
    json.set("frames", job.spec.task_frames(task.id.index).str());
    return;
  }
  const auto place = job.spec.place_of(task.id.index);
  const auto& step = steps[place.step];
  const std::uint64_t first =
      task.unit_count != 0 ? task.first_unit : std::uint64_t{task.id.index - place.first} * step.chunk;
  const bool is_cut = step.target_s == 0 || task.unit_count != 0;
  const std::uint64_t count =
      !is_cut ? 0
      : task.unit_count != 0
          ? task.unit_count
          : std::min<std::uint64_t>(step.chunk, step.units - std::min<std::uint64_t>(first, step.units));
  json.set("frames", is_cut ? step.frames.slice(first, count).str() : "");
  json.set("step", step.name);
  if (is_cut && step.frames.empty()) json.set("units", Json::object({{"first", first}, {"count", count}}));
}

void set_settings(Json& json, const scheduler::NodeSettings& settings, std::int64_t now_ms) {
  json.set("enabled", settings.enabled);
  json.set("tags", strings(settings.tags));
  Json schedule(Json::Array{});
  for (const auto& window : settings.schedule) schedule.push(to_json(window));
  json.set("schedule", std::move(schedule));
  if (!scheduler::is_in_schedule(settings.schedule, now_ms, runtime::utc_offset_s(now_ms)))
    json.set("off_hours", true);
  if (settings.soft_c) json.set("soft_c", *settings.soft_c);
  if (settings.hard_c) json.set("hard_c", *settings.hard_c);
  if (settings.sleep_after_s != 0) json.set("sleep_after_s", settings.sleep_after_s);
  if (settings.reboot) json.set("reboot", true);
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

}  // namespace

void set_production(Json& json, const payloads::Production& production) {
  if (!production.project.empty()) json.set("project", production.project);
  if (!production.sequence.empty()) json.set("sequence", production.sequence);
  if (!production.shot.empty()) json.set("shot", production.shot);
}

Json to_json(const scheduler::Waste& waste) {
  return Json::object(
      {{"failed_s", waste.failed_s}, {"lost_s", waste.lost_s}, {"superseded_s", waste.superseded_s}});
}

Json to_json(const scheduler::NodeUse& use) {
  return Json::object({{"online_s", use.online_s},
                       {"busy_s", use.busy_s},
                       {"done_s", use.done_s},
                       {"waste", to_json(use.waste)}});
}

Json to_json(const scheduler::FarmSettings& settings) {
  Json limits(Json::Object{});
  for (const auto& [name, count] : settings.limits) limits.set(name, count);
  return Json::object({{"fair_share", settings.fair_share}, {"limits", std::move(limits)}});
}

Json to_json(const scheduler::Reason& reason) {
  Json json(Json::Object{});
  if (!reason.step.empty()) json.set("step", reason.step);
  if (!reason.node.empty()) json.set("node", reason.node);
  if (reason.tasks != 0) json.set("tasks", reason.tasks);
  json.set("what", reason.what);
  return json;
}

Json to_json(const scheduler::JobRow& job, const std::string& output_dir, std::int64_t now_ms) {
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
  set_eta(json, job, now_ms);
  json.set("message", job.message);
  json.set("warnings", strings(job.warnings));
  json.set("held", job.held);
  const auto& options = job.spec.options;
  if (options.device != payloads::Device::any) json.set("device", payloads::to_string(options.device));
  if (options.max_run_s != 0) json.set("max_run_s", options.max_run_s);
  if (options.stall_s != 0) json.set("stall_s", options.stall_s);
  if (job.spec.retries) json.set("retries", *job.spec.retries);
  if (job.spec.fail_pct) json.set("fail_pct", *job.spec.fail_pct);
  set_production(json, job.spec.production);
  set_wishes(json, job.wishes);
  set_template(json, job);
  json.set("waste", to_json(job.waste));
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
  Json json = Json::object({
      {"id", task.id.str()},
      {"index", task.id.index},
  });
  set_work(json, task, job);
  json.set("state", scheduler::to_string(task.state));
  json.set("attempt", task.attempt);
  json.set("failures", task.failures);
  json.set("node", task.node.str());
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

Json to_json(const scheduler::NodeRow& node, const LiveNode& live, std::int64_t now_ms) {
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
  set_settings(json, node.settings, now_ms);
  if (node.asleep) json.set("asleep", true);
  if (!node.hot.empty()) json.set("hot", node.hot);
  json.set("use", to_json(node.use));
  if (node.use.online_s > 0)
    json.set("utilisation_pct", std::round(1000 * node.use.busy_s / node.use.online_s) / 10);
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
