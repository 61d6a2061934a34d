// What the scheduler holds in memory, and the indexes that keep every decision O(log n). For this room only.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "scheduler/step.h"

namespace kiln::scheduler {

using NodeNo = std::uint32_t;  // place in Data::nodes, counted from 1; 0: none
using LaneNo = std::uint32_t;  // the slots of one kind of one node: 2 * node, 2 * node + 1 those with a GPU
using PoolNo = std::uint32_t;  // place in Data::pools
using UserNo = std::uint32_t;  // place in Data::users, counted from 1; 0: nobody in particular
using JobNo = std::uint64_t;   // JobRow::number
using StepNo = std::uint32_t;  // place in JobSpec::all_steps()

inline constexpr std::size_t cpu_lane = 0;
inline constexpr std::size_t gpu_lane = 1;
inline NodeNo node_of(LaneNo lane) {
  return lane / 2;
}
inline std::size_t kind_of(LaneNo lane) {
  return lane % 2;
}
inline LaneNo lane_of(NodeNo node, std::size_t kind) {
  return 2 * node + static_cast<LaneNo>(kind);
}

// A touched task. 32 bytes: a job of 100,000 touched tasks costs 3 MB.
struct Task {
  std::int64_t started_ms = 0;  // unix
  std::int64_t finished_ms = 0;
  std::uint32_t attempt = 0;
  NodeNo node = 0;
  float seconds = 0;
  TaskState state = TaskState::queued;
  std::uint8_t failed = 0;  // attempts that ended so, saturating
  std::uint8_t lost = 0;
  std::uint8_t taken_back : 2 = 0;  // up to max_taken_back
  std::uint8_t shuns : 1 = 0;       // queued, and better not to `node` again
  std::uint8_t adoptable : 1 = 0;   // queued, and `node` may still be at work on `attempt`: it was only lost
  std::uint8_t blank : 2 = 0;       // payloads::Blank, when done
  std::uint8_t review : 2 = 0;      // scheduler::Review
};
static_assert(sizeof(Task) == 32);

struct TaskError {
  std::string code;
  std::string message;
};

// A node's load in 1/64 slot: below `full_level` a slot is idle, above it work is queued ahead.
using Level = std::uint32_t;
inline constexpr Level full_level = 64;

// An attempt that a task is out on. At most two a task: the second start of a slow one at its job's tail.
struct Lease {
  NodeNo node = 0;
  std::uint8_t kind = cpu_lane;       // of the slots that it was given
  std::uint32_t weight = full_level;  // what it takes of them, in 1/64 slot: more where memory is short
  std::uint32_t attempt = 0;
  bool running = false;   // the node says that it started
  bool seen = false;      // it is in the node's inventory
  bool recalled = false;  // asked back before it starts
  payloads::TaskPhase phase = payloads::TaskPhase::queued;
  int slot = -1;             // as the node says
  std::uint32_t est_ms = 0;  // render time expected when it was handed out, at most Policy::queue_ahead_ms
  std::uint32_t sends = 0;   // of its command
  std::uint64_t sent_sid = 0;
  std::int64_t sent_mono_ms = 0;
  std::uint64_t order = 0;       // of handing out, farm-wide
  std::int64_t assigned_ms = 0;  // unix
  std::int64_t started_ms = 0;
  std::int64_t started_mono_ms = 0;  // of rendering; 0: not yet
  std::int64_t due_mono_ms = 0;      // when its job's max_run_s and a margin have passed; 0: not watched
};
struct LeaseKey {
  JobNo job = 0;
  std::uint32_t index = 0;
  bool twin = false;  // the second start
  friend bool operator==(const LeaseKey&, const LeaseKey&) = default;
  friend bool operator<(const LeaseKey& a, const LeaseKey& b) {
    if (a.job != b.job) return a.job < b.job;
    return a.index != b.index ? a.index < b.index : a.twin < b.twin;
  }
};

// A step of a job at work. Its tasks are numbered from `first` on.
struct Step {
  StepSpec spec;
  std::uint32_t first = 0;
  std::uint32_t total = 0;  // of its tasks: with a target an estimate until all are cut
  PoolNo pool = 0;
  payloads::TaskCounts counts;
  // The touched prefix: fresh tasks are handed out in order, so [tasks.size(), total) was never touched. Of a
  // step that goes pairwise with others it is what was ever ready, and what lies between.
  std::vector<Task> tasks;
  // With a target: where task i begins, one more than there are tasks. The last is where the next is cut.
  std::vector<std::uint32_t> cuts;
  // Queued again, or ready pairwise, by the node to avoid (0: none); task numbers.
  std::map<NodeNo, std::set<std::uint32_t>> requeued;
  std::uint32_t waits = 0;             // steps in spec.after that are not done
  std::vector<StepNo> followers;       // who has this one in spec.after
  std::vector<StepNo> pair_followers;  // …in spec.pairs_with
  double done_s = 0;                   // render time of the done tasks
  std::uint64_t done_units = 0;        // …and what they were cut from

