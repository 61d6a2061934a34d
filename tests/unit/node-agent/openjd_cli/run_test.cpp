#include "openjd/run.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "check.h"

using namespace kiln::openjd;
namespace fs = std::filesystem;

namespace {

// A folder with files in it, and what a run of them printed.
class Bench {
 public:
  Bench() {
    auto pattern = (fs::temp_directory_path() / "kiln-openjd-XXXXXX").native();
    check(::mkdtemp(pattern.data()) != nullptr);
    root = pattern;
  }
  ~Bench() { fs::remove_all(root); }

  fs::path file(const std::string& name, const std::string& text) {
    std::ofstream(root / name) << text;
    return root / name;
  }
  fs::path job(const std::string& text) {
    return file("job.yaml", "specificationVersion: jobtemplate-2023-09\n" + text);
  }
  int run(const RunOptions& options) {
    std::FILE* out = std::fopen((root / "stdout").c_str(), "w");
    std::FILE* err = std::fopen((root / "stderr").c_str(), "w");
    const int code = run_file(options, out, err);
    std::fclose(out);
    std::fclose(err);
    return code;
  }
  std::string text(const std::string& name) const {
    std::ifstream in(root / name);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }
  std::string out() const { return text("stdout"); }
  std::string err() const { return text("stderr"); }

  fs::path root;
};

void check_order(std::string_view text, std::initializer_list<std::string_view> parts) {
  std::size_t at = 0;
  for (const auto part : parts) {
    const auto found = text.find(part, at);
    if (found == text.npos) check_contains(text.substr(at), part);
    at = found + part.size();
  }
}

constexpr auto three_steps = R"yaml(
name: "Job of {{Param.Who}}"
parameterDefinitions: [{name: Who, type: STRING}, {name: Count, type: INT, default: 2}, {name: In, type: PATH, default: in}]
jobEnvironments:
- {name: Outer, script: {actions: {onEnter: {command: echo, args: ["enter outer"]}, onExit: {command: echo, args: ["leave outer"]}}}}
steps:
- name: Last
  dependencies: [{dependsOn: Middle}]
  script: {actions: {onRun: {command: echo, args: ["last"]}}}
- name: Middle
  dependencies: [{dependsOn: First}]
  stepEnvironments:
  - {name: Inner, script: {actions: {onEnter: {command: echo, args: ["enter inner"]}, onExit: {command: echo, args: ["leave inner"]}}}}
  parameterSpace: {taskParameterDefinitions: [{name: F, type: INT, range: "1-{{Param.Count}}"}, {name: L, type: STRING, range: [a, b]}]}
  script: {actions: {onRun: {command: echo, args: ["middle {{Task.Param.F}}{{Task.Param.L}}"]}}}
- name: First
  script: {actions: {onRun: {command: echo, args: ["first {{Param.In}}"]}}}
)yaml";

void steps_run_in_the_order_of_their_dependencies() {
  Bench bench;
  const auto job = bench.job(three_steps);
  check_equal(bench.run({.file = job, .parameters = {"Who=a=b"}}), 0);
  check_order(bench.out(),
              {"Job: Job of a=b\n", "  enter outer\n", "Step: First\n", "  first ", "/in\n", "Step: Middle\n",
               "  enter inner\n", "  middle 1a\n", "  middle 1b\n", "  middle 2a\n", "  middle 2b\n",
               "  leave inner\n", "  last\n", "  leave outer\n", "Succeeded: 6 tasks in 3 steps\n"});
  check_contains(bench.out(), fmt::format("first {}/in\n", bench.root.native()));
  check_equal(bench.err(), "");
}

void one_step_and_some_of_its_tasks_can_be_chosen() {
  Bench bench;
  const auto job = bench.job(three_steps);
  RunOptions options{.file = job, .parameters = {"Who=me"}, .step = "Middle"};
  options.task_parameters = {"F=2", "L=b"};
  check_equal(bench.run(options), 0);
  check_order(bench.out(), {"enter outer", "enter inner", "middle 2b", "leave inner", "leave outer",
                            "1 tasks in 1 steps"});
  for (const auto* other : {"first", "last", "middle 1", "middle 2a"})
    check(bench.out().find(other) == std::string::npos);

  options.with_dependencies = true;
  check_equal(bench.run(options), 0);
  check_order(bench.out(), {"  first ", "  middle 2b", "2 tasks in 2 steps"});
  check(bench.out().find("  last\n") == std::string::npos);

  options.task_parameters = {"F=3"};
  check_equal(bench.run(options), 1);
  check_contains(bench.out(), "no task with these --task-param");
}

