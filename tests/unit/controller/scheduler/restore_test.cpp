// A farm that went back in time: its nodes know attempts that no row tells of (FarmRows::attempt_floor).
#include "controller/scheduler/farm.h"

using namespace kiln;        // NOLINT(google-build-using-namespace)
using namespace kiln::test;  // NOLINT(google-build-using-namespace)

namespace {

// A job of six frames of which the backup knows the first as done and the second as queued again after
// attempt 1.
struct RestoredFarm : Farm {
  JobId job = *JobId::parse("1-aaaaa");
  RestoredFarm() {
    FarmRows rows;
    JobRow row;
    row.id = job;
    row.number = 1;
    row.spec.name = "shot";
    row.spec.renderer = "blender";
    row.spec.frames = *payloads::FrameSet::parse("1-6");
    row.spec.manifest = manifest_a;
    row.counts = {5, 0, 1, 0, 0};
    rows.jobs = {row};
    TaskRow done;
    done.id = {job, 0};
    done.state = TaskState::done;
    done.attempt = 1;
    TaskRow queued = done;
    queued.id.index = 1;
    queued.state = TaskState::queued;
    rows.tasks = {done, queued};
    rows.last_job_number = 1;
    rows.attempt_floor = 1000;
    state = FarmState(policy, rows, now);
    on(BrokerConnected{});
  }
};

void new_attempts_have_numbers_that_nobody_knows() {
  RestoredFarm farm;
  farm.join("a", 2);
  check_equal(farm.runs(), "a<-1/1001 a<-2/1001 a<-3/1001 a<-4/1001 a<-5/1001");
}

void frames_that_the_backup_missed_are_taken() {
  RestoredFarm farm;
  farm.join("a");
  // Of a task that was never handed out, of one out on a new attempt, and of one that is done.
  check_equal(farm.finish(task(farm.job, 5), 3, "b"), "accepted");
  check_equal(farm.shown(task(farm.job, 5)), "done/3 on b");
  check_equal(farm.finish(task(farm.job, 1), 4, "b"), "accepted");
  check_equal(farm.cancels(), "a<-1/1001");
  check_equal(farm.finish(task(farm.job, 0), 2, "b"), "superseded");
  // What nobody can have made is not believed, and failures of before change nothing.
  check_equal(farm.finish(task(farm.job, 4), 1002, "b"), "superseded");
  check_equal(farm.fail_task(task(farm.job, 4), 2, "b"), "superseded");
  check_equal(farm.state.job(farm.job)->counts.done, 3U);
}

void a_frame_in_work_goes_on() {
  RestoredFarm farm;
  farm.boxes["a"].set(task(farm.job, 4), 3, TaskPhase::rendering);
  farm.join("a");
  check_equal(farm.cancels(), "");
  check_equal(farm.shown(task(farm.job, 4)), "running/3 on a");
  check_equal(farm.finish(task(farm.job, 4), 3, "a"), "accepted");
  for (const std::uint32_t index : {1U, 2U, 3U, 5U}) {
    check(farm.state.task(task(farm.job, index)).state != TaskState::done);
  }
}

void a_frame_in_work_of_a_done_task_or_an_unknown_job_ends() {
  RestoredFarm farm;
  farm.boxes["a"].set(task(farm.job, 0), 3, TaskPhase::rendering);
  farm.boxes["a"].set(task(*JobId::parse("9-zzzzz"), 2), 1, TaskPhase::rendering);
  farm.boxes["a"].set(task(farm.job, 77), 1, TaskPhase::rendering);
  farm.join("a", 3);
  std::set<std::string> cancelled;
  for (const auto& send : farm.effects<SendCommand>()) {
    if (const auto* cancel = std::get_if<payloads::CancelTask>(&send.command.op))
      cancelled.insert(cancel->task.str());
  }
  check(cancelled == std::set<std::string>({"1-aaaaa-0", "9-zzzzz-2", "1-aaaaa-77"}));
}

void the_whole_job_ends() {
  RestoredFarm farm;
  farm.join("a");
  check_equal(farm.finish(task(farm.job, 5), 2, "b"), "accepted");
  for (int i = 0; i < 20 && farm.shown(farm.job) != "done"; ++i) {
    for (const auto& send : farm.effects<SendCommand>()) {
      if (const auto* run = std::get_if<payloads::RunTask>(&send.command.op)) {
        farm.boxes.at("a").set(run->task, run->attempt, TaskPhase::rendering);
      }
    }
    const auto held = farm.boxes.at("a").held;
    farm.beat("a");
    if (!held.empty()) check_equal(farm.finish(held[0].task, held[0].attempt, "a"), "accepted");
    farm.on(Tick{});
    farm.beat("a");
    for (std::uint32_t index = 0; index < 6; ++index) {
      const auto row = farm.state.task(task(farm.job, index));
      if (row.state == TaskState::assigned) farm.boxes.at("a").set(row.id, row.attempt, TaskPhase::rendering);
    }
  }
  check_equal(farm.shown(farm.job), "done");
}

}  // namespace

int main() {
  return run("restore",
             {{"new attempts have numbers that nobody knows", new_attempts_have_numbers_that_nobody_knows},
              {"frames that the backup missed are taken", frames_that_the_backup_missed_are_taken},
              {"a frame in work goes on", a_frame_in_work_goes_on},
              {"a frame in work of a done task or an unknown job ends",
               a_frame_in_work_of_a_done_task_or_an_unknown_job_ends},
              {"the whole job ends", the_whole_job_ends}});
}
