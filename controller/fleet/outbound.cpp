#include "fleet/outbound.h"

#include <fmt/core.h>

#include "fleet/home_assistant.h"
#include "topics/topics.h"

namespace kiln::fleet {

namespace {

constexpr std::int64_t job_status_every_ms = 1'000;         // protocol.md: at most once a second a job
constexpr std::int64_t summary_every_ms = 2'000;            // protocol.md
constexpr std::int64_t status_every_ms = 10'000;            // protocol.md: live every 10 s
constexpr std::int64_t overwrite_status_after_ms = 60'000;  // protocol.md, rule 6

}  // namespace

Outbound::Outbound(std::uint64_t epoch, std::string farm, std::string version, std::string url,
                   Publish publish)
    : epoch_(epoch),
      farm_(std::move(farm)),
      version_(std::move(version)),
      url_(std::move(url)),
      publish_(std::move(publish)) {}

Outbound::Message Outbound::status(bool online) const {
  payloads::ControllerStatus status;
  status.online = online;
  status.epoch = epoch_;
  status.version = version_;
  status.url = url_;
  status.farm = farm_;
  return {topics::controller_status(), encode(status), 1, true};
}

void Outbound::carry_out(const scheduler::Effect& effect, Instant now) {
  if (const auto* send = std::get_if<scheduler::SendCommand>(&effect)) {
    auto command = send->command;
    command.epoch = epoch_;
    publish_({topics::command(send->node), encode(command), 1, false});
  } else if (std::holds_alternative<scheduler::SendRebirth>(effect)) {
    const payloads::Command command{fmt::format("rebirth-{}", now.unix_ms), epoch_, payloads::Rebirth{}};
    publish_({topics::command_all(), encode(command), 1, false});
  } else if (const auto* job = std::get_if<scheduler::JobChanged>(&effect)) {
    job_changed(job->row, now);
  } else if (const auto* erased = std::get_if<scheduler::JobErased>(&effect)) {
    jobs_.erase(erased->job);
    publish_({topics::job_status(erased->job), "", 1, true});
    publish_({topics::job_progress(erased->job), "", 0, true});
  } else if (const auto* task = std::get_if<scheduler::TaskChanged>(&effect)) {
    publish_({topics::job_event(task->event.task.job), encode(task->event), 1, false});
  } else if (const auto* node = std::get_if<scheduler::NodeChanged>(&effect)) {
    node_changed(node->row, now);
  } else if (const auto* gone = std::get_if<scheduler::NodeErased>(&effect)) {
    node_erased(gone->node);
  }
}

void Outbound::job_changed(const scheduler::JobRow& row, Instant now) {
  auto& job = jobs_[row.id];
  job.row = row;
  job.held_back = job.published_ms != 0 && now.mono_ms - job.published_ms < job_status_every_ms;
  if (job.held_back) return;
  job.published_ms = now.mono_ms;
  publish_job(row);
}

void Outbound::publish_job(const scheduler::JobRow& row) {
  publish_({topics::job_status(row.id), encode(scheduler::job_status(row)), 1, true});
  publish_({topics::job_progress(row.id), fmt::format("{:.1f}", scheduler::percent(row)), 0, true});
}

void Outbound::node_changed(const scheduler::NodeRow& row, Instant now) {
  sids_[row.id] = row.sid;
  if (row.presence == scheduler::NodePresence::unknown) {
    unheard_.try_emplace(row.id, now.mono_ms);
  } else {
    unheard_.erase(row.id);
  }
  const auto announced = announced_.find(row.id);
  const bool has_info = !row.info.agent_version.empty();
  if (has_info && (announced == announced_.end() || announced->second != row.info)) {
    announced_[row.id] = row.info;
    publish_({topics::home_assistant_config(row.id), home_assistant_device(row.id, row.info), 1, true});
  }
}

// What the node, and we about it, left in the broker.
void Outbound::node_erased(const NodeId& node) {
  const auto clear = [&](std::string topic) { publish_({std::move(topic), "", 1, true}); };
  clear(topics::home_assistant_config(node));
  const auto announced = announced_.find(node);
  if (announced != announced_.end()) {
    for (const auto& gpu : announced->second.gpus) {
      clear(topics::gpu_telemetry(node, gpu.index));
      clear(topics::gpu_temp_c(node, gpu.index));
    }
    announced_.erase(announced);
  }
  for (const auto topic : {topics::node_status, topics::node_info, topics::node_tasks, topics::node_progress,
                           topics::node_host, topics::cpu_temp_c, topics::node_update}) {
    clear(topic(node));
  }
  unheard_.erase(node);
  sids_.erase(node);
}

void Outbound::tick(Instant now, const payloads::ControllerSummary& summary) {
  for (auto it = jobs_.begin(); it != jobs_.end();) {
    auto& job = it->second;
    if (now.mono_ms - job.published_ms < job_status_every_ms) {
      ++it;
    } else if (job.held_back) {
      job.held_back = false;
      job.published_ms = now.mono_ms;
      publish_job(job.row);
      ++it;
    } else {
      it = jobs_.erase(it);
    }
  }
  if (now.mono_ms - summary_ms_ >= summary_every_ms && (summary != summary_ || summary_ms_ == 0)) {
    summary_ = summary;
    summary_ms_ = now.mono_ms;
    publish_({topics::controller_summary(), encode(summary), 0, true});
  }
  if (now.mono_ms - status_ms_ >= status_every_ms) {
    status_ms_ = now.mono_ms;
    publish_(status(true));
  }
  for (auto it = unheard_.begin(); it != unheard_.end();) {
    if (now.mono_ms - it->second < overwrite_status_after_ms) {
      ++it;
      continue;
    }
    const payloads::NodeStatus gone{payloads::NodeState::offline, sids_[it->first]};
    publish_({topics::node_status(it->first), encode(gone), 1, true});
    it = unheard_.erase(it);
  }
}

void Outbound::reconnected(const std::vector<scheduler::JobRow>& jobs,
                           const std::vector<scheduler::NodeRow>& nodes, Instant now) {
  publish_(status(true));
  status_ms_ = now.mono_ms;
  summary_ms_ = 0;  // the next tick says it again
  announced_.clear();
  for (const auto& job : jobs) publish_job(job);
  for (const auto& node : nodes) node_changed(node, now);
}

}  // namespace kiln::fleet
