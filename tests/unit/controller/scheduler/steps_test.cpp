// Jobs of several steps: what starts when, and how tasks are cut.
#include <set>

#include "controller/scheduler/farm.h"

using namespace kiln;
using namespace kiln::test;

namespace {

StepSpec step_of(const std::string& name, std::uint32_t units, std::vector<std::uint32_t> after = {}) {
  StepSpec step;
  step.name = name;
  step.units = units;
  step.after = std::move(after);
  step.needs.renderer = "blender";
  return step;
}

// Everything that waits on boxes is rendered and delivered, until nothing moves.
void work_off(Farm& farm, const std::string& box, const std::set<std::uint32_t>& but = {}) {
  for (bool moved = true; moved;) {
    moved = false;
    farm.take(box);
    const auto held = farm.boxes.at(box).held;
    for (const auto& one : held) {
      if (one.phase != TaskPhase::rendering || but.contains(one.task.index)) continue;
      check_equal(farm.finish(one.task, one.attempt, box), "accepted");
      moved = true;
      break;
    }
  }
}

void a_step_starts_when_those_before_it_are_done() {
  Farm farm;
  farm.join("a", 1);
  const auto job =
      farm.submit_steps({step_of("Bake", 1), step_of("Render", 2, {0}), step_of("Film", 1, {1})});
  check_equal(farm.runs(), "a<-0/1");  // the bake alone: nothing is queued behind it
  farm.take("a");
  check_equal(farm.finish(task(job, 0), 1, "a"), "accepted");
  check_equal(farm.runs(), "a<-1/1 a<-2/1");
  const auto run = farm.effects<SendCommand>().at(0);
  const auto& points = std::get<payloads::RunTask>(run.command.op).of_template;
  check_equal(points.step, 1U);
  check_equal(points.first, 0U);
  check(points.inputs);
  farm.take("a");
  check_equal(farm.finish(task(job, 1), 1, "a"), "accepted");
  check_equal(farm.runs(), "");  // one frame of two is done
  farm.take("a");
  check_equal(farm.finish(task(job, 2), 1, "a"), "accepted");
  check_equal(farm.runs(), "a<-3/1");
  farm.take("a");
  check_equal(farm.finish(task(job, 3), 1, "a"), "accepted");
  check_equal(farm.shown(job), "done");
  check_equal(farm.state.job(job)->steps.at(1).done, 2U);
}

void a_frame_waits_for_its_own_frame_alone() {
  Farm farm;
  farm.join("a", 1);
  auto comp = step_of("Comp", 3);
  comp.pairs_with = {0};
  const auto job = farm.submit_steps({step_of("Render", 3), comp});
  farm.take("a");
  check_equal(farm.shown(task(job, 3)), "queued/0 on -");
  check_equal(farm.finish(task(job, 0), 1, "a"), "accepted");
  farm.take("a");
  check_equal(farm.finish(task(job, 1), 1, "a"), "accepted");
  farm.take("a");
  // Frame 2 is not rendered yet, and the first two comps are what comes next to it.
  std::string seen;
  for (const auto index : {2U, 3U, 4U, 5U}) seen += farm.shown(task(job, index)).substr(0, 6) + ' ';
  check_equal(seen, "runnin assign queued queued ");
  work_off(farm, "a");
  check_equal(farm.shown(job), "done");
}

void what_waits_for_a_failed_task_is_cancelled_and_comes_back_with_it() {
  Farm farm;
  farm.join("a", 1);
  auto comp = step_of("Comp", 2);
  comp.pairs_with = {0};
  const auto job = farm.submit_steps({step_of("Render", 2), comp}, [](JobSpec& spec) {
    spec.retries = 0;
    spec.fail_pct = 100;
  });
  farm.take("a");
  check_equal(farm.fail_task(task(job, 0), 1, "a"), "accepted");
  work_off(farm, "a");
  const auto& row = *farm.state.job(job);
  check_equal(farm.shown(job), "failed");
  check_contains(row.message, "1 others wait for them");
  check_equal(row.counts.done, 2U);  // frame 1 and its comp
  check_equal(row.counts.cancelled, 1U);
  farm.on(RequeueTasks{1, job});
  check_equal(std::get<Requeued>(*farm.effects<Answer>().at(0).value).tasks, 1U);
  work_off(farm, "a");
  check_equal(farm.shown(job), "done");
}

void some_frames_of_a_done_job_are_done_again() {
  Farm farm;
  farm.join("a", 1);
  const auto job = farm.submit("1-4");
  work_off(farm, "a");
  check_equal(farm.shown(job), "done");
  RequeueTasks again{1, job};
  again.only_failed = false;
  again.frames = *payloads::FrameSet::parse("2-3");
  farm.on(again);
  check_equal(std::get<Requeued>(*farm.effects<Answer>().at(0).value).tasks, 2U);
  check_equal(farm.shown(job), "running");
  check_equal(farm.runs(), "a<-1/2 a<-2/2");
  work_off(farm, "a");
  check_equal(farm.shown(job), "done");
  check_equal(farm.finish(task(job, 0), 1, "a"), "duplicate");
  again.frames = *payloads::FrameSet::parse("9");
  farm.on(again);
  check_contains(farm.refusal(), "is among them");
}

void a_step_done_again_holds_up_those_behind_it() {
  Farm farm;
  farm.join("a", 1);
  const auto job = farm.submit_steps({step_of("Bake", 1), step_of("Render", 40, {0})});
  farm.take("a");
  check_equal(farm.finish(task(job, 0), 1, "a"), "accepted");
  farm.take("a");
  RequeueTasks again{1, job};
  again.only_failed = false;
  again.step = "Bake";
  farm.on(again);
  check(farm.granted());
  check_equal(farm.state.data().find_job(job)->steps[1].waits, 1U);
  work_off(farm, "a", {});
  check_equal(farm.shown(job), "done");
}

void chunks_grow_to_the_time_that_they_should_take() {
  Farm farm;
  farm.join("a", 1);
  auto files = step_of("Files", 1000);
  files.chunk = 1;
  files.target_s = 60;
  const auto job = farm.submit_steps({files});
  std::uint32_t units = 0;
  std::uint32_t largest = 0;
  std::uint32_t next_unit = 0;
  for (int i = 0; i < 600 && farm.shown(job) != "done"; ++i) {
    for (const auto& send : farm.effects<SendCommand>()) {
      const auto* run = std::get_if<payloads::RunTask>(&send.command.op);
      if (run == nullptr) continue;
      check_equal(run->of_template.first, next_unit);  // nothing twice, nothing left out
      next_unit += run->of_template.count;
      largest = std::max(largest, run->of_template.count);
    }
    farm.take("a");
    const auto held = farm.boxes.at("a").held;
    for (const auto& one : held) {
      if (one.phase != TaskPhase::rendering) continue;
      const auto row = farm.state.task(one.task);
      units += row.unit_count;
      check_equal(farm.finish(one.task, one.attempt, "a", 2.0 * row.unit_count), "accepted");  // 2 s a file
      break;
    }
  }
  check_equal(farm.shown(job), "done");
  check_equal(units, 1000U);
  check_equal(largest, 30U);  // 60 s
  check(farm.state.job(job)->counts.total() < 60);
}

void cuts_survive_a_restart() {
  Farm farm;
  farm.join("a", 1);
  auto files = step_of("Files", 100);
  files.chunk = 7;
  files.target_s = 60;
  const auto job = farm.submit_steps({files});
  farm.take("a");
  check_equal(farm.finish(task(job, 0), 1, "a", 14), "accepted");
  farm.take("a");
  const auto before = farm.state.task(task(job, 1));
  farm.restart();
  const auto after = farm.state.task(task(job, 1));
  check_equal(after.first_unit, before.first_unit);
  check_equal(after.unit_count, before.unit_count);
  farm.join("a", 1);
  farm.pass(3'000);  // what was on its way when the controller ended is sent again
  work_off(farm, "a");
  check_equal(farm.shown(job), "done");
}

}  // namespace

int main() {
  return run(
      "steps",
      {{"a step starts when those before it are done", &a_step_starts_when_those_before_it_are_done},
       {"a frame waits for its own frame alone", &a_frame_waits_for_its_own_frame_alone},
       {"what waits for a failed task is cancelled, and comes back with it",
        &what_waits_for_a_failed_task_is_cancelled_and_comes_back_with_it},
       {"some frames of a done job are done again", &some_frames_of_a_done_job_are_done_again},
       {"a step done again holds up those behind it", &a_step_done_again_holds_up_those_behind_it},
       {"chunks grow to the time that they should take", &chunks_grow_to_the_time_that_they_should_take},
       {"cuts survive a restart", &cuts_survive_a_restart}});
}
