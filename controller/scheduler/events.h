// What happens to the farm, as values. The shell makes them; step() consumes them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "payloads/http_bodies.h"
#include "payloads/messages.h"
#include "scheduler/rows.h"

namespace kiln::scheduler {

// Ties an Answer effect to whoever waits for it. 0: nobody waits.
using RequestId = std::uint64_t;

// ---- from people (API, MQTT requests) -----------------------------------------------------------------

struct SubmitJob {
  RequestId request = 0;
  JobSpec spec;
  int priority = 50;
  bool paused = false;
  std::string user;
  std::string cid;           // the same user and cid again answers with the same job
  std::uint32_t random = 0;  // for the job's id
  JobWishes wishes = {};
};
struct EditJob {  // PATCH; absent = unchanged
  RequestId request = 0;
  JobId job;
  std::optional<int> priority;
  std::optional<bool> paused;
  std::optional<std::uint32_t> slot_limit = {}, node_limit = {};
  std::optional<std::vector<std::string>> tags = {};
  std::optional<std::vector<std::uint64_t>> after = {};
  std::optional<std::int64_t> start_ms = {};
};
struct CancelJob {
  RequestId request = 0;
  JobId job;
};
// Failed tasks (all of the job's, or those named) are queued again; a failed job becomes active.
struct RetryJob {
  RequestId request = 0;
  JobId job;
};
struct DeleteJob {  // only of a job that has ended
  RequestId request = 0;
  JobId job;
};
// A held frame is right as it is.
struct AcceptTask {
  RequestId request = 0;
  TaskId task;
};
// A task that is done or failed is rendered again; its frames stay until the new ones come.
struct RequeueTask {
  RequestId request = 0;
  TaskId task;
};
// Many tasks of a job at once: those that failed, or all that have ended.
struct RequeueTasks {
  RequestId request = 0;
  JobId job;
  bool only_failed = true;
  std::string step = {};                          // "": of every step
  std::optional<payloads::FrameSet> frames = {};  // only tasks that hold one of them
};
// Why its tasks wait: answered with an Explanation.
struct ExplainJob {
  RequestId request = 0;
  JobId job;
};
// PATCH of a node; absent = unchanged.
struct EditNode {
  RequestId request = 0;
  NodeId node;
  std::optional<bool> enabled = {};
  std::optional<std::vector<std::string>> tags = {};
  std::optional<std::vector<Window>> schedule = {};
  std::optional<std::optional<double>> soft_c = {}, hard_c = {};
  std::optional<std::uint32_t> sleep_after_s = {};
  std::optional<bool> reboot = {};
};
// Now, whatever the schedule says: sleep is refused while it has work, wake needs its network address.
struct PowerNode {
  RequestId request = 0;
  NodeId node;
  bool wake = false;
};
// A node that is known no more, until it speaks again. Only of one that is offline, unless it may not speak
// again.
struct ForgetNode {
  RequestId request = 0;
  NodeId node;
  bool is_revoked = false;  // its work goes elsewhere at once
};
// The farm's settings; absent = unchanged. A limit of 0 is removed.
struct EditFarm {
  RequestId request = 0;
  std::optional<bool> fair_share = {};
  std::map<std::string, std::uint32_t> limits = {};
};
// Ends a node's quarantine, and forgets what failed there.
struct ForgiveNode {
  RequestId request = 0;
  NodeId node;
};
struct DrainNode {
  RequestId request = 0;
  NodeId node;
  bool drained = true;
};

// ---- from nodes over HTTP -----------------------------------------------------------------------------

// An attempt ended; when ok its files lie, verified and synced, in the incoming folder of the attempt.
struct FinishAttempt {
  RequestId request = 0;
  TaskId task;
  std::uint32_t attempt = 0;
  payloads::ResultReport report;
};

// ---- from nodes over MQTT ---------------------------------------------------------------------------------

struct NodeStatusSeen {
  NodeId node;
  payloads::NodeStatus status;
  bool retained = false;  // a retained copy proves nothing about now (rule 6)
};
struct NodeInfoSeen {
  NodeId node;
  payloads::NodeInfo info;
  bool retained = false;
};
struct NodeTasksSeen {
  NodeId node;
  payloads::NodeTasks tasks;
  bool retained = false;
};
struct NodeAckSeen {
  NodeId node;
  payloads::Ack ack;
};
// A sensor, when it moved by a degree: of a GPU by its index in the node's info.
struct NodeHeatSeen {
  NodeId node;
  std::uint32_t gpu = 0;
  double temp_c = 0;
};

// ---- from the shell ---------------------------------------------------------------------------------------

// MQTT is (again) connected: ask everyone for a rebirth, publish what is retained.
struct BrokerConnected {};
// MQTT went away: nobody can speak now, so nobody is judged by his silence and nothing is handed out until
// BrokerConnected. HTTP goes on.
struct BrokerLost {};
// Time passed. The shell sends one at least every second.
struct Tick {
  std::int32_t utc_offset_s = 0;  // of the controller's local time, for schedules
};
// Disk space came to an end or came back: no dispatch while it lasts.
struct DiskPressure {
  bool full = false;
};

using Event = std::variant<SubmitJob, EditJob, CancelJob, RetryJob, DeleteJob, DrainNode, FinishAttempt,
                           NodeStatusSeen, NodeInfoSeen, NodeTasksSeen, NodeAckSeen, BrokerConnected, Tick,
                           DiskPressure, BrokerLost, AcceptTask, RequeueTask, ForgiveNode, RequeueTasks,
                           ExplainJob, EditNode, PowerNode, ForgetNode, EditFarm, NodeHeatSeen>;

}  // namespace kiln::scheduler
