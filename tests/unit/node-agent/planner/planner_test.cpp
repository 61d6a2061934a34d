#include "planner/planner.h"

#include <map>
#include <set>

#include "check.h"

using namespace kiln;           // NOLINT
using namespace kiln::planner;  // NOLINT
namespace p = kiln::payloads;

namespace {

const char* const scene_a = "sha256:aa";
const char* const scene_b = "sha256:bb";

TaskId task(const char* text) {
  return *TaskId::parse(text);
}

// ---- effects as one line each: a decision that can be printed needs no mocks --------------------

std::string text(const p::HeldTask& held) {
  return fmt::format("{}#{}:{}@{}", held.task.str(), held.attempt, p::to_string(held.phase), held.slot);
}

struct Printer {
  std::string operator()(const StoreEpoch& e) const { return fmt::format("store-epoch {}", e.epoch); }
  std::string operator()(const PublishStatus& e) const {
    return fmt::format("status {} sid {}", p::to_string(e.status.state), e.status.sid);
  }
  std::string operator()(const PublishInfo& e) const { return fmt::format("info sid {}", e.info.sid); }
  std::string operator()(const PublishTasks& e) const {
    std::string line = "tasks";
    for (const auto& held : e.tasks.run) line += " " + text(held);
    return line;
  }
  std::string operator()(const PublishProgress& e) const { return fmt::format("progress {}", e.percent); }
  std::string operator()(const PublishEvent& e) const { return "event " + e.event.kind; }
  std::string operator()(const PublishAck& e) const {
    return fmt::format("ack {} {}", e.ack.cid, e.ack.ok ? "ok" : e.ack.code);
  }
  std::string operator()(const Reconnect& e) const {
    return fmt::format("reconnect above {} after {}", e.above_sid, e.after_ms);
  }
  std::string operator()(const StartTask& e) const {
    return fmt::format("start {}#{} @{}", e.run.task.str(), e.run.attempt, e.slot);
  }
  std::string operator()(const Prefetch& e) const { return fmt::format("prefetch {}", e.run.task.str()); }
  std::string operator()(const CancelAttempt& e) const {
    return fmt::format("kill {}#{}", e.task.str(), e.attempt);
  }
  std::string operator()(const Reboot&) const { return "reboot"; }
  std::string operator()(const Sleep&) const { return "sleep"; }
  std::string operator()(const Remark& e) const { return "remark " + e.event.kind; }
  std::string operator()(const PublishUpdate& e) const {
    return fmt::format("update {}-{} {}", e.update.rollout, e.update.attempt, p::to_string(e.update.state));
  }
  std::string operator()(const OfferUpdate& e) const {
    return fmt::format("offer {}-{}", e.offer.rollout, e.offer.attempt);
  }
  std::string operator()(const WithdrawUpdate& e) const { return fmt::format("withdraw {}", e.rollout); }
  std::string operator()(const Exit&) const { return "exit"; }
};

// ---- facts, short -------------------------------------------------------------------------------

p::RunTask run_task(const char* id, std::uint32_t attempt, const char* manifest = scene_a) {
  p::RunTask run;
  run.task = task(id);
  run.attempt = attempt;
  run.renderer = "blender";
  run.manifest = manifest;
  run.frames = p::FrameSet::of(7);
  return run;
}

template <class Op>
Fact command(const char* cid, Op op, std::uint64_t epoch = 5) {
  p::Command command;
  command.cid = cid;
  command.epoch = epoch;
  command.op = std::move(op);
  return CommandReceived{std::move(command), "", false, 0};
}
Fact run(const char* cid, const char* id, std::uint32_t attempt = 1, const char* manifest = scene_a) {
  return command(cid, run_task(id, attempt, manifest));
}
Fact cancel(const char* cid, const char* id, std::uint32_t attempt = 1) {
  return command(cid, p::CancelTask{task(id), attempt});
}
Fact ended(const char* id, Ending ending = Ending::journalled, std::uint32_t attempt = 1) {
  AttemptEnded fact{task(id), attempt, ending, std::nullopt};
  if (ending == Ending::lost) fact.failure = p::Failure{"disk-full", "no space", p::FailureScope::attempt};
  return fact;
}
Fact delivered(const char* id, p::Verdict verdict = p::Verdict::accepted, std::uint32_t attempt = 1) {
  return Delivered{task(id), attempt, verdict};
}
Fact progress(const char* id, p::TaskPhase phase, double percent) {
  return ProgressMade{task(id), 1, phase, 7, percent, 12.0};
}
Fact status_seen(p::NodeState state, std::uint64_t sid, bool retained = false) {
  return StatusSeen{{.state = state, .sid = sid}, retained};
}

// ---- a node on a virtual clock ------------------------------------------------------------------

struct Node {
  explicit Node(std::uint32_t slots = 1, const Policy& policy = {},
                const std::vector<Attempt>& delivering = {}, std::uint32_t gpu_slots = 0)
      : state(*NodeId::parse("box"), {slots, gpu_slots}, 5, delivering, policy) {
    p::NodeInfo info;
    info.renderers = {{"blender", "3.4.1"}};
    info.memory_mib = 1000;
    feed(InfoChanged{info});
  }
  // A node that is connected with sid 3 and idle.
  static Node online(std::uint32_t slots = 1, const Policy& policy = {}, std::uint32_t gpu_slots = 0) {
    Node node(slots, policy, {}, gpu_slots);
    node.feed(BrokerConnected{3});
    return node;
  }
  std::vector<Effect> feed(const Fact& fact) { return step(state, now, fact); }
  std::string lines(const Fact& fact) {
    std::string all;
    for (const auto& effect : feed(fact)) {
      if (!all.empty()) all += "; ";
      all += std::visit(Printer{}, effect);
    }
    return all;
  }
  std::string lines_after(std::int64_t ms, const Fact& fact) {
    now = now.after_ms(ms);
    return lines(fact);
  }