  [[nodiscard]] bool is_paired() const { return !spec.pairs_with.empty(); }
  [[nodiscard]] bool is_cut() const { return spec.target_s != 0; }
  [[nodiscard]] std::uint32_t units_left() const { return cuts.empty() ? 0 : spec.units - cuts.back(); }
  [[nodiscard]] bool has_fresh() const { return !is_paired() && tasks.size() < total; }
  [[nodiscard]] bool is_done() const { return counts.done == total; }
};

struct Job {
  JobRow row;
  UserNo user = 0;
  std::uint32_t total = 0;                    // of all steps
  std::vector<Step> steps;                    // at least one
  std::map<std::uint32_t, TaskError> errors;  // only where there is one
  // Failures there since its last task done there, by node; and those nodes where they are too many, sorted.
  std::map<NodeNo, std::uint32_t> failed_on;
  std::vector<NodeNo> avoids;
  std::map<std::uint32_t, std::uint32_t> void_up_to;  // attempts of a task that do not count any more
  // A job that is done lets its tasks go and keeps which attempts won, where that is not the first. A job
  // that had ended before a restart has neither.
  bool tasks_kept = true;
  bool winners_kept = true;
  std::map<std::uint32_t, std::uint32_t> winners;
  // What keeps it from starting: jobs in its wishes.after that are not done; its time has not come.
  std::set<JobNo> blockers;
  bool is_early = false;
  std::uint32_t out = 0;                   // leases
  std::map<NodeNo, std::uint32_t> out_on;  // …by node
  // …and by lane: how many, and how many slots that is at most. `slots`: the sum of the latter.
  std::map<LaneNo, std::pair<std::uint32_t, std::uint32_t>> out_lanes;
  std::uint32_t slots = 0;
  bool holds_pools = false;  // it is live, and its steps are counted in their pools
  // Mean seconds of its tasks by node, for the tail: sum and count.
  std::map<NodeNo, std::pair<double, std::uint32_t>> speed;

  [[nodiscard]] bool is_live() const {
    return row.state == JobState::active || row.state == JobState::paused;
  }
  // As many nodes work on it as may: only these get more of it.
  [[nodiscard]] bool is_pinned() const {
    return row.wishes.node_limit != 0 && out_on.size() >= row.wishes.node_limit;
  }
  [[nodiscard]] bool is_full() const { return row.wishes.slot_limit != 0 && out >= row.wishes.slot_limit; }
  // Whether its tasks may be handed out at all, whoever is free.
  [[nodiscard]] bool may_run() const {
    return row.state == JobState::active && blockers.empty() && !is_early && !is_full();
  }
};

// Steps of jobs in the order in which they are served. `share`: what the user has out already, with a fair
// share; else 0.
struct JobKey {
  int priority = 0;
  std::uint32_t share = 0;
  JobNo number = 0;
  StepNo step = 0;
  friend bool operator==(const JobKey&, const JobKey&) = default;
  friend bool operator<(const JobKey& a, const JobKey& b) {
    if (a.priority != b.priority) return a.priority > b.priority;
    if (a.share != b.share) return a.share < b.share;
    return a.number != b.number ? a.number < b.number : a.step < b.step;
  }
};

// What ready tasks have in common for whoever looks for a node: whose they are (with a fair share; else 0),
// whom their job avoids, and whom they shun beside that (0: nobody).
struct Group {
  UserNo user = 0;
  NodeNo shuns = 0;
  std::vector<NodeNo> avoids;
  friend bool operator==(const Group&, const Group&) = default;
  friend auto operator<=>(const Group&, const Group&) = default;

