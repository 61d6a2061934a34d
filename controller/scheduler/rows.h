// The farm's truth as rows: what the scheduler decides to persist, what the store keeps, what the API shows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "payloads/frames.h"
#include "payloads/http_bodies.h"
#include "payloads/messages.h"

namespace kiln::scheduler {

// What a compiled submission asks for, fixed for the life of the job.
struct JobSpec {
  std::string name;
  std::string renderer;  // "blender" | "noop"
  payloads::FrameSet frames;
  std::uint32_t chunk = 1;  // frames a task
  std::string manifest;     // digest of the manifest blob; "" for noop
  payloads::RenderOptions options;
  std::optional<std::uint32_t> retries = {};   // of a failed task; absent: Policy::max_failures decides
  std::optional<std::uint32_t> fail_pct = {};  // of its tasks failed and it gives up; absent: the policy's
  friend bool operator==(const JobSpec&, const JobSpec&) = default;

  // Tasks are chunks in frame-set order: task i holds the frames [i * chunk, (i + 1) * chunk).
  [[nodiscard]] std::uint32_t task_count() const;
  [[nodiscard]] payloads::FrameSet task_frames(std::uint32_t index) const;
};

enum class JobState : std::uint8_t { active, paused, done, failed, cancelled };
enum class TaskState : std::uint8_t { queued, assigned, running, done, failed, cancelled };
enum class AttemptState : std::uint8_t {
  assigned,    // the command is stored, and sent or about to be
  running,     // the node says so
  done,        // its commit was the first valid one
  failed,      // the node reported a failure
  lost,        // the node was offline past its grace period, restarted without it, or never took it
  superseded,  // another attempt's commit won, or it was taken back before it started
  cancelled,   // by a person
};

// What became of a frame that is done and looks wrong. It is kept whatever comes of it.
enum class Review : std::uint8_t {
  none,
  held,      // blank among frames that are not: somebody should look
  accepted,  // somebody looked: it is right
};

struct JobRow {
  JobId id;
  std::uint64_t number = 0;  // submission order
  JobSpec spec;
  int priority = 50;
  JobState state = JobState::active;
  std::string user;
  std::string cid;                    // the client's idempotency key, "" for none
  payloads::TaskCounts counts;        // running includes assigned
  double render_s = 0;                // sum over done tasks
  std::string message;                // why it failed, or what a person should know
  std::vector<std::string> warnings;  // distinct, from the results; at most 20
  std::uint32_t held = 0;             // tasks whose frames wait for a look
  std::int64_t created_ms = 0;        // unix ms; 0 = not yet, here and below
  std::int64_t started_ms = 0;
  std::int64_t finished_ms = 0;
  friend bool operator==(const JobRow&, const JobRow&) = default;
};

// A task that was never touched has no row: it is queued, attempt 0. Submitting 100,000 frames writes one
// row.
struct TaskRow {
  TaskId id;
  TaskState state = TaskState::queued;
  std::uint32_t attempt = 0;   // the newest attempt made, 0 = none; once done, the one whose frames count
  std::uint32_t failures = 0;  // attempts that ended failed or lost
  NodeId node;                 // of that attempt
  std::string error_code;      // of the last failure
  std::string error_message;
  double seconds = 0;  // render time when done
  std::int64_t started_ms = 0;
  std::int64_t finished_ms = 0;
  payloads::Blank blank = payloads::Blank::no;  // one of its frames is, when done
  Review review = Review::none;
  std::uint32_t void_up_to = 0;  // attempts up to this one do not count any more: it was asked for again
  friend bool operator==(const TaskRow&, const TaskRow&) = default;
};

struct AttemptRow {
  TaskId task;
  std::uint32_t attempt = 0;
  NodeId node;
  AttemptState state = AttemptState::assigned;
  std::string error_code;
  std::string error_message;
  std::int64_t assigned_ms = 0;
  std::int64_t started_ms = 0;
  std::int64_t finished_ms = 0;
  friend bool operator==(const AttemptRow&, const AttemptRow&) = default;
};

// A frame that is done. Written in the transaction that makes its task done.
struct ResultRow {
  TaskId task;
  std::uint32_t attempt = 0;
  NodeId node;
  payloads::ResultFile file;
  std::int64_t finished_ms = 0;
  bool held = false;  // as its task's row says when read; SaveResult does not write it
  friend bool operator==(const ResultRow&, const ResultRow&) = default;
};

enum class NodePresence : std::uint8_t { unknown, online, draining, offline };

struct NodeRow {
  NodeId id;
  payloads::NodeInfo info;
  bool drained = false;                           // a person's wish, kept across restarts
  NodePresence presence = NodePresence::unknown;  // as last known; a live message makes it true again
  std::uint64_t sid = 0;
  std::uint64_t tasks_done = 0;
  std::uint64_t tasks_failed = 0;
  std::int64_t first_seen_ms = 0;
  std::int64_t last_seen_ms = 0;
  // Why it gets nothing, "" = it does; and when it is forgiven by itself.
  std::string quarantine;
  std::int64_t quarantine_until_ms = 0;
  friend bool operator==(const NodeRow&, const NodeRow&) = default;
};

// Everything the scheduler needs after a restart, as the store loads it.
struct FarmRows {
  std::vector<JobRow> jobs;  // every job not deleted
  // Of jobs that are active, paused, failed (such a job can be retried), or have held tasks.
  std::vector<TaskRow> tasks;
  std::vector<AttemptRow> attempts;  // those assigned or running
  std::vector<NodeRow> nodes;
  std::uint64_t last_job_number = 0;
  // After a restore of a backup: attempts up to this number may have been made that no row tells of. 0: none.
  std::uint32_t attempt_floor = 0;
};

std::string_view to_string(TaskState state);  // queued, assigned, running, done, failed, cancelled
std::string_view to_string(AttemptState state);
std::string_view to_string(NodePresence presence);
std::string_view to_string(Review review);  // "" for none
// Why the task is held, for people; "" when it is not.
std::string held_reason(const TaskRow& task);
// What people read: an active job is "queued" until its first task ran, then "running".
std::string_view shown_state(const JobRow& job);
// done / total, 0 to 100.
double percent(const JobRow& job);
// Seconds left if the mean of the done tasks holds, over the slots that work on it now; nullopt until one is
// done and one is running.
std::optional<double> eta_s(const JobRow& job);
payloads::JobStatus job_status(const JobRow& job);

}  // namespace kiln::scheduler
