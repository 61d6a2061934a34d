// The node's whole thinking: a function from (state, time, fact) to effects. Pure: no clock, no log, no I/O,
// no randomness. README.md draws the life of an attempt as one table and says which protocol rule lives
// where.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "payloads/messages.h"
#include "planner/effects.h"
#include "planner/facts.h"

namespace kiln::planner {

// Numbers an operator or a test may turn. Each has its unit and its reason.
struct Policy {
  std::int64_t heartbeat_ms = 5'000;       // nodes/<id>/tasks comes at least this often (protocol.md)
  std::int64_t coalesce_ms = 200;          // progress alone: nobody reads faster than five a second
  std::int64_t rebirth_jitter_ms = 2'000;  // a farm of nodes answers spread over this (rule 8)
  std::int64_t status_again_ms = 1'000;    // two boxes that correct each other must not become a storm
  std::int64_t step_back_ms = 30'000;      // how long a box leaves the broker to its double (rule 14)
  std::int64_t flap_ms = 10'000;  // a connection that ends within this was taken over, or the broker is ill
  std::uint32_t max_flaps = 3;    // …this often in a row, and it is a double (rule 14)
  std::int64_t double_window_ms =
      600'000;                           // a foreign sid twice within this is a double, not a lost state file
  std::int64_t stop_wait_ms = 8'000;     // asked to stop: a frame may go on this long; systemd kills at 15 s
  std::int64_t stop_deliver_ms = 3'000;  // …and an upload this long; the journal survives a restart anyway
  std::size_t max_held = payloads::max_tasks_listed;  // beyond: a run is answered `unavailable`
  std::size_t max_remembered = 512;                   // attempts that have ended, for rule 3
  std::size_t max_cids = 128;                         // drains, resumes and rests already done
  bool may_reboot = false;                            // whether the settings say how, here and below
  bool may_sleep = false;
};

// How many tasks at a time. The first `with_gpu` of them have a GPU each.
struct Slots {
  std::uint32_t count = 1;
  std::uint32_t with_gpu = 0;
};

// One attempt, by name.
struct Attempt {
  TaskId task;
  std::uint32_t attempt = 0;
  friend auto operator<=>(const Attempt&, const Attempt&) = default;
};

// Where a held attempt stands. `none`: not held.
enum class Stage : std::uint8_t { none, queued, running, cancelling, journalling, delivering };
// What can happen to it.
// clang-format off
enum class On : std::uint8_t {
  run, slot_free, cancel, newer, drain, stop, rendered, journalled, lost, cancelled, verdict,
};
// clang-format on
// What is done about it.
enum class Act : std::uint8_t {
  none,
  start,     // StartTask on the free slot
  kill,      // CancelAttempt; the slot is free when the runner says so
  remember,  // a late copy of its run must not start it again
  forget,    // it may be asked again
};
struct Arrow {
  Stage from;
  On on;
  Stage to;
  Act act;
};
// The life of an attempt. A pair that is not here changes nothing.
// clang-format off
inline constexpr std::array attempt_arrows = {
    //    from                 on               to                   act
    Arrow{Stage::none,         On::run,         Stage::queued,       Act::none},
    Arrow{Stage::queued,       On::slot_free,   Stage::running,      Act::start},
    Arrow{Stage::queued,       On::cancel,      Stage::none,         Act::remember},
    Arrow{Stage::queued,       On::newer,       Stage::none,         Act::remember},
    Arrow{Stage::queued,       On::drain,       Stage::none,         Act::forget},
    Arrow{Stage::queued,       On::stop,        Stage::none,         Act::forget},
    Arrow{Stage::running,      On::cancel,      Stage::cancelling,   Act::kill},
    Arrow{Stage::running,      On::newer,       Stage::cancelling,   Act::kill},
    Arrow{Stage::running,      On::stop,        Stage::cancelling,   Act::kill},
    Arrow{Stage::running,      On::rendered,    Stage::journalling,  Act::none},
    Arrow{Stage::running,      On::journalled,  Stage::delivering,   Act::none},
    Arrow{Stage::running,      On::lost,        Stage::none,         Act::remember},
    Arrow{Stage::running,      On::cancelled,   Stage::none,         Act::forget},
    Arrow{Stage::cancelling,   On::rendered,    Stage::journalling,  Act::none},
    Arrow{Stage::cancelling,   On::journalled,  Stage::delivering,   Act::none},
    Arrow{Stage::cancelling,   On::lost,        Stage::none,         Act::remember},
    Arrow{Stage::cancelling,   On::cancelled,   Stage::none,         Act::remember},
    Arrow{Stage::journalling,  On::journalled,  Stage::delivering,   Act::none},
    Arrow{Stage::journalling,  On::lost,        Stage::none,         Act::remember},
    Arrow{Stage::delivering,   On::verdict,     Stage::none,         Act::remember},
    // The delivery thread may be faster than whoever says that the attempt was journalled.
    Arrow{Stage::journalling,  On::verdict,     Stage::none,         Act::remember},
    Arrow{Stage::running,      On::verdict,     Stage::none,         Act::remember},
    Arrow{Stage::cancelling,   On::verdict,     Stage::none,         Act::remember},
};
// clang-format on

// One attempt that the node holds.
struct Held {
  Attempt id;
  Stage stage = Stage::queued;
  payloads::RunTask run;     // empty for one found in the journal at start
  payloads::HeldTask shown;  // as nodes/<id>/tasks lists it
  bool prefetched = false;
};

// How an attempt that is no longer held ended here.
struct Ended {
  std::uint32_t attempt = 0;
  bool is_final = true;  // done or cancelled; false: lost, and asking again gets `failure` as the answer
  bool cancelled = false;
  payloads::Failure failure;
};

class State {
 public:
  // node: who we are; slots: 1 to payloads::max_slots; epoch: the highest seen, as stored; delivering: what
  // the journal still holds, oldest first.
  State(NodeId node, Slots slots, std::uint64_t epoch, const std::vector<Attempt>& delivering,
        const Policy& policy = {});

