// How actions end that do not end by themselves.
#include "session_bench.h"

using namespace kiln::actions::test;
using namespace kiln::actions;
using kiln::openjd::Value;

namespace {

// A task whose processes go different ways: a plain child, one in a session of its own, one that forked
// twice, one without our environment below a shell. Each prints its number.
constexpr auto family = R"yaml(
name: Family
parameterDefinitions: [{name: Timeout, type: INT, default: 1000}, {name: Mode, type: STRING, default: TERMINATE}, {name: Period, type: INT, default: 100}]
extensions: [FEATURE_BUNDLE_1]
jobEnvironments:
- {name: E, script: {actions: {onEnter: {command: "true"}, onExit: {command: bash, args: ["-c", "echo left > $OUT"]}}}}
steps:
- name: Only
  script:
    actions:
      onRun: {command: bash, args: ["{{Task.File.Run}}"], timeout: "{{Param.Timeout}}", cancelation: {mode: CANCELATION}}
    embeddedFiles:
    - name: Run
      type: TEXT
      data: |
        TRAP
        sleep 1000 & echo "child=$!"
        setsid sleep 1001 & echo "apart=$!"
        (setsid bash -c 'sleep 1002 & echo "twice=$!"' &)
        env -i /bin/sleep 1003 & echo "bare=$!"
        echo "self=$$"
        while [ ! -e stop ]; do sleep 0.02; done
        EXIT
)yaml";

std::string family_with(std::string_view cancelation, std::string_view trap = "true",
                        std::string_view exit = "exit 0") {
  std::string text = family;
  for (const auto& [mark, value] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"CANCELATION", cancelation}, {"TRAP", trap}, {"EXIT", exit}})
    text.replace(text.find(mark), mark.size(), value);
  return text;
}

constexpr std::string_view notify = "NOTIFY_THEN_TERMINATE, notifyPeriodInSeconds: \"{{Param.Period}}\"";

void await_family(Bench& bench) {
  for (const auto* name : {"child=", "apart=", "twice=", "bare=", "self="}) bench.await(name);
}

void check_all_gone(Bench& bench) {
  for (const auto* name : {"child", "apart", "twice", "bare", "self"}) {
    const auto pid = bench.pid_of(name);
    if (!becomes([&] { return !is_alive(pid); })) print_error("%s lives\n", name);
    check(!is_alive(pid));
  }
}

// Runs the task on a thread of its own, as a slot does.
std::future<ActionResult> start(Bench& bench) {
  check_success(bench.enter());
  auto result = std::async(std::launch::async, [&bench] { return bench.run(); });
  await_family(bench);
  return result;
}

void a_task_leaves_no_process_behind() {
  Bench bench(family_with("TERMINATE"));
  auto result = start(bench);
  std::ofstream(bench.session->folder() / "stop") << "now";
  check_success(result.get());
  for (const auto* name : {"child", "apart", "twice", "self"}) check(!is_alive(bench.pid_of(name)));
  // In the group, so gone as well, though its environment is empty.
  check(becomes([&] { return !is_alive(bench.pid_of("bare")); }));
}

void terminate_kills_the_whole_family_at_once() {
  Bench bench(family_with("TERMINATE", "trap '' TERM INT HUP"));
  auto result = start(bench);
  bench.session->cancel();
  check_ending(result.get(), Ending::cancelled, "cancelled");
  check_all_gone(bench);
  check(!fs::exists(bench.session->folder() / "cancel_info.json"));
  // Environments are left, tasks not run any more.
  check_ending(bench.run(), Ending::cancelled, "cancelled");
  check_success(bench.session->leave_all());
  check_equal(slurp(bench.root / "out"), "left\n");
}

void notify_lets_it_end_by_itself() {
  Bench bench(family_with(notify, "trap 'cat cancel_info.json; echo; echo bye; exit 0' TERM"));
  auto result = start(bench);
  bench.session->cancel();
  const auto end = result.get();
  check_ending(end, Ending::cancelled, "cancelled");
  check_equal(end.status->code, 0);
  check_contains(bench.output(), "{\"NotifyEnd\":\"20");
  check_contains(bench.output(), "Z\"}\nbye\n");
  check_all_gone(bench);
}

