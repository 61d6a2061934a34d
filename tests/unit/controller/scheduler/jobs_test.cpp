// What people ask of jobs.
#include "controller/scheduler/farm.h"

using namespace kiln;
using namespace kiln::test;

namespace {

SubmitJob submission(const std::string& user, const std::string& cid) {
  SubmitJob event;
  event.request = 1;
  event.spec.renderer = "noop";
  event.spec.frames = *payloads::FrameSet::parse("1-5");
  event.user = user;
  event.cid = cid;
  return event;
}

void the_same_cid_gives_the_same_job_while_it_exists() {
  Farm farm;
  const auto accepted = [&](const std::string& user, const std::string& cid) {
    farm.on(submission(user, cid));
    return std::get<JobAccepted>(*farm.effects<Answer>().at(0).value);
  };
  const auto first = accepted("ann", "c1");
  check(!first.duplicate);
  check_equal(farm.effects<SaveJob>().size(), 1U);
  check(farm.effects<SaveTask>().empty());
  const auto again = accepted("ann", "c1");
  check(again.duplicate && again.job == first.job);
  check(farm.effects<SaveJob>().empty());
  check(!accepted("bob", "c1").duplicate);
  check(!accepted("ann", "c2").duplicate);
  check(!accepted("ann", "").duplicate);
  check(!accepted("ann", "").duplicate);
  farm.on(CancelJob{1, first.job});
  check(accepted("ann", "c1").duplicate);
  farm.on(DeleteJob{1, first.job});
  check(!accepted("ann", "c1").duplicate);
}

void what_makes_no_job_is_refused() {
  Farm farm;
  auto empty = submission("ann", "");
  empty.spec.frames = {};
  farm.on(empty);
  check_contains(farm.refusal(), "frames:");
  auto no_chunk = submission("ann", "");
  no_chunk.spec.chunk = 0;
  farm.on(no_chunk);
  check_contains(farm.refusal(), "chunk:");
  auto urgent = submission("ann", "");
  urgent.priority = 101;
  farm.on(urgent);
  check_equal(farm.refusal(), "priority: 101 is out of range; write 0 to 100");
}

void ten_thousand_jobs_are_enough() {
  Farm farm;
  for (std::size_t i = 0; i < max_active_jobs; ++i) farm.on(submission("ann", ""));
  check(farm.granted());
  const auto last = std::get<JobAccepted>(*farm.effects<Answer>().at(0).value).job;
  farm.on(submission("ann", ""));
  check(farm.effects<Answer>().at(0).value.error().code == Code::unavailable);
  check_contains(farm.refusal(), "10000 jobs are active or paused");
  farm.on(CancelJob{1, last});
  farm.on(submission("ann", ""));
  check(farm.granted());
}

void higher_priority_goes_first_then_the_older_job() {
  Farm farm;
  const auto low = farm.submit("1-9", "blender", 10);
  const auto old = farm.submit("1-9");
  const auto young = farm.submit("1-9");
  farm.join("a", 1);
  const auto of = [&] { return farm.effects<SendCommand>().at(0).command.cid; };
  check_equal(of(), run_cid(task(old, 0), 1));
  farm.on(EditJob{1, young, 60, {}});
  farm.take("a");
  farm.finish(task(old, 0), 1, "a");
  check_equal(of(), run_cid(task(young, 0), 1));
  farm.on(EditJob{1, low, 99, {}});
  farm.take("a");
  farm.finish(task(old, 1), 1, "a");
  check_equal(of(), run_cid(task(low, 0), 1));
}

void a_paused_job_starts_nothing_and_gives_back_what_waits() {
  Farm farm;
  farm.join("a", 1);
  const auto job = farm.submit("1-5");
  farm.take("a");
  farm.on(EditJob{1, job, {}, true});
  check_equal(farm.cancels(), "a<-1/1");
  check_equal(farm.shown(job), "paused");
  farm.ack("a", cancel_cid(task(job, 1), 1), true);
  check_equal(farm.saved_attempt(), "1/superseded");
  farm.boxes.at("a").forget(task(job, 1), 1);
  farm.beat("a");
  check_equal(farm.finish(task(job, 0), 1, "a"), "accepted");
  check_equal(farm.runs(), "");
  farm.on(EditJob{1, job, {}, false});
  check_equal(farm.runs(), "a<-1/2 a<-2/1");
  check_equal(farm.shown(job), "running");
}

void a_cancelled_job_stops_everywhere() {
  Farm farm;
  farm.join("a", 1);
  const auto job = farm.submit("1-5");
  farm.take("a");
  farm.finish(task(job, 0), 1, "a");
  farm.take("a");
  farm.on(CancelJob{1, job});
  check_equal(farm.cancels(), "a<-1/1 a<-2/1");
  check_equal(farm.shown(job), "cancelled");
  check_equal(farm.shown(task(job, 4)), "cancelled/0 on -");
  const auto& counts = farm.state.job(job)->counts;
  check_equal(counts.done, 1U);
  check_equal(counts.cancelled, 4U);
  check_equal(farm.effects<SaveTask>().size(), 2U);  // untouched ones have no row
  farm.on(CancelJob{1, job});
  check(farm.granted());
  farm.on(EditJob{1, job, 3, {}});
  check_contains(farm.refusal(), "is cancelled: only a job that has not ended can be changed");
  farm.on(RetryJob{1, job});
  check_contains(farm.refusal(), "submit it again");
  // The command got lost: the inventory tells.
  farm.now = farm.now.after_ms(5'000);
  farm.beat("a");
  check_equal(farm.cancels(), "a<-1/1 a<-2/1");
}

void retry_queues_what_failed_and_what_never_ran() {
  Farm farm;
  farm.join("a", 1);
  const auto job = farm.submit("1-4");
  farm.take("a");
  farm.finish(task(job, 0), 1, "a");
  farm.take("a");
  farm.fail_task(task(job, 1), 1, "a", payloads::FailureScope::job);
  check_equal(farm.shown(job), "failed");
  farm.boxes.at("a").held.clear();
  farm.beat("a");
  farm.on(RetryJob{1, job});
  check(farm.granted());
  check_equal(farm.runs(), "a<-1/2 a<-2/2");
  check_equal(farm.shown(job), "running");
  check_equal(farm.state.job(job)->message, "");
  check_equal(farm.state.task(task(job, 1)).failures, 0U);
  check_equal(farm.state.task(task(job, 1)).error_message, "");
  farm.take("a");
  for (std::uint32_t i = 1; i < 4; ++i) {
    check_equal(farm.finish(task(job, i), i == 3 ? 1 : 2, "a"), "accepted");
    farm.take("a");
  }
  check_equal(farm.shown(job), "done");
  // Whose attempt counts is known after the tasks were let go.
  check_equal(farm.finish(task(job, 1), 1, "a"), "superseded");
  check_equal(farm.finish(task(job, 1), 2, "a"), "duplicate");
  check_equal(farm.finish(task(job, 3), 1, "a"), "duplicate");
}

void retry_of_a_running_job_queues_its_failed_tasks() {
  Farm farm({.max_failures = 1});
  farm.join("a", 1);
  const auto job = farm.submit("1-3");
  farm.on(RetryJob{1, job});
  check_contains(farm.refusal(), "no task of it has failed");
  farm.take("a");
  farm.fail_task(task(job, 0), 1, "a");
  check_equal(farm.state.summary().tasks_failed, 1U);
  farm.on(RetryJob{1, job});
  check(farm.granted());
  check_equal(farm.shown(task(job, 0)), "queued/1 on a");
  check_equal(farm.state.summary().tasks_failed, 0U);
}

void a_job_with_failures_ends_failed_and_a_late_frame_heals_it() {
  Farm farm({.grace_ms = 10'000, .max_failures = 1});
  farm.join("a", 1);
  farm.join("b", 1);
  const auto job = farm.submit("1-2");
  farm.take("a");
  farm.take("b");
  farm.finish(task(job, 1), 1, "b");
  farm.pass(28'000, {"b"});  // a is lost with what it renders
  check_equal(farm.shown(task(job, 0)), "assigned/2 on b");
  farm.take("b");
  farm.fail_task(task(job, 0), 2, "b");
  check_equal(farm.shown(job), "failed");
  check_equal(farm.finish(task(job, 0), 1, "a"), "accepted");
  check_equal(farm.shown(job), "done");
  check_equal(farm.state.job(job)->message, "");
}

void only_a_job_that_has_ended_is_deleted() {
  Farm farm;
  const auto job = farm.submit("1-2");
  farm.on(DeleteJob{1, job});
  check_contains(farm.refusal(), "cancel it first");
  farm.on(CancelJob{1, job});
  farm.on(DeleteJob{1, job});
  check(farm.granted());
  check_equal(farm.effects<EraseJob>().size(), 1U);
  check_equal(farm.effects<JobErased>().size(), 1U);
  check(farm.effects<SaveJob>().empty());
  check(farm.state.job(job) == nullptr);
  farm.on(DeleteJob{1, job});
  check(farm.effects<Answer>().at(0).value.error().code == Code::not_found);
}

void the_summary_adds_up() {
  Farm farm({.max_failures = 1});
  farm.join("a", 2);
  const auto one = farm.submit("1-10");
  farm.take("a", 2);
  farm.submit("1-7", "noop", 1);
  auto sum = farm.state.summary();
  check_equal(sum.nodes_online, 1U);
  check_equal(sum.slots, 2U);
  check_equal(sum.slots_busy, 2U);
  check_equal(sum.jobs_active, 2U);
  check_equal(sum.tasks_queued, 13U);
  check_equal(sum.tasks_running, 4U);
  farm.fail_task(task(one, 0), 1, "a");
  farm.on(CancelJob{1, one});
  sum = farm.state.summary();
  check_equal(sum.tasks_failed, 1U);
  check_equal(sum.jobs_active, 1U);
  farm.on(DeleteJob{1, one});
  check_equal(farm.state.summary().tasks_failed, 0U);
}

}  // namespace

int main() {
  return run(
      "jobs",
      {{"the same cid gives the same job while it exists", the_same_cid_gives_the_same_job_while_it_exists},
       {"what makes no job is refused", what_makes_no_job_is_refused},
       {"ten thousand jobs are enough", ten_thousand_jobs_are_enough},
       {"higher priority goes first, then the older job", higher_priority_goes_first_then_the_older_job},
       {"a paused job starts nothing and gives back what waits",
        a_paused_job_starts_nothing_and_gives_back_what_waits},
       {"a cancelled job stops everywhere", a_cancelled_job_stops_everywhere},
       {"retry queues what failed and what never ran", retry_queues_what_failed_and_what_never_ran},
       {"retry of a running job queues its failed tasks", retry_of_a_running_job_queues_its_failed_tasks},
       {"a job with failures ends failed, and a late frame heals it",
        a_job_with_failures_ends_failed_and_a_late_frame_heals_it},
       {"only a job that has ended is deleted", only_a_job_that_has_ended_is_deleted},
       {"the summary adds up", the_summary_adds_up}});
}
