#include "planner/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace kiln::planner {

namespace {

// A sid above this is nobody's: it leaves no room to be raised in what JSON carries exactly (2^53).
constexpr std::uint64_t max_sid = 1ULL << 52;
// More memory than any box has: sums of it stay sums.
constexpr std::uint64_t max_memory_mib = 1ULL << 50;

constexpr const Arrow* find_arrow(Stage from, On on) {
  for (const auto& arrow : attempt_arrows) {
    if (arrow.from == from && arrow.on == on) return &arrow;
  }
  return nullptr;
}

bool on_slot(Stage stage) {
  return stage == Stage::running || stage == Stage::cancelling;
}

std::string name(const TaskId& task, std::uint32_t attempt) {
  return fmt::format("attempt {} of {}", attempt, task.str());
}

}  // namespace

// One step: the state it works on, the moment, and the effects so far.
class Step {
 public:
  Step(State& state, Instant now) : s_(state), now_(now) {}

  // Exited: nothing follows.
  [[nodiscard]] bool is_over() const { return s_.exited_; }

  std::vector<Effect> finish() {
    fill_slots();
    check_stop();
    publish_due();
    return std::move(out_);
  }

  // ---- from the broker --------------------------------------------------------------------------

  void operator()(const CommandReceived& fact) {
    if (fact.retained) {  // rule 9
      return event("retained-command",
                   "a retained command was ignored: nobody may retain one; clear it from the broker");
    }
    if (!fact.command) {
      const auto& error = fact.command.error();
      if (!fact.cid.empty()) return ack(fact.cid, error.code, error.message);
      return event("bad-command", error.message);
    }
    const auto& command = *fact.command;
    if (command.epoch < s_.epoch_) {  // rule 2
      return ack(
          command.cid, Code::conflict,
          fmt::format("epoch {} is over: this box has seen {}; an older controller is still speaking, or its "
                      "database was replaced by an older one",
                      command.epoch, s_.epoch_));
    }
    raise_epoch(command.epoch);
    random_ = fact.random;
    std::visit([&](const auto& op) { on_command(command.cid, op); }, command.op);
  }

  void operator()(const BrokerConnected& fact) {
    s_.connected_ = true;
    s_.resting_ = false;
    s_.connected_at_ms_ = now_.mono_ms;
    s_.sid_ = fact.sid;
    s_.seq_ = 0;
    s_.rebirth_due_ms_.reset();
    publish_everything();
    if (s_.was_connected_) {
      event("broker-back", "connected to the broker again");
    } else {
      event("started", "the agent has started");
    }
    s_.was_connected_ = true;
    if (s_.flaps_ < s_.policy_.max_flaps) return;
    // Two clients of one name throw each other out for ever; their sids may even agree.
    s_.flaps_ = 0;
    alarm(fmt::format("the broker threw this box out {} times in a row", s_.policy_.max_flaps));
    reconnect(s_.sid_, s_.policy_.step_back_ms);
  }

  void operator()(const BrokerLost&) {
    if (!s_.connected_) return;
    const bool was_short = now_.mono_ms - s_.connected_at_ms_ < s_.policy_.flap_ms;
    s_.flaps_ = was_short ? s_.flaps_ + 1 : 0;
    disconnected();
  }

  void operator()(const StatusSeen& fact) {
    const auto& status = fact.status;
    const bool is_ours = status.sid == s_.sid_;
    // Ours, or ours of a moment ago and still in flight. An "offline" of this sid is the controller's word
    // about a box that it missed (rule 6): it is corrected like a foreign one.
    if (!s_.connected_ || (is_ours && status.state != payloads::NodeState::offline)) return;

    const bool is_alive = !is_ours && !fact.retained && status.state != payloads::NodeState::offline;
    if (status.sid > s_.sid_ && status.sid < max_sid) {
      const bool again = s_.double_at_ms_ && now_.mono_ms - *s_.double_at_ms_ < s_.policy_.double_window_ms;
      s_.double_at_ms_ = now_.mono_ms;
      if (is_alive || again) {
        alarm_of_sid(status.sid);
        return reconnect(status.sid, s_.policy_.step_back_ms);  // rule 14: no fight
      }
      event("sid-raised",
            fmt::format("the broker remembers sid {} of this box, which itself was at {}: its state "
                        "was lost or restored; it goes on above that",
                        status.sid, s_.sid_));
      return reconnect(status.sid, 0);
    }
    if (is_alive) alarm_of_sid(status.sid);
    publish_status_again();  // rule 4
  }

