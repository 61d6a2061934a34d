// The scheduler: one function from (state, time, event) to effects. Pure: no clock, no log, no I/O, no
// randomness. README.md says what each operation costs.
#pragma once

#include <memory>
#include <vector>

#include "base/time.h"
#include "scheduler/effects.h"
#include "scheduler/events.h"
#include "scheduler/rows.h"

namespace kiln::scheduler {

// Numbers an operator may turn. Each has its unit and its reason.
struct Policy {
  std::int64_t heartbeat_ms = 5'000;  // nodes/<id>/tasks comes at least this often (protocol.md)
  std::int64_t grace_ms = 60'000;     // offline this long: its tasks go elsewhere (rule 10)
  std::int64_t resend_ms = 2'000;     // a command not yet in the node's inventory is sent again (rule 7)
  std::uint32_t max_failures = 3;     // of one task, before it fails for good; a job may say otherwise
  std::uint32_t fail_pct = 25;        // of a job's tasks failed: the rest would too; a job may say otherwise
  std::uint32_t fail_least = 5;       // …but no job gives up over fewer than these
  std::uint32_t avoid_after = 2;      // failures of one job on one node, none done between: it goes elsewhere
  std::uint32_t quarantine_jobs = 3;  // as many jobs fail on a node and do well elsewhere: it is the node
  std::int64_t blame_ms = 3'600'000;  // …within this time: what was an hour ago is another trouble
  std::int64_t quarantine_ms = 900'000;  // then it may try again: a driver was restarted, a disk was freed
  std::int64_t overdue_ms = 60'000;  // a node that does not end a task this long after its max_run_s lost it
  std::int64_t queue_ahead_ms = 2'000;  // work queued on a node beyond what it renders: hides one round trip
  std::uint32_t max_queue_ahead = 16;   // …but never more tasks a slot than this
  double soft_c = 84;                   // a GPU above gets nothing new: most throttle from 83 to 90 °C on
  double hard_c = 93;  // …above this its task goes elsewhere: cards switch off between 95 and 105 °C
  double cool_c = 4;   // …until it is this much cooler: no flapping around a limit
  // Of a renderer's archive, from the controller to its first start on a node: a LAN, then unpacking.
  std::uint32_t fetch_mib_s = 25;
  double tail_factor = 1.5;  // a task that takes this much longer than its job's mean, at the job's tail, is
                             // started a second time on an idle node
};

class FarmState {
 public:
  explicit FarmState(const Policy& policy);
  // Restart: the state as the store had it. Nodes are unknown until they speak.
  FarmState(const Policy& policy, const FarmRows& rows, Instant now);
  ~FarmState();
  FarmState(FarmState&&) noexcept;
  FarmState& operator=(FarmState&&) noexcept;

  // Numbers for controller/summary. O(1).
  [[nodiscard]] payloads::ControllerSummary summary() const;
  // For tests and the simulation's checkers; nullptr: unknown.
  [[nodiscard]] const JobRow* job(const JobId& id) const;
  [[nodiscard]] const NodeRow* node(const NodeId& id) const;
  [[nodiscard]] TaskRow task(const TaskId& id) const;

  struct Data;  // in farm_data.h, for this room's own files
  [[nodiscard]] Data& data() { return *data_; }
  [[nodiscard]] const Data& data() const { return *data_; }

 private:
  std::unique_ptr<Data> data_;
};

std::vector<Effect> step(FarmState& state, Instant now, const Event& event);

}  // namespace kiln::scheduler