  State state;
  Instant now{1'000'000, 1'800'000'000'000};
};

struct Line {
  Fact fact;
  std::string effects;
  std::int64_t after_ms = 0;
};
void play(Node& node, const std::vector<Line>& script) {
  int number = 0;
  for (const auto& line : script) {
    ++number;
    const auto got = node.lines_after(line.after_ms, line.fact);
    if (got != line.effects) print_error("in line %d of the script:\n", number);
    check_equal(got, line.effects);
  }
}

std::string ack_message(const std::vector<Effect>& effects) {
  for (const auto& effect : effects) {
    if (const auto* ack = std::get_if<PublishAck>(&effect)) return ack->ack.message;
  }
  return "no ack";
}

// ---- the life of an attempt ---------------------------------------------------------------------

void a_task_runs_is_delivered_and_forgotten() {
  auto node = Node::online();
  play(node, {
                 {run("c1", "1-aaaaa-0"), "ack c1 ok; start 1-aaaaa-0#1 @0; tasks 1-aaaaa-0#1:fetching@0"},
                 {progress("1-aaaaa-0", p::TaskPhase::rendering, 0), "tasks 1-aaaaa-0#1:rendering@0"},
                 {ended("1-aaaaa-0"), "tasks 1-aaaaa-0#1:delivering@-1"},
                 {delivered("1-aaaaa-0"), "tasks"},
             });
  check(node.state.held().empty());
}

void the_next_queued_task_starts_in_the_step_that_frees_the_slot() {
  auto node = Node::online();
  play(node, {
                 {run("c1", "1-aaaaa-0"), "ack c1 ok; start 1-aaaaa-0#1 @0; tasks 1-aaaaa-0#1:fetching@0"},
                 {run("c2", "1-aaaaa-1"), "ack c2 ok; tasks 1-aaaaa-0#1:fetching@0 1-aaaaa-1#1:queued@-1"},
                 {ended("1-aaaaa-0"),
                  "start 1-aaaaa-1#1 @0; tasks 1-aaaaa-0#1:delivering@-1 1-aaaaa-1#1:fetching@0"},
             });
}

void a_slot_does_not_wait_for_the_journal() {
  const auto queue_two = [](Node& node) {
    node.feed(run("c1", "1-aaaaa-0"));
    node.feed(run("c2", "1-aaaaa-1"));
    check_equal(node.lines(ended("1-aaaaa-0", Ending::rendered)),
                "start 1-aaaaa-1#1 @0; tasks 1-aaaaa-0#1:delivering@-1 1-aaaaa-1#1:fetching@0");
    check_equal(node.state.held().front().shown.percent, 100.0);
  };
  auto node = Node::online();
  queue_two(node);
  play(node,
       {
           {cancel("c3", "1-aaaaa-0"), "ack c3 ok; tasks 1-aaaaa-0#1:delivering@-1 1-aaaaa-1#1:fetching@0"},
           {ended("1-aaaaa-0", Ending::journalled), ""},  // the same on the wire
           {delivered("1-aaaaa-0"), "tasks 1-aaaaa-1#1:fetching@0"},
       });
  auto lost = Node::online();
  queue_two(lost);
  check_equal(lost.lines(ended("1-aaaaa-0", Ending::lost)), "event disk-full; tasks 1-aaaaa-1#1:fetching@0");
  auto stopped = Node::online();
  queue_two(stopped);
  stopped.feed(StopAsked{});
  // What is being written is kept in the last inventory: it will be delivered after the restart.
  check_contains(stopped.lines(StopAsked{}), "tasks 1-aaaaa-0#1:delivering@-1; status offline");
}

void a_cancelled_slot_is_free_only_when_the_runner_says_so() {
  auto node = Node::online();
  play(node,
       {
           {run("c1", "1-aaaaa-0"), "ack c1 ok; start 1-aaaaa-0#1 @0; tasks 1-aaaaa-0#1:fetching@0"},
           {run("c2", "1-aaaaa-1"), "ack c2 ok; tasks 1-aaaaa-0#1:fetching@0 1-aaaaa-1#1:queued@-1"},
           {cancel("c3", "1-aaaaa-0"),
            "kill 1-aaaaa-0#1; ack c3 ok; tasks 1-aaaaa-0#1:fetching@0 1-aaaaa-1#1:queued@-1"},
           {cancel("c3", "1-aaaaa-0"), "ack c3 ok; tasks 1-aaaaa-0#1:fetching@0 1-aaaaa-1#1:queued@-1"},
           {ended("1-aaaaa-0", Ending::cancelled), "start 1-aaaaa-1#1 @0; tasks 1-aaaaa-1#1:fetching@0"},
       });
}

// Every pair of stage and happening, so that the table has no arrow by accident.
void the_table_holds_the_whole_life_of_an_attempt() {
  const std::map<std::pair<Stage, On>, Stage> want = {
      {{Stage::none, On::run}, Stage::queued},
      {{Stage::queued, On::slot_free}, Stage::running},
      {{Stage::queued, On::cancel}, Stage::none},
      {{Stage::queued, On::newer}, Stage::none},
      {{Stage::queued, On::drain}, Stage::none},
      {{Stage::queued, On::stop}, Stage::none},
      {{Stage::running, On::cancel}, Stage::cancelling},
      {{Stage::running, On::newer}, Stage::cancelling},
      {{Stage::running, On::stop}, Stage::cancelling},
      {{Stage::running, On::rendered}, Stage::journalling},
      {{Stage::running, On::journalled}, Stage::delivering},
      {{Stage::running, On::lost}, Stage::none},
      {{Stage::running, On::cancelled}, Stage::none},
      {{Stage::running, On::verdict}, Stage::none},
      {{Stage::cancelling, On::rendered}, Stage::journalling},
      {{Stage::cancelling, On::journalled}, Stage::delivering},
      {{Stage::cancelling, On::lost}, Stage::none},
      {{Stage::cancelling, On::cancelled}, Stage::none},
      {{Stage::cancelling, On::verdict}, Stage::none},
      {{Stage::journalling, On::journalled}, Stage::delivering},
      {{Stage::journalling, On::lost}, Stage::none},
      {{Stage::journalling, On::verdict}, Stage::none},
      {{Stage::delivering, On::verdict}, Stage::none},
  };
  std::map<std::pair<Stage, On>, Stage> have;
  for (const auto& arrow : attempt_arrows) {
    check(have.emplace(std::pair{arrow.from, arrow.on}, arrow.to).second);  // no pair twice
  }
  check(have == want);
}

struct Case {
  const char* what;
  std::vector<Line> script;  // from an online node with one slot that runs 1-aaaaa-0#1
};
void run_cases(const std::vector<Case>& cases) {
  for (const auto& one : cases) {
    auto node = Node::online();
    node.feed(run("c0", "1-aaaaa-0"));
    node.feed(progress("1-aaaaa-0", p::TaskPhase::rendering, 0));
    print_message("  %s\n", one.what);
    play(node, one.script);
  }
}

void an_attempt_that_is_held_or_finished_only_reports_again() {
  run_cases({
      {"running", {{run("c0", "1-aaaaa-0"), "ack c0 ok; tasks 1-aaaaa-0#1:rendering@0"}}},
      {"delivering",
       {{ended("1-aaaaa-0"), "tasks 1-aaaaa-0#1:delivering@-1"},
        {run("c0", "1-aaaaa-0"), "ack c0 ok; tasks 1-aaaaa-0#1:delivering@-1"}}},
      {"delivered",
       {{ended("1-aaaaa-0"), "tasks 1-aaaaa-0#1:delivering@-1"},
        {delivered("1-aaaaa-0"), "tasks"},
        {run("c0", "1-aaaaa-0"), "ack c0 ok; tasks"}}},
      {"superseded at its commit",
       {{ended("1-aaaaa-0"), "tasks 1-aaaaa-0#1:delivering@-1"},
        {delivered("1-aaaaa-0", p::Verdict::superseded), "event superseded; tasks"},
        {run("c0", "1-aaaaa-0"), "ack c0 ok; tasks"}}},
      {"delivered, then cancelled",
       {{ended("1-aaaaa-0"), "tasks 1-aaaaa-0#1:delivering@-1"},
        {delivered("1-aaaaa-0"), "tasks"},
        {cancel("c1", "1-aaaaa-0"), "ack c1 ok; tasks"},
        {run("c0", "1-aaaaa-0"), "ack c0 ok; tasks"}}},
      {"cancelled",
       {{cancel("c1", "1-aaaaa-0"), "kill 1-aaaaa-0#1; ack c1 ok; tasks 1-aaaaa-0#1:rendering@0"},
        {ended("1-aaaaa-0", Ending::cancelled), "tasks"},
        {run("c0", "1-aaaaa-0"), "ack c0 conflict; tasks"}}},
      {"cancelled before its run came",
       {{cancel("c1", "1-aaaaa-9"), "ack c1 ok; tasks 1-aaaaa-0#1:rendering@0"},
        {run("c2", "1-aaaaa-9"), "ack c2 conflict; tasks 1-aaaaa-0#1:rendering@0"}}},
      {"lost for want of disk",
       {{ended("1-aaaaa-0", Ending::lost), "event disk-full; tasks"},
        {run("c0", "1-aaaaa-0"), "ack c0 full; tasks"},
        {run("c1", "1-aaaaa-0", 2), "ack c1 ok; start 1-aaaaa-0#2 @0; tasks 1-aaaaa-0#2:fetching@0"}}},
      {"killed by nobody's order: it may be asked again",
       {{ended("1-aaaaa-0", Ending::cancelled), "tasks"},
        {run("c0", "1-aaaaa-0"), "ack c0 ok; start 1-aaaaa-0#1 @0; tasks 1-aaaaa-0#1:fetching@0"}}},
  });
}

void a_newer_attempt_supersedes_an_older_one() {
  run_cases({
      {"a running one is killed; the newer waits for the slot",
       {{run("c2", "1-aaaaa-0", 2),
         "kill 1-aaaaa-0#1; ack c2 ok; tasks 1-aaaaa-0#1:rendering@0 1-aaaaa-0#2:queued@-1"},
        {ended("1-aaaaa-0", Ending::cancelled), "start 1-aaaaa-0#2 @0; tasks 1-aaaaa-0#2:fetching@0"},
        {run("c1", "1-aaaaa-0", 1), "ack c1 conflict; tasks 1-aaaaa-0#2:fetching@0"}}},
      {"a queued one is dropped",
       {{run("c1", "1-aaaaa-1", 1), "ack c1 ok; tasks 1-aaaaa-0#1:rendering@0 1-aaaaa-1#1:queued@-1"},
        {run("c2", "1-aaaaa-1", 2), "ack c2 ok; tasks 1-aaaaa-0#1:rendering@0 1-aaaaa-1#2:queued@-1"}}},
      {"a delivering one goes on: the commit decides",
       {{ended("1-aaaaa-0"), "tasks 1-aaaaa-0#1:delivering@-1"},
        {run("c2", "1-aaaaa-0", 2),
         "ack c2 ok; start 1-aaaaa-0#2 @0; tasks 1-aaaaa-0#1:delivering@-1 1-aaaaa-0#2:fetching@0"},
        {delivered("1-aaaaa-0"), "tasks 1-aaaaa-0#2:fetching@0"}}},
      {"an older one than the finished one is refused",
       {{ended("1-aaaaa-0"), "tasks 1-aaaaa-0#1:delivering@-1"},
        {run("c2", "1-aaaaa-0", 2),
         "ack c2 ok; start 1-aaaaa-0#2 @0; tasks 1-aaaaa-0#1:delivering@-1 1-aaaaa-0#2:fetching@0"},
        {ended("1-aaaaa-0", Ending::journalled, 2),
         "tasks 1-aaaaa-0#1:delivering@-1 1-aaaaa-0#2:delivering@-1"},
        {delivered("1-aaaaa-0", p::Verdict::accepted, 2), "tasks 1-aaaaa-0#1:delivering@-1"},
        {delivered("1-aaaaa-0", p::Verdict::superseded, 1), "event superseded; tasks"},
        {run("c1", "1-aaaaa-0", 1), "ack c1 conflict; tasks"},
        {run("c2", "1-aaaaa-0", 2), "ack c2 ok; tasks"}}},
      {"a cancel that lost the race against the journal is delivered all the same",
       {{cancel("c1", "1-aaaaa-0"), "kill 1-aaaaa-0#1; ack c1 ok; tasks 1-aaaaa-0#1:rendering@0"},
        {ended("1-aaaaa-0"), "tasks 1-aaaaa-0#1:delivering@-1"},
        {delivered("1-aaaaa-0", p::Verdict::superseded), "event superseded; tasks"}}},
      {"a verdict that overtakes the word of the journal frees the slot",
       {{run("c1", "1-aaaaa-1"), "ack c1 ok; tasks 1-aaaaa-0#1:rendering@0 1-aaaaa-1#1:queued@-1"},
        {delivered("1-aaaaa-0"), "start 1-aaaaa-1#1 @0; tasks 1-aaaaa-1#1:fetching@0"},
        {ended("1-aaaaa-0"), ""}}},
  });
}

void a_failure_is_told_and_delivered_like_a_success() {
  auto node = Node::online();
  node.feed(run("c1", "1-aaaaa-0"));
  AttemptEnded fact{task("1-aaaaa-0"), 1, Ending::journalled,
                    p::Failure{"no-camera", "the scene has no camera", p::FailureScope::job}};
  const auto effects = node.feed(fact);
  check_equal(effects.size(), 2U);
  const auto& event = std::get<PublishEvent>(effects[0]).event;
  check_equal(event.kind, "no-camera");
  check_equal(event.message, "the scene has no camera");
  check_equal(event.task, "1-aaaaa-0");
  check_equal(event.ts, 1'800'000'000);
  check_equal(std::visit(Printer{}, effects[1]), "tasks 1-aaaaa-0#1:delivering@-1");
}

// ---- slots --------------------------------------------------------------------------------------

void tasks_start_in_the_order_of_arrival_even_when_another_scene_is_warm() {
  auto node = Node::online();
  node.feed(run("c1", "1-aaaaa-0", 1, scene_a));
  node.feed(WarmChanged{{scene_a}});
  node.feed(run("c2", "2-bbbbb-0", 1, scene_b));
  node.feed(run("c3", "1-aaaaa-1", 1, scene_a));
  check_contains(node.lines(ended("1-aaaaa-0")), "start 2-bbbbb-0#1 @0");
}

void a_task_goes_to_the_free_slot_where_its_scene_is_open() {
  const struct {
    std::vector<std::string> warm;
    const char* manifest;
    int slot;
  } cases[] = {
      {{"", "", ""}, scene_a, 0},
      {{scene_b, "", scene_a}, scene_a, 2},
      {{scene_b, "", ""}, scene_a, 1},  // an empty one, so that nothing is thrown away
      {{scene_b, scene_b, scene_b}, scene_a, 0},
      {{scene_b, scene_a, scene_a}, scene_a, 1},
      {{scene_b}, scene_a, 1},  // a list that is too short means nothing is open there
      {{scene_b, "", ""}, "", 0},
  };
  for (const auto& one : cases) {
    auto node = Node::online(3);
    node.feed(WarmChanged{one.warm});
    check_contains(node.lines(run("c1", "1-aaaaa-0", 1, one.manifest)),
                   fmt::format("start 1-aaaaa-0#1 @{};", one.slot));
  }
}

void a_slot_never_holds_two_attempts() {
  auto node = Node::online(2);
  for (const char* id : {"1-aaaaa-0", "1-aaaaa-1", "1-aaaaa-2", "1-aaaaa-3"}) node.feed(run(id, id));
  check_equal(node.state.running(), 2U);
  check_equal(node.state.queued(), 2U);
  std::set<int> slots;
  for (const auto& held : node.state.held()) {
    if (held.stage == Stage::running) check(slots.insert(held.shown.slot).second);
  }
  check_equal(slots.size(), 2U);
}

void the_files_of_the_next_task_of_each_slot_are_fetched_ahead_once() {
  auto node = Node::online();
  check_equal(node.lines(run("c1", "1-aaaaa-0", 1, scene_a)),
              "ack c1 ok; start 1-aaaaa-0#1 @0; tasks 1-aaaaa-0#1:fetching@0");
  // The same files are being fetched by the running one.
  check_equal(node.lines(run("c2", "1-aaaaa-1", 1, scene_a)),
              "ack c2 ok; tasks 1-aaaaa-0#1:fetching@0 1-aaaaa-1#1:queued@-1");
  check_contains(node.lines(run("c3", "2-bbbbb-0", 1, scene_b)), "ack c3 ok; tasks");  // beyond the window
  check_contains(node.lines(ended("1-aaaaa-0")), "start 1-aaaaa-1#1 @0; prefetch 2-bbbbb-0; tasks");
  check(node.lines(run("c4", "2-bbbbb-1", 1, scene_b)).find("prefetch") == std::string::npos);
}

// ---- kinds of slot, and memory ------------------------------------------------------------------

using Kind = p::SlotKind;

// What waits and what runs, in the order of arrival: "0@1 1@- 2@0".
std::string placed(const State& state) {
  std::string all;
  for (const auto& held : state.held()) {
    if (held.stage != Stage::running && held.stage != Stage::queued) continue;
    all += fmt::format("{}{}@{}", all.empty() ? "" : " ", held.id.task.index,
                       held.shown.slot < 0 ? "-" : std::to_string(held.shown.slot));
  }
  return all;
}

struct Ask {
  Kind slot = Kind::any;
  std::uint64_t memory_mib = 0;
};
Fact ask(std::uint32_t number, const Ask& what) {
  auto run = run_task(fmt::format("1-aaaaa-{}", number).c_str(), 1, "");
  run.slot = what.slot;
  run.memory_mib = what.memory_mib;
  return command(fmt::format("c{}", number).c_str(), run);
}
std::string id(std::uint32_t number) {
  return fmt::format("1-aaaaa-{}", number);
}

void a_task_gets_the_kind_of_slot_that_it_asks_for() {
  const struct {
    const char* what;
    std::vector<Ask> asked;
    const char* placed;  // of three slots, the first two with a GPU
  } cases[] = {
      {"each kind", {{Kind::cpu}, {Kind::gpu}, {Kind::gpu}}, "0@2 1@0 2@1"},
      {"any: no GPU is taken that another may need", {{Kind::any}, {Kind::any}, {Kind::any}}, "0@2 1@0 2@1"},
      {"waiting for a GPU lets those pass who want none",
       {{Kind::gpu}, {Kind::gpu}, {Kind::gpu}, {Kind::cpu}},
       "0@0 1@1 2@- 3@2"},
      {"waiting for a CPU lets those pass who want none",
       {{Kind::cpu}, {Kind::cpu}, {Kind::gpu}},
       "0@2 1@- 2@0"},
      {"any takes what the one before it cannot use",
       {{Kind::gpu}, {Kind::gpu}, {Kind::gpu}, {Kind::any}, {Kind::cpu}},
       "0@0 1@1 2@- 3@2 4@-"},
  };
  for (const auto& one : cases) {
    print_message("  %s\n", one.what);
    auto node = Node::online(3, {}, 2);
    for (std::uint32_t i = 0; i < one.asked.size(); ++i) node.feed(ask(i, one.asked[i]));
    check_equal(placed(node.state), one.placed);
  }
}

void among_those_who_want_the_same_kind_the_first_comes_first() {
  auto node = Node::online(3, {}, 2);
  const Kind kinds[] = {Kind::gpu, Kind::gpu, Kind::cpu, Kind::gpu, Kind::cpu, Kind::any, Kind::gpu};
  for (std::uint32_t i = 0; i < std::size(kinds); ++i) node.feed(ask(i, {kinds[i]}));
  check_equal(placed(node.state), "0@0 1@1 2@2 3@- 4@- 5@- 6@-");
  node.feed(ended("1-aaaaa-2"));
  check_equal(placed(node.state), "0@0 1@1 3@- 4@2 5@- 6@-");
  node.feed(ended("1-aaaaa-1"));
  check_equal(placed(node.state), "0@0 3@1 4@2 5@- 6@-");
  node.feed(ended("1-aaaaa-0"));
  check_equal(placed(node.state), "3@1 4@2 5@0 6@-");
}

void an_open_scene_is_worth_more_than_a_gpu_left_free() {
  auto node = Node::online(3, {}, 2);
  node.feed(WarmChanged{{scene_b, scene_a, scene_b}});
  check_contains(node.lines(run("c1", "1-aaaaa-0", 1, scene_a)), "start 1-aaaaa-0#1 @1;");
  check_contains(node.lines(run("c2", "1-aaaaa-1", 1, scene_a)), "start 1-aaaaa-1#1 @2;");
}

void a_kind_of_slot_that_the_box_has_not_is_refused() {
  auto without = Node::online(2);
  check_contains(without.lines(ask(0, {Kind::gpu})), "ack c0 unsupported");
  check_contains(ack_message(without.feed(ask(0, {Kind::gpu}))), "no slot with a GPU");
  auto only = Node::online(2, {}, 2);
  check_contains(ack_message(only.feed(ask(0, {Kind::cpu}))), "no slot without a GPU");
  check_contains(only.lines(ask(1, {Kind::any})), "start 1-aaaaa-1#1 @0");
}

// The box has 1000 MiB.
void a_task_waits_until_its_memory_is_free_beside_the_others() {
  const struct {
    const char* what;
    std::vector<Ask> asked;
    const char* placed;  // of four slots, the first two with a GPU
    std::uint32_t ends;
    const char* then;
  } cases[] = {
      {"they fit to the last MiB", {{Kind::any, 600}, {Kind::any, 400}, {}}, "0@2 1@3 2@0", 0, "1@3 2@0"},
      {"one too many", {{Kind::any, 600}, {Kind::any, 401}}, "0@2 1@-", 0, "1@2"},
      {"a big one is not starved by small ones behind it",
       {{Kind::any, 600}, {Kind::any, 1000}, {Kind::any, 100}, {Kind::any, 100}},
       "0@2 1@- 2@- 3@-",
       0,
       "1@2 2@- 3@-"},
      {"nor by small ones of another kind of slot",
       {{Kind::gpu, 600}, {Kind::gpu, 1000}, {Kind::cpu, 100}},
       "0@0 1@- 2@-",
       0,
       "1@0 2@-"},
      {"who says nothing of memory may use the other kind's slot",
       {{Kind::gpu, 600}, {Kind::gpu, 1000}, {Kind::cpu, 0}},
       "0@0 1@- 2@2",
       0,
       "1@0 2@2"},
      {"who waits for a slot keeps no memory from others",
       {{Kind::gpu, 100}, {Kind::gpu, 100}, {Kind::gpu, 700}, {Kind::cpu, 700}},
       "0@0 1@1 2@- 3@2",
       3,
       "0@0 1@1 2@-"},
  };
  for (const auto& one : cases) {
    print_message("  %s\n", one.what);
    auto node = Node::online(4, {}, 2);
    for (std::uint32_t i = 0; i < one.asked.size(); ++i) node.feed(ask(i, one.asked[i]));
    check_equal(placed(node.state), one.placed);
    node.feed(ended(id(one.ends).c_str()));
    check_equal(placed(node.state), one.then);
  }
}

void memory_is_kept_until_the_slot_is_free() {
  auto node = Node::online(2);
  node.feed(ask(0, {Kind::any, 600}));
  node.feed(ask(1, {Kind::any, 600}));
  node.feed(cancel("c9", "1-aaaaa-0"));
  check_equal(node.state.running(), 1U);
  check_contains(node.lines(ended("1-aaaaa-0", Ending::cancelled)), "start 1-aaaaa-1#1 @0");
}

void a_task_that_asks_for_more_memory_than_the_box_has_is_refused() {
  auto node = Node::online(2);
  check_contains(node.lines(ask(0, {Kind::any, 1001})), "ack c0 unsupported; tasks");
  check_equal(ack_message(node.feed(ask(0, {Kind::any, 1001}))),
              "the task asks for 1001 MiB of memory, and this box has 1000 MiB");
  check_contains(node.lines(ask(1, {Kind::any, ~0ULL})), "ack c1 unsupported");
  check_contains(node.lines(ask(2, {Kind::any, 1000})), "ack c2 ok; start");
}

void a_box_that_turns_out_smaller_still_gets_done_with_what_it_took() {
  auto node = Node::online(2);
  node.feed(ask(0, {Kind::any, 500}));
  node.feed(ask(1, {Kind::any, 1000}));
  p::NodeInfo smaller;
  smaller.memory_mib = 700;
  node.feed(InfoChanged{smaller});
  check_contains(node.lines(ended("1-aaaaa-0")), "start 1-aaaaa-1#1 @0");
}

void a_box_that_does_not_know_its_memory_takes_anything() {
  auto node = Node::online(2);
  p::NodeInfo info;
  info.renderers = {{"blender", "3.4.1"}};
  node.feed(InfoChanged{info});
  node.feed(ask(0, {Kind::any, 600}));
  check_contains(node.lines(ask(1, {Kind::any, 600})), "start 1-aaaaa-1#1 @1");
}

// ---- restart and sleep --------------------------------------------------------------------------

const Policy rests{.may_reboot = true, .may_sleep = true};

void an_idle_box_takes_leave_and_rests_once() {
  auto node = Node::online(1, rests);
  play(node,
       {
           {command("c1", p::Sleep{}), "ack c1 ok; status offline sid 3; sleep"},
           {run("c2", "1-aaaaa-0"), ""},      // it was on its way; nobody hears an answer
           {command("c3", p::Reboot{}), ""},  // neither
           {Tick{}, "", 3'600'000},           // no heartbeat meanwhile
           {BrokerConnected{4}, "status online sid 4; info sid 4; event broker-back; tasks; progress 0"},
           {command("c1", p::Sleep{}), "ack c1 ok"},  // a late copy does not put it to sleep again
           {command("c4", p::Reboot{}), "ack c4 ok; status offline sid 4; reboot"},
           {BrokerConnected{5}, "status online sid 5; info sid 5; event broker-back; tasks; progress 0"},
           {RestFailed{"it still runs"}, "event rest-failed"},
           {run("c2", "1-aaaaa-0"), "ack c2 ok; start 1-aaaaa-0#1 @0; tasks 1-aaaaa-0#1:fetching@0"},
       });
}

// ---- updates ------------------------------------------------------------------------------------

p::UpdateImage image_offer(std::uint64_t rollout, std::uint32_t attempt) {
  return {rollout, attempt, scene_a, 1000, "0.2.0"};
}
Fact update_is(p::UpdateState state, std::uint64_t rollout = 3, std::uint32_t attempt = 1) {
  p::NodeUpdate update;
  update.version = "0.1.0";
  update.state = state;
  if (state != p::UpdateState::idle) {
    update.image = scene_a;
    update.rollout = rollout;
    update.attempt = attempt;
  }
  return UpdateChanged{update};
}

void a_box_without_an_image_takes_no_update() {
  auto node = Node::online();
  check_equal(node.lines(command("c1", image_offer(3, 1))), "ack c1 unsupported");
  check_equal(node.lines(command("c2", p::WithdrawUpdate{3})), "ack c2 ok");
}

void an_offer_is_taken_once_and_shown_again() {
  auto node = Node::online(1, rests);
  using U = p::UpdateState;
  play(node, {
                 {update_is(U::idle), "update 0-0 idle"},
                 {update_is(U::idle), ""},  // no news
                 {command("u1", image_offer(3, 1)), "ack u1 ok; offer 3-1"},
                 {update_is(U::downloading), "update 3-1 downloading"},
                 {command("u1", image_offer(3, 1)), "ack u1 ok; update 3-1 downloading"},
                 {command("u2", p::WithdrawUpdate{3}), "ack u2 ok; withdraw 3"},
                 {update_is(U::installing), "update 3-1 installing"},
                 {command("u3", image_offer(4, 1)), "ack u3 conflict"},  // root is at it
                 {update_is(U::installed), "update 3-1 installed"},
                 {command("u3", image_offer(4, 1)), "ack u3 ok; offer 4-1"},
             });
}

void a_box_says_that_it_restarts_into_its_update_before_it_leaves() {
  auto node = Node::online(1, rests);
  node.feed(update_is(p::UpdateState::installed));
  check_equal(node.lines(command("c1", p::Reboot{})),
              "update 3-1 restarting; ack c1 ok; status offline sid 3; reboot");
  check_contains(node.lines(BrokerConnected{4}), "update 3-1 restarting");
}

void a_drained_box_rests_and_is_still_drained_when_it_is_back() {
  auto node = Node::online(1, rests);
  node.feed(command("c1", p::Drain{}));
  check_equal(node.lines(command("c2", p::Sleep{})), "ack c2 ok; status offline sid 3; sleep");
  check_contains(node.lines(BrokerConnected{4}), "status draining sid 4");
}

void a_box_with_work_does_not_rest() {
  auto node = Node::online(1, rests);
  node.feed(run("c1", "1-aaaaa-0"));
  node.feed(run("c2", "1-aaaaa-1"));
  check_equal(node.lines(command("c3", p::Reboot{})), "ack c3 conflict");
  check_contains(ack_message(node.feed(command("c3", p::Reboot{}))),
                 "1 running, 1 queued, 0 to be delivered");
  node.feed(ended("1-aaaaa-0"));
  node.feed(ended("1-aaaaa-1"));
  check_contains(ack_message(node.feed(command("c4", p::Sleep{}))), "0 running, 0 queued, 2 to be delivered");
  node.feed(delivered("1-aaaaa-0"));
  node.feed(delivered("1-aaaaa-1"));
  // The refusal is not remembered: the same command may be sent again.
  check_equal(node.lines(command("c4", p::Sleep{})), "ack c4 ok; status offline sid 3; sleep");
}

void a_box_whose_settings_do_not_allow_it_does_not_rest() {
  auto node = Node::online();
  check_equal(node.lines(command("c1", p::Reboot{})), "ack c1 unsupported");
  check_contains(ack_message(node.feed(command("c1", p::Reboot{}))), "`reboot = ");
  check_contains(ack_message(node.feed(command("c2", p::Sleep{}))), "`sleep = ");
}

void a_box_that_was_asked_to_stop_while_it_restarts_stops() {
  auto node = Node::online(1, rests);
  node.feed(command("c1", p::Reboot{}));
  check_equal(node.lines(StopAsked{}), "exit");  // it has taken leave already
}

// ---- rules on commands --------------------------------------------------------------------------

void a_lower_epoch_is_refused_and_a_higher_one_stored_first() {
  auto node = Node::online();
  play(node, {
                 {command("c1", run_task("1-aaaaa-0", 1), 4), "ack c1 conflict"},
                 {command("c2", p::Drain{}, 4), "ack c2 conflict"},
                 {command("c3", run_task("1-aaaaa-0", 1), 6),
                  "store-epoch 6; ack c3 ok; start 1-aaaaa-0#1 @0; tasks 1-aaaaa-0#1:fetching@0"},
                 {command("c4", p::CancelTask{task("1-aaaaa-0"), 1}, 5), "ack c4 conflict"},
                 {ControllerSeen{{.online = true, .epoch = 9, .version = "", .url = ""}}, "store-epoch 9"},
                 {ControllerSeen{{.online = false, .epoch = 12, .version = "", .url = ""}}, ""},
                 {ControllerSeen{{.online = true, .epoch = 9, .version = "", .url = ""}}, ""},
             });
  check_equal(node.state.epoch(), 9U);
  check_contains(ack_message(node.feed(command("c5", p::Resume{}, 8))),
                 "epoch 8 is over: this box has seen 9");
}

void another_farm_counts_its_epochs_anew() {
  auto node = Node::online();
  play(node, {
                 {FarmChanged{}, "store-epoch 0"},
                 {command("c1", p::Drain{}, 1), "store-epoch 1; status draining sid 3; ack c1 ok; tasks"},
             });
}

void a_retained_command_is_ignored() {
  auto node = Node::online();
  auto fact = std::get<CommandReceived>(run("c1", "1-aaaaa-0"));
  fact.retained = true;
  check_equal(node.lines(fact), "event retained-command");
  check(node.state.held().empty());
}

void a_bad_command_is_answered() {
  auto node = Node::online();
  CommandReceived bad{fail(Code::invalid, "command.op: missing"), "c1", false, 0};
  check_equal(node.lines(bad), "ack c1 invalid");
  check_equal(ack_message(node.feed(bad)), "command.op: missing");
  bad.cid.clear();
  check_equal(node.lines(bad), "event bad-command");
  check_equal(node.lines(command("c2", p::UnknownCommand{"reboot"})), "ack c2 unsupported");
  check_contains(ack_message(node.feed(command("c2", p::UnknownCommand{"reboot"}))), "'reboot'");
}

void a_renderer_that_is_not_installed_is_refused_with_the_remedy() {
  auto node = Node::online();
  auto povray = run_task("1-aaaaa-0", 1);
  povray.renderer = "povray";
  check_equal(node.lines(command("c1", povray)), "ack c1 unsupported; tasks");
  check_contains(ack_message(node.feed(command("c1", povray))), "install it");
  auto noop = run_task("1-aaaaa-1", 1, "");
  noop.renderer = "noop";
  check_contains(node.lines(command("c2", noop)), "ack c2 ok; start");
  auto of_template = run_task("1-aaaaa-3", 1);
  of_template.renderer = "openjd";
  check_contains(node.lines(command("c4", of_template)), "ack c4 ok");  // its step says what else it needs

  State unknown(*NodeId::parse("box"), {1, 0}, 0, {});
  step(unknown, node.now, BrokerConnected{1});
  check_contains(ack_message(step(unknown, node.now, run("c3", "1-aaaaa-2"))), "still finding out");
  of_template.memory_mib = 1;
  check_contains(ack_message(step(unknown, node.now, command("c4", of_template))), "how much memory it has");
}

void a_node_that_holds_as_much_as_it_may_says_so() {
  auto node = Node::online(1, {.max_held = 2});
  node.feed(run("c1", "1-aaaaa-0"));
  node.feed(run("c2", "1-aaaaa-1"));
  check_contains(node.lines(run("c3", "1-aaaaa-2")), "ack c3 unavailable; tasks");
  check_contains(node.lines(run("c2", "1-aaaaa-1")), "ack c2 ok");  // a held one is still reported
  node.feed(ended("1-aaaaa-0"));
  node.feed(delivered("1-aaaaa-0"));
  check_contains(node.lines(run("c3", "1-aaaaa-2")), "ack c3 ok");
}

void the_default_bound_fits_the_message() {
  auto node = Node::online();
  for (std::uint32_t i = 0; i < 2 * p::max_tasks_listed; ++i) {
    node.feed(run("c", fmt::format("1-aaaaa-{}", i).c_str()));
  }
  check_equal(node.state.held().size(), p::max_tasks_listed);
}

void a_journal_longer_than_the_list_hides_nothing_that_runs() {
  std::vector<Attempt> journal;
  for (std::uint32_t i = 0; i < p::max_tasks_listed + 4; ++i)
    journal.push_back({{*JobId::parse("1-aaaaa"), i}, 1});
  Node node(1, {.max_held = 200}, journal);
  node.feed(BrokerConnected{3});
  const auto effects = node.feed(run("c1", "2-bbbbb-0"));
  const auto& tasks = std::get<PublishTasks>(effects.at(2)).tasks.run;
  check_equal(tasks.size(), p::max_tasks_listed);
  check_equal(text(tasks.front()), "2-bbbbb-0#1:fetching@0");
  check_equal(text(tasks.at(1)), "1-aaaaa-0#1:delivering@-1");
}

void memory_of_ended_attempts_is_bounded() {
  auto node = Node::online(1, {.max_remembered = 2});
  for (const char* id : {"1-aaaaa-0", "1-aaaaa-1", "1-aaaaa-2"}) {
    node.feed(run(id, id));
    node.feed(ended(id));
    node.feed(delivered(id));
  }
  check_contains(node.lines(run("c1", "1-aaaaa-2")), "ack c1 ok; tasks");
  check_contains(node.lines(run("c2", "1-aaaaa-1")), "ack c2 ok; tasks");
  check_contains(node.lines(run("c3", "1-aaaaa-0")), "start 1-aaaaa-0#1");  // forgotten: the commit decides
}

// ---- drain, resume, stop ------------------------------------------------------------------------

void draining_finishes_what_runs_and_gives_back_what_waits() {
  auto node = Node::online();
  node.feed(run("c1", "1-aaaaa-0"));
  node.feed(run("c2", "1-aaaaa-1"));
  play(node,
       {
           {command("c3", p::Drain{}), "status draining sid 3; ack c3 ok; tasks 1-aaaaa-0#1:fetching@0"},
           {run("c4", "1-aaaaa-2"), "ack c4 unavailable; tasks 1-aaaaa-0#1:fetching@0"},
           {ended("1-aaaaa-0"), "tasks 1-aaaaa-0#1:delivering@-1"},
           {command("c5", p::Resume{}), "status online sid 3; ack c5 ok; tasks 1-aaaaa-0#1:delivering@-1"},
           // A late copy must not drain again.
           {command("c3", p::Drain{}), "ack c3 ok"},
           // Given back, not cancelled: it may come again.
           {run("c2", "1-aaaaa-1"),
            "ack c2 ok; start 1-aaaaa-1#1 @0; tasks 1-aaaaa-0#1:delivering@-1 1-aaaaa-1#1:fetching@0"},
       });
}

void a_drained_node_says_so_at_every_connect() {
  auto node = Node::online();
  node.feed(command("c1", p::Drain{}));
  node.feed(BrokerLost{});
  check_contains(node.lines(BrokerConnected{4}), "status draining sid 4");
}

void a_full_disk_drains_the_box_until_there_is_room() {
  auto node = Node::online();
  node.feed(run("c1", "1-aaaaa-0"));
  node.feed(run("c2", "1-aaaaa-1"));
  play(node,
       {
           {DiskPressure{true, "free some"},
            "event disk-full; status draining sid 3; tasks 1-aaaaa-0#1:fetching@0"},
           {DiskPressure{true, "free some"}, ""},
           {run("c3", "1-aaaaa-2"), "ack c3 full; tasks 1-aaaaa-0#1:fetching@0"},
           {command("c4", p::Resume{}), "status draining sid 3; ack c4 ok; tasks 1-aaaaa-0#1:fetching@0"},
           {DiskPressure{false, ""}, "event disk-back; status online sid 3; tasks 1-aaaaa-0#1:fetching@0"},
       });
}

void stopping_when_idle_is_immediate() {
  auto node = Node::online();
  check_equal(node.lines(StopAsked{}), "status draining sid 3; tasks; status offline sid 3; exit");
  check_equal(node.lines(StopAsked{}), "");
  check_equal(node.lines(run("c1", "1-aaaaa-0")), "");
  check(!node.state.next_due());
}

void stopping_waits_for_the_frame_in_work_then_for_its_delivery() {
  auto node = Node::online();
  node.feed(run("c1", "1-aaaaa-0"));
  node.feed(run("c2", "1-aaaaa-1"));
  play(node, {
                 {StopAsked{}, "status draining sid 3; tasks 1-aaaaa-0#1:fetching@0"},
                 {run("c3", "1-aaaaa-2"), "ack c3 unavailable; tasks 1-aaaaa-0#1:fetching@0"},
                 {command("c4", p::Resume{}), "ack c4 conflict"},
                 {ended("1-aaaaa-0"), "tasks 1-aaaaa-0#1:delivering@-1", 1'000},
                 {delivered("1-aaaaa-0"), "tasks; status offline sid 3; exit", 1'000},
             });
}

void stopping_kills_what_outlasts_the_wait() {
  auto node = Node::online();
  node.feed(run("c1", "1-aaaaa-0"));
  node.feed(StopAsked{});
  const auto due = node.state.next_due();
  check(due.has_value());
  play(node, {
                 {Tick{}, "kill 1-aaaaa-0#1; tasks 1-aaaaa-0#1:fetching@0", Policy{}.stop_wait_ms},
                 {ended("1-aaaaa-0", Ending::cancelled), "tasks; status offline sid 3; exit", 100},
             });
}

void a_second_stop_kills_and_exits_at_once() {
  auto node = Node::online();
  node.feed(run("c1", "1-aaaaa-0"));
  node.feed(StopAsked{});
  check_equal(node.lines(StopAsked{}), "kill 1-aaaaa-0#1; tasks; status offline sid 3; exit");
}

void a_renderer_that_will_not_die_does_not_hold_up_the_stop() {
  auto node = Node::online();
  node.feed(run("c1", "1-aaaaa-0"));
  node.feed(StopAsked{});
  node.lines_after(Policy{}.stop_wait_ms, Tick{});
  check_contains(node.lines_after(Policy{}.stop_deliver_ms, Tick{}), "exit");
}

void an_upload_that_takes_too_long_does_not_hold_up_the_stop() {
  auto node = Node::online();
  node.feed(run("c1", "1-aaaaa-0"));
  node.feed(ended("1-aaaaa-0"));
  node.feed(BrokerLost{});
  check_equal(node.lines(StopAsked{}), "");
  check_equal(node.lines_after(Policy{}.stop_deliver_ms, Tick{}), "exit");
}

// ---- speaking -----------------------------------------------------------------------------------

void a_node_introduces_itself_at_every_connect() {
  Node node(1, {}, {{task("1-aaaaa-0"), 2}});
  check_equal(node.lines(BrokerConnected{3}),
              "status online sid 3; info sid 3; event started; tasks 1-aaaaa-0#2:delivering@-1; progress 0");
  node.feed(BrokerLost{});
  check_equal(
      node.lines(BrokerConnected{4}),
      "status online sid 4; info sid 4; event broker-back; tasks 1-aaaaa-0#2:delivering@-1; progress 0");
}

void seq_orders_messages_within_a_sid() {
  Node node;
  const auto seqs = [&](const Fact& fact) {
    std::vector<std::uint64_t> all;
    for (const auto& effect : node.feed(fact)) {
      if (const auto* tasks = std::get_if<PublishTasks>(&effect)) all.push_back(tasks->tasks.seq);
    }
    return all;
  };
  check(seqs(BrokerConnected{3}) == std::vector<std::uint64_t>{1});
  check(seqs(run("c1", "1-aaaaa-0")) == std::vector<std::uint64_t>{2});
  check(seqs(BrokerConnected{4}) == std::vector<std::uint64_t>{1});
}

void a_rebirth_is_answered_with_everything_spread_over_the_jitter() {
  auto node = Node::online();
  auto fact = std::get<CommandReceived>(command("c1", p::Rebirth{}));
  fact.random = 4'001'500;  // mod 2000 = 1500
  play(node, {
                 {fact, "ack c1 ok"},
                 {Tick{}, "", 1'499},
                 {Tick{}, "status online sid 3; info sid 3; tasks; progress 0", 1},
                 {Tick{}, "", 1},
             });
}

void a_rebirth_keeps_what_runs() {
  auto node = Node::online();
  node.feed(run("c1", "1-aaaaa-0"));
  node.feed(command("c2", p::Rebirth{}, 6));
  check_equal(node.lines_after(2'000, Tick{}),
              "status online sid 3; info sid 3; tasks 1-aaaaa-0#1:fetching@0; progress 0");
}

void progress_alone_is_coalesced_and_a_change_of_phase_is_not() {
  auto node = Node::online();
  node.feed(run("c1", "1-aaaaa-0"));
  play(node, {
                 {progress("1-aaaaa-0", p::TaskPhase::fetching, 10), "", 10},
                 {progress("1-aaaaa-0", p::TaskPhase::fetching, 20), "", 10},
                 {progress("1-aaaaa-0", p::TaskPhase::rendering, 30),
                  "tasks 1-aaaaa-0#1:rendering@0; progress 30", 10},
                 {progress("1-aaaaa-0", p::TaskPhase::rendering, 40), "", 10},
                 {Tick{}, "tasks 1-aaaaa-0#1:rendering@0; progress 40", 190},
                 {progress("1-aaaaa-0", p::TaskPhase::rendering, 40), "", 400},  // nothing new
                 {progress("1-aaaaa-0", p::TaskPhase::rendering, 41.25),
                  "tasks 1-aaaaa-0#1:rendering@0; progress 41.3"},
             });
}

void next_due_is_when_the_coalesced_progress_wants_out() {
  auto node = Node::online();
  node.feed(run("c1", "1-aaaaa-0"));
  check_equal(*node.state.next_due(), node.now.mono_ms + 5'000);
  node.feed(progress("1-aaaaa-0", p::TaskPhase::fetching, 10));
  check_equal(*node.state.next_due(), node.now.mono_ms + 200);
  node.feed(BrokerLost{});
  check(!node.state.next_due());
}

void the_heartbeat_comes_every_five_seconds_and_only_while_connected() {
  auto node = Node::online();
  play(node, {{Tick{}, "", 4'999}, {Tick{}, "tasks", 1}, {BrokerLost{}, ""}, {Tick{}, "", 60'000}});
}

void progress_of_a_wild_kind_stays_in_bounds() {
  auto node = Node::online();
  node.feed(run("c1", "1-aaaaa-0"));
  for (const double percent : {-5.0, 250.0, std::numeric_limits<double>::quiet_NaN()}) {
    node.feed(progress("1-aaaaa-0", p::TaskPhase::rendering, percent));
    const auto shown = node.state.held().front().shown.percent;
    check(shown >= 0 && shown <= 100);
  }
  check_equal(node.lines(progress("9-zzzzz-9", p::TaskPhase::rendering, 1)), "");  // of an attempt not held
}

void info_is_published_when_it_changes_and_names_the_slots() {
  auto node = Node::online(4);
  p::NodeInfo info;
  info.renderers = {{"blender", "3.4.1"}};
  info.memory_mib = 1000;
  info.slots = 9;
  info.gpu_slots = 9;  // a card that came later: the slots are those of the start
  check_equal(node.lines(InfoChanged{info}), "");
  info.renderers.clear();
  const auto effects = node.feed(InfoChanged{info});
  check_equal(effects.size(), 1U);
  check_equal(std::get<PublishInfo>(effects[0]).info.slots, 4U);
  check_equal(std::get<PublishInfo>(effects[0]).info.sid, 3U);
}

void a_node_that_is_cut_off_goes_on_and_says_nothing() {
  auto node = Node::online();
  node.feed(run("c1", "1-aaaaa-0"));
  node.feed(run("c2", "1-aaaaa-1"));
  play(node,
       {
           {BrokerLost{}, ""},
           {progress("1-aaaaa-0", p::TaskPhase::rendering, 50), ""},
           {ended("1-aaaaa-0"), "start 1-aaaaa-1#1 @0"},
           {delivered("1-aaaaa-0", p::Verdict::superseded), "remark superseded"},
           {BrokerConnected{4},
            "status online sid 4; info sid 4; event broker-back; tasks 1-aaaaa-1#1:fetching@0; progress 0"},
       });
}

// ---- rule 4 and rule 14: whose status is it? ----------------------------------------------------

void a_foreign_status_is_corrected_but_an_echo_is_not() {
  const struct {
    const char* what;
    p::NodeState state;
    std::uint64_t sid;
    bool retained;
    const char* effects;
  } cases[] = {
      {"our echo", p::NodeState::online, 3, false, ""},
      {"our echo of a moment ago", p::NodeState::draining, 3, false, ""},
      {"our retained echo", p::NodeState::online, 3, true, ""},
      {"the controller gave us up", p::NodeState::offline, 3, false, "status online sid 3"},
      {"our last will of before", p::NodeState::offline, 2, false, "status online sid 3"},
      {"left over in the broker", p::NodeState::online, 2, true, "status online sid 3"},
      {"an older double", p::NodeState::online, 2, false, "event two-boxes; status online sid 3"},
      {"a newer double", p::NodeState::online, 7, false, "event two-boxes; reconnect above 7 after 30000"},
      {"our own sid was lost", p::NodeState::online, 7, true, "event sid-raised; reconnect above 7 after 0"},
      {"our own sid was lost, last will", p::NodeState::offline, 7, true,
       "event sid-raised; reconnect above 7 after 0"},
      {"an impossible sid", p::NodeState::offline, 1ULL << 53, true, "status online sid 3"},
  };
  for (const auto& one : cases) {
    print_message("  %s\n", one.what);
    auto node = Node::online();
    check_equal(node.lines_after(2'000, status_seen(one.state, one.sid, one.retained)), one.effects);
  }
}

void corrections_are_limited_so_that_two_boxes_make_no_storm() {
  auto node = Node::online();
  play(node, {
                 {status_seen(p::NodeState::online, 2), "event two-boxes", 100},
                 {status_seen(p::NodeState::online, 2), "", 100},
                 {Tick{}, "status online sid 3", 800},
                 {status_seen(p::NodeState::online, 2), "", 1},
                 {Tick{}, "status online sid 3", 999},
             });
}

void a_sid_that_was_lost_is_raised_once_and_a_second_time_is_an_alarm() {
  auto node = Node::online();
  play(node,
       {
           {status_seen(p::NodeState::offline, 50, true), "event sid-raised; reconnect above 50 after 0"},
           {status_seen(p::NodeState::offline, 60, true), ""},  // not connected: not ours to judge
           {BrokerConnected{51}, "status online sid 51; info sid 51; event broker-back; tasks; progress 0"},
           {status_seen(p::NodeState::offline, 52, true), "event two-boxes; reconnect above 52 after 30000",
            5'000},
       });
}

void a_box_that_is_thrown_out_again_and_again_steps_back() {
  auto node = Node::online();
  const std::string hello = "status online sid 4; info sid 4; event broker-back; tasks; progress 0";
  play(node, {
                 {BrokerLost{}, "", 20'000},  // after a good while: no sign of anything
                 {BrokerConnected{4}, hello},
                 {BrokerLost{}, "", 100},
                 {BrokerLost{}, ""},  // and still away: not once more
                 {BrokerConnected{4}, hello},
                 {BrokerLost{}, "", 100},
                 {BrokerConnected{4}, hello},
                 {BrokerLost{}, "", 100},
                 {BrokerConnected{4},
                  "status online sid 4; info sid 4; event broker-back; event two-boxes; reconnect above 4 "
                  "after 30000"},
                 {BrokerConnected{5}, "status online sid 5; info sid 5; event broker-back; tasks; progress 0",
                  30'000},
             });
}

}  // namespace

int main() {
  return kiln::test::run(
      "planner",
      {{"a task runs, is delivered and forgotten", a_task_runs_is_delivered_and_forgotten},
       {"the next queued task starts in the step that frees the slot",
        the_next_queued_task_starts_in_the_step_that_frees_the_slot},
       {"a slot does not wait for the journal", a_slot_does_not_wait_for_the_journal},
       {"a cancelled slot is free only when the runner says so",
        a_cancelled_slot_is_free_only_when_the_runner_says_so},
       {"the table holds the whole life of an attempt", the_table_holds_the_whole_life_of_an_attempt},
       {"rule 3: an attempt that is held or finished only reports again",
        an_attempt_that_is_held_or_finished_only_reports_again},
       {"a newer attempt supersedes an older one", a_newer_attempt_supersedes_an_older_one},
       {"a failure is told and delivered like a success", a_failure_is_told_and_delivered_like_a_success},
       {"tasks start in the order of arrival even when another scene is warm",
        tasks_start_in_the_order_of_arrival_even_when_another_scene_is_warm},
       {"a task goes to the free slot where its scene is open",
        a_task_goes_to_the_free_slot_where_its_scene_is_open},
       {"a slot never holds two attempts", a_slot_never_holds_two_attempts},
       {"the files of the next task of each slot are fetched ahead, once",
        the_files_of_the_next_task_of_each_slot_are_fetched_ahead_once},
       {"a task gets the kind of slot that it asks for", a_task_gets_the_kind_of_slot_that_it_asks_for},
       {"among those who want the same kind the first comes first",
        among_those_who_want_the_same_kind_the_first_comes_first},
       {"an open scene is worth more than a GPU left free", an_open_scene_is_worth_more_than_a_gpu_left_free},
       {"a kind of slot that the box has not is refused", a_kind_of_slot_that_the_box_has_not_is_refused},
       {"a task waits until its memory is free beside the others",
        a_task_waits_until_its_memory_is_free_beside_the_others},
       {"memory is kept until the slot is free", memory_is_kept_until_the_slot_is_free},
       {"a task that asks for more memory than the box has is refused",
        a_task_that_asks_for_more_memory_than_the_box_has_is_refused},
       {"a box that turns out smaller still gets done with what it took",
        a_box_that_turns_out_smaller_still_gets_done_with_what_it_took},
       {"a box that does not know its memory takes anything",
        a_box_that_does_not_know_its_memory_takes_anything},
       {"a box without an image takes no update", a_box_without_an_image_takes_no_update},
       {"an offer is taken once, and shown again", an_offer_is_taken_once_and_shown_again},
       {"a box says that it restarts into its update before it leaves",
        a_box_says_that_it_restarts_into_its_update_before_it_leaves},
       {"an idle box takes leave and rests, once", an_idle_box_takes_leave_and_rests_once},
       {"a drained box rests, and is still drained when it is back",
        a_drained_box_rests_and_is_still_drained_when_it_is_back},
       {"a box with work does not rest", a_box_with_work_does_not_rest},
       {"a box whose settings do not allow it does not rest",
        a_box_whose_settings_do_not_allow_it_does_not_rest},
       {"a box that was asked to stop while it restarts stops",
        a_box_that_was_asked_to_stop_while_it_restarts_stops},
       {"rule 2: a lower epoch is refused and a higher one stored first",
        a_lower_epoch_is_refused_and_a_higher_one_stored_first},
       {"another farm counts its epochs anew", another_farm_counts_its_epochs_anew},
       {"rule 9: a retained command is ignored", a_retained_command_is_ignored},
       {"a bad command is answered", a_bad_command_is_answered},
       {"a renderer that is not installed is refused with the remedy",
        a_renderer_that_is_not_installed_is_refused_with_the_remedy},
       {"a node that holds as much as it may says so", a_node_that_holds_as_much_as_it_may_says_so},
       {"the default bound fits the message", the_default_bound_fits_the_message},
       {"a journal longer than the list hides nothing that runs",
        a_journal_longer_than_the_list_hides_nothing_that_runs},
       {"the memory of ended attempts is bounded", memory_of_ended_attempts_is_bounded},
       {"draining finishes what runs and gives back what waits",
        draining_finishes_what_runs_and_gives_back_what_waits},
       {"a drained node says so at every connect", a_drained_node_says_so_at_every_connect},
       {"a full disk drains the box until there is room", a_full_disk_drains_the_box_until_there_is_room},
       {"stopping when idle is immediate", stopping_when_idle_is_immediate},
       {"stopping waits for the frame in work, then for its delivery",
        stopping_waits_for_the_frame_in_work_then_for_its_delivery},
       {"stopping kills what outlasts the wait", stopping_kills_what_outlasts_the_wait},
       {"a second stop kills and exits at once", a_second_stop_kills_and_exits_at_once},
       {"a renderer that will not die does not hold up the stop",
        a_renderer_that_will_not_die_does_not_hold_up_the_stop},
       {"an upload that takes too long does not hold up the stop",
        an_upload_that_takes_too_long_does_not_hold_up_the_stop},
       {"a node introduces itself at every connect", a_node_introduces_itself_at_every_connect},
       {"rule 5: seq orders messages within a sid", seq_orders_messages_within_a_sid},
       {"rule 8: a rebirth is answered with everything, spread over the jitter",
        a_rebirth_is_answered_with_everything_spread_over_the_jitter},
       {"rule 8: a rebirth keeps what runs", a_rebirth_keeps_what_runs},
       {"progress alone is coalesced and a change of phase is not",
        progress_alone_is_coalesced_and_a_change_of_phase_is_not},
       {"next_due is when the coalesced progress wants out",
        next_due_is_when_the_coalesced_progress_wants_out},
       {"the heartbeat comes every five seconds and only while connected",
        the_heartbeat_comes_every_five_seconds_and_only_while_connected},
       {"progress of a wild kind stays in bounds", progress_of_a_wild_kind_stays_in_bounds},
       {"info is published when it changes and names the slots",
        info_is_published_when_it_changes_and_names_the_slots},
       {"rule 10: a node that is cut off goes on and says nothing",
        a_node_that_is_cut_off_goes_on_and_says_nothing},
       {"rule 4: a foreign status is corrected but an echo is not",
        a_foreign_status_is_corrected_but_an_echo_is_not},
       {"rule 14: corrections are limited so that two boxes make no storm",
        corrections_are_limited_so_that_two_boxes_make_no_storm},
       {"rule 14: a box that is thrown out again and again steps back",
        a_box_that_is_thrown_out_again_and_again_steps_back},
       {"a sid that was lost is raised once and a second time is an alarm",
        a_sid_that_was_lost_is_raised_once_and_a_second_time_is_an_alarm}});
}