  void operator()(const ControllerSeen& fact) {
    if (fact.status.online) raise_epoch(fact.status.epoch);
  }

  void operator()(const FarmChanged&) {
    s_.epoch_ = 0;
    out_.push_back(StoreEpoch{0});
  }

  // ---- from the box -----------------------------------------------------------------------------

  void operator()(const InfoChanged& fact) {
    auto info = fact.info;
    info.sid = s_.sid_;
    info.slots = static_cast<std::uint32_t>(s_.slots_.size());
    info.gpu_slots = static_cast<std::uint32_t>(s_.gpu_slots_);
    if (s_.info_ == info) return;
    s_.info_ = std::move(info);
    if (s_.connected_) publish_info();
  }

  void operator()(const ProgressMade& fact) {
    auto* held = find(fact.task, fact.attempt);
    if (held == nullptr || !on_slot(held->stage)) return;
    auto& shown = held->shown;
    const auto before = shown;
    shown.phase = fact.phase;
    shown.frame = fact.frame;
    shown.percent = std::clamp(std::isfinite(fact.percent) ? fact.percent : 0.0, 0.0, 100.0);
    shown.eta_s = fact.eta_s;
    if (shown.phase != before.phase) changed_ = true;
    if (shown != before) s_.progress_dirty_ = true;
  }

  void operator()(const AttemptEnded& fact) {
    if (fact.failure) event(fact.failure->code, fact.failure->message, fact.task);
    auto* held = find(fact.task, fact.attempt);
    if (held == nullptr) return;
    const bool is_done = fact.ending == Ending::rendered || fact.ending == Ending::journalled;
    if (is_done && !fact.failure && on_slot(held->stage)) held->shown.percent = 100;
    switch (fact.ending) {
      case Ending::rendered:
        advance(*held, On::rendered);
        break;
      case Ending::journalled:
        advance(*held, On::journalled);
        break;
      case Ending::cancelled:
        advance(*held, On::cancelled);
        break;
      case Ending::lost: {
        Ended ended{.attempt = fact.attempt, .is_final = false, .cancelled = false, .failure = {}};
        if (fact.failure) ended.failure = *fact.failure;
        advance(*held, On::lost, std::move(ended));
        break;
      }
    }
  }

  void operator()(const Delivered& fact) {
    if (!fact.kept.empty()) {
      event("result-kept", fmt::format("the frames stay on this box's disk: {}", fact.kept), fact.task);
    } else if (fact.verdict == payloads::Verdict::superseded) {
      event("superseded", "the controller did not need this attempt any more", fact.task);
    }
    if (auto* held = find(fact.task, fact.attempt)) {
      advance(*held, On::verdict);
    } else {
      remember(fact.task, {.attempt = fact.attempt, .is_final = true, .cancelled = false, .failure = {}});
    }
  }

  void operator()(const WarmChanged& fact) {
    auto warm = fact.warm;
    warm.resize(s_.slots_.size());
    if (warm == s_.warm_) return;
    s_.warm_ = std::move(warm);
    s_.progress_dirty_ = true;
  }

  void operator()(const DiskPressure& fact) {
    if (fact.is_full == s_.disk_full_) return;
    const auto before = s_.node_state();
    s_.disk_full_ = fact.is_full;
    event(fact.is_full ? "disk-full" : "disk-back", fact.message);
    if (fact.is_full) advance_all(Stage::queued, On::drain);
    if (s_.connected_ && s_.node_state() != before) publish_status();
    changed_ = true;
  }

  void operator()(const CageTrouble& fact) {
    if (fact.is_broken == s_.cage_broken_) return;
    const auto before = s_.node_state();
    s_.cage_broken_ = fact.is_broken;
    event(fact.is_broken ? "no-cage" : "cage-back", fact.message);
    if (fact.is_broken) advance_all(Stage::queued, On::drain);
    if (s_.connected_ && s_.node_state() != before) publish_status();
    changed_ = true;
  }