  [[nodiscard]] bool has(NodeNo node) const {
    return node == shuns || std::binary_search(avoids.begin(), avoids.end(), node);
  }
};

using Places = std::set<std::pair<Level, LaneNo>>;

// What some steps need: the steps that wait for it and the slots that have it. Only what live jobs ask for is
// indexed.
struct Pool {
  Needs needs;
  std::vector<std::string> tags;
  std::uint64_t memory_mib = 0;  // of needs
  std::uint32_t users = 0;       // steps of live jobs
  // Steps with a ready task, by whom the task avoids; and the first of each group.
  std::map<Group, std::set<JobKey>> ready;
  std::set<std::pair<JobKey, Group>> heads;
  // Steps with a ready task of jobs on as many nodes as they may be, and their nodes' open lanes.
  std::set<std::pair<JobKey, LaneNo>> pinned_open;
  Places usable;                 // lanes that may get work
  Places open;                   // those of them with room
  Places having_open;            // …of nodes that have the renderer, where it is one that nodes fetch
  std::uint32_t idle_slots = 0;  // of usable lanes
  std::uint32_t recalls = 0;     // tasks of this pool asked back and not yet returned
};

// Slots of one kind of a node.
struct Lane {
  std::uint32_t slots = 0;
  std::uint32_t waiting = 0;     // leases not started
  std::uint32_t started = 0;     // fetching or rendering: on a slot
  std::uint64_t waiting_ms = 0;  // estimates of those that wait
  std::uint64_t load = 0;        // of both, in 1/64 slot
  // As the indexes have it.
  bool usable = false;
  bool open = false;
  Level level = 0;
  std::uint32_t idle = 0;
};

struct Node {
  NodeNo no = 0;
  NodeRow row;
  bool has_info = false;
  bool says_draining = false;
  bool has_reported = false;             // its inventory came since it is present: what it holds is known
  std::int64_t rests_until_mono_ms = 0;  // it refused a command as `unavailable`: nothing new before; 0: no
  std::uint64_t next_seq = 0;            // inventories of this sid below it are old
  std::uint32_t old_count = 0;           // …of which so many came in a row, in order
  std::uint64_t old_seq = 0;             // the last of them
  std::int64_t old_since_mono_ms = 0;    // the first of them
  std::int64_t heard_mono_ms = 0;        // the last live message
  std::int64_t away_mono_ms = 0;         // since when it is neither online nor draining
  std::int64_t saved_mono_ms = 0;
  bool stats_dirty = false;       // the counters moved since the last save
  bool presence_is_old = false;   // after a restart: its row still says what was true before
  std::uint64_t foreign_sid = 0;  // an older sid that goes on speaking (rule 14)
  std::uint32_t foreign_count = 0;
  std::set<LeaseKey> held;
  std::map<std::pair<TaskId, std::uint32_t>, std::int64_t> cancels;  // when the last was sent, mono ms
  std::array<Lane, 2> lanes;
  std::vector<PoolNo> pools;                   // those in use that it satisfies, sorted
  std::vector<PoolNo> having;                  // …of which it would have to fetch nothing
  std::set<std::pair<PoolNo, JobKey>> pinned;  // steps that only get more where they are, here among it
  std::map<JobNo, std::int64_t> blamed;  // jobs that failed here and have none done here since: when, mono ms
  std::int64_t forgiven_mono_ms = 0;     // when its quarantine ends; 0: none
  std::vector<std::string> warm;         // distinct manifests
  std::vector<std::string> files;        // manifests of its last tasks, the newest last: it has their files
  // Care.
  bool in_window = true;  // of its schedule, as of the last tick
  std::map<std::uint32_t, double> gpu_temp_c;
  std::set<std::uint32_t> hot_gpus;     // above their soft limit, and not yet cooled down
  std::int64_t idle_since_mono_ms = 0;  // 0: it holds something
  std::int64_t woken_mono_ms = 0;       // when the last magic packet went out
  std::int64_t power_mono_ms = 0;       // when the last reboot or sleep was sent
  bool is_leaving = false;  // a reboot was sent; until it is gone the wish stands, and it gets nothing
  // Accounting.
  std::int64_t used_mono_ms = 0;  // up to when row.use is counted; 0: not yet
  UsageRow hour;

