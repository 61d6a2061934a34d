// Turns what the farm decides and what nodes say into the events that watchers get. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/events.h"
#include "api/farm.h"
#include "base/time.h"
#include "scheduler/effects.h"

namespace kiln::api {

class Broadcaster {
 public:
  // `live`: read when a node's event is made. `output_dir`: of a job, absolute.
  Broadcaster(EventRing& ring, Live& live, std::function<std::string(const JobId&)> output_dir);

  // For every effect of a batch, after its transaction; those that nobody watches are ignored. A job that
  // changes often is shown at most 4 times a second, its changes of state always.
  void publish(const scheduler::Effect& effect, Instant now);
  // The node said something that Live now knows: shown at most once a second.
  void node_said(const NodeId& node, Instant now);
  // Once a second: the summary when it changed, and what was held back.
  void tick(Instant now, const payloads::ControllerSummary& summary);
  // What an operator must know; `source` tells alarms apart ("store", "broker"), an empty text ends one.
  void set_alarm(const std::string& source, const std::string& text);
  [[nodiscard]] std::vector<std::string> alarms() const;

  // Adds to a row from the database what only the farm thread's rows have: a job's estimate, a node's heat.
  void complete(scheduler::JobRow& row) const;
  void complete(scheduler::NodeRow& row) const;

 private:
  struct ShownJob {
    std::int64_t mono_ms = 0;
    scheduler::JobState state = scheduler::JobState::active;
    std::int64_t eta_unix_ms = 0;
    std::optional<scheduler::JobRow> held_back;
  };
  struct ShownNode {
    std::int64_t mono_ms = 0;
    bool is_held_back = false;
  };
  struct KnownNode {
    std::string hot;
    bool is_open = true;                          // by its schedule, as it was shown
    std::optional<scheduler::NodeRow> scheduled;  // with a schedule: shown again when that opens or ends
  };
  void job_changed(const scheduler::JobRow& row, Instant now);
  void task_changed(const scheduler::TaskChanged& change, Instant now);
  void node_changed(const scheduler::NodeRow& row, Instant now);
  void show(const scheduler::JobRow& row, Instant now);

  EventRing& ring_;
  Live& live_;
  std::function<std::string(const JobId&)> output_dir_;

  mutable std::mutex mutex_;
  std::map<JobId, ShownJob> jobs_;  // only those not ended
  std::map<NodeId, ShownNode> nodes_;
  std::map<NodeId, KnownNode> known_;
  std::map<std::string, std::string> alarms_;
  std::optional<payloads::ControllerSummary> summary_;
};

}  // namespace kiln::api