  void operator()(const RestFailed& fact) { event("rest-failed", fact.message); }

  // ---- from the shell ---------------------------------------------------------------------------

  void operator()(const StopAsked&) {
    if (s_.stopping_) {
      kill_running();
      return exit();
    }
    const auto before = s_.node_state();
    s_.stopping_ = true;
    s_.stop_due_ms_ = now_.mono_ms + s_.policy_.stop_wait_ms;
    advance_all(Stage::queued, On::stop);
    if (s_.connected_ && before != s_.node_state()) publish_status();
    changed_ = true;
  }

  void operator()(const Tick&) {
    if (!s_.connected_) return;
    if (s_.rebirth_due_ms_ && now_.mono_ms >= *s_.rebirth_due_ms_) {
      s_.rebirth_due_ms_.reset();
      publish_everything();
    }
    if (s_.status_due_ms_ && now_.mono_ms >= *s_.status_due_ms_) publish_status();
  }

 private:
  // ---- commands ---------------------------------------------------------------------------------

  void on_command(const std::string& cid, const payloads::RunTask& run) {
    changed_ = true;  // whatever is answered, the inventory says what is true (rule 3)
    if (find(run.task, run.attempt) != nullptr) return ack(cid);

    if (const auto ended = s_.ended_.find(run.task); ended != s_.ended_.end()) {
      if (const auto& was = ended->second; run.attempt == was.attempt) {
        if (!was.is_final) {
          return ack(cid, was.failure.code == "disk-full" ? Code::full : Code::io,
                     fmt::format("{} ended here, but its result could not be kept: {}",
                                 name(run.task, run.attempt), was.failure.message));
        }
        if (!was.cancelled) return ack(cid);
        return ack(cid, Code::conflict, fmt::format("{} was cancelled here", name(run.task, run.attempt)));
      } else if (run.attempt < was.attempt) {
        return superseded(cid, run, was.attempt);
      }
    }
    for (const auto& held : s_.held_) {
      if (held.id.task == run.task && held.id.attempt > run.attempt)
        return superseded(cid, run, held.id.attempt);
    }

    if (s_.stopping_) return ack(cid, Code::unavailable, "this box is stopping; give the task to another");
    if (s_.resting_) return ack(cid, Code::unavailable, "this box restarts or goes to sleep");
    if (s_.drained_) {
      return ack(cid, Code::unavailable, "this box is draining; resume it, or give the task to another");
    }
    if (s_.disk_full_)
      return ack(cid, Code::full, "this box's disk is full; free some, or give the task to another");
    if (s_.cage_broken_) {
      return ack(cid, Code::unavailable,
                 "this box cannot make the cage that tasks run in (kiln-agent --check says why); give the "
                 "task to another");
    }
    if (s_.held_.size() >= s_.policy_.max_held) {
      return ack(
          cid, Code::unavailable,
          fmt::format("this box holds {} attempts, as many as it may; send it again when some are delivered",
                      s_.held_.size()));
    }
    for (const auto& why : {missing_renderer(run), missing_slot(run), missing_memory(run)}) {
      if (why) return ack(cid, why->code, why->message);
    }

    for (std::size_t i = s_.held_.size(); i-- > 0;) {  // backwards: advancing may erase
      if (s_.held_[i].id.task == run.task) advance(s_.held_[i], On::newer);
    }
    Held held;
    held.id = {run.task, run.attempt};
    held.run = run;
    held.shown.task = run.task;
    held.shown.attempt = run.attempt;
    held.shown.frame = run.frames.empty() ? 0 : run.frames.at(0);
    held.stage = find_arrow(Stage::none, On::run)->to;
    s_.held_.push_back(std::move(held));
    ack(cid);
  }

  void on_command(const std::string& cid, const payloads::CancelTask& cancel) {
    changed_ = true;
    if (auto* held = find(cancel.task, cancel.attempt)) {
      advance(*held, On::cancel);
    } else if (const auto ended = s_.ended_.find(cancel.task); ended == s_.ended_.end() ||
                                                               ended->second.attempt != cancel.attempt ||
                                                               !ended->second.is_final) {
      // Its run may be on the way still, or come a second time.
      remember(cancel.task, {.attempt = cancel.attempt, .is_final = true, .cancelled = true, .failure = {}});
    }
    ack(cid);
  }