void parameters_come_from_files_and_json_and_the_last_one_counts() {
  Bench bench;
  const auto job = bench.job(three_steps);
  const auto yaml = bench.file("values.yaml", "Who: yaml\nCount: 1\n");
  const auto json = bench.file("values.json", R"({"Who":"json"})");
  check_equal(bench.run({.file = job, .parameters = {"file://" + yaml.native(), "Who=text"}}), 0);
  check_contains(bench.out(), "Job of text\n");
  check(bench.out().find("middle 2") == std::string::npos);
  check_equal(
      bench.run({.file = job, .parameters = {"Who=text", "file://" + json.native(), R"({"Count":"1"})"}}), 0);
  check_contains(bench.out(), "Job of json\n");
}

void an_environment_template_wraps_the_job_and_brings_parameters() {
  Bench bench;
  const auto job = bench.job(three_steps);
  const auto environment = bench.file("env.yaml", R"yaml(
specificationVersion: environment-2023-09
extensions: [REDACTED_ENV_VARS]
parameterDefinitions: [{name: Extra, type: STRING, default: more}]
environment:
  name: Outermost
  script:
    actions:
      onEnter: {command: bash, args: ["-c", "echo 'openjd_redacted_env: TOKEN=hush'; echo enter {{Param.Extra}}"]}
      onExit: {command: bash, args: ["-c", "echo leave ${#TOKEN}"]}
)yaml");
  check_equal(bench.run({.file = job, .parameters = {"Who=me"}, .environments = {environment}}), 0);
  check_order(bench.out(), {"TOKEN=********\n", "enter more\n", "enter outer\n", "leave outer\n", "leave 4\n",
                            "Succeeded"});
  check_equal(bench.run({.file = job, .parameters = {"Who=me"}, .environments = {job}}), 1);
  check_contains(bench.err(), "is not an environment template");
  check_equal(bench.run({.file = environment}), 1);
  check_contains(bench.err(), "is not a job template");
}

void path_mapping_rules_reach_the_tasks() {
  Bench bench;
  const auto job = bench.job(R"yaml(
name: Mapped
parameterDefinitions: [{name: In, type: PATH}]
steps: [{name: S, script: {actions: {onRun: {command: echo, args: ["{{RawParam.In}} is {{Param.In}}"]}}}}]
)yaml");
  const std::string rules =
      R"({"version":"pathmapping-1.0","path_mapping_rules":[{"source_path_format":"POSIX","source_path":"/a","destination_path":"/b"}]})";
  const auto file = bench.file("rules.json", rules);
  for (const auto& given : {"file://" + file.native(), rules}) {
    check_equal(bench.run({.file = job, .parameters = {"In=/a/x"}, .path_mapping_rules = given}), 0);
    check_contains(bench.out(), "/a/x is /b/x\n");
  }
}

void a_failure_ends_the_run_and_leaves_the_environments() {
  Bench bench;
  const auto job = bench.job(R"yaml(
name: Failing
jobEnvironments: [{name: E, script: {actions: {onEnter: {command: "true"}, onExit: {command: echo, args: ["leave"]}}}}]
steps:
- name: S
  parameterSpace: {taskParameterDefinitions: [{name: F, type: INT, range: "1-3"}]}
  script: {actions: {onRun: {command: bash, args: ["-c", "echo task {{Task.Param.F}}; [ {{Task.Param.F}} != 2 ] || exit 42"]}}}
- {name: T, script: {actions: {onRun: {command: echo, args: ["never"]}}}}
)yaml");
  check_equal(bench.run({.file = job}), 1);
  check_order(bench.out(), {"task 1\n", "exited with code: 0\n", "task 2\n", "exited with code: 42\n",
                            "leave\n", "Failed: onRun: exit code 42\n"});
  check(bench.out().find("task 3") == std::string::npos);
  check(bench.out().find("never") == std::string::npos);
}

