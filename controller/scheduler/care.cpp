// What people want of nodes, and what heat and the clock make of it.
//
//   a GPU above its soft limit   its node's GPU slots get nothing new until it is cool_c cooler
//   …above its hard limit        its task is taken away and goes elsewhere
//   outside of its schedule      nothing new; what renders is finished
//   idle for sleep_after_s       sent to sleep; woken when work waits that it could do
//   a reboot is wanted           nothing new; as soon as it holds nothing, the command goes out
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "scheduler/farm_data.h"
#include "scheduler/matching.h"

namespace kiln::scheduler {

namespace {

constexpr std::int64_t again_ms =
    60'000;                       // a reboot, a sleep or a magic packet that had no effect is repeated
constexpr int wakes_at_once = 4;  // looked at a tick: not the whole farm's fuse at once

tl::unexpected<Error> no_such_node(const NodeId& id) {
  return fail(Code::not_found, fmt::format("there is no node {}", id.str()));
}

}  // namespace

void Turn::check_window(Node& node) {
  const bool is_in = is_in_schedule(node.row.settings.schedule, now_.unix_ms, data_.utc_offset_s);
  if (is_in == node.in_window) return;
  node.in_window = is_in;
  data_.replace(node);
  if (!is_in) recall_waiting(node);
  remark(fmt::format("{} is {} its schedule", node.row.id.str(), is_in ? "within" : "outside of"));
}

void Turn::send_op(Node& node, std::string_view name, decltype(payloads::Command::op) op) {
  node.power_mono_ms = now_.mono_ms;
  SendCommand send;
  send.node = node.row.id;
  send.command.cid = fmt::format("{}-{}", name, now_.unix_ms);
  send.command.op = std::move(op);
  effects_.emplace_back(std::move(send));
}

void Turn::look_after(Node& node) {
  check_window(node);
  if (!node.held.empty() || !node.is_present() || !node.has_reported) {
    node.idle_since_mono_ms = 0;
    return;
  }
  if (node.idle_since_mono_ms == 0) node.idle_since_mono_ms = now_.mono_ms;
  if (node.power_mono_ms != 0 && now_.mono_ms - node.power_mono_ms < again_ms) return;
  auto& settings = node.row.settings;
  if (settings.reboot) {
    node.is_leaving = true;
    remark(fmt::format("{} is idle and restarts, as asked for", node.row.id.str()));
    return send_op(node, "reboot", payloads::Reboot{});
  }
  const auto idle_s = (now_.mono_ms - node.idle_since_mono_ms) / 1000;
  if (settings.sleep_after_s == 0 || idle_s < settings.sleep_after_s || node.row.info.mac.empty()) return;
  node.row.asleep = true;
  touch(node);
  data_.replace(node);
  remark(fmt::format("{} has been idle for {} s and goes to sleep", node.row.id.str(), idle_s));
  send_op(node, "sleep", payloads::Sleep{});
}

void Turn::forget_reboot(Node& node) {
  if (!node.is_leaving) return;
  node.is_leaving = false;
  node.row.settings.reboot = false;
}

void Turn::hear_refusal(Node& node, const payloads::Ack& ack) {
  const bool is_sleep = ack.cid.starts_with("sleep-");
  if (ack.ok || (!is_sleep && !ack.cid.starts_with("reboot-"))) return;
  remark(fmt::format("{} does not {}: {}", node.row.id.str(), is_sleep ? "sleep" : "restart", ack.message));
  if (is_sleep) {
    node.row.asleep = false;
    node.row.settings.sleep_after_s = 0;               // it would say so every minute
  } else if (ack.code != to_string(Code::conflict)) {  // what it is busy with ends; then it is asked again
    forget_reboot(node);
  }
  data_.replace(node);
  touch(node);
}

// O(nodes asleep × pools) a tick.
void Turn::wake_for_work() {
  int woken = 0;
  for (auto& node : data_.nodes) {
    if (!node.row.asleep || node.row.info.mac.empty() || !node.row.settings.enabled) continue;
    if (node.row.drained || !node.in_window) continue;
    if (node.woken_mono_ms != 0 && now_.mono_ms - node.woken_mono_ms < again_ms) continue;
    const bool is_wanted = std::any_of(data_.job_pools.begin(), data_.job_pools.end(), [&](PoolNo number) {
      const auto& pool = data_.pools[number];
      return !pool.heads.empty() && data_.limits_allow(pool) && !lacking(pool.needs, pool.tags, node.row);
    });
    if (!is_wanted) continue;
    node.woken_mono_ms = now_.mono_ms;
    remark(fmt::format("{} is woken: work waits", node.row.id.str()));
    effects_.emplace_back(WakeNode{node.row.id, node.row.info.mac});
    if (++woken == wakes_at_once) return;
  }
}

// ---- heat
// ----------------------------------------------------------------------------------------------------

void Turn::on(const NodeHeatSeen& event) {
  auto* node = data_.find_node(event.node);
  if (node == nullptr || event.gpu > payloads::max_gpu_index) return;
  node->gpu_temp_c[event.gpu] = event.temp_c;
  const auto& policy = data_.policy;
  const double soft_c = node->row.settings.soft_c.value_or(policy.soft_c);
  const double hard_c = node->row.settings.hard_c.value_or(policy.hard_c);
  const bool was_hot = node->hot_gpus.contains(event.gpu);
  const bool is_hot = event.temp_c >= (was_hot ? soft_c - policy.cool_c : soft_c);
  if (is_hot) {
    node->hot_gpus.insert(event.gpu);
    node->row.hot = fmt::format("GPU {} has {:.0f} °C, its soft limit is {:.0f}: no new work until {:.0f}",
                                event.gpu, event.temp_c, soft_c, soft_c - policy.cool_c);
  } else if (was_hot) {
    node->hot_gpus.erase(event.gpu);
    if (node->hot_gpus.empty()) node->row.hot.clear();
  }
  if (is_hot != was_hot) {
    touch(*node);
    data_.replace(*node);
    remark(is_hot ? fmt::format("{}: {}", node->row.id.str(), node->row.hot)
                  : fmt::format("{}: GPU {} has cooled down to {:.0f} °C", node->row.id.str(), event.gpu,
                                event.temp_c));
  }
  if (event.temp_c < hard_c) return;
  // Slots with a GPU come first, in the order of the GPUs.
  const auto held = node->held;
  for (const auto& key : held) {
    const auto* lease = data_.find_lease(key);
    const auto& gpus = node->row.info.gpus;
    const auto slot = static_cast<std::size_t>(std::max(lease->slot, 0));
    const bool is_on_it =
        lease->slot >= 0 && lease->kind == gpu_lane && slot < gpus.size() && gpus[slot].index == event.gpu;
    if (!is_on_it || lease->phase == payloads::TaskPhase::delivering) continue;
    end(key, Ending::moved,
        {"too-hot", fmt::format("GPU {} of {} had {:.0f} °C, above its hard limit of {:.0f}: moved",
                                event.gpu, node->row.id.str(), event.temp_c, hard_c)});
  }
}

// ---- settings
// ------------------------------------------------------------------------------------------------

void Turn::on(const EditNode& event) {
  auto* node = data_.find_node(event.node);
  if (node == nullptr) return answer(event.request, no_such_node(event.node));
  auto settings = node->row.settings;
  if (event.enabled) settings.enabled = *event.enabled;
  if (event.tags) settings.tags = *event.tags;
  if (event.schedule) settings.schedule = *event.schedule;
  if (event.soft_c) settings.soft_c = *event.soft_c;
  if (event.hard_c) settings.hard_c = *event.hard_c;
  if (event.sleep_after_s) settings.sleep_after_s = *event.sleep_after_s;
  if (event.reboot) settings.reboot = *event.reboot;
  const double soft_c = settings.soft_c.value_or(data_.policy.soft_c);
  const double hard_c = settings.hard_c.value_or(data_.policy.hard_c);
  if (soft_c > hard_c) {
    return answer(
        event.request,
        fail(Code::invalid, fmt::format("soft_c: {} is above the hard limit of {} °C", soft_c, hard_c)));
  }
  for (const auto& window : settings.schedule) {
    if (window.days == 0 || window.from_min >= day_min || window.to_min > day_min || window.to_min == 0) {
      return answer(event.request, fail(Code::invalid, "schedule: days and minutes of a day are expected"));
    }
  }
  if (settings.sleep_after_s != 0 && node->row.info.mac.empty() && node->has_info) {
    return answer(event.request,
                  fail(Code::conflict, fmt::format("{} did not say by which network address it can be "
                                                   "woken: it would sleep for ever",
                                                   event.node.str())));
  }
  if (settings != node->row.settings) {
    account(*node);
    node->row.settings = std::move(settings);
    if (node->has_info) data_.refresh_pools(*node);
    data_.replace(*node);
    check_window(*node);
    if (!node->row.settings.enabled || node->row.settings.reboot) recall_waiting(*node);
    touch(*node);
    // New limits, the same temperature.
    const auto temperatures = node->gpu_temp_c;
    for (const auto& [gpu, temp_c] : temperatures) on(NodeHeatSeen{event.node, gpu, temp_c});
  }
  answer(event.request, Done{});
}

void Turn::on(const PowerNode& event) {
  auto* node = data_.find_node(event.node);
  if (node == nullptr) return answer(event.request, no_such_node(event.node));
  const auto name = event.node.str();
  if (event.wake) {
    if (node->row.info.mac.empty()) {
      return answer(event.request,
                    fail(Code::conflict, fmt::format("{} did not say by which network address it can "
                                                     "be woken",
                                                     name)));
    }
    node->woken_mono_ms = now_.mono_ms;
    effects_.emplace_back(WakeNode{node->row.id, node->row.info.mac});
    return answer(event.request, Done{});
  }
  if (!node->is_present()) {
    return answer(event.request,
                  fail(Code::conflict, fmt::format("{} is {}: only a node that is there can be sent to "
                                                   "sleep",
                                                   name, to_string(node->row.presence))));
  }
  if (node->row.info.mac.empty()) {
    return answer(event.request,
                  fail(Code::conflict, fmt::format("{} did not say by which network address it can "
                                                   "be woken: it would sleep for ever",
                                                   name)));
  }
  if (!node->held.empty()) {
    return answer(event.request, fail(Code::conflict, fmt::format("{} has {} tasks: drain it first", name,
                                                                  node->held.size())));
  }
  node->row.asleep = true;
  touch(*node);
  data_.replace(*node);
  send_op(*node, "sleep", payloads::Sleep{});
  answer(event.request, Done{});
}

// The number stays taken and the record empty: numbers stand in many places.
void Turn::on(const ForgetNode& event) {
  auto* node = data_.find_node(event.node);
  if (node == nullptr) return answer(event.request, no_such_node(event.node));
  if (event.is_revoked) {
    lose_all(*node, event.node.str() + " does not belong to the farm any more");
    set_presence(*node, NodePresence::offline);
  }
  if (node->is_present() || !node->held.empty()) {
    return answer(event.request,
                  fail(Code::conflict, fmt::format("{} is {}{}: only a node that is gone can be forgotten",
                                                   event.node.str(), to_string(node->row.presence),
                                                   node->held.empty() ? "" : " and has tasks")));
  }
  effects_.emplace_back(EraseNode{event.node});
  effects_.emplace_back(NodeErased{event.node});
  data_.forget(*node);
  nodes_.erase(node->no);
  answer(event.request, Done{});
}

void Turn::on(const EditFarm& event) {
  for (const auto& [name, total] : event.limits) {
    if (!is_id(name) || total > payloads::max_limit_count) {
      return answer(event.request,
                    fail(Code::invalid, fmt::format("limits.{}: an id and a number up to {} are expected",
                                                    name, payloads::max_limit_count)));
    }
  }
  for (const auto& [name, total] : event.limits) {
    if (total == 0) {
      data_.settings.limits.erase(name);
    } else {
      data_.settings.limits[name] = total;
    }
  }
  if (event.fair_share) data_.set_fair_share(*event.fair_share);
  effects_.emplace_back(SaveFarm{data_.settings});
  effects_.emplace_back(FarmChanged{data_.settings});
  answer(event.request, Done{});
}

}  // namespace kiln::scheduler