  void on_command(const std::string& cid, const payloads::Drain&) {
    if (answered_before(cid)) return;
    s_.drained_ = true;
    advance_all(Stage::queued, On::drain);
    if (s_.connected_) publish_status();
    changed_ = true;
    answer_once(cid);
  }

  void on_command(const std::string& cid, const payloads::Resume&) {
    if (answered_before(cid)) return;
    if (s_.stopping_)
      return ack(cid, Code::conflict, "this box is stopping; it resumes when it is started again");
    s_.drained_ = false;
    if (s_.connected_) publish_status();
    changed_ = true;
    answer_once(cid);
  }

  void on_command(const std::string& cid, const payloads::Rebirth&) {
    if (!s_.rebirth_due_ms_) {
      const auto spread = static_cast<std::uint64_t>(std::max<std::int64_t>(s_.policy_.rebirth_jitter_ms, 1));
      s_.rebirth_due_ms_ = now_.mono_ms + static_cast<std::int64_t>(random_ % spread);
    }
    ack(cid);
  }

  void on_command(const std::string& cid, const payloads::Reboot&) {
    if (!may_rest(cid, s_.policy_.may_reboot, "restart", "reboot")) return;
    rest(cid);
    out_.push_back(Reboot{});
  }
  void on_command(const std::string& cid, const payloads::Sleep&) {
    if (!may_rest(cid, s_.policy_.may_sleep, "sleep", "sleep")) return;
    rest(cid);
    out_.push_back(Sleep{});
  }

  void on_command(const std::string& cid, const payloads::UnknownCommand& unknown) {
    ack(cid, Code::unsupported,
        fmt::format("op '{}' is not known to this agent; it knows run, cancel, drain, resume, rebirth, "
                    "reboot and sleep",
                    unknown.op));
  }

  // Answers where it may not.
  bool may_rest(const std::string& cid, bool is_allowed, std::string_view verb, std::string_view setting) {
    if (answered_before(cid)) return false;  // a late copy must not put it to sleep once more
    if (!is_allowed) {
      ack(cid, Code::unsupported,
          fmt::format(
              "this box may not {} by itself: its /etc/kiln/agent.toml allows it with `{} = \"systemctl "
              "…\"` under [power]",
              verb, setting));
      return false;
    }
    if (s_.stopping_ || s_.resting_) {
      ack(cid, Code::conflict, "this box is stopping or resting already");
      return false;
    }
    if (s_.held_.empty()) return true;
    ack(cid, Code::conflict,
        fmt::format(
            "this box has work: {} running, {} queued, {} to be delivered; drain it and wait for that",
            s_.running(), s_.queued(), s_.delivering()));
    return false;
  }
  // The last that is heard of this box until it is back.
  void rest(const std::string& cid) {
    answer_once(cid);
    s_.resting_ = true;
    if (s_.connected_) publish_status();
    disconnected();
  }

  void superseded(const std::string& cid, const payloads::RunTask& run, std::uint32_t newer) {
    ack(cid, Code::conflict,
        fmt::format("{} is superseded: attempt {} of it has been here", name(run.task, run.attempt), newer));
  }

  [[nodiscard]] std::optional<Error> missing_renderer(const payloads::RunTask& run) const {
    // The plumbing's own, and what the agent itself runs: a template's step says what else it needs.
    if (run.renderer == "noop" || run.renderer == "openjd") return std::nullopt;
    if (!s_.info_) return Error{Code::unavailable, "this box is still finding out what it can render"};
    const auto& have = s_.info_->renderers;
    if (std::any_of(have.begin(), have.end(), [&](const auto& one) { return one.name == run.renderer; })) {
      return std::nullopt;
    }
    return Error{
        Code::unsupported,
        fmt::format("this box has no renderer '{}'; install it and restart the agent", run.renderer)};
  }

