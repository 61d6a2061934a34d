#include "cli/farm_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "cli/fields.h"
#include "cli/table.h"
#include "payloads/frames.h"

namespace kiln::cli {

namespace {

Style style_of(std::string_view state) {
  if (state == "done" || state == "online") return Style::green;
  if (state == "failed") return Style::red;
  if (state == "running") return Style::blue;
  if (state == "paused" || state == "draining" || state == "unknown") return Style::yellow;
  return Style::dim;
}

// The object with that member set anew.
Json replaced(const Json& object, std::string_view key, const Json& value) {
  Json out(Json::Object{});
  if (const auto* members = object.as_object()) {
    for (const auto& [name, old] : *members) {
      if (name != key) out.set(name, old);
    }
  }
  out.set(std::string(key), value);
  return out;
}

std::string temperature_of(const Json& node) {
  std::optional<double> hottest;
  for (const auto& gpu : array_of(node, "gpus")) {
    if (const auto temp_c = maybe_number(gpu, "temp_c"))
      hottest = std::max(hottest.value_or(*temp_c), *temp_c);
  }
  if (hottest) return fmt::format("{:.0f} °C", *hottest);
  const auto cpu_temp_c = maybe_number(member_of(node, "host"), "cpu_temp_c");
  return cpu_temp_c ? fmt::format("{:.0f} °C", *cpu_temp_c) : "";
}

std::string work_of(const Json& node) {
  std::string work;
  int waiting = 0;
  for (const auto& task : array_of(node, "tasks")) {
    const auto state = text_of(task, "state");
    const auto id = harmless(text_of(task, "task"));
    if (state == "queued") {
      ++waiting;
      continue;
    }
    if (!work.empty()) work += ", ";
    work += state == "rendering"
                ? fmt::format("{} frame {} {}", id.substr(0, id.rfind('-')), integer_of(task, "frame"),
                              percent_text(number_of(task, "percent")))
                : fmt::format("{} {}", id, harmless(state));
  }
  if (work.empty()) return waiting > 0 ? "starting" : "";
  return work;
}

}  // namespace

std::vector<std::string> FarmView::apply(std::string_view event, const Json& data) {
  if (event == "snapshot") return snapshot(data);
  if (event == "job") return job_changed(data);
  if (event == "node") return node_changed(data);
  if (event == "task") return task_changed(data);
  if (event == "summary") {
    summary_ = data;
  } else if (event == "alarm") {
    std::vector<std::string> lines;
    std::vector<std::string> alarms;
    for (const auto& alarm : array_of(data, "alarms")) {
      const auto text = harmless(alarm.as_string() != nullptr ? *alarm.as_string() : "");
      if (std::find(alarms_.begin(), alarms_.end(), text) == alarms_.end()) lines.push_back("alarm: " + text);
      alarms.push_back(text);
    }
    alarms_ = std::move(alarms);
    return lines;
  } else if (event == "job_erased") {
    const auto id = text_of(data, "id");
    const auto number = numbers_.find(id);
    if (number == numbers_.end()) return {};
    auto line = fmt::format("job {}: deleted", job_label(jobs_[number->second]));
    jobs_.erase(number->second);
    numbers_.erase(number);
    return {std::move(line)};
  } else if (event == "node_erased") {
    if (nodes_.erase(text_of(data, "id")) > 0)
      return {fmt::format("node {}: forgotten", harmless(text_of(data, "id")))};
  } else if (event == "node_live") {
    const auto node = nodes_.find(text_of(data, "id"));
    if (node == nodes_.end()) return {};
    for (const char* key : {"tasks", "warm", "gpus", "host"}) {
      if (const Json* value = data.find(key)) node->second = replaced(node->second, key, *value);
    }
  }
  return {};
}

std::vector<std::string> FarmView::snapshot(const Json& data) {
  jobs_.clear(), numbers_.clear(), nodes_.clear(), alarms_.clear();
  farm_ = member_of(data, "farm");
  summary_ = member_of(data, "summary");
  for (const auto& job : array_of(data, "jobs")) put_job(job);
  for (const auto& node : array_of(data, "nodes")) nodes_[text_of(node, "id")] = node;
  for (const auto& alarm : array_of(farm_, "alarms")) {
    if (const auto* text = alarm.as_string()) alarms_.push_back(harmless(*text));
  }
  return {};
}

void FarmView::put_job(Json job) {
  const auto number = integer_of(job, "number");
  numbers_[text_of(job, "id")] = number;
  jobs_[number] = std::move(job);
}

const Json* FarmView::job(std::string_view id) const {
  const auto number = numbers_.find(id);
  if (number == numbers_.end()) return nullptr;
  const auto found = jobs_.find(number->second);
  return found == jobs_.end() ? nullptr : &found->second;
}

std::vector<std::string> FarmView::job_changed(const Json& job) {
  const Json* old = this->job(text_of(job, "id"));
  const auto before = old != nullptr ? text_of(*old, "state") : "";
  const auto state = text_of(job, "state");
  put_job(job);
  if (before == state) return {};
  auto line = fmt::format("job {}: {}", job_label(job), harmless(state));
  const auto message = text_of(job, "message");
  if (state == "done") line += fmt::format(", {} of rendering", duration_text(number_of(job, "render_s")));
  if (!message.empty()) line += ": " + harmless(message);
  return {std::move(line)};
}

std::vector<std::string> FarmView::node_changed(const Json& node) {
  const auto id = text_of(node, "id");
  const auto old = nodes_.find(id);
  const auto before = old != nodes_.end() ? text_of(old->second, "presence") : "";
  const auto presence = text_of(node, "presence");
  const auto reason = text_of(member_of(node, "quarantine"), "reason");
  const bool was_quarantined = old != nodes_.end() && old->second.find("quarantine") != nullptr;
  const bool is_forgiven = was_quarantined && reason.empty();
  nodes_[id] = node;
  std::vector<std::string> lines;
  if (before != presence) lines.push_back(fmt::format("node {}: {}", harmless(id), harmless(presence)));
  if (!reason.empty() && !was_quarantined)
    lines.push_back(fmt::format("node {}: quarantined: {}", harmless(id), harmless(reason)));
  if (is_forgiven) lines.push_back(fmt::format("node {}: forgiven", harmless(id)));
  return lines;
}

std::vector<std::string> FarmView::task_changed(const Json& event) const {
  const auto state = text_of(event, "state");
  const Json* job = this->job(text_of(event, "job"));
  const auto name = job != nullptr ? job_label(*job) : harmless(text_of(event, "job"));
  const auto frames = harmless(text_of(event, "frames"));
  const bool is_one = frames.find_first_of("-,", 1) == std::string::npos;
  auto line = fmt::format("job {}: frame{} {} {}", name, is_one ? "" : "s", frames, harmless(state));
  if (const auto seconds = maybe_number(event, "seconds"); seconds && state == "done") {
    line += " in " + duration_text(*seconds);
  }
  if (const auto node = text_of(event, "node"); !node.empty()) line += " on " + harmless(node);
  if (const auto message = text_of(event, "message"); !message.empty()) line += ": " + harmless(message);
  return {std::move(line)};
}

double FarmView::percent(const Json& job) const {
  const double percent = number_of(job, "percent");
  const auto counts = counts_of(job);
  if (is_over(job) || counts.total() == 0) return percent;
  const std::string prefix = text_of(job, "id") + "-";
  double running = 0;
  for (const auto& [id, node] : nodes_) {
    for (const auto& task : array_of(node, "tasks")) {
      if (text_of(task, "task").starts_with(prefix) && text_of(task, "state") == "rendering") {
        running += std::clamp(number_of(task, "percent"), 0.0, 100.0);
      }
    }
  }
  return std::min(99.9, percent + running / static_cast<double>(counts.total()));
}

int FarmView::nodes_on(const Json& job) const {
  const std::string prefix = text_of(job, "id") + "-";
  return static_cast<int>(std::count_if(nodes_.begin(), nodes_.end(), [&](const auto& node) {
    const auto& tasks = array_of(node.second, "tasks");
    return std::any_of(tasks.begin(), tasks.end(),
                       [&](const Json& task) { return text_of(task, "task").starts_with(prefix); });
  }));
}

Progress FarmView::progress(const Json& job) const {
  const auto counts = counts_of(job);
  const auto chunk = std::max<std::int64_t>(1, integer_of(job, "chunk"));
  const auto frames = payloads::FrameSet::parse(text_of(job, "frames"));
  const auto total = frames ? static_cast<std::int64_t>(frames->size()) : counts.total() * chunk;
  Progress progress;
  progress.label = harmless(text_of(job, "name"));
  progress.percent = percent(job);
  // Tasks are counted, frames are shown: only the last task may hold fewer than `chunk`.
  progress.facts = fmt::format("{}/{} frames", std::min(total, counts.done * chunk), total);
  if (counts.failed > 0) progress.facts += fmt::format(", {} failed", counts.failed);
  const auto state = text_of(job, "state");
  if (const int nodes = nodes_on(job); nodes > 0) {
    progress.facts += fmt::format("  {} node{}", nodes, nodes == 1 ? "" : "s");
  } else if (!is_over(job)) {
    progress.facts += state == "paused"                 ? "  paused"
                      : text_of(job, "device") == "gpu" ? "  waiting for a node with a GPU"
                                                        : "  waiting for a node";
  }
  if (!is_over(job)) progress.eta_s = maybe_number(job, "eta_s");
  return progress;
}

std::string FarmView::screen(int width, int height, bool color, std::int64_t now) const {
  const auto name = text_of(farm_, "farm");
  const auto online = integer_of(summary_, "nodes_online");
  std::string out = fmt::format("{}  {} of {} slots busy on {} node{}  {} tasks waiting  {}",
                                styled(name.empty() ? "farm" : harmless(name), Style::bold, color),
                                integer_of(summary_, "slots_busy"), integer_of(summary_, "slots"), online,
                                online == 1 ? "" : "s", integer_of(summary_, "tasks_queued"),
                                styled(clock_text(now), Style::dim, color));
  out = fit(out, width) + "\n";
  for (const auto& alarm : alarms_) out += fit(styled("alarm: " + alarm, Style::red, color), width) + "\n";

  std::vector<const Json*> running, over, nodes;
  for (const auto& [number, job] : jobs_) (is_over(job) ? over : running).push_back(&job);
  for (const auto& [id, node] : nodes_) nodes.push_back(&node);
  // Active jobs first, then the newest finished ones, as far as the screen goes.
  auto jobs = running;
  jobs.insert(jobs.end(), over.begin(), over.end());
  const auto lines = std::count(out.begin(), out.end(), '\n');
  const auto fixed = static_cast<std::size_t>(lines) + 5;  // the blank lines, two headings, the last line
  const auto room = height > 0 ? static_cast<std::size_t>(height) : 1000;
  const auto nodes_shown = std::min(nodes.size(), room > fixed + 3 ? (room - fixed) / 2 : 1);
  const auto jobs_shown = std::min(jobs.size(), room > fixed + nodes_shown ? room - fixed - nodes_shown : 1);
  nodes.resize(nodes_shown);
  jobs.resize(jobs_shown);
  out +=
      "\n" + (jobs.empty() ? "no jobs yet: kiln submit scene.blend\n" : jobs_table(jobs, width, color, now));
  out += "\n" + (nodes.empty() ? "no nodes yet: start kiln-agent on a box\n"
                               : nodes_table(nodes, width, color, now));
  return out;
}

Cell node_state(const Json& node) {
  const auto presence = harmless(text_of(node, "presence"));
  const auto* enabled = member_of(node, "enabled").as_bool();
  if (flag_of(node, "asleep")) return {"asleep", Style::dim};
  if (presence != "online" && presence != "draining") return {presence, style_of(presence)};
  if (enabled != nullptr && !*enabled) return {"disabled", Style::yellow};
  if (node.find("quarantine") != nullptr) return {"quarantined", Style::red};
  if (flag_of(node, "reboot")) return {"to restart", Style::yellow};
  if (flag_of(node, "drained")) return {"draining", Style::yellow};
  if (flag_of(node, "off_hours")) return {"off hours", Style::yellow};
  if (!text_of(node, "hot").empty()) return {"hot", Style::red};
  return {presence, style_of(presence)};
}

std::string jobs_table(const std::vector<const Json*>& jobs, int width, bool color, std::int64_t now) {
  const std::vector<Column> columns = {{"JOB", true},
                                       {"NAME", false, 12},
                                       {"STATE"},
                                       {"DONE", true},
                                       {"TASKS", true, 0, 1},
                                       {"LEFT", true, 0, 3},
                                       {"FRAMES", false, 8, 4},
                                       {"PRIORITY", true, 0, 6},
                                       {"USER", false, 6, 5},
                                       {"SUBMITTED", true, 0, 2}};
  std::vector<Row> rows;
  for (const Json* job : jobs) {
    const auto state = harmless(text_of(*job, "state"));
    const auto counts = counts_of(*job);
    const auto eta_s = maybe_number(*job, "eta_s");
    rows.push_back({{fmt::format("{}", integer_of(*job, "number")), Style::bold},
                    {harmless(text_of(*job, "name"))},
                    {state, style_of(state)},
                    {percent_text(number_of(*job, "percent"))},
                    {fmt::format("{}/{}", counts.done, counts.total())},
                    {eta_s && !is_over(*job) ? duration_text(*eta_s) : ""},
                    {harmless(text_of(*job, "frames"))},
                    {fmt::format("{}", integer_of(*job, "priority"))},
                    {harmless(text_of(*job, "user"))},
                    {ago_text(integer_of(*job, "created_ms"), now), Style::dim}});
  }
  return table_text(columns, rows, width, color);
}

std::string nodes_table(const std::vector<const Json*>& nodes, int width, bool color, std::int64_t now) {
  const std::vector<Column> columns = {{"NODE", false, 8},       {"STATE"},
                                       {"TEMP", true, 0, 1},     {"WORK", false, 16},
                                       {"DONE", true, 0, 2},     {"FAILED", true, 0, 3},
                                       {"BLENDER", false, 5, 4}, {"HARDWARE", false, 12, 5},
                                       {"SEEN", true, 0, 6}};
  std::vector<Row> rows;
  for (const Json* node : nodes) {
    const auto presence = harmless(text_of(*node, "presence"));
    const Json& info = member_of(*node, "info");
    std::string blender, hardware;
    for (const auto& renderer : array_of(info, "renderers")) {
      if (text_of(renderer, "name") == "blender")
        blender += (blender.empty() ? "" : " ") + harmless(text_of(renderer, "version"));
    }
    for (const auto& bundle : array_of(info, "bundles")) {
      const auto* is_coming = bundle.find("fetching");
      if (is_coming != nullptr && *is_coming == Json(true)) continue;
      auto name = harmless(text_of(bundle, "name"));
      constexpr std::string_view plain = "blender-";
      if (name.starts_with(plain)) name.erase(0, plain.size());
      blender += (blender.empty() ? "" : " ") + name;
    }
    for (const auto& gpu : array_of(info, "gpus"))
      hardware += (hardware.empty() ? "" : ", ") + harmless(text_of(gpu, "name"));
    if (hardware.empty()) hardware = harmless(text_of(info, "cpu"));
    rows.push_back(
        {{harmless(text_of(*node, "id")), Style::bold},
         node_state(*node),
         {temperature_of(*node)},
         {work_of(*node)},
         {fmt::format("{}", integer_of(*node, "tasks_done"))},
         {fmt::format("{}", integer_of(*node, "tasks_failed"))},
         {blender},
         {hardware},
         // The time is stored now and then; one who is online is heard all the time.
         {presence == "online" ? "" : ago_text(integer_of(*node, "last_seen_ms"), now), Style::dim}});
  }
  return table_text(columns, rows, width, color);
}

}  // namespace kiln::cli
