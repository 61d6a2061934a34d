// What nodes say, and what their silence means.
//
//   presence            on                                          to        effect on what it holds
//   any                 live status, info or tasks of this sid      online    or draining, as its status says
//   online, draining    nothing for 3 heartbeats; the broker went   unknown
//   any                 status offline of this sid (its last will,  offline
//                       live or retained)
//   unknown, offline    for longer than the grace period            same      its attempts are lost
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "scheduler/farm_data.h"

namespace kiln::scheduler {

namespace {

constexpr std::int64_t falls_asleep_ms = 10'000;
constexpr int missed_heartbeats = 3;        // rule 6
constexpr std::uint32_t foreign_limit = 3;  // heartbeats of an older sid: no straggler any more

}  // namespace

// ---- presence
// -----------------------------------------------------------------------------------------------

// The node, made known if it is new; nullptr: the farm has as many as it keeps.
Node* Turn::node_for(const NodeId& id) {
  if (auto* known = data_.find_node(id)) return known;
  if (id.empty() || data_.nodes.size() >= max_nodes) return nullptr;
  auto& node = data_.add_node(id, now_);
  touch(node);
  remark(fmt::format("{} is new to the farm", id.str()));
  return &node;
}

// Rules 4 and 14: false for what an older session said.
bool Turn::is_current(Node& node, std::uint64_t sid, bool retained, bool is_heartbeat) {
  if (sid == node.row.sid) return true;
  if (sid > node.row.sid) {
    node.row.sid = sid;
    node.next_seq = 0;
    node.old_count = 0;
    node.foreign_count = 0;
    node.rests_until_mono_ms = 0;
    node.says_draining = false;
    node.has_reported = false;
    forget_reboot(node);
    data_.replace(node);
    touch(node);
    // The session that was heard is over, and of the new one there is only what the broker remembers.
    if (retained && node.is_present()) set_presence(node, NodePresence::unknown);
    return true;
  }
  if (retained || !is_heartbeat) return false;
  node.foreign_count = sid == node.foreign_sid ? node.foreign_count + 1 : 1;
  node.foreign_sid = sid;
  if (node.foreign_count == foreign_limit) {
    remark(fmt::format("two boxes speak as {} (sid {} and {}): give one of them another id",
                       node.row.id.str(), node.row.sid, sid));
  }
  return false;
}

void Turn::hear(Node& node) {
  node.heard_mono_ms = now_.mono_ms;
  node.row.last_seen_ms = now_.unix_ms;
  // Its last words before it slept may come late.
  if (node.row.asleep && now_.mono_ms - node.power_mono_ms > falls_asleep_ms) {
    node.row.asleep = false;
    data_.replace(node);
    touch(node);
    remark(fmt::format("{} is awake", node.row.id.str()));
  }
  set_presence(node, node.says_draining ? NodePresence::draining : NodePresence::online);
  if (now_.mono_ms - node.saved_mono_ms >= save_seen_ms) touch(node);
}

void Turn::set_presence(Node& node, NodePresence presence) {
  if (node.row.presence == presence) return;
  account(node);
  const bool was_present = node.is_present();
  node.row.presence = presence;
  if (was_present && !node.is_present()) {
    node.away_mono_ms = now_.mono_ms;
    node.has_reported = false;
  }
  if (presence == NodePresence::offline) forget_reboot(node);
  touch(node);
  data_.replace(node);
  if (was_present != node.is_present() && data_.connected) {
    remark(fmt::format("{} is {}", node.row.id.str(), to_string(presence)));
  }
  if (presence == NodePresence::draining) recall_waiting(node);
}

void Turn::recall_waiting(Node& node) {
  for (const auto& key : node.held) recall(key, *data_.find_lease(key));
}

void Turn::lose_all(Node& node, const std::string& why) {
  const auto held = node.held;
  for (const auto& key : held) end(key, Ending::lost, {"node-lost", why});
  if (!held.empty()) remark(fmt::format("{}: {} tasks are queued again", why, held.size()));
}

void Turn::on(const DrainNode& event) {
  auto* node = data_.find_node(event.node);
  if (node == nullptr) {
    return answer(event.request, fail(Code::not_found, fmt::format("there is no node {}", event.node.str())));
  }
  if (node->row.drained != event.drained) {
    node->row.drained = event.drained;
    touch(*node);
    data_.replace(*node);
    if (event.drained) recall_waiting(*node);
  }
  SendCommand send;
  send.node = event.node;
  send.command.cid = fmt::format("{}-{}", event.drained ? "drain" : "resume", now_.unix_ms);
  if (event.drained) {
    send.command.op = payloads::Drain();
  } else {
    send.command.op = payloads::Resume();
  }
  effects_.emplace_back(std::move(send));
  answer(event.request, Done{});
}

void Turn::on(const NodeStatusSeen& event) {
  auto* node = node_for(event.node);
  if (node == nullptr || !is_current(*node, event.status.sid, event.retained, false)) return;
  if (event.status.state == payloads::NodeState::offline) return set_presence(*node, NodePresence::offline);
  if (event.retained) return;
  node->says_draining = event.status.state == payloads::NodeState::draining;
  hear(*node);
  // A node forgets a drain when it restarts; the wish of a person holds.
  if (node->row.drained && !node->says_draining) {
    SendCommand send;
    send.node = event.node;
    send.command.cid = fmt::format("drain-{}", now_.unix_ms);
    send.command.op = payloads::Drain();
    effects_.emplace_back(std::move(send));
  }
}

void Turn::on(const NodeInfoSeen& event) {
  auto* node = node_for(event.node);
  if (node == nullptr || !is_current(*node, event.info.sid, event.retained, true)) return;
  auto same = node->row.info;
  same.sid = event.info.sid;
  const bool is_new = !node->has_info || same != event.info;
  if (is_new || node->row.info != event.info) data_.set_info(*node, event.info);
  if (is_new) touch(*node);
  if (!event.retained) hear(*node);
}

// ---- the inventory
// --------------------------------------------------------------------------------------------

void Turn::on(const NodeTasksSeen& event) {
  auto* node = node_for(event.node);
  if (node == nullptr || !is_current(*node, event.tasks.sid, event.retained, true)) return;
  if (event.retained) return;  // what it held once, rule 6
  hear(*node);
  if (event.tasks.seq < node->next_seq && !has_begun_anew(*node, event.tasks.seq)) return;  // rule 5
  node->old_count = 0;
  node->next_seq = event.tasks.seq + 1;
  data_.set_warm(*node, event.tasks.warm);
  compare_inventory(*node, event.tasks);
  node->has_reported = true;
  data_.replace(*node);
}

// A box that lost its state file may come back with a sid that it had before, and counts its seq from 1
// again. An old copy or two are stragglers; heartbeat after heartbeat with nothing newer between them is a
// new life.
bool Turn::has_begun_anew(Node& node, std::uint64_t seq) const {
  if (node.old_count == 0 || seq <= node.old_seq) {
    node.old_count = 0;
    node.old_since_mono_ms = now_.mono_ms;
  }
  node.old_seq = seq;
  return ++node.old_count >= foreign_limit &&
         now_.mono_ms - node.old_since_mono_ms >= (foreign_limit - 1) * data_.policy.heartbeat_ms;
}

// Rule 8, at every heartbeat.
void Turn::compare_inventory(Node& node, const payloads::NodeTasks& tasks) {
  std::set<LeaseKey> listed;
  std::set<std::pair<TaskId, std::uint32_t>> named;
  for (const auto& held : tasks.run) {
    named.insert({held.task, held.attempt});
    const auto number = data_.job_numbers.find(held.task.job);
    const JobNo job = number == data_.job_numbers.end() ? 0 : number->second;
    const auto out_here = [&]() -> std::optional<LeaseKey> {
      const auto found = data_.find_attempt(job, held.task.index, held.attempt);
      return found && data_.find_lease(*found)->node == node.no ? found : std::nullopt;
    };
    auto out = out_here();
    if (!out && adopt(node, held)) out = out_here();
    if (!out) {
      // Nobody waits for it, except that what is delivered is answered (and taken, if it is the first).
      if (held.phase != payloads::TaskPhase::delivering) send_cancel(node, held.task, held.attempt);
      continue;
    }
    const auto& key = *out;
    auto* lease = data_.find_lease(key);
    listed.insert(key);
    lease->seen = true;
    data_.set_slot(key, *lease, held.slot);
    if (lease->phase != held.phase) account(node);
    data_.set_phase(*lease, held.phase);
    if (held.phase == payloads::TaskPhase::rendering && lease->started_mono_ms == 0)
      lease->started_mono_ms = now_.mono_ms;
    if (held.phase != payloads::TaskPhase::queued) {
      data_.set_recalled(key, *lease, false);  // too late
      if (!lease->running) start(key, *lease);
      watch(key, *lease);
    } else if (lease->recalled) {
      send_cancel(node, held.task, held.attempt);
    }
  }
  std::erase_if(node.cancels, [&](const auto& cancel) { return !named.contains(cancel.first); });
  const auto held = node.held;
  for (const auto& key : held) {
    if (!listed.contains(key)) missing_from(node, key, *data_.find_lease(key));
  }
}

// From its first frame on: fetching may take as long as it takes.
void Turn::watch(const LeaseKey& key, Lease& lease) {
  const std::int64_t max_run_s = data_.jobs.at(key.job).row.spec.options.max_run_s;
  if (max_run_s == 0 || lease.due_mono_ms != 0 || lease.phase != payloads::TaskPhase::rendering) return;
  data_.set_due(key, lease, now_.mono_ms + max_run_s * 1000 + data_.policy.overdue_ms);
}

void Turn::missing_from(Node& node, const LeaseKey& key, Lease& lease) {
  if (lease.recalled) return end(key, Ending::taken_back);
  if (lease.running) {
    return end(key, Ending::lost,
               {"node-lost", fmt::format("{} came back without it: it was restarted", node.row.id.str())});
  }
  // Its command may still be on its way, unless it had arrived or went to an earlier session.
  if (!lease.seen && lease.sent_sid == node.row.sid) return;
  lease.seen = false;
  const bool is_wanted = data_.jobs.at(key.job).row.state == JobState::active && !node.row.drained &&
                         node.row.settings.enabled && node.row.quarantine.empty() &&
                         node.row.presence == NodePresence::online;
  if (!is_wanted) return end(key, Ending::taken_back);
  send_again(key, lease);
}

// Rule 7.
void Turn::send_again(const LeaseKey& key, Lease& lease) {
  if (lease.sends < max_sends) return send_run(key, lease);
  end(key, Ending::untaken,
      {"not-taken", fmt::format("{} did not take it, though asked {} times",
                                data_.node(lease.node).row.id.str(), lease.sends)});
}

void Turn::on(const NodeAckSeen& event) {
  const auto name = parse_cid(event.ack.cid);
  auto* node = data_.find_node(event.node);
  if (node == nullptr) return;
  if (!name) return hear_refusal(*node, event.ack);
  const auto number = data_.job_numbers.find(name->task.job);
  if (number == data_.job_numbers.end()) return;
  const auto out = data_.find_attempt(number->second, name->task.index, name->attempt);
  if (!out) return;
  const auto& key = *out;
  auto* lease = data_.find_lease(key);
  if (lease->node != node->no) return;

  if (name->is_cancel) {
    if (!lease->recalled) return;
    if (event.ack.ok || !lease->seen) return end(key, Ending::taken_back);
    return data_.set_recalled(key, *lease, false);
  }
  if (event.ack.ok || lease->seen) return;  // it has it: the answer to a second copy means nothing
  if (lease->recalled) return end(key, Ending::taken_back);
  const auto message =
      event.ack.message.empty() ? fmt::format("{} refused it", node->row.id.str()) : event.ack.message;
  if (event.ack.code != to_string(Code::unavailable)) {
    return end(key, Ending::failed, {event.ack.code, message});
  }
  // It is stopping, starting or full: nothing is wrong with the task.
  node->rests_until_mono_ms = now_.mono_ms + refusal_rest_ms;
  end(key, Ending::refused, {event.ack.code, message});
}

// ---- the shell
// ------------------------------------------------------------------------------------------------

void Turn::on(const BrokerConnected& /*event*/) {
  data_.connected = true;
  effects_.emplace_back(SendRebirth{});
  for (auto& node : data_.nodes) {
    if (node.is_present()) set_presence(node, NodePresence::unknown);
    // Who died with the broker while we were away is never heard of again: his row must not say "online".
    if (std::exchange(node.presence_is_old, false)) touch(node);
    node.away_mono_ms = now_.mono_ms;  // everybody gets the grace period to come back
    data_.replace(node);
  }
}

void Turn::on(const BrokerLost& /*event*/) {
  data_.connected = false;
  for (auto& node : data_.nodes) {
    if (node.is_present()) set_presence(node, NodePresence::unknown);
  }
}

// O(nodes + commands that wait for a sign of life).
void Turn::on(const Tick& event) {
  data_.utc_offset_s = event.utc_offset_s;
  end_overdue();
  start_early_jobs();
  wake_for_work();
  for (auto& node : data_.nodes) {
    if (node.row.id.empty()) continue;  // forgotten
    account(node);
    look_after(node);
    if (node.forgiven_mono_ms != 0 && now_.mono_ms >= node.forgiven_mono_ms) forgive(node);
    if (node.stats_dirty && now_.mono_ms - node.saved_mono_ms >= save_stats_ms) touch(node);
    if (!data_.connected) continue;
    if (node.rests_until_mono_ms != 0 && now_.mono_ms >= node.rests_until_mono_ms) {
      node.rests_until_mono_ms = 0;
      data_.replace(node);
    }
    if (node.is_present()) {
      if (now_.mono_ms - node.heard_mono_ms > missed_heartbeats * data_.policy.heartbeat_ms) {
        set_presence(node, NodePresence::unknown);
        continue;
      }
      if (node.lanes[cpu_lane].waiting + node.lanes[gpu_lane].waiting == 0) continue;
      const auto held = node.held;
      for (const auto& key : held) {
        auto& lease = *data_.find_lease(key);
        if (lease.seen || now_.mono_ms - lease.sent_mono_ms < data_.policy.resend_ms) continue;
        // Given up is only what a node ignores that speaks; of a silent one the grace period decides.
        if (lease.sends >= max_sends && node.heard_mono_ms <= lease.sent_mono_ms) continue;
        if (lease.recalled) {
          send_cancel(node, task_id(key), lease.attempt);
        } else {
          send_again(key, lease);
        }
      }
    } else if (!node.held.empty() && now_.mono_ms - node.away_mono_ms >= data_.policy.grace_ms) {
      lose_all(node, fmt::format("{} was not heard of for {} s", node.row.id.str(),
                                 (now_.mono_ms - node.away_mono_ms) / 1000));
    }
  }
}

void Turn::on(const DiskPressure& event) {
  if (data_.disk_full != event.full) {
    remark(event.full ? "the disk is full: nothing is handed out until there is space"
                      : "there is disk space again: work goes on");
  }
  data_.disk_full = event.full;
}

}  // namespace kiln::scheduler
