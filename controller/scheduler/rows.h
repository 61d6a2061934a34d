// The farm's truth as rows: what the scheduler decides to persist, what the store keeps, what the API shows.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "payloads/frames.h"
#include "payloads/http_bodies.h"
#include "payloads/messages.h"

namespace kiln::scheduler {

// What a host must be, as Open Job Description has it. Names and values in lower case.
struct Attribute {
  std::string name;                 // "attr.worker.os.family", "kiln:attr.renderer", "kiln:attr.tag"
  std::vector<std::string> any_of;  // empty: not asked
  std::vector<std::string> all_of;
  friend bool operator==(const Attribute&, const Attribute&) = default;
};
// What a task takes of a host while it runs.
struct Amount {
  std::string
      name;  // "amount.worker.vcpu", "amount.worker.memory" (MiB), "amount.worker.gpu", "….gpu.memory"
  double min = 0;
  std::optional<double> max = {};  // the host has no more than that
  friend bool operator==(const Amount&, const Amount&) = default;
};
// Whatever a task of a step asks of the node and of the farm.
struct Needs {
  std::string renderer;  // whom a node must have: "blender"; "" and "noop": anybody
  payloads::Device device =
      payloads::Device::any;  // gpu: a slot with a GPU; cpu: one without, where there are
  std::vector<Attribute> attributes;
  std::vector<Amount> amounts;
  std::vector<payloads::LimitUse> limits;
  payloads::Bundle bundle = {};  // what renders it; a node that has not got it fetches it
  friend bool operator==(const Needs&, const Needs&) = default;
};

struct StepSpec {
  std::string name;
  payloads::FrameSet frames;  // when its points are frames: frames.size() == units; else empty
  std::uint32_t units = 0;    // frames, or points of its parameter space: what tasks are cut from
  std::uint32_t chunk = 1;    // units a task
  // Not 0: a task should take about this long, and `chunk` is only what the first ones get. How many tasks
  // there will be is then an estimate until all are cut.
  std::uint32_t target_s = 0;
  std::vector<std::uint32_t> after;  // steps of which every task must be done; indices, no cycle
  // Steps of which only task i must be done before task i of this one: as many tasks as here, none with a
  // target.
  std::vector<std::uint32_t> pairs_with;
  Needs needs;
  friend bool operator==(const StepSpec&, const StepSpec&) = default;

  // Tasks at most: with a target one a unit may be cut.
  [[nodiscard]] std::uint32_t max_tasks() const;
};

// What a compiled submission asks for, fixed for the life of the job.
struct JobSpec {
  std::string name;
  std::string renderer;  // "blender" | "noop" | "openjd": how its tasks are run
  // A job without a template has one step, made of these two; `steps` is empty.
  payloads::FrameSet frames;
  std::uint32_t chunk = 1;  // frames a task
  std::string manifest;     // digest of the manifest blob; "" when it has no files
  payloads::RenderOptions options;
  // Of a job from a template: tasks are numbered step after step, each with room for max_tasks().
  std::string type = {};      // the job type's name, as submitted; "" for blender and noop
  std::string document = {};  // digest of the JobDocument blob
  std::vector<StepSpec> steps = {};
  payloads::Production production = {};
  std::optional<std::uint32_t> retries = {};   // of a failed task; absent: Policy::max_failures decides
  std::optional<std::uint32_t> fail_pct = {};  // of its tasks failed and it gives up; absent: the policy's
  std::vector<payloads::LimitUse> limits =
      {};                        // of each task of a job without a template; else its steps say
  payloads::Bundle bundle = {};  // likewise
  friend bool operator==(const JobSpec&, const JobSpec&) = default;

