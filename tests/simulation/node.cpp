#include "node.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "checkers.h"
#include "codec.h"
#include "uplink/inbound.h"

namespace kiln::sim {

namespace {

// As in agent.cpp, discovery.cpp, delivery.cpp and backoff.h.
constexpr std::int64_t ask_again_ms = 15'000;
constexpr std::int64_t ask_retry_ms = 2'000;
constexpr std::int64_t telemetry_every_ms = 2'000;
constexpr int delivery_workers = 2;
constexpr unsigned max_broken_files = 3;
constexpr std::int64_t backoff_first_ms = 500;
constexpr std::int64_t backoff_max_ms = 30'000;

// The job's way to behave is the number that its manifest begins with.
std::size_t profile_of(const payloads::RunTask& run) {
  std::size_t number = 0;
  constexpr std::size_t prefix = sizeof("sha256:") - 1;
  if (run.manifest.size() < prefix + 8) return 0;
  std::from_chars(run.manifest.data() + prefix, run.manifest.data() + prefix + 8, number, 16);
  return number;
}

}  // namespace

// ---- HTTP -------------------------------------------------------------------------------------------------

std::int64_t Http::latency_ms() {
  if (world_.random.chance(net_.slow)) return world_.random.between(0, net_.slow_ms);
  return world_.random.between(0, net_.latency_ms);
}

void Http::request(Link& link, const std::function<void(const Reply&)>& call, const Reply& reply) {
  constexpr std::int64_t timeout_ms = 20'000;
  // Answered, or given up: whichever is first.
  auto is_over = std::make_shared<bool>(false);
  const auto end = [is_over, reply](const Response& response) {
    if (!std::exchange(*is_over, true)) reply(response);
  };
  const bool is_cut_before = world_.random.chance(net_.http_cut);
  const bool is_cut_after = world_.random.chance(net_.http_cut);
  const bool comes_twice = world_.random.chance(net_.http_twice);
  if (link.is_cut) return world_.after(timeout_ms / 2, [end] { end({}); });
  if (is_cut_before) return world_.after(latency_ms(), [end] { end({}); });
  const auto arrive = [this, &link, call, end, is_cut_after] {
    if (link.is_cut) return;  // the caller gives up
    if (!controller_.is_up()) return end({});
    call([this, &link, end, is_cut_after](const Response& response) {
      world_.after(latency_ms(), [&link, end, response, is_cut_after] {
        if (link.is_cut) return;
        end(is_cut_after ? Response{} : response);
      });
    });
  };
  world_.after(latency_ms(), arrive);
  if (comes_twice) {
    world_.after(latency_ms() + world_.random.between(0, 3'000), [this, &link, call] {
      if (!link.is_cut && controller_.is_up()) call([](const Response&) {});
    });
  }
  world_.after(timeout_ms + 20'000, [end] { end({}); });
}

// ---- life -------------------------------------------------------------------------------------------------

Node::Node(World& world, Broker& broker, Controller& controller, Http& http, Checkers& checkers,
           const Plan& plan, int box, int identity, NodeId id, Disk disk)
    : world_(world),
      controller_(controller),
      http_(http),
      checkers_(checkers),
      plan_(plan),
      box_(box),
      identity_(identity),
      id_(std::move(id)),
      slots_(plan.nodes.at(static_cast<std::size_t>(identity)).slots),
      client_(world, broker, identity,
              {.before_connect = [this]() -> std::optional<Message> {
                 if (is_spent_ && !world_.is(Mutant::sid_not_raised)) ++disk_.sid;
                 is_spent_ = false;
                 if (world_.is(Mutant::no_last_will)) return std::nullopt;
                 const payloads::NodeStatus will{payloads::NodeState::offline, disk_.sid};
                 return Message{{Leaf::node_status, identity_}, std::make_shared<const Body>(will), true};
               },
               .on_connect = [this] { connected(); },
               .on_message = [this](const Message& message, bool retained) { received(message, retained); },
               .on_lost =
                   [this] {
                     line_changed();
                     if (!away_since_ms_) away_since_ms_ = world_.now_ms();
                     post(planner::BrokerLost{});
                   }}),
      disk_(std::move(disk)) {}

void Node::later(std::int64_t ms, std::function<void()> call) {
  world_.after(ms, [this, life = life_, call = std::move(call)] {
    if (life == life_) call();
  });
}

void Node::power_on() {
  if (is_up() || is_retired_) return;
  ++life_;
  world_.note("agent starts", box_);
  mono_base_ms_ = world_.random.skewed(5'000, 1'000'000'000);
  std::vector<planner::Attempt> delivering;
  works_.clear();
  if (!world_.is(Mutant::journal_not_read_at_start)) {
    for (const auto& [number, entry] : disk_.journal) {
      delivering.push_back({entry.task, entry.attempt});
      works_[number].was_recovered = true;
    }
  }
  const auto epoch = world_.is(Mutant::node_epoch_not_stored) ? 0 : disk_.epoch;
  planner::Policy policy;
  policy.may_reboot = policy.may_sleep = true;
  if (world_.is(Mutant::double_not_noticed)) policy.max_flaps = std::numeric_limits<std::uint32_t>::max();
  planner_.emplace(id_, planner::Slots{slots_, hardware().gpu_slots}, epoch, delivering, policy);
  warm_.assign(slots_, "");
  inbox_.clear();
  runs_.clear();
  pending_.clear();
  wakes_ = leaving_ = look_at_warm_ = is_pressed_ = is_connecting_ = false;
  is_spent_ = true;
  controller_online_.reset();
  tasks_.reset();
  armed_ms_.reset();
  workers_busy_ = 0;
  away_failures_ = 0;
  away_until_ms_ = deliver_due_ms_ = 0;
  away_since_ms_ = world_.now_ms();
  checkers_.box_started(*this);
  ask_farm();
  later(world_.random.between(100, 3'000), [this] {
    payloads::NodeInfo info;
    info.name = id_.str();
    info.agent_version = std::string("0.1.0");
    info.slots = slots_;
    info.gpu_slots = hardware().gpu_slots;
    info.memory_mib = hardware().memory_mib;
    for (std::uint32_t i = 0; i < info.gpu_slots; ++i) {
      info.gpus.emplace_back();
      info.gpus.back().index = i;
    }
    for (const auto& renderer : hardware().renderers) {
      info.renderers.push_back({renderer, "1"});
    }
    post(planner::InfoChanged{std::move(info)});
  });
  watch();
  deliver();
}

const NodePlan& Node::hardware() const {
  return plan_.nodes.at(static_cast<std::size_t>(identity_));
}

void Node::watch() {
  if (is_disk_full_ != is_pressed_) {
    is_pressed_ = is_disk_full_;
    post(planner::DiskPressure{is_pressed_, "the disk"});
  }
  if (away_since_ms_ && world_.now_ms() >= *away_since_ms_ + ask_again_ms) {
    away_since_ms_ = world_.now_ms();
    ask_farm();
  }
  later(telemetry_every_ms, [this] { watch(); });
}

void Node::die(bool are_sockets_closed) {
  client_.die(are_sockets_closed);
  ++life_;
  planner_.reset();
  runs_.clear();
  pending_.clear();
  works_.clear();
  line_changed();
  checkers_.box_gone(*this);
}

void Node::kill_agent(bool has_power) {
  if (!is_up()) return;
  world_.note(has_power ? "agent is killed" : "box loses power", box_);
  ++world_.faults;
  die(has_power);
}

void Node::stop_agent() {
  if (!is_up()) return;
  world_.note("agent is asked to stop", box_);
  post(planner::StopAsked{});
}

// What was handed over is still journalled; nothing is told of what was running.
void Node::leave() {
  world_.note("agent leaves", box_);
  send_tasks();
  client_.stop();
  for (const auto& [key, report] : pending_) {
    if (!is_disk_full_) put(key, report);
  }
  die(true);
  world_.after(world_.random.between(1'000, 20'000), [this] { power_on(); });
}

void Node::retire() {
  is_retired_ = true;
  if (is_up()) die(true);
}

void Node::lose_state() {
  world_.note("box loses its state file", box_);
  ++world_.faults;
  die(true);
  disk_.sid = disk_.epoch = 0;
  disk_.farm.clear();
  checkers_.box_lost_state(*this);
}

void Node::set_disk_full(bool full) {
  is_disk_full_ = full;
}

void Node::cut_line(Client& client) {
  client.cut();
  line_changed();
}

void Node::cut_http() {
  http_link_.is_cut = true;
}

void Node::heal() {
  client_.heal();
  http_link_.is_cut = false;
  line_changed();
}

void Node::line_changed() {
  checkers_.box_line(*this);
}

// ---- discovery --------------------------------------------------------------------------------------------

void Node::ask_farm() {
  http_.request(
      http_link_,
      [this](const Reply& reply) {
        reply({200, controller_.data()->database.farm(), {}, {}});
      },
      [this, life = life_](const Response& response) {
        if (life != life_) return;
        if (response.status != 200) return later(ask_retry_ms, [this] { ask_farm(); });
        farm_found(response.farm);
      });
}

void Node::meet(const std::string& farm) {
  if (farm == disk_.farm) return;
  world_.note("box meets a farm", box_);
  disk_.farm = farm;
  disk_.epoch = 0;
  checkers_.box_changed_farm(*this);
  step(planner::FarmChanged{});
}

void Node::farm_found(const std::string& farm) {
  meet(farm);
  after_batch();
  if (!is_up()) return;
  if (is_connecting_) return;
  is_connecting_ = true;
  is_spent_ = true;
  client_.start();
}

// ---- the owner's thread -----------------------------------------------------------------------------------

void Node::connected() {
  is_spent_ = true;
  away_since_ms_.reset();
  world_.note("box is connected", box_, {}, 0, disk_.sid);
  checkers_.box_connected(*this);
  line_changed();
  poke();
  post(planner::BrokerConnected{disk_.sid});
}

void Node::received(const Message& message, bool retained) {
  const auto random = static_cast<std::uint32_t>(world_.random.next());
  if (plan_.codec) {
    auto fact =
        uplink::read_message(id_, topic_text(message.topic, id_), encode(*message.body), retained, random);
    if (!fact) throw Violation(fmt::format("a message is not understood: {}", fact.error().message), box_);
    return post(std::move(*fact));
  }
  if (const auto* command = std::get_if<payloads::Command>(message.body.get())) {
    post(planner::CommandReceived{*command, "", retained, random});
  } else if (const auto* status = std::get_if<payloads::NodeStatus>(message.body.get())) {
    post(planner::StatusSeen{*status, retained});
  } else if (const auto* controller = std::get_if<payloads::ControllerStatus>(message.body.get())) {
    post(planner::ControllerSeen{*controller});
  }
}

void Node::post(planner::Fact fact) {
  if (!is_up()) return;
  inbox_.push_back(std::move(fact));
  if (std::exchange(wakes_, true)) return;
  later(0, [this] { run_batch(); });
}

void Node::run_batch() {
  wakes_ = false;
  for (auto& fact : std::exchange(inbox_, {})) {
    if (leaving_ || !is_up()) break;
    if (const auto* seen = std::get_if<planner::ControllerSeen>(&fact)) {
      if (controller_online_ != seen->status.online && seen->status.online) poke();
      controller_online_ = seen->status.online;
      if (seen->status.online) meet(seen->status.farm);
    }
    if (std::holds_alternative<planner::ProgressMade>(fact) ||
        std::holds_alternative<planner::AttemptEnded>(fact)) {
      look_at_warm_ = true;
    }
    step(fact);
  }
  after_batch();
}

void Node::after_batch() {
  if (leaving_) return leave();
  if (std::exchange(look_at_warm_, false)) step(planner::WarmChanged{warm_});
  if (const auto due = planner_->next_due(); due && now().mono_ms >= *due) step(planner::Tick{});
  if (leaving_) return leave();
  send_tasks();
  arm();
}

void Node::arm() {
  const auto due = planner_->next_due();
  if (!due) return;
  const auto at_ms = std::max(world_.now_ms() + 1, *due - mono_base_ms_);
  if (armed_ms_ && *armed_ms_ <= at_ms) return;
  armed_ms_ = at_ms;
  later(at_ms - world_.now_ms(), [this, at_ms] {
    if (armed_ms_ != at_ms) return;
    armed_ms_.reset();
    run_batch();
  });
}

void Node::step(const planner::Fact& the_fact) {
  auto fact = the_fact;
  const auto* command = std::get_if<planner::CommandReceived>(&the_fact);
  if (auto* forged = std::get_if<planner::CommandReceived>(&fact)) {
    if (world_.is(Mutant::retained_command_obeyed)) forged->retained = false;
    if (world_.is(Mutant::epoch_ignored))
      forged->command->epoch = std::max(forged->command->epoch, planner_->epoch());
  }
  if (world_.is(Mutant::double_not_noticed) && std::holds_alternative<planner::StatusSeen>(fact)) return;
  auto effects = planner::step(*planner_, now(), fact);
  if (command != nullptr) checkers_.commanded(*this, *command, effects);
  if (const auto* seen = std::get_if<planner::ControllerSeen>(&fact))
    checkers_.controller_seen(*this, seen->status);
  for (auto& effect : effects) carry_out(effect);
}

void Node::carry_out(planner::Effect& effect) {
  if (const auto* epoch = std::get_if<planner::StoreEpoch>(&effect)) {
    disk_.epoch = epoch->epoch;
  } else if (const auto* status = std::get_if<planner::PublishStatus>(&effect)) {
    send_tasks();  // the last inventory comes before the last status
    client_.publish({Leaf::node_status, identity_}, status->status, true);
  } else if (auto* tasks = std::get_if<planner::PublishTasks>(&effect)) {
    tasks_ = std::move(*tasks);
  } else if (const auto* info = std::get_if<planner::PublishInfo>(&effect)) {
    client_.publish({Leaf::node_info, identity_}, info->info, true);
  } else if (const auto* event = std::get_if<planner::PublishEvent>(&effect)) {
    checkers_.box_said(*this, event->event);
  } else if (const auto* remark = std::get_if<planner::Remark>(&effect)) {
    checkers_.box_said(*this, remark->event);
  } else if (const auto* ack = std::get_if<planner::PublishAck>(&effect)) {
    if (!ack->ack.ok) world_.note("box refuses a command", box_);
    client_.publish({Leaf::node_ack, identity_}, ack->ack, false);
  } else if (const auto* reconnect = std::get_if<planner::Reconnect>(&effect)) {
    if (!world_.is(Mutant::sid_not_raised)) disk_.sid = std::max(disk_.sid, reconnect->above_sid);
    if (reconnect->after_ms > 0) {
      world_.note("box steps back", box_);
      send_tasks();
      client_.stop();
      line_changed();
      tasks_.reset();
      is_spent_ = true;
      later(reconnect->after_ms, [this] { client_.start(); });
    } else {
      client_.reconnect();
      line_changed();
    }
  } else if (const auto* start_task = std::get_if<planner::StartTask>(&effect)) {
    start(start_task->run, start_task->slot);
  } else if (const auto* kill = std::get_if<planner::CancelAttempt>(&effect)) {
    cancel({kill->task, kill->attempt});
  } else if (std::holds_alternative<planner::Reboot>(effect)) {
    rest(true);
  } else if (std::holds_alternative<planner::Sleep>(effect)) {
    rest(false);
  } else if (std::holds_alternative<planner::Exit>(effect)) {
    leaving_ = true;
  }
}

// Away in good order. A restart ends the agent; one that sleeps is as it was when somebody wakes it.
void Node::rest(bool restarts) {
  world_.note(restarts ? "box restarts" : "box sleeps", box_);
  send_tasks();
  client_.stop();
  line_changed();
  is_spent_ = true;
  if (!restarts) {
    return later(world_.random.between(1'000, 600'000), [this] { client_.start(); });
  }
  later(world_.random.between(0, 2'000), [this] {
    die(true);
    world_.after(world_.random.between(20'000, 90'000), [this] { power_on(); });
  });
}

void Node::send_tasks() {
  if (tasks_) client_.publish({Leaf::node_tasks, identity_}, std::move(tasks_->tasks), true);
  tasks_.reset();
}

// ---- the runner -------------------------------------------------------------------------------------------

void Node::start(const payloads::RunTask& run, int slot) {
  const AttemptKey key{run.task, run.attempt};
  world_.note("box starts", box_, run.task, run.attempt);
  checkers_.run_started(*this, run, slot);
  const auto serial = ++run_serial_;
  runs_[key] = {run, slot, serial, world_.now_ms(), disk_.farm};
  const bool is_warm = warm_.at(static_cast<std::size_t>(slot)) == run.manifest;
  later(world_.random.between(0, is_warm ? 20 : 1'500), [this, key, serial] { render(key, serial); });
}

void Node::render(const AttemptKey& key, std::uint64_t serial) {
  const auto found = runs_.find(key);
  if (found == runs_.end() || found->second.serial != serial) return;
  const auto& run = found->second;
  auto& random = world_.random;
  const auto& profile = plan_.profiles.at(profile_of(run.task));
  const bool is_noop = run.task.renderer == "noop";
  warm_.at(static_cast<std::size_t>(run.slot)) = run.task.manifest;
  const auto& points = run.task.of_template;
  const bool is_template = !points.document.empty();
  const auto units = is_template ? points.count : run.task.frames.size();
  // A unit of a template's step stands for a frame of that number.
  const auto unit = [&](std::size_t i) {
    return is_template ? static_cast<std::int32_t>(points.first + i) + 1 : run.task.frames.at(i);
  };
  const auto first = unit(0);
  post(planner::ProgressMade{key.first, key.second, payloads::TaskPhase::rendering, first, 0, std::nullopt});

  payloads::ResultReport report;
  std::int64_t takes_ms = 0;
  for (std::size_t i = 0; i < units && !is_noop; ++i) {
    payloads::ResultFile file;
    file.frame = unit(i);
    const auto frame_ms = random.between(profile.mean_ms / 2, profile.mean_ms * 3 / 2);
    takes_ms += frame_ms;
    file.path = is_template ? fmt::format("s{}/{:04}.png", points.step, file.frame)
                            : fmt::format("{:04}.png", file.frame);
    // Two renders of a frame are never the same bytes, so that a mixture of two would show.
    const auto content = random.next();
    file.digest = fmt::format("sha256:{:016x}{:016x}{:016x}{:016x}", content, mix(content), 0, 0);
    file.size = 1'000;
    file.width = file.height = 16;
    file.seconds = static_cast<double>(frame_ms) / 1000;
    report.files.push_back(std::move(file));
  }
  report.ok = true;
  report.seconds = static_cast<double>(takes_ms) / 1000;
  const auto fail_with = [&](const char* code, payloads::FailureScope scope, std::int64_t after_ms) {
    report = {};
    report.failure = {code, "as the simulation has it", scope};
    takes_ms = after_ms;
  };
  const auto cut_ms = random.between(0, std::max<std::int64_t>(takes_ms, 1));
  if (!is_noop) {
    bool is_bad = false;
    for (std::size_t i = 0; i < units && profile.bad_frame != 0; ++i) {
      is_bad = is_bad || static_cast<std::uint32_t>(unit(i)) % profile.bad_frame == 0;
    }
    if (is_bad || random.chance(profile.fails))
      fail_with("bad-frame", payloads::FailureScope::attempt, cut_ms);
    if (random.chance(profile.crashes))
      fail_with("renderer-crashed", payloads::FailureScope::attempt, cut_ms);
    if (random.chance(profile.hangs)) {
      fail_with("renderer-hung", payloads::FailureScope::attempt, cut_ms + plan_.hang_ms);
    }
    if (random.chance(profile.ruins)) fail_with("no-camera", payloads::FailureScope::job, cut_ms);
  }
  report.node = id_;
  if (takes_ms > 2'000) {
    later(takes_ms / 2, [this, key, serial, first] {
      if (const auto now = runs_.find(key); now == runs_.end() || now->second.serial != serial) return;
      post(planner::ProgressMade{key.first, key.second, payloads::TaskPhase::rendering, first, 50,
                                 std::nullopt});
    });
  }
  later(takes_ms, [this, key, serial, report] { finish(key, serial, report); });
}

void Node::finish(const AttemptKey& key, std::uint64_t serial, payloads::ResultReport report) {
  const auto run = runs_.find(key);
  if (run == runs_.end() || run->second.serial != serial) return;
  const auto farm = run->second.farm;
  runs_.erase(run);
  checkers_.run_ended(*this, key);
  world_.note(report.ok ? "box has rendered" : "box has failed at", box_, key.first, key.second);
  planner::AttemptEnded ended{key.first, key.second, planner::Ending::rendered, std::nullopt};
  if (!report.ok) ended.failure = report.failure;
  post(std::move(ended));
  report.node = id_;
  Entry entry{key.first, key.second, std::move(report), farm};
  pending_[key] = entry;
  if (world_.is(Mutant::journal_not_synced)) {
    checkers_.journalled(*this, key);
    post(planner::AttemptEnded{key.first, key.second, planner::Ending::journalled, std::nullopt});
    constexpr std::int64_t writeback_ms = 5'000;
    return later(writeback_ms, [this, key] {
      put(key, pending_.at(key));
      deliver();
    });
  }
  later(sync_ms(), [this, key] { journal(key); });
}

void Node::journal(const AttemptKey& key) {
  const auto entry = std::move(pending_.at(key));
  pending_.erase(key);
  planner::AttemptEnded ended{key.first, key.second, planner::Ending::journalled, std::nullopt};
  if (!is_disk_full_) {
    put(key, entry);
  } else {
    // The frames are given up for the room they take, so that at least the reason gets through.
    Entry reason{key.first, key.second, {}, entry.farm};
    reason.report.node = id_;
    reason.report.failure = {"disk-full", "the disk", payloads::FailureScope::attempt};
    ended.failure = reason.report.failure;
    if (world_.random.chance(0.5)) {
      put(key, reason);
    } else {
      ended.ending = planner::Ending::lost;
    }
  }
  if (ended.ending == planner::Ending::journalled) checkers_.journalled(*this, key);
  // The delivery may be faster than whoever says so.
  const auto late_ms = world_.random.chance(0.1) ? world_.random.between(0, 300) : 0;
  later(late_ms, [this, ended] { post(ended); });
  deliver();
}

void Node::put(const AttemptKey& key, const Entry& entry) {
  const bool is_there = std::any_of(disk_.journal.begin(), disk_.journal.end(), [&](const auto& one) {
    return one.second.task == key.first && one.second.attempt == key.second;
  });
  if (is_there) return;
  const auto number = ++disk_.last_entry;
  disk_.journal.emplace(number, entry);
  works_[number] = {};
}

void Node::cancel(const AttemptKey& key) {
  const auto run = runs_.find(key);
  if (run == runs_.end() || run->second.serial == 0) return;
  world_.note("box kills", box_, key.first, key.second);
  run->second.serial = 0;
  later(world_.random.between(0, 300), [this, key] {
    runs_.erase(key);
    checkers_.run_ended(*this, key);
    post(planner::AttemptEnded{key.first, key.second, planner::Ending::cancelled, std::nullopt});
  });
}

std::int64_t Node::sync_ms() {
  return is_disk_slow_ ? world_.random.between(500, 10'000) : world_.random.between(0, plan_.sync_ms);
}

// ---- delivery ---------------------------------------------------------------------------------------------

std::int64_t Node::backoff_ms(unsigned& failures) {
  const auto ceiling = std::min(backoff_first_ms << std::min(failures++, 16U), backoff_max_ms);
  return world_.random.between(ceiling / 2, ceiling);
}

void Node::poke() {
  for (auto& [number, work] : works_) work.due_ms = 0;
  away_until_ms_ = 0;
  deliver();
}

void Node::deliver() {
  const auto now_ms = world_.now_ms();
  while (workers_busy_ < delivery_workers) {
    auto look_again_ms = std::numeric_limits<std::int64_t>::max();
    Work* next = nullptr;
    std::uint64_t chosen = 0;
    if (now_ms < away_until_ms_) {
      look_again_ms = works_.empty() ? look_again_ms : away_until_ms_;
    } else {
      for (auto& [number, work] : works_) {
        if (work.is_busy) continue;
        if (work.due_ms <= now_ms) {
          next = &work;
          chosen = number;
          break;
        }
        look_again_ms = std::min(look_again_ms, work.due_ms);
      }
    }
    if (next == nullptr) {
      if (look_again_ms == std::numeric_limits<std::int64_t>::max()) return;
      if (deliver_due_ms_ > now_ms && deliver_due_ms_ <= look_again_ms) return;
      deliver_due_ms_ = look_again_ms;
      return later(look_again_ms - now_ms, [this] { deliver(); });
    }
    next->is_busy = true;
    ++workers_busy_;
    next->is_fresh = next->files_sent == 0;
    send_next(chosen);
  }
}

Node::Outcome Node::judge(const Entry& entry, const Response& response) const {
  if (response.status == 0) return Outcome::away;
  // Another farm's controller does not know it: that says nothing about ours.
  if (response.status == 404 && response.farm != entry.farm) return Outcome::busy;
  if (response.status == 404 || response.status == 409) return Outcome::verdict;
  return response.status >= 500 ? Outcome::busy : Outcome::refused;
}

void Node::send_next(std::uint64_t number) {
  const auto& entry = disk_.journal.at(number);
  const AttemptKey key{entry.task, entry.attempt};
  auto& work = works_.at(number);
  const auto& files = entry.report.files;
  if (entry.report.ok && work.files_sent < files.size()) {
    const auto file = files[work.files_sent];
    const bool is_broken = http_.breaks_upload();
    return http_.request(
        http_link_,
        [this, key, file, is_broken](const Reply& reply) {
          controller_.put_file(key, file, is_broken, reply);
        },
        [this, life = life_, number](const Response& response) {
          if (life != life_) return;
          auto& sending = works_.at(number);
          if (response.status == 200 || response.status == 201) {
            ++sending.files_sent;
            return send_next(number);
          }
          auto outcome = judge(disk_.journal.at(number), response);
          if (response.status == 422 && ++sending.broken_files < max_broken_files) outcome = Outcome::busy;
          if (outcome == Outcome::verdict || outcome == Outcome::refused) {
            return finish_delivery(number, outcome, payloads::Verdict::superseded);
          }
          settle(number, outcome);
        });
  }
  http_.request(
      http_link_,
      [this, key, report = entry.report](const Reply& reply) { controller_.post_result(key, report, reply); },
      [this, life = life_, number](const Response& response) {
        if (life != life_) return;
        auto& sending = works_.at(number);
        if (response.status == 200 && response.verdict) {
          return finish_delivery(number, Outcome::verdict, *response.verdict);
        }
        auto outcome = judge(disk_.journal.at(number), response);
        if (outcome == Outcome::refused && !sending.is_fresh) {
          // It may miss what an earlier try sent: everything once more before giving up.
          sending.files_sent = 0;
          outcome = Outcome::busy;
        }
        if (outcome == Outcome::verdict || outcome == Outcome::refused) {
          return finish_delivery(number, outcome, payloads::Verdict::superseded);
        }
        settle(number, outcome);
      });
}

void Node::settle(std::uint64_t number, Outcome outcome) {
  auto& work = works_.at(number);
  work.is_busy = false;
  --workers_busy_;
  work.found_nobody = outcome == Outcome::away;
  work.due_ms = world_.now_ms() + backoff_ms(work.failures);
  if (work.found_nobody) {
    away_until_ms_ = world_.now_ms() + backoff_ms(away_failures_);
  } else {
    controller_answered();
  }
  deliver();
}

void Node::controller_answered() {
  if (away_failures_ > 1) {
    for (auto& [number, work] : works_) {
      if (work.found_nobody) work.due_ms = 0;
    }
  }
  away_failures_ = 0;
  away_until_ms_ = 0;
}

void Node::finish_delivery(std::uint64_t number, Outcome outcome, payloads::Verdict verdict) {
  const auto entry = disk_.journal.at(number);
  const bool was_damaged = works_.at(number).broken_files >= max_broken_files;
  works_.erase(number);
  --workers_busy_;
  controller_answered();
  world_.note(outcome == Outcome::refused                ? "box keeps aside what nobody takes"
              : verdict == payloads::Verdict::superseded ? "box drops what was superseded"
                                                         : "box has delivered",
              box_, entry.task, entry.attempt);
  checkers_.entry_gone(*this, entry, was_damaged, outcome == Outcome::refused, verdict);
  post(planner::Delivered{entry.task, entry.attempt, verdict});
  disk_.journal.erase(number);
  deliver();
}

}  // namespace kiln::sim
