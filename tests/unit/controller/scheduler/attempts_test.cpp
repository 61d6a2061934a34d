// Rules 1, 3, 7, 10: what becomes of attempts.
#include "controller/scheduler/farm.h"

using namespace kiln;
using namespace kiln::test;

namespace {

// Two nodes; a holds attempt 1 of the only task and was away past its grace period.
struct Cut : Farm {
  JobId job;
  TaskId t;
  Cut() {
    join("a");
    job = submit("1");
    t = task(job, 0);
    take("a");
    pass(80'000);
    check_equal(shown(t), "queued/1 on a");
  }
};

void the_first_valid_commit_wins_once() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1-2");
  check_equal(farm.runs(), "a<-0/1 a<-1/1");
  farm.take("a");
  check_equal(farm.shown(task(job, 0)), "running/1 on a");
  check_equal(farm.finish(task(job, 0), 1, "a"), "accepted");
  check_equal(farm.effects<SaveResult>().size(), 1U);
  check_equal(farm.effects<AcceptFiles>().size(), 1U);
  check_equal(farm.saved_attempt(), "1/done");
  check_equal(farm.effects<TaskChanged>().at(0).event.state, "done");
  check_equal(farm.effects<TaskChanged>().at(0).files.size(), 1U);
  check_equal(farm.finish(task(job, 0), 1, "a"), "duplicate");
  check(farm.effects<SaveResult>().empty() && farm.effects<AcceptFiles>().empty() &&
        farm.effects<DropFiles>().empty());
  check_equal(farm.finish(task(job, 1), 1, "a"), "accepted");
  check_equal(farm.shown(job), "done");
  // The last answer of a job got lost just as well.
  check_equal(farm.finish(task(job, 1), 1, "a"), "duplicate");
  check_equal(farm.state.job(job)->render_s, 20.0);
  check_equal(farm.state.node(node_id("a"))->tasks_done, 2U);
}

void what_nobody_waits_for_is_superseded() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1-3");
  farm.take("a");
  const auto stranger = *TaskId::parse("9-zzzzz-0");
  payloads::ResultReport result;
  result.node = node_id("a");
  result.ok = true;
  check_equal(farm.commit(stranger, 1, result), "superseded");
  check_equal(farm.effects<DropFiles>().size(), 1U);
  check_equal(farm.commit(task(job, 0), 2, result), "superseded");  // never made
  check_equal(farm.commit(task(job, 0), 0, result), "superseded");
  check_equal(farm.commit(task(job, 2), 1, result), "superseded");    // not handed out
  check_equal(farm.commit(task(job, 999), 1, result), "superseded");  // no such task
  farm.on(CancelJob{1, job});
  check_equal(farm.finish(task(job, 0), 1, "a"), "superseded");
  check_equal(farm.effects<DropFiles>().size(), 1U);
  farm.on(DeleteJob{1, job});
  check_equal(farm.commit(task(job, 0), 1, result), "superseded");
}

void a_report_must_fit_its_task() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1-10", "blender", 50, manifest_a, 5);
  farm.take("a");
  auto good = farm.report(task(job, 0), "a");
  auto lacking = good;
  lacking.files.pop_back();
  check_equal(farm.commit(task(job, 0), 1, lacking), "the result lacks frame 5 of 1-5");
  auto foreign = good;
  foreign.files.back().frame = 6;
  check_contains(farm.commit(task(job, 0), 1, foreign),
                 "holds frame 6 (0005.png), but the task's frames are 1-5");
  auto other = good;
  other.node = node_id("b");
  check_contains(farm.commit(task(job, 0), 1, other), "was given to a, not to b");
  check_equal(farm.shown(task(job, 0)), "running/1 on a");
  auto two_views = good;  // left and right eye of one frame
  two_views.files.push_back(good.files.back());
  check_equal(farm.commit(task(job, 0), 1, two_views), "accepted");
}