void notify_kills_what_does_not_listen() {
  Bench bench(family_with(notify, "trap '' TERM"), {{"Period", Value::of("1")}});
  auto result = start(bench);
  bench.session->cancel();
  const auto end = result.get();
  check_ending(end, Ending::cancelled, "cancelled");
  check_equal(end.status->signal, SIGKILL);
  check(fs::exists(bench.session->folder() / "cancel_info.json"));
  check_contains(bench.notes(), "SIGTERM");
  check_contains(bench.notes(), "SIGKILL");
  check_all_gone(bench);
}

void a_second_cancel_shortens_the_notice() {
  Bench bench(family_with(notify, "trap 'echo told; cat cancel_info.json; echo' TERM"),
              {{"Period", Value::of("600")}});
  auto result = start(bench);
  bench.session->cancel();
  bench.await("told\n");
  const auto first = slurp(bench.session->folder() / "cancel_info.json");
  bench.session->cancel(100'000);
  check(becomes([&] { return slurp(bench.session->folder() / "cancel_info.json") != first; }));
  check(result.wait_for(std::chrono::seconds(0)) == std::future_status::timeout);
  bench.session->cancel(0);
  check_equal(result.get().status->signal, SIGKILL);
  check_all_gone(bench);
}

void a_timeout_fails_the_task_by_the_same_rules() {
  {
    Bench bench(family_with("TERMINATE"), {{"Timeout", Value::of("1")}});
    auto result = start(bench);
    const auto end = result.get();
    check_ending(end, Ending::timed_out, "longer than its timeout of 1 s");
    check_equal(end.status->signal, SIGKILL);
    check_all_gone(bench);
    check_success(bench.session->leave_all());
    check_equal(slurp(bench.root / "out"), "left\n");
  }
  Bench bench(family_with(notify, "trap 'echo bye; exit 0' TERM"), {{"Timeout", Value::of("1")}});
  auto result = start(bench);
  check_ending(result.get(), Ending::timed_out, "longer than its timeout of 1 s");
  check_contains(bench.output(), "bye\n");
  check_all_gone(bench);
}

void an_onexit_that_hangs_is_ended_by_its_timeout_or_a_cancel_of_its_own() {
  constexpr auto text = R"yaml(
name: Hanging
jobEnvironments:
- {name: One, script: {actions: {onEnter: {command: "true"}, onExit: {command: bash, args: ["-c", "echo hangs; sleep 1000"]}}}}
- {name: Two, script: {actions: {onEnter: {command: "true"}, onExit: {command: sleep, args: ["1000"], timeout: 1}}}}
steps: [{name: Only, script: {actions: {onRun: {command: "true"}}}}]
)yaml";
  Bench bench(text);
  check_success(bench.enter());
  bench.session->cancel();  // does not touch the onExits
  check_ending(bench.session->leave(), Ending::timed_out, "onExit of environment 'Two'");
  auto result = std::async(std::launch::async, [&] { return bench.session->leave(); });
  bench.await("hangs\n");
  bench.session->cancel();
  check_ending(result.get(), Ending::cancelled, "onExit of environment 'One'");
}

void a_cancelled_session_starts_nothing() {
  Bench bench(family_with("TERMINATE"));
  bench.session->cancel();
  check_ending(bench.enter(), Ending::cancelled, "cancelled");
  check_equal(bench.session->depth(), 0U);
  check_ending(bench.run(), Ending::cancelled, "cancelled");
  check_equal(bench.output(), "");
}

void a_flood_of_output_does_not_stop_the_clock() {
  Bench bench(R"yaml(
name: Flood
steps: [{name: Only, script: {actions: {onRun: {command: bash, args: ["-c", "yes & yes"], timeout: 1}}}}]
)yaml");
  check_ending(bench.run(), Ending::timed_out, "timeout");
}

void a_task_that_goes_on_starting_processes_is_ended() {
  Bench bench(R"yaml(
name: Rabbits
steps: [{name: Only, script: {actions: {onRun: {command: bash, args: ["-c", "while :; do setsid sleep 1000 & echo last=$!; sleep 0.002; done"]}}}}]
)yaml");
  auto result = std::async(std::launch::async, [&] { return bench.run(); });
  bench.await("last=");
  bench.session->cancel();
  check_ending(result.get(), Ending::cancelled, "cancelled");
  const auto text = bench.output();
  for (auto at = text.find("last="); at != std::string::npos; at = text.find("last=", at + 1))
    check(!is_alive(std::atoi(text.c_str() + at + 5)));
}