void wrong_input_is_refused_before_anything_runs() {
  Bench bench;
  const auto job = bench.job(three_steps);
  const auto broken = bench.file("broken.yaml", "specificationVersion: jobtemplate-2023-09\nname: B\n");
  const auto list = bench.file("list.yaml", "[1]");
  struct Row {
    RunOptions options;
    std::string_view why;
  };
  const std::vector<Row> rows{
      {{.file = "/no/such/file"}, "/no/such/file"},
      {{.file = broken}, "steps"},
      {{.file = job}, "parameters.Who: has no value"},
      {{.file = job, .parameters = {"Who=a", "Whom=b"}}, "is 'Who' meant?"},
      {{.file = job, .parameters = {"Who"}}, "-p Who: must be NAME=VALUE"},
      {{.file = job, .parameters = {"=x"}}, "must be NAME=VALUE"},
      {{.file = job, .parameters = {"file:///no/such"}}, "-p: "},
      {{.file = job, .parameters = {"file://" + list.native()}},
       "must hold an object of parameter values, not a list"},
      {{.file = job, .parameters = {"{\"Who\":}"}}, "-p: "},
      {{.file = job, .parameters = {"Who=a", "Count=x"}}, "parameters.Count"},
      {{.file = job, .parameters = {"Who=a"}, .environments = {"/no/env"}}, "/no/env"},
      {{.file = job, .parameters = {"Who=a"}, .path_mapping_rules = "{\"version\":\"x\"}"},
       "pathmapping-1.0"},
      {{.file = job, .parameters = {"Who=a"}, .step = "Second"}, "it has Last, Middle and First"},
      {{.file = job, .parameters = {"Who=a"}, .task_parameters = {"F=1"}}, "needs --step"},
      {{.file = job, .parameters = {"Who=a"}, .step = "Middle", .task_parameters = {"G=1"}},
       "no such task parameter"},
      {{.file = job, .parameters = {"Who=a"}, .step = "Middle", .task_parameters = {"F"}},
       "must be NAME=VALUE"},
  };
  for (const auto& row : rows) {
    check_equal(bench.run(row.options), 1);
    check_contains(bench.err(), row.why);
    check_equal(bench.out(), "");
  }
}

void the_folder_can_be_kept() {
  Bench bench;
  const auto job = bench.job(
      "name: Kept\nsteps: [{name: S, script: {actions: {onRun: {command: touch, args: [made]}}}}]\n");
  check_equal(bench.run({.file = job, .keeps_folder = true}), 0);
  const std::string mark = "Session folder: ";
  const auto begin = bench.out().find(mark) + mark.size();
  const fs::path folder = bench.out().substr(begin, bench.out().find('\n', begin) - begin);
  check(fs::exists(folder / "made"));
  fs::remove_all(folder);
}

void ctrl_c_cancels_by_the_rules_and_leaves_the_environments() {
  Bench bench;
  const auto job = bench.job(R"yaml(
name: Interrupted
jobEnvironments: [{name: E, script: {actions: {onEnter: {command: "true"}, onExit: {command: echo, args: ["leave"]}}}}]
steps:
- name: S
  script:
    actions:
      onRun: {command: bash, args: ["-c", "trap 'echo bye; exit 0' TERM; echo waits; sleep 1000 & wait"], cancelation: {mode: NOTIFY_THEN_TERMINATE}}
)yaml");
  std::thread user([&] {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (bench.out().find("  waits\n") == std::string::npos && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ::kill(::getpid(), SIGINT);
  });
  check_equal(bench.run({.file = job}), 130);
  user.join();
  check_order(bench.out(), {"waits\n", "SIGTERM", "bye\n", "leave\n", "Cancelled: onRun: cancelled\n"});
}

}  // namespace

int main() {
  // As the program does before it starts a thread.
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return kiln::test::run(
      "run",
      {
          {"steps run in the order of their dependencies", &steps_run_in_the_order_of_their_dependencies},
          {"one step and some of its tasks can be chosen", &one_step_and_some_of_its_tasks_can_be_chosen},
          {"parameters come from files and JSON, and the last one counts",
           &parameters_come_from_files_and_json_and_the_last_one_counts},
          {"an environment template wraps the job and brings parameters",
           &an_environment_template_wraps_the_job_and_brings_parameters},
          {"path mapping rules reach the tasks", &path_mapping_rules_reach_the_tasks},
          {"a failure ends the run and leaves the environments",
           &a_failure_ends_the_run_and_leaves_the_environments},
          {"wrong input is refused before anything runs", &wrong_input_is_refused_before_anything_runs},
          {"the session's folder can be kept", &the_folder_can_be_kept},
          {"Ctrl-C cancels by the rules and leaves the environments",
           &ctrl_c_cancels_by_the_rules_and_leaves_the_environments},
      });
}
