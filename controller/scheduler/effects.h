// What step() decides, as values. The shell carries them out in this order: every Save*/Delete* of a batch in
// one transaction, then Accept* (files), then Send, Answer and *Changed. A crash in between repeats the later
// ones at the next start and loses none.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "payloads/http_bodies.h"
#include "payloads/messages.h"
#include "scheduler/events.h"
#include "scheduler/rows.h"

namespace kiln::scheduler {

// ---- persistence: absolute rows, so that applying one twice is harmless ---------------------------------

struct SaveJob {
  JobRow row;
};
struct SaveTask {
  TaskRow row;
};
struct SaveAttempt {
  AttemptRow row;
};
struct SaveResult {
  ResultRow row;
};
struct SaveNode {
  NodeRow row;
};
struct SaveFarm {
  FarmSettings settings;
};
struct SaveUsage {
  UsageRow row;
};
struct SaveRenderer {
  RendererRow row;
};
struct EraseRenderer {
  std::string name;
};
struct EraseNode {
  NodeId node;
};
struct EraseJob {  // job, tasks, attempts, results; the shell also removes its folder
  JobId job;
};

// ---- files ------------------------------------------------------------------------------------------------

// Move the attempt's files from incoming to the job's output. Idempotent; repeated at start for results whose
// file is not there yet.
struct AcceptFiles {
  TaskId task;
  std::uint32_t attempt = 0;
  std::vector<payloads::ResultFile> files;
  bool replaces = false;  // the task was done before: what has these names and is no other task's may go
};
// The attempt lost: its incoming folder may go.
struct DropFiles {
  TaskId task;
  std::uint32_t attempt = 0;
};

// ---- to nodes ---------------------------------------------------------------------------------------------

struct SendCommand {
  NodeId node;
  payloads::Command command;  // epoch is filled in by the shell
};
struct SendRebirth {};  // cmd/all

// A magic packet to that network address: the node sleeps.
struct WakeNode {
  NodeId node;
  std::string mac;
};

// ---- to whoever asked
// ---------------------------------------------------------------------------------------

struct JobAccepted {
  JobId job;
  bool duplicate = false;
};
struct Committed {
  payloads::Verdict verdict = payloads::Verdict::accepted;
};
struct Done {};
struct Explanation {
  std::vector<Reason> reasons;  // the job's own first, then by step, then by node; at most 1000
};
struct Requeued {
  std::uint32_t tasks = 0;
};
using AnswerValue = std::variant<Done, JobAccepted, Committed, Explanation, Requeued>;
struct Answer {
  RequestId request = 0;
  Result<AnswerValue> value;
};

// ---- to whoever watches
// -------------------------------------------------------------------------------------

struct JobChanged {
  JobRow row;
};
struct JobErased {
  JobId job;
};
struct TaskChanged {
  payloads::JobEvent event;
  std::vector<payloads::ResultFile> files;  // when done
};
struct NodeChanged {
  NodeRow row;
};
struct NodeErased {
  NodeId node;
};
struct FarmChanged {
  FarmSettings settings;
};
// For people: a node that came back, a task that was lost. The shell logs it.
struct Remark {
  std::string text;
};

using Effect = std::variant<SaveJob, SaveTask, SaveAttempt, SaveResult, SaveNode, EraseJob, AcceptFiles,
                            DropFiles, SendCommand, SendRebirth, Answer, JobChanged, JobErased, TaskChanged,
                            NodeChanged, Remark, SaveFarm, SaveUsage, EraseNode, WakeNode, NodeErased,
                            FarmChanged, SaveRenderer, EraseRenderer>;

}  // namespace kiln::scheduler
