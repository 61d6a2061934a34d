// Whose fault a failure is: what a job and a node get for it.
#include <functional>
#include <set>

#include "controller/scheduler/farm.h"

using namespace kiln;
using namespace kiln::test;

namespace {

// A farm of boxes a, b, c… with a slot each.
void join_all(Farm& farm, const std::string& names) {
  for (const char name : names) farm.join(std::string(1, name));
}

// The attempt of the job that is out on that box, taken and failed there. False: none is.
bool fail_one(Farm& farm, const JobId& job, const std::string& box, const std::string& code) {
  for (std::uint32_t index = 0; index < farm.state.job(job)->spec.task_count(); ++index) {
    const auto row = farm.state.task(task(job, index));
    const bool is_out = row.state == TaskState::assigned || row.state == TaskState::running;
    if (!is_out || row.node.str() != box) continue;
    payloads::ResultReport report;
    report.node = row.node;
    report.failure = {code, "it went wrong", payloads::FailureScope::attempt};
    check_equal(farm.commit(row.id, row.attempt, report), "accepted");
    return true;
  }
  return false;
}

std::string quarantine_of(const Farm& farm, const std::string& box) {
  return farm.state.node(node_id(box))->quarantine;
}

// Which boxes hold tasks of the job, as "ab".
std::string boxes_with(const Farm& farm, const JobId& job) {
  std::set<std::string> boxes;
  for (std::uint32_t index = 0; index < farm.state.job(job)->spec.task_count(); ++index) {
    const auto row = farm.state.task(task(job, index));
    if (row.state == TaskState::assigned || row.state == TaskState::running) boxes.insert(row.node.str());
  }
  std::string text;
  for (const auto& box : boxes) text += box;
  return text;
}

void a_job_goes_elsewhere_after_repeated_failures() {
  const struct {
    const char* code;
    int failures;
    bool is_avoided;
  } cases[] = {
      {"renderer-crashed", 1, false}, {"renderer-crashed", 2, true},
      {"timeout", 2, true},           {"no-gpu", 1, true},
      {"renderer-missing", 1, true},  {"no-camera", 5, false},
  };
  for (const auto& one : cases) {
    Farm farm({.max_failures = 100, .fail_least = 1000});
    join_all(farm, "ab");
    const auto job = farm.submit("1-40");
    for (int i = 0; i < one.failures; ++i) check(fail_one(farm, job, "a", one.code));
    // What a held already may go on there; new work tells.
    while (fail_one(farm, job, "a", "no-camera")) {
      if (!one.is_avoided) break;
    }
    check_equal(boxes_with(farm, job).find('a') == std::string::npos, one.is_avoided);
    // Another job is not concerned.
    farm.submit("1", "blender", 90);
    if (one.is_avoided) check_contains(farm.runs(), "a<-0/1");
  }
}

void a_frame_done_there_makes_up_for_failures() {
  Farm farm({.max_failures = 100});
  join_all(farm, "ab");
  const auto job = farm.submit("1-40");
  for (int i = 0; i < 4; ++i) {
    check(fail_one(farm, job, "a", "renderer-crashed"));
    for (std::uint32_t index = 0; index < 40; ++index) {
      const auto row = farm.state.task(task(job, index));
      if (row.state == TaskState::assigned && row.node.str() == "a") {
        check_equal(farm.finish(row.id, row.attempt, "a"), "accepted");
        break;
      }
    }
  }
  check_contains(boxes_with(farm, job), "a");
}

void the_only_node_that_can_is_not_avoided() {
  Farm farm({.max_failures = 100, .fail_least = 1000});
  join_all(farm, "a");
  const auto job = farm.submit("1-40");
  for (int i = 0; i < 10; ++i) check(fail_one(farm, job, "a", "renderer-crashed"));
  check_equal(boxes_with(farm, job), "a");
  // Others are better, once they are there.
  farm.join("b");
  while (fail_one(farm, job, "a", "no-camera")) {
  }
  check_equal(boxes_with(farm, job), "b");
}

void a_job_that_avoids_a_free_node_does_not_keep_others_from_it() {
  Farm farm({.max_failures = 100, .fail_least = 1000});
  join_all(farm, "ab");
  const auto first = farm.submit("1-40", "blender", 90);
  for (int i = 0; i < 2; ++i) check(fail_one(farm, first, "a", "renderer-crashed"));
  while (fail_one(farm, first, "a", "no-camera")) {
  }
  check_equal(boxes_with(farm, first), "b");
  const auto second = farm.submit("1-40", "blender", 10);
  check_equal(boxes_with(farm, second), "a");
}

void a_node_on_which_several_jobs_fail_is_quarantined() {
  const struct {
    const char* boxes;
    const char* code;
    int jobs;
    bool fail_elsewhere;  // the first of them on b too
    bool is_quarantined;
  } cases[] = {
      {"abc", "renderer-crashed", 3, false, true},
      {"abc", "disk-full", 3, false, true},
      {"abc", "renderer-crashed", 2, false, false},
      {"abc", "renderer-crashed", 3, true, false},  // that one says nothing about a
      {"abc", "no-camera", 3, false, false},        // the scenes' fault
      {"abc", "timeout", 3, false, false},          // the jobs' own limit
      {"a", "renderer-crashed", 3, false, false},   // who else should do it?
  };
  for (const auto& one : cases) {
    Farm farm({.max_failures = 100, .fail_least = 1000});
    join_all(farm, one.boxes);
    for (int i = 0; i < one.jobs; ++i) {
      // The newest goes first, and each box gets a task of it.
      const auto job = farm.submit("1-40", "blender", 50 + i);
      for (const char box : std::string(one.boxes)) {
        // Room for it: what the box held of earlier jobs is over.
        for (int held = 0; held < 2; ++held) {
          for (const auto& [number, other] : farm.state.data().jobs) {
            if (other.row.id != job) fail_one(farm, other.row.id, std::string(1, box), "no-camera");
          }
        }
      }
      if (one.fail_elsewhere && i == 0) check(fail_one(farm, job, "b", one.code));
      check(fail_one(farm, job, "a", one.code));
    }
    check_equal(!quarantine_of(farm, "a").empty(), one.is_quarantined);
    if (!one.is_quarantined) continue;
    check_equal(quarantine_of(farm, "a"),
                "tasks of 3 jobs failed here (1, 2, 3), the last with: it went wrong");
    check_equal(farm.state.node(node_id("a"))->quarantine_until_ms,
                farm.now.unix_ms + farm.policy.quarantine_ms);
    check_contains(farm.effects<Remark>().back().text, "a is quarantined for 15 min");
    check_contains(farm.cancels(), "a<-");  // what waits there is asked back
    check_equal(farm.effects<SaveNode>().size(), 1U);
    for (const auto& send : farm.effects<SendCommand>()) {
      check(send.node.str() != "a" || std::holds_alternative<payloads::CancelTask>(send.command.op));
    }
  }
}

Farm quarantined_farm() {
  Farm farm({.max_failures = 100, .fail_least = 1000, .quarantine_jobs = 1});
  join_all(farm, "ab");
  const auto job = farm.submit("1-40");
  check(fail_one(farm, job, "a", "renderer-crashed"));
  check(!quarantine_of(farm, "a").empty());
  return farm;
}

void trouble_that_half_of_the_farm_has_quarantines_nobody_more() {
  Farm farm({.max_failures = 100, .fail_least = 1000, .quarantine_jobs = 1});
  join_all(farm, "abcd");
  int quarantined = 0;
  for (const char* box : {"a", "b", "c", "d"}) {
    const auto job = farm.submit("1-40", "blender", 50 + quarantined);
    for (int i = 0; i < 4 && !fail_one(farm, job, box, "renderer-crashed"); ++i) {
      for (const auto& [number, other] : farm.state.data().jobs) {
        if (other.row.id != job) fail_one(farm, other.row.id, box, "no-camera");
      }
    }
    quarantined += quarantine_of(farm, box).empty() ? 0 : 1;
  }
  check_equal(quarantined, 2);
}

void a_quarantine_ends_by_itself() {
  auto farm = quarantined_farm();
  farm.boxes.at("a").held.clear();
  farm.pass(farm.policy.quarantine_ms - 1000, {"a", "b"});
  check(!quarantine_of(farm, "a").empty());
  farm.pass(1000, {"a", "b"});
  check_equal(quarantine_of(farm, "a"), "");
  check_equal(farm.state.node(node_id("a"))->quarantine_until_ms, 0);
  bool is_told = false;
  for (const auto& remark : farm.effects<Remark>())
    is_told = is_told || remark.text.starts_with("a is forgiven");
  check(is_told);
}

void a_person_forgives_a_node_and_it_gets_work_at_once() {
  auto farm = quarantined_farm();
  farm.boxes.at("a").held.clear();
  farm.beat("a");
  farm.on(ForgiveNode{1, node_id("a")});
  check(farm.granted());
  check_equal(quarantine_of(farm, "a"), "");
  check_contains(farm.runs(), "a<-");
  farm.on(ForgiveNode{1, node_id("a")});  // again: nothing to do
  check(farm.granted());
  farm.on(ForgiveNode{1, node_id("nobody")});
  check(!farm.granted());
  check_contains(farm.refusal(), "there is no node nobody");
}

void forgiving_a_node_ends_what_jobs_have_against_it() {
  Farm farm({.max_failures = 100, .fail_least = 1000});
  join_all(farm, "ab");
  const auto job = farm.submit("1-40");
  for (int i = 0; i < 2; ++i) check(fail_one(farm, job, "a", "renderer-crashed"));
  while (fail_one(farm, job, "a", "no-camera")) {
  }
  check_equal(boxes_with(farm, job), "b");
  farm.on(ForgiveNode{1, node_id("a")});
  check_equal(boxes_with(farm, job), "ab");
}

void a_quarantine_survives_a_restart() {
  const auto farm = quarantined_farm();
  const struct {
    std::int64_t clock_moved_ms;
    std::int64_t left_ms;
  } cases[] = {{0, 900'000}, {600'000, 300'000}, {7'200'000, 1}, {-7'200'000, 900'000}};
  for (const auto& one : cases) {
    FarmRows rows;
    rows.nodes = {*farm.state.node(node_id("a"))};
    const Instant then{5, farm.now.unix_ms + one.clock_moved_ms};
    FarmState again(farm.policy, rows, then);
    step(again, {then.mono_ms + one.left_ms - 1, then.unix_ms}, Tick{});
    check(!again.node(node_id("a"))->quarantine.empty());
    step(again, {then.mono_ms + one.left_ms, then.unix_ms}, Tick{});
    check_equal(again.node(node_id("a"))->quarantine, "");
  }
}

// ---- what a job asks for
// -----------------------------------------------------------------------------------

JobId submit_with(Farm& farm, const std::string& frames, const std::function<void(JobSpec&)>& change) {
  SubmitJob event;
  event.request = 1;
  event.spec.name = "test";
  event.spec.renderer = "blender";
  event.spec.frames = *payloads::FrameSet::parse(frames);
  event.spec.manifest = manifest_a;
  change(event.spec);
  farm.on(event);
  return std::get<JobAccepted>(*farm.effects<Answer>().at(0).value).job;
}

void a_job_says_how_often_a_task_is_tried() {
  for (const std::uint32_t retries : {0U, 1U, 4U}) {
    Farm farm;
    join_all(farm, "a");
    const auto job = submit_with(farm, "1", [&](JobSpec& spec) { spec.retries = retries; });
    for (std::uint32_t i = 0; i < retries; ++i) {
      check(fail_one(farm, job, "a", "renderer-crashed"));
      check_equal(farm.shown(job), "queued");
    }
    check(fail_one(farm, job, "a", "renderer-crashed"));
    check_equal(farm.shown(job), "failed");
  }
}

void a_job_gives_up_after_a_share_of_its_tasks() {
  const struct {
    const char* frames;
    std::optional<std::uint32_t> fail_pct;
    int failed;  // of them, when it gives up; 0: it goes to its end
  } cases[] = {{"1-40", std::nullopt, 10}, {"1-8", std::nullopt, 5}, {"1-4", std::nullopt, 0}, {"1-40", 1, 1},
               {"1-40", 50, 20},           {"1-40", 100, 0}};
  for (const auto& one : cases) {
    Farm farm;
    join_all(farm, "a");
    const auto job = submit_with(farm, one.frames, [&](JobSpec& spec) {
      spec.retries = 0;
      spec.fail_pct = one.fail_pct;
    });
    int failed = 0;
    while (fail_one(farm, job, "a", "renderer-crashed")) {
      ++failed;
      check_equal(farm.shown(job) == "failed",
                  failed == one.failed || failed == static_cast<int>(farm.state.job(job)->counts.total()));
    }
    const auto& row = *farm.state.job(job);
    if (one.failed == 0) {
      check_equal(row.counts.failed, row.counts.total());
      check_equal(row.message.find("given up"), std::string::npos);
    } else {
      check_equal(failed, one.failed);
      check_contains(row.message,
                     fmt::format("% of its tasks may fail: {} of {} tasks failed; frames 1: it went wrong",
                                 failed, row.counts.total()));
      check_equal(row.counts.cancelled, row.counts.total() - row.counts.failed);
    }
  }
}

void a_gpu_job_goes_only_where_a_gpu_is() {
  Farm farm;
  join_all(farm, "ab");
  const auto gpu =
      submit_with(farm, "1-4", [](JobSpec& spec) { spec.options.device = payloads::Device::gpu; });
  check_equal(boxes_with(farm, gpu), "");
  const auto any = submit_with(farm, "1-2", [](JobSpec&) {});  // …and keeps nobody else waiting
  check_equal(boxes_with(farm, any), "ab");
  auto info = farm.state.node(node_id("b"))->info;
  info.gpus = {{0, "A4000", "nvidia", "", 16'000, ""}};
  info.gpu_slots = 1;
  farm.on(NodeInfoSeen{node_id("b"), info, false});
  check_equal(boxes_with(farm, gpu), "b");
}

void a_task_far_beyond_its_time_is_cancelled() {
  const struct {
    TaskPhase phase;
    std::uint32_t max_run_s;
    bool is_ended;
  } cases[] = {{TaskPhase::rendering, 30, true},
               {TaskPhase::fetching, 30, false},    // that may take as long as it takes
               {TaskPhase::delivering, 30, false},  // it is rendered
               {TaskPhase::rendering, 0, false}};
  for (const auto& one : cases) {
    Farm farm;
    join_all(farm, "a");
    const auto job = submit_with(farm, "1", [&](JobSpec& spec) { spec.options.max_run_s = one.max_run_s; });
    auto& box = farm.boxes.at("a");
    box.set(task(job, 0), 1, one.phase == TaskPhase::fetching ? TaskPhase::fetching : TaskPhase::rendering);
    farm.beat("a");
    box.set(task(job, 0), 1, one.phase);
    farm.pass(89'000, {"a"});
    check_equal(farm.cancels(), "");
    farm.pass(2'000, {"a"});
    check_equal(farm.cancels().empty(), !one.is_ended);
    if (!one.is_ended) continue;
    check_equal(farm.state.task(task(job, 0)).error_code, "timeout");
    check_contains(farm.state.task(task(job, 0)).error_message,
                   "a still works on it, long after its limit of 30 s");
  }
}

void what_is_away_is_not_judged_by_its_time() {
  Farm farm({.grace_ms = 600'000});
  join_all(farm, "a");
  const auto job = submit_with(farm, "1", [](JobSpec& spec) { spec.options.max_run_s = 30; });
  farm.take("a");
  farm.pass(300'000);
  check_equal(farm.shown(task(job, 0)), "running/1 on a");
  farm.beat("a");
  farm.pass(32'000, {"a"});
  check_equal(farm.state.task(task(job, 0)).error_code, "timeout");
}

}  // namespace

int main() {
  return test::run(
      "faults",
      {{"a job goes elsewhere after repeated failures", a_job_goes_elsewhere_after_repeated_failures},
       {"a frame done there makes up for failures", a_frame_done_there_makes_up_for_failures},
       {"the only node that can is not avoided", the_only_node_that_can_is_not_avoided},
       {"a job that avoids a free node does not keep others from it",
        a_job_that_avoids_a_free_node_does_not_keep_others_from_it},
       {"a node on which several jobs fail is quarantined", a_node_on_which_several_jobs_fail_is_quarantined},
       {"trouble that half of the farm has quarantines nobody more",
        trouble_that_half_of_the_farm_has_quarantines_nobody_more},
       {"a quarantine ends by itself", a_quarantine_ends_by_itself},
       {"a person forgives a node and it gets work at once",
        a_person_forgives_a_node_and_it_gets_work_at_once},
       {"forgiving a node ends what jobs have against it", forgiving_a_node_ends_what_jobs_have_against_it},
       {"a quarantine survives a restart", a_quarantine_survives_a_restart},
       {"a job says how often a task is tried", a_job_says_how_often_a_task_is_tried},
       {"a job gives up after a share of its tasks", a_job_gives_up_after_a_share_of_its_tasks},
       {"a GPU job goes only where a GPU is", a_gpu_job_goes_only_where_a_gpu_is},
       {"a task far beyond its time is cancelled", a_task_far_beyond_its_time_is_cancelled},
       {"what is away is not judged by its time", what_is_away_is_not_judged_by_its_time}});
}