  // Task numbers are below this. Fewer tasks may exist: see StepSpec::target_s.
  [[nodiscard]] std::uint32_t task_count() const;
  // Of a job without a template, and of steps of frames whose chunks are fixed: task i holds the frames
  // [i * chunk, (i + 1) * chunk) in frame-set order. Else empty.
  [[nodiscard]] payloads::FrameSet task_frames(std::uint32_t index) const;
  // The steps, of whatever kind the job is; at least one.
  [[nodiscard]] std::vector<StepSpec> all_steps() const;
  // The step that the task number belongs to, and the number of its first task. O(steps).
  struct Place {
    std::uint32_t step = 0;
    std::uint32_t first = 0;
  };
  [[nodiscard]] Place place_of(std::uint32_t index) const;
};

// What a person may change while the job lives.
struct JobWishes {
  std::uint32_t slot_limit = 0;      // tasks out at once; 0: no limit
  std::uint32_t node_limit = 0;      // nodes at once; 0: no limit
  std::vector<std::string> tags;     // a node must have all of them
  std::vector<std::uint64_t> after;  // numbers of jobs that must be done before
  std::int64_t start_ms = 0;         // unix ms: not before; 0: at once
  friend bool operator==(const JobWishes&, const JobWishes&) = default;
};

// Seconds of rendering that brought nothing.
struct Waste {
  double failed_s = 0;      // attempts that failed
  double lost_s = 0;        // attempts of nodes that went away, or were moved off a hot slot
  double superseded_s = 0;  // attempts that another one outran, second starts included
  [[nodiscard]] double total() const { return failed_s + lost_s + superseded_s; }
  friend bool operator==(const Waste&, const Waste&) = default;
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
  JobWishes wishes = {};
  Waste waste = {};
  std::vector<payloads::TaskCounts> steps = {};  // counts of each step, of a job from a template
  // When it ends if all goes on as measured, as the scheduler last estimated it; 0: nobody knows. Not stored.
  std::int64_t eta_unix_ms = 0;
  std::int64_t created_ms = 0;  // unix ms; 0 = not yet, here and below
  std::int64_t started_ms = 0;
  std::int64_t finished_ms = 0;
  // Mean seconds of what is left of each step, as its done tasks have it (0: none is done), and how many
  // slots work on the job: what its end is estimated from. Of a job without a template there is one. Not
  // stored.
  std::vector<double> step_mean_s = {};
  std::uint32_t slots_at_work = 0;
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
  // Of a step with a target: the units that it was cut from. count 0: the step's own chunks.
  std::uint32_t first_unit = 0;
  std::uint32_t unit_count = 0;
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

// When a node may render: on these days, from minute to minute of the controller's local day; to <= from
// ends on the next day.
inline constexpr std::int64_t day_min = 24 * 60;  // minutes of a day
struct Window {
  std::uint8_t days = 0x7F;     // bit 0: Monday
  std::uint16_t from_min = 0;   // 0 to 1439
  std::uint16_t to_min = 1440;  // 1 to 1440
  friend bool operator==(const Window&, const Window&) = default;
};

// Whether the local time of that moment lies within one of the windows; always when there is none.
bool is_in_schedule(const std::vector<Window>& schedule, std::int64_t unix_ms, std::int32_t utc_offset_s);

// What a person wants of a node, kept across restarts.
struct NodeSettings {
  bool enabled = true;              // false: it gets nothing and is counted nowhere
  std::vector<std::string> tags;    // beside those that it says itself
  std::vector<Window> schedule;     // empty: always
  std::optional<double> soft_c;     // its GPUs get no new work above; absent: the farm's
  std::optional<double> hard_c;     // …and their task is taken away above; absent: the farm's
  std::uint32_t sleep_after_s = 0;  // idle this long: it is sent to sleep, and woken for work; 0: never
  bool reboot = false;              // as soon as it is idle; it gets nothing until it has gone
  friend bool operator==(const NodeSettings&, const NodeSettings&) = default;
};

// What a node did since it is known, in seconds of its slots.
struct NodeUse {
  double online_s = 0;  // times its slots
  double busy_s = 0;    // fetching and rendering
  double done_s = 0;    // rendering that counts
  Waste waste;
  friend bool operator==(const NodeUse&, const NodeUse&) = default;
};

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
  NodeSettings settings = {};
  NodeUse use = {};
  bool asleep = false;  // it was sent to sleep and has not been heard since
  std::string hot = {};  // why a slot of it gets nothing: "GPU 0 has 88 °C, …"; "" = it is cool. Not stored.
  friend bool operator==(const NodeRow&, const NodeRow&) = default;
};

// What an administrator sets for the whole farm.
struct FarmSettings {
  bool fair_share = false;  // jobs of one priority: by who has least running, then by order
  std::map<std::string, std::uint32_t> limits;  // counted limits: how much there is in all
  friend bool operator==(const FarmSettings&, const FarmSettings&) = default;
};

// A renderer that people put on the controller.
struct RendererRow {
  payloads::Bundle bundle;
  std::string file;  // its archive's name, as it was given
  std::string user;  // who put it there
  std::int64_t added_ms = 0;
  friend bool operator==(const RendererRow&, const RendererRow&) = default;
};

// One hour of one node, for what happened over time. Absolute, so that writing it twice is harmless.
struct UsageRow {
  NodeId node;
  std::int64_t hour_ms = 0;  // unix, start of the hour
  NodeUse use;
  friend bool operator==(const UsageRow&, const UsageRow&) = default;
};

// Why the tasks of a job wait, for people. `what` is a sentence; `node` and `step` may be empty.
struct Reason {
  std::string node;
  std::string step;
  std::uint32_t tasks = 0;  // so many wait for it; 0: where that is not a number
  std::string what;
  friend bool operator==(const Reason&, const Reason&) = default;
};

// Everything the scheduler needs after a restart, as the store loads it.
struct FarmRows {
  std::vector<JobRow> jobs;  // every job not deleted
  // Of jobs that are active, paused, failed (such a job can be retried), or have held tasks.
  std::vector<TaskRow> tasks;
  std::vector<AttemptRow> attempts;  // those assigned or running
  std::vector<NodeRow> nodes;
  FarmSettings settings;
  std::vector<RendererRow> renderers;
  std::vector<UsageRow> usage;  // of the running hour
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
// Seconds left if the means of the done tasks hold, on as many slots as work on it now: step after step where
// one waits for the whole of another. nullopt until a task is done and one is out.
std::optional<double> eta_s(const JobRow& job);
payloads::JobStatus job_status(const JobRow& job);

}  // namespace kiln::scheduler