void a_lost_attempt_that_delivers_is_accepted_while_nobody_else_did() {
  Cut farm;
  check_equal(farm.finish(farm.t, 1, "a"), "accepted");
  check_equal(farm.shown(farm.t), "done/1 on -");  // let go with the job; the winner is known
  check_equal(farm.shown(farm.job), "done");
  farm.join("b");
  check_equal(farm.runs(), "");
}

void an_older_attempt_that_delivers_first_outruns_the_newer() {
  Cut farm;
  farm.join("b");
  check_equal(farm.runs(), "b<-0/2");
  farm.take("b");
  check_equal(farm.shown(farm.t), "running/2 on b");
  check_equal(farm.finish(farm.t, 1, "a"), "accepted");
  check_equal(farm.cancels(), "b<-0/2");
  check_equal(farm.effects<SaveAttempt>().at(0).row.attempt, 2U);
  check_equal(to_string(farm.effects<SaveAttempt>().at(0).row.state), "superseded");
  check_equal(farm.effects<DropFiles>().size(), 1U);
  check_equal(farm.effects<DropFiles>().at(0).attempt, 2U);
  check_equal(farm.finish(farm.t, 2, "b"), "superseded");
  check_equal(farm.finish(farm.t, 1, "a"), "duplicate");
  check_equal(farm.shown(farm.t), "done/1 on -");  // let go with the job; the winner is known
}

void the_newer_attempt_that_delivers_first_supersedes_the_older() {
  Cut farm;
  farm.join("b");
  farm.take("b");
  check_equal(farm.finish(farm.t, 2, "b"), "accepted");
  check_equal(farm.finish(farm.t, 1, "a"), "superseded");
  check_equal(farm.finish(farm.t, 2, "b"), "duplicate");
}

void a_lost_attempts_failure_burns_nothing() {
  Cut farm;
  check_equal(farm.fail_task(farm.t, 1, "a"), "superseded");
  check_equal(farm.shown(farm.t), "queued/1 on a");
}

void a_node_that_returns_goes_on_with_what_was_only_lost() {
  Cut farm;
  farm.beat("a");
  check_equal(farm.runs(), "");
  check_equal(farm.cancels(), "");
  check_equal(farm.shown(farm.t), "running/1 on a");
  check_equal(farm.state.task(farm.t).failures, 0U);
  check_equal(farm.finish(farm.t, 1, "a"), "accepted");
}

void a_node_that_returns_too_late_is_told_to_stop() {
  Cut farm;
  farm.join("b");
  farm.take("b");
  farm.beat("a");
  check_equal(farm.cancels(), "a<-0/1");
  farm.now = farm.now.after_ms(100);
  farm.beat("a");
  check_equal(farm.cancels(), "");  // no storm
  farm.now = farm.now.after_ms(farm.policy.resend_ms);
  farm.beat("a");
  check_equal(farm.cancels(), "a<-0/1");
  farm.boxes.at("a").set(farm.t, 1, TaskPhase::delivering);  // it was quicker: its commit will be answered
  farm.now = farm.now.after_ms(farm.policy.resend_ms);
  farm.beat("a");
  check_equal(farm.cancels(), "");
}

void a_failed_attempt_is_retried_elsewhere_and_then_fails() {
  Farm farm;
  farm.join("a");
  farm.join("b");
  const auto job = farm.submit("1");
  const auto t = task(job, 0);
  const char* nodes[] = {"a", "b", "a"};
  for (std::uint32_t attempt = 1; attempt <= 3; ++attempt) {
    const std::string name = nodes[attempt - 1];
    check_equal(farm.shown(t), fmt::format("assigned/{} on {}", attempt, name));
    farm.take(name);
    check_equal(farm.fail_task(t, attempt, name), "accepted");
    check(farm.effects<DropFiles>().empty());  // a frame of it may be on its way all the same
    check_equal(farm.fail_task(t, attempt, name), attempt < 3 ? "superseded" : "duplicate");
    farm.beat(name);
  }
  check_equal(farm.shown(t), "failed/3 on a");
  check_equal(farm.state.task(t).failures, 3U);
  check_equal(farm.state.task(t).error_code, "no-camera");
  check_equal(farm.shown(job), "failed");
  check_equal(farm.state.job(job)->message,
              "1 of 1 tasks failed; frames 1: the scene has no camera: add one");
  check_equal(farm.state.node(node_id("a"))->tasks_failed, 2U);
}