  [[nodiscard]] std::optional<Error> missing_slot(const payloads::RunTask& run) const {
    if (run.slot == payloads::SlotKind::gpu && s_.gpu_slots_ == 0) {
      return Error{Code::unsupported, "this box has no slot with a GPU (gpu_slots in its settings)"};
    }
    if (run.slot == payloads::SlotKind::cpu && s_.gpu_slots_ == s_.slots_.size()) {
      return Error{Code::unsupported, "this box has no slot without a GPU (slots in its settings)"};
    }
    return std::nullopt;
  }

  [[nodiscard]] std::optional<Error> missing_memory(const payloads::RunTask& run) const {
    if (run.memory_mib == 0) return std::nullopt;
    if (!s_.info_) return Error{Code::unavailable, "this box is still finding out how much memory it has"};
    if (fits(run.memory_mib, 0)) return std::nullopt;
    return Error{Code::unsupported, fmt::format("the task asks for {} MiB of memory, and this box has {} MiB",
                                                run.memory_mib, s_.info_->memory_mib)};
  }

  // Whether so much may be kept free beside what runs. A box that does not know its memory takes anything.
  [[nodiscard]] bool fits(std::uint64_t memory_mib, std::uint64_t running_mib) const {
    const auto all_mib = s_.info_ ? s_.info_->memory_mib : 0;
    if (memory_mib == 0 || all_mib == 0) return true;
    return memory_mib <= all_mib && running_mib <= all_mib - memory_mib;
  }

  // A drain, a resume or a rest that comes a second time after its opposite must not undo it.
  bool answered_before(const std::string& cid) {
    for (const auto& [known, answer] : s_.acks_) {
      if (known != cid) continue;
      if (s_.connected_) out_.push_back(PublishAck{answer});
      return true;
    }
    return false;
  }
  void answer_once(const std::string& cid) {
    s_.acks_.emplace_back(cid, payloads::Ack{.cid = cid, .ok = true, .code = {}, .message = {}});
    if (s_.acks_.size() > s_.policy_.max_cids) s_.acks_.pop_front();
    ack(cid);
  }

  // ---- attempts ---------------------------------------------------------------------------------

  Held* find(const TaskId& task, std::uint32_t attempt) {
    const auto it = std::find_if(s_.held_.begin(), s_.held_.end(), [&](const Held& held) {
      return held.id.attempt == attempt && held.id.task == task;
    });
    return it == s_.held_.end() ? nullptr : &*it;
  }

  // Follows the table. `held` is gone afterwards when the arrow ends at none.
  void advance(Held& held, On on, Ended ended = {}) {
    const Arrow* arrow = find_arrow(held.stage, on);
    if (arrow == nullptr) return;
    if (held.stage != Stage::journalling || arrow->to != Stage::delivering)
      changed_ = true;  // one on the wire
    if (on_slot(held.stage) && !on_slot(arrow->to)) {
      s_.slots_.at(static_cast<std::size_t>(held.shown.slot)).reset();
      held.shown.slot = -1;
    }
    held.stage = arrow->to;
    switch (arrow->act) {
      case Act::none:
      case Act::forget:
        break;
      case Act::start:
        held.shown.phase = payloads::TaskPhase::fetching;
        out_.push_back(StartTask{held.run, held.shown.slot});
        break;
      case Act::kill:
        out_.push_back(CancelAttempt{held.id.task, held.id.attempt});
        break;
      case Act::remember:
        ended.attempt = held.id.attempt;
        ended.cancelled = on == On::cancel || on == On::newer || on == On::cancelled;
        remember(held.id.task, std::move(ended));
        break;
    }
    if (arrow->to == Stage::journalling || arrow->to == Stage::delivering) {
      held.shown.phase = payloads::TaskPhase::delivering;
      held.shown.eta_s.reset();
      held.run = {};
    }
    if (arrow->to == Stage::none) s_.held_.erase(s_.held_.begin() + (&held - s_.held_.data()));
  }

  void advance_all(Stage from, On on) {
    for (std::size_t i = s_.held_.size(); i-- > 0;) {
      if (s_.held_[i].stage == from) advance(s_.held_[i], on);
    }
  }