  [[nodiscard]] const NodeId& node() const { return node_; }
  [[nodiscard]] std::uint64_t epoch() const { return epoch_; }
  [[nodiscard]] std::uint64_t sid() const { return sid_; }
  [[nodiscard]] const std::vector<Held>& held() const { return held_; }  // in the order of arrival
  [[nodiscard]] payloads::NodeState node_state() const;
  [[nodiscard]] std::size_t running() const;  // attempts on slots
  [[nodiscard]] std::size_t queued() const;
  [[nodiscard]] std::size_t delivering() const;
  // When step() wants a Tick at the latest, on the mono_ms scale; nullopt: facts alone will do.
  [[nodiscard]] std::optional<std::int64_t> next_due() const;

 private:
  friend class Step;

  NodeId node_;
  Policy policy_;
  std::uint64_t epoch_ = 0;
  std::uint64_t sid_ = 0;
  std::uint64_t seq_ = 0;
  bool connected_ = false;
  bool was_connected_ = false;
  bool drained_ = false;  // by command
  bool disk_full_ = false;
  bool cage_broken_ = false;
  bool stopping_ = false;
  bool killing_ = false;  // stopping, and running work has been cancelled
  bool exited_ = false;
  bool resting_ = false;  // asked to restart or to sleep, and not at the broker again yet
  std::optional<payloads::NodeInfo> info_;

  std::vector<Held> held_;
  std::vector<std::optional<Attempt>> slots_;
  std::size_t gpu_slots_ = 0;  // the first of them
  std::vector<std::string> warm_;

  std::map<TaskId, Ended> ended_;  // the newest attempt of each task that ended here
  std::deque<TaskId> ended_order_;
  std::deque<std::pair<std::string, payloads::Ack>> acks_;  // of drains, resumes and rests

  bool progress_dirty_ = false;
  std::int64_t tasks_at_ms_ = 0;  // when the inventory was last published
  double progress_shown_ = -1;
  std::optional<std::int64_t> rebirth_due_ms_;
  std::optional<std::int64_t> status_due_ms_;
  std::int64_t status_at_ms_ = 0;
  std::int64_t connected_at_ms_ = 0;
  std::uint32_t flaps_ = 0;                   // connections in a row that ended soon
  std::optional<std::int64_t> double_at_ms_;  // when a foreign sid above ours was last seen
  std::optional<std::int64_t> alarm_at_ms_;   // when two-boxes was last said
  std::int64_t stop_due_ms_ = 0;
  std::optional<std::int64_t> idle_since_ms_;  // stopping: when the last slot became free
};

std::vector<Effect> step(State& state, Instant now, const Fact& fact);

}  // namespace kiln::planner
