// What happens to the farm, as values. The shell makes them; step() consumes them.
#pragma once

#include <cstdint>
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
};
struct EditJob {  // PATCH; absent = unchanged
  RequestId request = 0;
  JobId job;
  std::optional<int> priority;
  std::optional<bool> paused;
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

// ---- from the shell ---------------------------------------------------------------------------------------

// MQTT is (again) connected: ask everyone for a rebirth, publish what is retained.
struct BrokerConnected {};
// MQTT went away: nobody can speak now, so nobody is judged by his silence and nothing is handed out until
// BrokerConnected. HTTP goes on.
struct BrokerLost {};
// Time passed. The shell sends one at least every second.
struct Tick {};
// Disk space came to an end or came back: no dispatch while it lasts.
struct DiskPressure {
  bool full = false;
};

using Event = std::variant<SubmitJob, EditJob, CancelJob, RetryJob, DeleteJob, DrainNode, FinishAttempt,
                           NodeStatusSeen, NodeInfoSeen, NodeTasksSeen, NodeAckSeen, BrokerConnected, Tick,
                           DiskPressure, BrokerLost, AcceptTask, RequeueTask, ForgiveNode>;

}  // namespace kiln::scheduler