  void remember(const TaskId& task, Ended ended) {
    const auto [it, is_new] = s_.ended_.try_emplace(task, ended);
    if (is_new) {
      s_.ended_order_.push_back(task);
      if (s_.ended_order_.size() > s_.policy_.max_remembered) {
        s_.ended_.erase(s_.ended_order_.front());
        s_.ended_order_.pop_front();
      }
    } else if (ended.attempt >= it->second.attempt) {
      it->second = std::move(ended);
    }
  }

  // Queued attempts start in the order in which the controller sent them: it knows the priorities. One that
  // waits lets nobody pass who wants what it waits for: its kinds of slot, and memory, where it is that. Only
  // the choice among several free slots is ours.
  void fill_slots() {
    if (!changed_ || s_.exited_ || s_.resting_) return;
    bool are_cpus_open = true;
    bool are_gpus_open = true;
    bool is_memory_open = true;
    std::uint64_t running_mib = 0;
    for (const auto& held : s_.held_) {
      if (on_slot(held.stage)) running_mib += std::min(held.run.memory_mib, max_memory_mib);
    }
    for (auto& held : s_.held_) {
      if (held.stage != Stage::queued) continue;
      const auto& run = held.run;
      const bool wants_cpu = run.slot != payloads::SlotKind::gpu;
      const bool wants_gpu = run.slot != payloads::SlotKind::cpu;
      const auto slot = free_slot(run.manifest, wants_cpu && are_cpus_open, wants_gpu && are_gpus_open);
      // Alone it always fits: the box may have been told less memory than when it took the task.
      const bool has_memory =
          run.memory_mib == 0 || (is_memory_open && (running_mib == 0 || fits(run.memory_mib, running_mib)));
      if (slot && has_memory) {
        running_mib += std::min(run.memory_mib, max_memory_mib);
        s_.slots_[*slot] = held.id;
        held.shown.slot = static_cast<int>(*slot);
        advance(held, On::slot_free);
        continue;
      }
      if (wants_cpu) are_cpus_open = false;
      if (wants_gpu) are_gpus_open = false;
      // Where only a slot is missing others may use the memory meanwhile: it is asked for again then.
      if (slot) is_memory_open = false;
      if (!are_cpus_open && !are_gpus_open) break;
    }
    prefetch();
  }

  // Warm with this scene; else one without a GPU, which others may be waiting for; else one with nothing open
  // (nothing is thrown away); the lowest of each.
  [[nodiscard]] std::optional<std::size_t> free_slot(const std::string& manifest, bool with_cpu,
                                                     bool with_gpu) const {
    std::optional<std::size_t> best;
    int best_rank = 0;
    for (std::size_t i = 0; i < s_.slots_.size(); ++i) {
      const bool has_gpu = i < s_.gpu_slots_;
      if (s_.slots_[i]) continue;
      if (!(has_gpu ? with_gpu : with_cpu)) continue;
      const bool is_warm = !manifest.empty() && s_.warm_[i] == manifest;
      const bool is_empty = !manifest.empty() && s_.warm_[i].empty();
      const int rank = 1 + (is_warm ? 4 : 0) + (has_gpu ? 0 : 2) + (is_empty ? 1 : 0);
      if (rank > best_rank) {
        best = i;
        best_rank = rank;
      }
    }
    return best;
  }

  // The files of the next attempt of each slot are at hand before it starts.
  void prefetch() {
    std::size_t window = s_.slots_.size();
    for (auto& held : s_.held_) {
      if (held.stage != Stage::queued) continue;
      if (window-- == 0) break;
      if (held.prefetched || held.run.manifest.empty()) continue;
      held.prefetched = true;
      const bool is_here = std::any_of(s_.held_.begin(), s_.held_.end(), [&](const Held& other) {
        return &other != &held && (on_slot(other.stage) || other.prefetched) &&
               other.run.manifest == held.run.manifest;
      });
      if (!is_here) out_.push_back(Prefetch{held.run});
    }
  }

  // ---- ending -----------------------------------------------------------------------------------

  void kill_running() {
    s_.killing_ = true;
    advance_all(Stage::running, On::stop);
  }