  // As the indexes have it.
  struct Placed {
    bool present = false;  // online or draining
    bool quarantined = false;
    std::uint32_t slots = 0;
    std::uint32_t busy = 0;
  } placed;

  [[nodiscard]] bool is_present() const {
    return row.presence == NodePresence::online || row.presence == NodePresence::draining;
  }
  [[nodiscard]] std::uint32_t slots() const { return lanes[cpu_lane].slots + lanes[gpu_lane].slots; }
};

struct User {
  std::string name;
  std::uint32_t out = 0;                      // leases of his jobs
  std::set<std::pair<PoolNo, Group>> groups;  // where his steps are ready
};

struct Limit {
  std::uint64_t used = 0;
};

struct FarmState::Data {
  explicit Data(const Policy& the_policy) : policy(the_policy) {}

  Policy policy;
  bool connected = false;
  bool disk_full = false;
  JobNo last_job_number = 0;
  std::uint32_t attempt_floor = 0;  // FarmRows
  std::uint64_t last_order = 0;
  // Task records looked at so far: shows that nothing walks over a job's tasks.
  mutable std::uint64_t task_visits = 0;

  std::map<JobNo, Job> jobs;
  std::map<JobId, JobNo> job_numbers;
  std::map<std::pair<std::string, std::string>, JobNo> by_cid;  // (user, cid)
  std::map<LeaseKey, Lease> leases;
  // Attempts given up as lost whose task is not done: for the times in their rows when they come after all.
  std::map<std::pair<LeaseKey, std::uint32_t>, AttemptRow> lost;
  std::deque<Node> nodes;  // [no - 1]
  std::map<NodeId, NodeNo> node_numbers;
  std::vector<Pool> pools;
  std::map<std::string, PoolNo> pool_numbers;
  std::set<PoolNo> job_pools;  // those in use: as many as there are different needs, so a handful
  // Open lanes by the scene that their node has open.
  std::map<std::string, Places> warm_open;
  std::map<std::string, Places> files_open;  // …and by the files that it has
  std::vector<User> users;                   // [no - 1]
  std::map<std::string, UserNo> user_numbers;
  FarmSettings settings;
  std::map<std::string, RendererRow> renderers;
  std::map<std::string, Limit> limits;              // what is used of counted limits, set or not
  std::map<JobNo, std::set<JobNo>> job_followers;   // who waits for it
  std::set<std::pair<std::int64_t, JobNo>> early;   // jobs by the time they start at, unix ms
  std::int32_t utc_offset_s = 0;                    // as the last tick said
  std::uint32_t quarantined = 0;                    // of the nodes that are present
  std::set<std::pair<std::int64_t, LeaseKey>> due;  // leases that are watched, by Lease::due_mono_ms
  payloads::ControllerSummary totals;

  void load(const FarmRows& rows, Instant now);