void a_lone_node_retries_itself() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1");
  farm.take("a");
  farm.fail_task(task(job, 0), 1, "a");
  check_equal(farm.runs(), "a<-0/2");
}

void a_failure_of_the_scene_fails_the_job_at_once() {
  Farm farm;
  farm.join("a");
  farm.join("b");
  const auto job = farm.submit("1-10");
  farm.take("a");
  farm.beat("b");
  check_equal(farm.fail_task(task(job, 0), 1, "a", payloads::FailureScope::job), "accepted");
  check_equal(farm.shown(job), "failed");
  check_equal(farm.state.job(job)->message, "the scene has no camera: add one");
  check_equal(farm.effects<SendCommand>().size(), 3U);
  check_equal(farm.runs(), "");
  const auto& counts = farm.state.job(job)->counts;
  check_equal(counts.failed, 1U);
  check_equal(counts.cancelled, 9U);
  check_equal(farm.state.summary().tasks_running, 0U);
  // A frame that was rendered all the same is not thrown away, nor what was uploaded of it.
  check(farm.effects<DropFiles>().empty());
  check_equal(farm.finish(task(job, 1), 1, "b"), "accepted");
  check_equal(farm.shown(job), "failed");
  check_equal(farm.state.job(job)->counts.done, 1U);
}

void being_lost_costs_half_a_try_and_only_when_it_had_started() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1");
  const auto t = task(job, 0);
  for (std::uint32_t attempt = 1; attempt <= 6; ++attempt) {
    check_equal(farm.shown(t), fmt::format("assigned/{} on a", attempt));
    farm.take("a");
    auto& box = farm.boxes.at("a");
    box.held.clear();  // it crashed, and came back without
    ++box.sid;
    box.seq = 0;
    farm.join("a");
  }
  check_equal(farm.shown(t), "failed/6 on a");
  check_contains(farm.state.job(job)->message, "a came back without it");

  Farm other;
  other.join("a");
  const auto waits = task(other.submit("1"), 0);
  for (int i = 0; i < 7; ++i) {
    other.pass(80'000);
    check_equal(other.state.task(waits).failures, 0U);
    other.beat("a");
  }
}

void a_refused_command_is_a_failure_unless_the_node_is_only_busy() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1");
  const auto t = task(job, 0);
  farm.ack("a", run_cid(t, 1), false, "unsupported", "this box has no renderer 'blender'");
  check_equal(farm.saved_attempt(), "2/assigned");
  check_equal(farm.effects<SaveAttempt>().at(0).row.error_message, "this box has no renderer 'blender'");
  check_equal(farm.state.task(t).failures, 1U);
  farm.ack("a", run_cid(t, 2), false, "unavailable", "this box is stopping");
  check_equal(farm.state.task(t).failures, 1U);
  check_equal(farm.runs(), "");  // it rests a while
  farm.pass(6'000, {"a"});
  check_equal(farm.runs(), "a<-0/3");
  farm.take("a");
  farm.ack("a", run_cid(t, 3), false, "conflict", "late copy");  // of a command that it has
  check_equal(farm.shown(t), "running/3 on a");
  farm.ack("a", "gibberish", false);
  farm.ack("a", run_cid(t, 1), false, "io", "an older attempt");
  farm.ack("b", run_cid(t, 3), false, "io", "an unknown node");
  check_equal(farm.shown(t), "running/3 on a");
}