  void check_stop() {
    if (!s_.stopping_ || s_.exited_) return;
    if (s_.running() > 0) {
      if (!s_.killing_ && now_.mono_ms >= s_.stop_due_ms_) kill_running();
      // A renderer that does not die in this time will not die for us.
      if (now_.mono_ms >= s_.stop_due_ms_ + s_.policy_.stop_deliver_ms) exit();
      return;
    }
    if (!s_.idle_since_ms_) s_.idle_since_ms_ = now_.mono_ms;
    if (s_.delivering() == 0 || now_.mono_ms >= *s_.idle_since_ms_ + s_.policy_.stop_deliver_ms) exit();
  }

  void exit() {
    if (s_.exited_) return;
    s_.exited_ = true;
    // What dies with us is no longer held, so that the controller need not wait to give it to another.
    std::erase_if(s_.held_,
                  [](const Held& held) { return on_slot(held.stage) || held.stage == Stage::queued; });
    if (s_.connected_) {
      publish_tasks();
      publish_status();
    }
    out_.push_back(Exit{});
  }

  // ---- speaking ---------------------------------------------------------------------------------

  void raise_epoch(std::uint64_t epoch) {
    if (epoch <= s_.epoch_) return;
    s_.epoch_ = epoch;
    out_.push_back(StoreEpoch{epoch});
  }

  void disconnected() {
    s_.connected_ = false;
    s_.rebirth_due_ms_.reset();
    s_.status_due_ms_.reset();
  }

  void reconnect(std::uint64_t above_sid, std::int64_t after_ms) {
    out_.push_back(Reconnect{above_sid, after_ms});
    disconnected();
  }

  void alarm_of_sid(std::uint64_t sid) {
    alarm(fmt::format("another box speaks as '{}' (its sid {}, ours {})", s_.node_.str(), sid, s_.sid_));
  }
  void alarm(const std::string& sign) {
    if (s_.alarm_at_ms_ && now_.mono_ms - *s_.alarm_at_ms_ < 2 * s_.policy_.step_back_ms) return;
    s_.alarm_at_ms_ = now_.mono_ms;
    event("two-boxes",
          fmt::format("{}: is there a second box called '{}'? Give one of them another --id, or delete its "
                      "node-id file if it was cloned",
                      sign, s_.node_.str()));
  }

  void event(std::string kind, std::string message, const TaskId& task = {}) {
    payloads::NodeEvent said{.kind = std::move(kind),
                             .message = std::move(message),
                             .task = task.job.empty() ? std::string() : task.str(),
                             .ts = now_.unix_ms / 1000};
    if (s_.connected_) {
      out_.push_back(PublishEvent{std::move(said)});
    } else {
      out_.push_back(Remark{std::move(said)});
    }
  }

  void ack(const std::string& cid) {
    if (s_.connected_) out_.push_back(PublishAck{{.cid = cid, .ok = true, .code = {}, .message = {}}});
  }
  void ack(const std::string& cid, Code code, std::string message) {
    if (!s_.connected_) return;
    out_.push_back(PublishAck{
        {.cid = cid, .ok = false, .code = std::string(to_string(code)), .message = std::move(message)}});
  }

  void publish_status() {
    s_.status_due_ms_.reset();
    s_.status_at_ms_ = now_.mono_ms;
    out_.push_back(PublishStatus{{.state = s_.node_state(), .sid = s_.sid_}});
  }

  void publish_status_again() {
    if (now_.mono_ms >= s_.status_at_ms_ + s_.policy_.status_again_ms) return publish_status();
    s_.status_due_ms_ = s_.status_at_ms_ + s_.policy_.status_again_ms;
  }

  void publish_info() {
    if (!s_.info_) return;
    s_.info_->sid = s_.sid_;
    out_.push_back(PublishInfo{*s_.info_});
  }

  void publish_everything() {
    publish_status();
    publish_info();
    s_.progress_shown_ = -1;
    changed_ = true;  // the inventory follows at the end of this step
  }