  [[nodiscard]] Job* find_job(const JobId& id);
  [[nodiscard]] const Job* find_job(const JobId& id) const;
  [[nodiscard]] Node* find_node(const NodeId& id);
  [[nodiscard]] const Node* find_node(const NodeId& id) const;
  [[nodiscard]] Node& node(NodeNo no) { return nodes[no - 1]; }
  [[nodiscard]] const Node& node(NodeNo no) const { return nodes[no - 1]; }
  [[nodiscard]] Lease* find_lease(const LeaseKey& key);
  // The lease of that attempt, whichever start of the task it is.
  [[nodiscard]] std::optional<LeaseKey> find_attempt(JobNo job, std::uint32_t index, std::uint32_t attempt);
  // The task's record; nullptr: never touched, or let go.
  [[nodiscard]] Task* touched(Job& job, std::uint32_t index) const;
  [[nodiscard]] const Task* touched(const Job& job, std::uint32_t index) const;
  [[nodiscard]] TaskRow task_row(const Job& job, std::uint32_t index) const;
  // The same of a task that was not handed out yet; those before it wait with it, queued again. O(those).
  Task& touch(Job& job, std::uint32_t index);
  // The step that the task belongs to; index is below the job's last number.
  [[nodiscard]] static Step& step_of(Job& job, std::uint32_t index);
  [[nodiscard]] static const Step& step_of(const Job& job, std::uint32_t index);
  [[nodiscard]] static StepNo step_no(const Job& job, const Step& step) {
    return static_cast<StepNo>(&step - job.steps.data());
  }
  // Whether there is such a task: of a step with a target, whether it was cut.
  [[nodiscard]] static bool has_task(const Job& job, std::uint32_t index);
  // The task's frames; empty where it has none.
  [[nodiscard]] static payloads::FrameSet task_frames(const Job& job, std::uint32_t index);
  PoolNo pool_of(const Needs& needs, const std::vector<std::string>& tags);
  UserNo user_of(const std::string& name);
  Node& add_node(const NodeId& id, Instant now);

  // ---- indexes: call after a change of what they are made of; each O(log n) ------------------------------
  void insert_job(JobRow row);  // with its pool; not yet ready
  void erase_job(Job& job);
  // Recomputes whether the step waits in its pool's group for that node (0, or one that requeued tasks shun).
  void refresh_ready(const Job& job, const Step& step, NodeNo shuns);
  void refresh_ready_all(const Job& job);  // O(groups of the job): state or wishes changed
  // Takes the job out of every index, changes it, and puts it back.
  template <class Change>
  void change_job(Job& job, const Change& change) {
    unready_all(job);
    change();
    refresh_ready_all(job);
  }
  // In a step that goes pairwise with others only when its partners are done.
  void requeue(Job& job, std::uint32_t index, Task& task);
  void unqueue(Job& job, std::uint32_t index, const Task& task);
  void count(Job& job, Step& step, TaskState from, TaskState to, std::uint32_t tasks = 1);
  void set_job_state(Job& job, JobState state);  // and its readiness, and who waits for it
  void set_wishes(Job& job, JobWishes wishes);
  void set_blockers(Job& job);   // from its wishes and the other jobs' states
  void set_fair_share(bool on);  // O(jobs)
  // Who waits for `job` learns that it is done, or is not any more.
  void tell_followers(const Job& job);

  // ---- steps.cpp
  // The next fresh task of the step, cut off if it has a target. slots: that could work on the step.
  std::uint32_t take_fresh(Job& job, Step& step);
  // After a task was done or is not any more: whether steps behind it may start. O(followers).
  void refresh_followers(Job& job, const Step& step, std::uint32_t index);
  [[nodiscard]] static bool pair_is_ready(const Job& job, const Step& step, std::uint32_t index);
  void set_total(Job& job, Step& step, std::uint32_t total);
  static void note_done(Job& job, Step& step, std::uint32_t local, int sign);

