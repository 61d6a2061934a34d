// Which blank frames are held for a look, and what people make of them.
#include "controller/scheduler/farm.h"

using namespace kiln;
using namespace kiln::test;

namespace {

std::string render(Farm& farm, const TaskId& id, char picture) {
  const auto row = farm.state.task(id);
  auto report = farm.report(id, row.node.str());
  if (picture == 'B') report.files.at(0).blank = payloads::Blank::black;
  if (picture == 'T') report.files.at(0).blank = payloads::Blank::transparent;
  if (picture == 'x') {
    report.ok = false;
    report.files.clear();
    report.failure = {"render-failed", "no", payloads::FailureScope::attempt};
  }
  return farm.commit(id, row.attempt, report);
}

// A job with a task a letter: G a picture, B black, T transparent, x fails. Rendered in that order, or
// backwards.
JobId render_all(Farm& farm, const std::string& pictures, bool backwards = false) {
  if (farm.boxes.empty()) farm.join("a", 64);
  const auto job = farm.submit(fmt::format("1-{}", pictures.size()));
  for (std::uint32_t i = 0; i < pictures.size(); ++i) {
    const auto index = backwards ? static_cast<std::uint32_t>(pictures.size()) - 1 - i : i;
    check_equal(render(farm, task(job, index), pictures[index]), "accepted");
  }
  return job;
}

// "..h..": the tasks that are held.
std::string held(const Farm& farm, const JobId& job) {
  std::string text;
  for (std::uint32_t i = 0; i < farm.state.job(job)->spec.task_count(); ++i) {
    text += farm.state.task(task(job, i)).review == Review::held ? 'h' : '.';
  }
  return text;
}

void a_blank_frame_among_pictures_is_held() {
  const struct {
    const char* pictures;
    const char* held;
  } cases[] = {
      {"GGBGG", "..h.."},
      {"GGTGG", "..h.."},
      {"BGGGG", "h...."},
      {"GGGGB", "....h"},
      {"GGBBGG", "..hh.."},          // a box's two
      {"GBGBGBG", ".h.h.h."},        // every other frame is one box's
      {"BBBBBB", "......"},          // a black job
      {"TTTTTT", "......"},          // nothing to see on purpose
      {"BBBBGGGG", "........"},      // a fade from black
      {"GGGGBBBB", "........"},      // …and to it
      {"GGGBBBBGGG", ".........."},  // a cut through black
      {"B", "."},                    // alone: nobody can tell
      {"GB", ".h"},
      {"GG", ".."},
  };
  for (const bool backwards : {false, true}) {
    for (const auto& one : cases) {
      Farm farm;
      const auto job = render_all(farm, one.pictures, backwards);
      check_equal(held(farm, job), one.held);
      const std::string wanted = one.held;
      const auto count = static_cast<std::uint32_t>(std::count(wanted.begin(), wanted.end(), 'h'));
      check_equal(farm.state.job(job)->held, count);
      check_equal(farm.shown(job), "done");  // the frame is there: nothing is lost
    }
  }
}

void it_is_held_once_its_neighbours_have_ended() {
  Farm farm({.max_failures = 1});
  farm.join("a", 64);
  const auto job = farm.submit("1-6");
  for (const std::uint32_t index : {2U, 0U, 1U, 3U}) {
    render(farm, task(job, index), index == 2 ? 'B' : 'G');
    check_equal(held(farm, job), "......");
  }
  render(farm, task(job, 4), 'x');  // what failed says neither
  check_equal(held(farm, job), "..h...");
  bool is_told = false;
  for (const auto& told : farm.effects<TaskChanged>()) {
    is_told = is_told || (told.event.state == "held" && told.event.task.index == 2 &&
                          told.event.message.starts_with("all black, while the frames beside it are not"));
  }
  check(is_told);
  check(farm.effects<SaveTask>().back().row.review == Review::held || farm.effects<SaveTask>().size() > 1);
}

void what_a_person_accepts_is_done_with() {
  Farm farm;
  const auto job = render_all(farm, "GGBGGTGG");
  check_equal(farm.state.job(job)->held, 2U);
  farm.on(AcceptTask{1, task(job, 2)});
  check(farm.granted());
  check_equal(held(farm, job), ".....h..");
  check_equal(farm.effects<SaveTask>().at(0).row.review == Review::accepted, true);
  check_equal(farm.effects<SaveJob>().at(0).row.held, 1U);
  for (const std::uint32_t index : {2U, 3U, 99U}) {
    farm.on(AcceptTask{1, task(job, index)});
    check_contains(farm.refusal(), "is not held");
  }
  farm.on(AcceptTask{1, task(job, 5)});
  check(farm.granted());
  check_equal(farm.state.data().jobs.begin()->second.steps[0].tasks.size(),
              0U);  // nothing is left to ask of it
  check_equal(farm.shown(job), "done");
}

void a_held_frame_is_rendered_again_elsewhere() {
  Farm farm;
  const auto job = render_all(farm, "GGBGG");
  farm.join("b", 1);
  farm.on(RequeueTask{1, task(job, 2)});
  check(farm.granted());
  check_equal(farm.shown(job), "running");
  check_equal(farm.state.job(job)->held, 0U);
  check_equal(farm.shown(task(job, 2)), "assigned/2 on b");
  // The first delivery of it, once more: it does not count again.
  check_equal(farm.finish(task(job, 2), 1, "a"), "superseded");
  check_equal(farm.finish(task(job, 2), 2, "b"), "accepted");
  check_equal(farm.shown(job), "done");
  check_equal(held(farm, job), ".....");
}

void rendered_black_again_it_is_held_again() {
  Farm farm;
  const auto job = render_all(farm, "GGBGG");
  farm.on(RequeueTask{1, task(job, 2)});
  check_equal(render(farm, task(job, 2), 'B'), "accepted");
  check_equal(held(farm, job), "..h..");
}

void only_what_has_ended_is_rendered_again() {
  Farm farm({.max_failures = 1, .fail_least = 100});
  farm.join("a", 2);
  const auto job = farm.submit("1-30");
  check_equal(render(farm, task(job, 0), 'G'), "accepted");
  check_equal(render(farm, task(job, 1), 'x'), "accepted");
  const struct {
    std::uint32_t index;
    const char* refusal;  // "": granted
  } cases[] = {{0, ""},
               {1, ""},
               {2, "is assigned: only one that is done or failed"},
               {29, "is queued: only"},
               {30, "has no task 30"}};
  for (const auto& one : cases) {
    farm.on(RequeueTask{1, task(job, one.index)});
    check_equal(farm.granted(), std::string(one.refusal).empty());
    if (!farm.granted()) check_contains(farm.refusal(), one.refusal);
  }
  check_equal(farm.state.job(job)->counts.done + farm.state.job(job)->counts.failed, 0U);
  farm.on(CancelJob{1, job});
  farm.on(RequeueTask{1, task(job, 0)});
  check_contains(farm.refusal(), "is cancelled");
  const auto done = render_all(farm, "GG");
  farm.on(RequeueTask{1, task(done, 0)});
  check_contains(farm.refusal(), "holds no frame for a look: submit frames 1 again");
  farm.on(RequeueTask{1, task(*JobId::parse("99-aaaaa"), 0)});
  check_contains(farm.refusal(), "there is no job");
}

void what_is_held_survives_a_restart() {
  Farm farm;
  const auto job = render_all(farm, "GGBGG");
  FarmRows rows;
  rows.jobs = {*farm.state.job(job)};
  for (std::uint32_t i = 0; i < 5; ++i) rows.tasks.push_back(farm.state.task(task(job, i)));
  const auto reload = [&](const JobId& id, std::vector<TaskRow> tasks) {
    FarmRows now;
    now.jobs = {*farm.state.job(id)};
    now.tasks = std::move(tasks);
    farm.state = FarmState(farm.policy, now, farm.now);
    farm.on(BrokerConnected{});
  };
  reload(job, rows.tasks);
  check_equal(held(farm, job), "..h..");
  check_equal(farm.state.job(job)->held, 1U);
  farm.on(RequeueTask{1, task(job, 2)});
  check(farm.granted());
  std::vector<TaskRow> tasks;
  for (std::uint32_t i = 0; i < 5; ++i) tasks.push_back(farm.state.task(task(job, i)));
  check_equal(tasks[2].void_up_to, 1U);
  reload(job, tasks);
  check_equal(farm.finish(task(job, 2), 1, "a"), "superseded");
}

}  // namespace

int main() {
  return test::run("reviews",
                   {{"a blank frame among pictures is held", a_blank_frame_among_pictures_is_held},
                    {"it is held once its neighbours have ended", it_is_held_once_its_neighbours_have_ended},
                    {"what a person accepts is done with", what_a_person_accepts_is_done_with},
                    {"a held frame is rendered again elsewhere", a_held_frame_is_rendered_again_elsewhere},
                    {"rendered black again it is held again", rendered_black_again_it_is_held_again},
                    {"only what has ended is rendered again", only_what_has_ended_is_rendered_again},
                    {"what is held survives a restart", what_is_held_survives_a_restart}});
}