void a_session_that_is_dropped_takes_its_daemons_along() {
  Bench bench(R"yaml(
name: Dropped
jobEnvironments:
- {name: E, script: {actions: {onEnter: {command: bash, args: ["-c", "setsid sleep 1000 & echo daemon=$!"]}, onExit: {command: bash, args: ["-c", "echo left > $OUT"]}}}}
steps: [{name: Only, script: {actions: {onRun: {command: "true"}}}}]
)yaml");
  check_success(bench.enter());
  const auto daemon = bench.pid_of("daemon");
  check(is_alive(daemon));
  bench.session.reset();
  check(!is_alive(daemon));
  check(!fs::exists(bench.root / "out"));
}

void its_owners_limits_end_an_action() {
  const struct {
    const char* script;
    Limits limits;
    Ending ending;
    const char* said;
  } cases[] = {
      {"while true; do echo x; sleep 0.05; done", {.run_ms = 300}, Ending::timed_out, "the 0.3 s"},
      {"echo x; sleep 1000", {.silence_ms = 300}, Ending::silent, "no line for 0.3 s"},
      {"for i in 1 2 3 4; do echo x; sleep 0.1; done",
       {.run_ms = 60'000, .silence_ms = 30'000},
       Ending::succeeded,
       ""},
  };
  for (const auto& one : cases) {
    Bench bench(fmt::format(R"yaml(
name: Limited
steps: [{{name: Only, script: {{actions: {{onRun: {{command: bash, args: ["-c", "{}"]}}}}}}}}]
)yaml",
                            one.script));
    const auto& step = bench.job.steps[0];
    check_ending(bench.session->run(step.script, bench.job.extensions, step.space.at(0), one.limits),
                 one.ending, one.said);
  }
}

void environments_are_left_within_the_time_that_is_given() {
  Bench bench(R"yaml(
name: Slow
jobEnvironments:
- {name: One, script: {actions: {onEnter: {command: "true"}, onExit: {command: bash, args: ["-c", "echo one > $OUT"]}}}}
- {name: Two, script: {actions: {onEnter: {command: "true"}, onExit: {command: bash, args: ["-c", "trap '' TERM; echo waits; sleep 1000"], cancelation: {mode: NOTIFY_THEN_TERMINATE}}}}}
steps: [{name: Only, script: {actions: {onRun: {command: "true"}}}}]
)yaml");
  check_success(bench.enter());
  check(bench.session->can_run());
  check_ending(bench.session->leave_all(0, 200), Ending::timed_out, "environment 'Two'");
  check_equal(bench.session->depth(), 0U);
  check(!bench.session->can_run());
  check(!fs::exists(bench.root / "out"));  // there was no time left for it
}

}  // namespace

int main() {
  return kiln::test::run(
      "cancel",
      {
          {"a task leaves no process behind", &a_task_leaves_no_process_behind},
          {"TERMINATE kills the whole family at once", &terminate_kills_the_whole_family_at_once},
          {"NOTIFY_THEN_TERMINATE lets it end by itself", &notify_lets_it_end_by_itself},
          {"NOTIFY_THEN_TERMINATE kills what does not listen", &notify_kills_what_does_not_listen},
          {"a second cancel shortens the notice", &a_second_cancel_shortens_the_notice},
          {"a timeout fails the task by the same rules", &a_timeout_fails_the_task_by_the_same_rules},
          {"an onExit that hangs is ended by its timeout, or by a cancel of its own",
           &an_onexit_that_hangs_is_ended_by_its_timeout_or_a_cancel_of_its_own},
          {"a cancelled session starts nothing", &a_cancelled_session_starts_nothing},
          {"a flood of output does not stop the clock", &a_flood_of_output_does_not_stop_the_clock},
          {"a task that goes on starting processes is ended",
           &a_task_that_goes_on_starting_processes_is_ended},
          {"a session that is dropped takes its daemons along",
           &a_session_that_is_dropped_takes_its_daemons_along},
          {"its owner's limits end an action", &its_owners_limits_end_an_action},
          {"environments are left within the time that is given",
           &environments_are_left_within_the_time_that_is_given},
      });
}
