#include "api/broadcaster.h"

#include "api/schedule.h"
#include "api/shapes.h"
#include "runtime/clock.h"

namespace kiln::api {

namespace {

// A page that redraws faster than this is no easier to read, and the ring lasts longer.
constexpr std::int64_t job_every_ms = 250;
constexpr std::int64_t node_every_ms = 1'000;

bool has_ended(scheduler::JobState state) {
  return state != scheduler::JobState::active && state != scheduler::JobState::paused;
}

}  // namespace

Broadcaster::Broadcaster(EventRing& ring, Live& live, std::function<std::string(const JobId&)> output_dir)
    : ring_(ring), live_(live), output_dir_(std::move(output_dir)) {}

void Broadcaster::publish(const scheduler::Effect& effect, Instant now) {
  if (const auto* job = std::get_if<scheduler::JobChanged>(&effect)) {
    job_changed(job->row, now);
  } else if (const auto* erased = std::get_if<scheduler::JobErased>(&effect)) {
    const std::lock_guard lock(mutex_);
    jobs_.erase(erased->job);
    ring_.publish("job_erased", Json::object({{"id", erased->job.str()}}));
  } else if (const auto* task = std::get_if<scheduler::TaskChanged>(&effect)) {
    task_changed(*task, now);
  } else if (const auto* node = std::get_if<scheduler::NodeChanged>(&effect)) {
    node_changed(node->row, now);
  } else if (const auto* gone = std::get_if<scheduler::NodeErased>(&effect)) {
    const std::lock_guard lock(mutex_);
    nodes_.erase(gone->node);
    known_.erase(gone->node);
    ring_.publish("node_erased", Json::object({{"id", gone->node.str()}}));
  } else if (const auto* farm = std::get_if<scheduler::FarmChanged>(&effect)) {
    ring_.publish("farm", to_json(farm->settings));
  }
}

void Broadcaster::node_changed(const scheduler::NodeRow& row, Instant now) {
  {
    const std::lock_guard lock(mutex_);
    KnownNode& known = known_[row.id];
    known.hot = row.hot;
    known.is_open =
        scheduler::is_in_schedule(row.settings.schedule, now.unix_ms, runtime::utc_offset_s(now.unix_ms));
    known.scheduled = row.settings.schedule.empty() ? std::nullopt : std::optional(row);
  }
  ring_.publish("node", to_json(row, live_.node(row.id), now.unix_ms));
}

void Broadcaster::complete(scheduler::JobRow& row) const {
  const std::lock_guard lock(mutex_);
  const auto found = jobs_.find(row.id);
  if (found != jobs_.end()) row.eta_unix_ms = found->second.eta_unix_ms;
}

void Broadcaster::complete(scheduler::NodeRow& row) const {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(row.id);
  if (found != known_.end()) row.hot = found->second.hot;
}

void Broadcaster::job_changed(const scheduler::JobRow& row, Instant now) {
  const std::lock_guard lock(mutex_);
  const auto [found, is_new] = jobs_.try_emplace(row.id);
  ShownJob& shown = found->second;
  shown.eta_unix_ms = row.eta_unix_ms;
  if (!is_new && shown.state == row.state && now.mono_ms - shown.mono_ms < job_every_ms) {
    shown.held_back = row;
    return;
  }
  show(row, now);
  if (has_ended(row.state)) {
    jobs_.erase(found);
    return;
  }
  shown = {now.mono_ms, row.state, row.eta_unix_ms, std::nullopt};
}

void Broadcaster::task_changed(const scheduler::TaskChanged& change, Instant now) {
  Json json = payloads::to_json(change.event);
  json.set("job", change.event.task.job.str());
  if (!change.files.empty()) {
    Json results(Json::Array{});
    const auto node = NodeId::parse(change.event.node);
    for (const auto& file : change.files) {
      results.push(to_json(scheduler::ResultRow{change.event.task, change.event.attempt,
                                                node ? *node : NodeId(), file, now.unix_ms}));
    }
    json.set("results", std::move(results));
  }
  ring_.publish("task", json);
}

void Broadcaster::show(const scheduler::JobRow& row, Instant now) {
  ring_.publish("job", to_json(row, output_dir_(row.id), now.unix_ms));
}

void Broadcaster::node_said(const NodeId& node, Instant now) {
  {
    const std::lock_guard lock(mutex_);
    const auto [found, is_new] = nodes_.try_emplace(node);
    ShownNode& shown = found->second;
    if (!is_new && now.mono_ms - shown.mono_ms < node_every_ms) {
      shown.is_held_back = true;
      return;
    }
    shown = {now.mono_ms, false};
  }
  ring_.publish("node_live", live_json(node, live_.node(node)));
}

void Broadcaster::tick(Instant now, const payloads::ControllerSummary& summary) {
  std::vector<NodeId> due;
  std::vector<scheduler::NodeRow> turned;  // their schedule opened or ended
  {
    const std::lock_guard lock(mutex_);
    for (auto& [id, shown] : jobs_) {
      if (!shown.held_back || now.mono_ms - shown.mono_ms < job_every_ms) continue;
      show(*shown.held_back, now);
      shown = {now.mono_ms, shown.state, shown.eta_unix_ms, std::nullopt};
    }
    for (auto& [id, shown] : nodes_) {
      if (!shown.is_held_back || now.mono_ms - shown.mono_ms < node_every_ms) continue;
      shown = {now.mono_ms, false};
      due.push_back(id);
    }
    const auto offset_s = runtime::utc_offset_s(now.unix_ms);
    for (const auto& [id, known] : known_) {
      if (!known.scheduled) continue;
      if (scheduler::is_in_schedule(known.scheduled->settings.schedule, now.unix_ms, offset_s) !=
          known.is_open)
        turned.push_back(*known.scheduled);
    }
    if (summary_ != summary) {
      summary_ = summary;
      ring_.publish("summary", payloads::to_json(summary));
    }
  }
  for (const auto& node : due) ring_.publish("node_live", live_json(node, live_.node(node)));
  for (const auto& row : turned) node_changed(row, now);
}

void Broadcaster::set_alarm(const std::string& source, const std::string& text) {
  const std::lock_guard lock(mutex_);
  const auto found = alarms_.find(source);
  if (found == alarms_.end() ? text.empty() : found->second == text) return;
  if (text.empty()) {
    alarms_.erase(found);
  } else {
    alarms_[source] = text;
  }
  Json list(Json::Array{});
  for (const auto& [name, alarm] : alarms_) list.push(alarm);
  ring_.publish("alarm", Json::object({{"alarms", std::move(list)}}));
}

std::vector<std::string> Broadcaster::alarms() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> list;
  for (const auto& [source, text] : alarms_) list.push_back(text);
  return list;
}

}  // namespace kiln::api