  void hold(const LeaseKey& key, Lease lease);  // with its node's load
  void drop(const LeaseKey& key);
  void set_phase(Lease& lease, payloads::TaskPhase phase);
  void set_slot(const LeaseKey& key, Lease& lease, int slot);  // as the node says
  void count_slots(Job& job, const Lease& lease, int sign);    // that the job has
  // What its end is estimated from, and the estimate. O(steps).
  static void estimate(Job& job, Instant now);
  void set_recalled(const LeaseKey& key, Lease& lease, bool recalled);
  void set_due(const LeaseKey& key, Lease& lease, std::int64_t due_mono_ms);
  void replace(Node& node);  // the node's place in the indexes, from what is true now
  // Its information, settings or tags changed: what it satisfies. O(pools in use).
  void set_info(Node& node, payloads::NodeInfo info);
  void refresh_pools(Node& node);
  void set_warm(Node& node, const std::vector<std::string>& warm);
  void note_files(Node& node, const std::string& manifest);  // it works on a task of these
  void forget(Node& node);  // it holds nothing; known again, as new, when it speaks again

  // Milliseconds that a task of the job is expected to take, at most Policy::queue_ahead_ms; that much too
  // while nothing is known.
  [[nodiscard]] std::uint32_t estimate_ms(const Step& step) const;
  // What a task of the pool takes of the node's slots, in 1/64 slot.
  [[nodiscard]] static std::uint32_t weight_on(const Pool& pool, const Node& node, std::size_t kind);
  // Fills in kind and weight of a lease that is there already: where it fits best on its node.
  void give_lane(Lease& lease, const Pool& pool) const;
  // Whether the node as a whole may be handed anything.
  [[nodiscard]] bool may_get_work(const Node& node) const;
  // Whether a task of the pool may have the kind of slot on that node.
  [[nodiscard]] static bool suits(const Pool& pool, const Node& node, std::size_t kind);
  // Whether it could start a task of the pool without fetching a renderer first.
  [[nodiscard]] bool has_renderer(PoolNo pool, NodeNo node) const;
  // Milliseconds until a node that has to fetch the pool's renderer could begin; 0: there is none to fetch.
  [[nodiscard]] double fetch_ms(const Pool& pool) const;
  // Whether the nodes at work on the step, which have its renderer, will have done what is left of it before
  // another one could begin. Looks at few of them.
  [[nodiscard]] bool outruns_fetch(const Job& job, const Step& step) const;
  // Whether its counted limits leave room for one more.
  [[nodiscard]] bool limits_allow(const Pool& pool) const;

 private:
  void load_attempt(const AttemptRow& row, Instant now);
  void load_counts(Job& job);
  static void show_steps(Job& job);
  void tally(const Lease& lease, int sign);
  void tally_out(const LeaseKey& key, const Lease& lease, int sign);
  void unplace(Node& node);
  void place(Node& node);
  void place_lane(Node& node, std::size_t kind);
  void set_ready(PoolNo number, const Group& group, const JobKey& key, bool ready);
  void unready_all(const Job& job);
  void set_pins(const Job& job, bool pinned);
  void hold_pools(Job& job, bool hold);
  void add_totals(const Job& job, int sign);
  [[nodiscard]] JobKey key_of(const Job& job, StepNo step) const;
  [[nodiscard]] Group group_of(const Job& job, NodeNo shuns) const;
};

// How an attempt that is out can end.
enum class Ending : std::uint8_t {
  failed,      // the node says so
  overdue,     // the node neither ended nor stopped it, long after its max_run_s
  refused,     // the node cannot take it now
  untaken,     // it never showed up in the node's inventory
  lost,        // the node is away, or came back without it
  taken_back,  // before it started, for another node
  outrun,      // another attempt's commit came first
  moved,       // off a slot that became too hot
  cancelled,   // by a person, or with its failed job
};

// The work of one step(): what it looks at, when, and what it decided so far.
class Turn {
 public:
  Turn(FarmState::Data& data, Instant now) : data_(data), now_(now) {}
  std::vector<Effect> run(const Event& event);

