// What the API needs from the rest of the controller, as interfaces. The daemon implements them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/json.h"
#include "base/result.h"
#include "payloads/messages.h"
#include "scheduler/effects.h"
#include "scheduler/events.h"
#include "scheduler/rows.h"
#include "scheduler/totals.h"

namespace kiln::api {

// Asks the farm thread for a change and waits for the decision (after its transaction). Thread-safe.
// Errors: unavailable when the queue is full or the farm is stopping; timeout; whatever the scheduler
// refuses.
class Farm {
 public:
  virtual ~Farm() = default;
  using MakeEvent = std::function<scheduler::Event(scheduler::RequestId)>;
  virtual Result<scheduler::AnswerValue> ask(const MakeEvent& make) = 0;
};

struct JobQuery {
  std::optional<std::string> state;  // as shown_state() names it
  std::optional<std::string> user;
  std::uint32_t limit = 100;                // at most 1000
  std::uint64_t before = 0;                 // job numbers below this one; 0 = newest first from the top
  std::optional<std::string> project = {};  // "": those in none
  std::optional<std::string> sequence = {};
  std::optional<std::string> shot = {};
};
// Whose totals: without any, of each project; of a project, of each sequence; of a sequence, of each shot.
struct ProductionQuery {
  std::optional<std::string> project = {};
  std::optional<std::string> sequence = {};  // asked only with a project
  std::uint32_t from = 0;                    // rows to skip
  std::uint32_t limit = 200;                 // at most 1000
};
struct TaskQuery {
  std::optional<scheduler::TaskState> state;
  bool held = false;                       // only those held for a look; `state` is not asked then
  std::uint32_t from = 0;                  // task index
  std::uint32_t limit = 200;               // at most 1000
  std::optional<std::uint32_t> step = {};  // only that step's, by its place in the job
};
struct ResultQuery {
  std::optional<JobId> job;  // absent: of every job, newest first
  std::uint32_t from = 0;
  std::uint32_t limit = 200;  // at most 1000
  // Of a job: only results of the tasks [from_task, to_task), such as a step's.
  std::uint32_t from_task = 0;
  std::uint32_t to_task = 0xffffffffU;
};
struct UsageQuery {
  std::optional<NodeId> node = {};  // absent: of all nodes together, the rows' node is empty
  std::int64_t from_ms = 0;         // hours that begin from here on
  std::int64_t to_ms = 0;           // …and before this
  std::uint32_t limit = 1000;       // at most 1000
};

// The database as of the last committed batch. Thread-safe.
class Reader {
 public:
  virtual ~Reader() = default;
  virtual Result<std::vector<scheduler::JobRow>> jobs(const JobQuery& query) = 0;  // newest first
  // By full id, or by number alone ("7") as people type it. Errors: not_found.
  virtual Result<scheduler::JobRow> job(const std::string& id_or_number) = 0;
  // By name.
  virtual Result<std::vector<scheduler::ProductionRow>> productions(const ProductionQuery& query) = 0;
  // Tasks in order, the untouched ones included. Of a step with a target, what is not cut yet is shown as if
  // it were cut into the step's chunks now.
  virtual Result<std::vector<scheduler::TaskRow>> tasks(const scheduler::JobRow& job,
                                                        const TaskQuery& query) = 0;
  // Of its tasks that are done, or of those of one step.
  virtual Result<scheduler::JobTimes> frame_times(const scheduler::JobRow& job,
                                                  const std::optional<std::uint32_t>& step) = 0;
  virtual Result<std::vector<scheduler::AttemptRow>> attempts(const TaskId& task) = 0;
  virtual Result<std::vector<scheduler::ResultRow>> results(const ResultQuery& query) = 0;
  virtual Result<std::vector<scheduler::NodeRow>> nodes() = 0;
  virtual Result<scheduler::NodeRow> node(const NodeId& id) = 0;  // Errors: not_found
  // One row an hour in which something was, oldest first.
  virtual Result<std::vector<scheduler::UsageRow>> usage(const UsageQuery& query) = 0;
  virtual Result<scheduler::FarmSettings> settings() = 0;
  virtual Result<std::vector<scheduler::RendererRow>> renderers() = 0;  // by name
};

// One telemetry sample of a node: what the page draws. NaN-free: absent is absent.
struct TelemetryPoint {
  std::int64_t ts = 0;  // unix seconds
  std::optional<double> temp_c, util_pct;
};

// What a node said last, never persisted.
struct LiveNode {
  payloads::NodeTasks tasks;
  std::map<std::uint32_t, payloads::GpuTelemetry> gpus;
  std::optional<payloads::HostTelemetry> host;
  std::optional<payloads::NodeUpdate> update;  // of a flashed box
};

class Live {
 public:
  virtual ~Live() = default;
  virtual LiveNode node(const NodeId& id) = 0;
  // Newest last, at most `limit`. gpu < 0: the CPU.
  virtual std::vector<TelemetryPoint> history(const NodeId& id, int gpu, std::size_t limit) = 0;
  virtual payloads::ControllerSummary summary() = 0;
};

}  // namespace kiln::api