  void publish_tasks() {
    payloads::NodeTasks tasks{.sid = s_.sid_, .seq = ++s_.seq_, .run = {}, .warm = s_.warm_};
    double sum = 0;
    std::size_t on_slots = 0;
    tasks.run.reserve(s_.held_.size());
    for (const auto& held : s_.held_) {
      tasks.run.push_back(held.shown);
      if (!on_slot(held.stage)) continue;
      sum += held.shown.percent;
      ++on_slots;
    }
    // Only a journal found at start can be longer than the list: what is left of it follows as this is
    // delivered.
    if (tasks.run.size() > payloads::max_tasks_listed) {
      std::stable_partition(tasks.run.begin(), tasks.run.end(),
                            [](const auto& held) { return held.phase != payloads::TaskPhase::delivering; });
      tasks.run.resize(payloads::max_tasks_listed);
    }
    out_.push_back(PublishTasks{std::move(tasks)});
    s_.tasks_at_ms_ = now_.mono_ms;
    s_.progress_dirty_ = false;
    changed_ = false;

    const double mean = on_slots == 0 ? 0 : std::round(sum / static_cast<double>(on_slots) * 10) / 10;
    if (mean == s_.progress_shown_) return;
    s_.progress_shown_ = mean;
    out_.push_back(PublishProgress{mean});
  }

  void publish_due() {
    if (!s_.connected_ || s_.exited_) return;
    const auto since_ms = now_.mono_ms - s_.tasks_at_ms_;
    if (changed_ || (s_.progress_dirty_ && since_ms >= s_.policy_.coalesce_ms) ||
        since_ms >= s_.policy_.heartbeat_ms) {
      publish_tasks();
    }
  }

  State& s_;
  Instant now_;
  std::vector<Effect> out_;
  std::uint32_t random_ = 0;
  bool changed_ = false;  // something that is said at once
};

State::State(NodeId node, Slots slots, std::uint64_t epoch, const std::vector<Attempt>& delivering,
             const Policy& policy)
    : node_(std::move(node)), policy_(policy), epoch_(epoch) {
  const auto count = std::clamp<std::size_t>(slots.count, 1, payloads::max_slots);
  slots_.resize(count);
  gpu_slots_ = std::min<std::size_t>({count, slots.with_gpu, payloads::max_gpus});
  warm_.resize(count);
  for (const auto& id : delivering) {
    Held held;
    held.id = id;
    held.stage = Stage::delivering;
    held.shown.task = id.task;
    held.shown.attempt = id.attempt;
    held.shown.phase = payloads::TaskPhase::delivering;
    held.shown.percent = 100;
    held_.push_back(std::move(held));
  }
}

payloads::NodeState State::node_state() const {
  if (exited_ || resting_) return payloads::NodeState::offline;
  return drained_ || stopping_ || disk_full_ || cage_broken_ ? payloads::NodeState::draining
                                                             : payloads::NodeState::online;
}

std::size_t State::running() const {
  return static_cast<std::size_t>(
      std::count_if(held_.begin(), held_.end(), [](const Held& held) { return on_slot(held.stage); }));
}
std::size_t State::queued() const {
  return static_cast<std::size_t>(std::count_if(
      held_.begin(), held_.end(), [](const Held& held) { return held.stage == Stage::queued; }));
}
std::size_t State::delivering() const {
  return held_.size() - running() - queued();
}

std::optional<std::int64_t> State::next_due() const {
  std::optional<std::int64_t> due;
  const auto at = [&](std::int64_t ms) { due = due ? std::min(*due, ms) : ms; };
  if (exited_) return due;
  if (connected_) {
    at(tasks_at_ms_ + (progress_dirty_ ? policy_.coalesce_ms : policy_.heartbeat_ms));
    if (rebirth_due_ms_) at(*rebirth_due_ms_);
    if (status_due_ms_) at(*status_due_ms_);
  }
  if (stopping_) {
    if (running() > 0) {
      at(stop_due_ms_ + (killing_ ? policy_.stop_deliver_ms : 0));
    } else if (idle_since_ms_) {
      at(*idle_since_ms_ + policy_.stop_deliver_ms);
    }
  }
  return due;
}

std::vector<Effect> step(State& state, Instant now, const Fact& fact) {
  Step one(state, now);
  if (one.is_over()) return {};
  std::visit(one, fact);
  return one.finish();
}

}  // namespace kiln::planner