void a_command_is_sent_again_with_the_same_cid_and_then_given_up() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1");
  const auto cid = farm.effects<SendCommand>().at(0).command.cid;
  check_equal(cid, fmt::format("run-{}-0-1", job.str()));
  int sends = 1;
  for (int i = 0; i < 20 && farm.state.task(task(job, 0)).failures == 0; ++i) {
    farm.now = farm.now.after_ms(1'000);
    farm.beat("a");  // alive, but it does not list the task
    check_equal(farm.runs(), "");
    farm.now = farm.now.after_ms(1'000);
    farm.on(Tick{});
    const auto sent = farm.effects<SendCommand>();
    if (sent.size() == 1 && sent[0].command.cid == cid) ++sends;
  }
  check_equal(sends, static_cast<int>(max_sends));
  check_equal(farm.effects<SaveAttempt>().at(0).row.error_code, "not-taken");
}

void cids_are_read_back() {
  const auto t = *TaskId::parse("12-abcde-7");
  const auto run = parse_cid(run_cid(t, 3));
  check(run && !run->is_cancel && run->task == t && run->attempt == 3);
  const auto cancel = parse_cid(cancel_cid(t, 4));
  check(cancel && cancel->is_cancel && cancel->task == t && cancel->attempt == 4);
  for (const char* bad :
       {"", "run-", "run-1", "run-a-b", "rebirth-7", "run-12-abcde-7-x", "run-12-abcde-7-"}) {
    check(!parse_cid(bad));
  }
}

void warnings_are_kept_once_and_bounded() {
  Farm farm;
  farm.join("a", 4);
  const auto job = farm.submit("1-4");
  farm.take("a", 4);
  for (std::uint32_t i = 0; i < 3; ++i) {
    auto result = farm.report(task(job, i), "a");
    for (int n = 0; n < 15; ++n) result.warnings.push_back(fmt::format("wood{}.png is missing", n + 5 * i));
    check_equal(farm.commit(task(job, i), 1, result), "accepted");
  }
  check_equal(farm.state.job(job)->warnings.size(), max_warnings);
}

}  // namespace

int main() {
  return run("attempts",
             {{"the first valid commit wins, once", the_first_valid_commit_wins_once},
              {"what nobody waits for is superseded", what_nobody_waits_for_is_superseded},
              {"a report must fit its task", a_report_must_fit_its_task},
              {"a lost attempt that delivers is accepted while nobody else did",
               a_lost_attempt_that_delivers_is_accepted_while_nobody_else_did},
              {"an older attempt that delivers first outruns the newer",
               an_older_attempt_that_delivers_first_outruns_the_newer},
              {"the newer attempt that delivers first supersedes the older",
               the_newer_attempt_that_delivers_first_supersedes_the_older},
              {"a lost attempt's failure burns nothing", a_lost_attempts_failure_burns_nothing},
              {"a node that returns goes on with what was only lost",
               a_node_that_returns_goes_on_with_what_was_only_lost},
              {"a node that returns too late is told to stop", a_node_that_returns_too_late_is_told_to_stop},
              {"a failed attempt is retried elsewhere, and then fails",
               a_failed_attempt_is_retried_elsewhere_and_then_fails},
              {"a lone node retries itself", a_lone_node_retries_itself},
              {"a failure of the scene fails the job at once", a_failure_of_the_scene_fails_the_job_at_once},
              {"being lost costs half a try, and only when it had started",
               being_lost_costs_half_a_try_and_only_when_it_had_started},
              {"a refused command is a failure unless the node is only busy",
               a_refused_command_is_a_failure_unless_the_node_is_only_busy},
              {"a command is sent again with the same cid, and then given up",
               a_command_is_sent_again_with_the_same_cid_and_then_given_up},
              {"cids are read back", cids_are_read_back},
              {"warnings are kept once, and bounded", warnings_are_kept_once_and_bounded}});
}