 private:
  // ---- jobs.cpp
  void on(const SubmitJob& event);
  void on(const EditJob& event);
  void on(const CancelJob& event);
  void on(const RetryJob& event);
  void on(const DeleteJob& event);
  void on(const AcceptTask& event);
  void on(const RequeueTask& event);
  void on(const RequeueTasks& event);
  // The task is to be done again, as it was asked for: it was done or has failed.
  void do_again(Job& job, std::uint32_t index);
  void fail_job(Job& job, const std::string& message);
  // Ends a job whose tasks have all ended, or of which none that is left may ever start; a failed one is done
  // once every task is.
  void check_end(Job& job);
  // Errors: invalid, conflict: what a job cannot wait for.
  [[nodiscard]] Status check_wishes(JobNo job, const JobWishes& wishes) const;
  void start_early_jobs();
  void set_wishes(Job& job, JobWishes wishes);
  void stop_job(Job& job, JobState state);
  // Jobs of which too many tasks failed in this turn.
  void give_up_jobs();
  [[nodiscard]] std::string failure_message(const Job& job) const;
  // Tasks that a done job let go, for whoever wants some of them again: all done, by whom is not known any
  // more.
  void take_back(Job& job);
  // A done job with nothing to look at lets its tasks go.
  void let_go(Job& job);

  // ---- attempts.cpp
  void on(const FinishAttempt& event);
  void assign(Job& job, std::uint32_t index, LaneNo lane);
  // The lease of a new attempt, stored and sent.
  void hand_out(Job& job, const LeaseKey& key, LaneNo lane);
  void send_run(const LeaseKey& key, Lease& lease);
  void start(const LeaseKey& key, Lease& lease);
  void accept(Job& job, std::uint32_t index, const FinishAttempt& event);
  bool adopt(Node& node, const payloads::HeldTask& held);
  // Ends the attempt that is out, as the table in attempts.cpp has it. for_good: no retry, whatever is left.
  void end(const LeaseKey& key, Ending ending, TaskError error = {}, bool for_good = false);
  void fail_or_requeue(Job& job, std::uint32_t index, bool for_good, const Lease& lease);
  void recall(const LeaseKey& key, Lease& lease);
  void end_overdue();
  [[nodiscard]] std::uint32_t max_failures(const Job& job) const;
  void send_cancel(Node& node, const TaskId& task, std::uint32_t attempt);

  // ---- faults.cpp
  void on(const ForgiveNode& event);
  // The node failed a task of the job, or did one.
  void blame(Job& job, std::uint32_t index, Node& node, const TaskError& error);
  void praise(Job& job, Node& node);
  void quarantine(Node& node, const std::string& reason);
  void forgive(Node& node);

  // ---- reviews.cpp
  // Task `index` has ended: it and its neighbours may be judged now.
  void review_around(Job& job, std::uint32_t index);
  void review(Job& job, std::uint32_t index);
  void set_review(Job& job, std::uint32_t index, Review review);

  // ---- nodes.cpp
  void on(const DrainNode& event);
  void on(const NodeStatusSeen& event);
  void on(const NodeInfoSeen& event);
  void on(const NodeTasksSeen& event);
  void on(const NodeAckSeen& event);
  void on(const BrokerConnected& event);
  void on(const BrokerLost& event);
  void on(const Tick& event);
  void on(const DiskPressure& event);
  Node* node_for(const NodeId& id);
  bool is_current(Node& node, std::uint64_t sid, bool retained, bool is_heartbeat);
  void hear(Node& node);
  [[nodiscard]] bool has_begun_anew(Node& node, std::uint64_t seq) const;
  void set_presence(Node& node, NodePresence presence);
  void recall_waiting(Node& node);
  void compare_inventory(Node& node, const payloads::NodeTasks& tasks);
  void watch(const LeaseKey& key, Lease& lease);
  void missing_from(Node& node, const LeaseKey& key, Lease& lease);
  void send_again(const LeaseKey& key, Lease& lease);
  void lose_all(Node& node, const std::string& why);

  // ---- placement.cpp
  void place_tasks();
  void take_back_for_idle();

  // ---- tail.cpp
  // Slow tasks at a job's end are started a second time where a slot is idle.
  void start_again();

  // ---- care.cpp
  void on(const EditNode& event);
  void on(const PowerNode& event);
  void on(const ForgetNode& event);
  void on(const EditFarm& event);
  void on(const NodeHeatSeen& event);
  // ---- renderers.cpp
  void on(const AddRenderer& event);
  void on(const RemoveRenderer& event);
  // What time does to a node: its schedule, its sleep, its reboot. O(1).
  void look_after(Node& node);
  void check_window(Node& node);
  void send_op(Node& node, std::string_view name, decltype(payloads::Command::op) op);
  void wake_for_work();
  void hear_refusal(Node& node, const payloads::Ack& ack);  // of a sleep or reboot
  void forget_reboot(Node& node);                           // one that was sent; the caller saves the node

  // ---- why.cpp
  void on(const ExplainJob& event);

  // ---- usage.cpp
  // Counts the time since the last look as it was spent. O(1).
  void account(Node& node);
  void waste(Job& job, Node& node, const Lease& lease, double Waste::*kind);

  // ---- step.cpp
  void answer(RequestId request, Result<AnswerValue> value);
  void touch(const Job& job) { jobs_.insert(job.row.number); }
  void touch(const Node& node) { nodes_.insert(node.no); }
  void save_task(const Job& job, std::uint32_t index);
  void tell_task(const Job& job, std::uint32_t index, std::string_view state, std::uint32_t attempt,
                 const NodeId& node, std::string message = {});
  void remark(std::string text) { effects_.emplace_back(Remark{std::move(text)}); }
  [[nodiscard]] TaskId task_id(const LeaseKey& key) const;

  FarmState::Data& data_;
  Instant now_;
  std::vector<Effect> effects_;
  std::set<JobNo> jobs_;  // changed: saved and told once, at the end
  std::set<NodeNo> nodes_;
  std::set<JobNo> troubled_;  // a task of theirs failed for good
};

inline constexpr std::string_view noop = "noop";  // proves the plumbing: needs no renderer, takes no time
inline constexpr std::string_view memory_amount = "amount.worker.memory";
inline constexpr std::size_t max_active_jobs = 10'000;  // their rows alone stay below some 20 MB
inline constexpr std::size_t max_nodes = 10'000;        // an open broker must not fill the memory
inline constexpr std::size_t max_warnings = 20;         // of one job, distinct
inline constexpr std::uint32_t max_sends = 6;           // of one run command: 5 * resend_ms, then it is lost
inline constexpr std::uint32_t max_taken_back = 3;      // of one task, for idle nodes: no ping-pong
// Attempts one node may hold as far as we know. It holds a few more, for whose commits it has not read the
// answer yet: at payloads::max_tasks_listed it would refuse, and rest.
inline constexpr std::size_t max_held = payloads::max_tasks_listed - 16;
inline constexpr std::size_t max_files =
    16;  // manifests remembered of one node: older ones may be evicted there
inline constexpr std::size_t max_avoided = 8;           // nodes of one job: where more fail, it is the job
inline constexpr std::size_t max_blamed = 64;           // jobs remembered of one node
inline constexpr std::int64_t refusal_rest_ms = 5'000;  // after `unavailable`: one heartbeat
inline constexpr std::int64_t save_seen_ms = 60'000;    // last_seen is written no oftener than this
inline constexpr std::int64_t save_stats_ms = 5'000;    // …and the counters than this

// The cid of the command about an attempt: the same command again has the same.
std::string run_cid(const TaskId& task, std::uint32_t attempt);
std::string cancel_cid(const TaskId& task, std::uint32_t attempt);
struct CommandName {
  bool is_cancel = false;
  TaskId task;
  std::uint32_t attempt = 0;
};
std::optional<CommandName> parse_cid(std::string_view cid);

}  // namespace kiln::scheduler
