// Tasks of job templates on a slot, with real processes and without Blender.
#include "template_bench.h"

#include <csignal>

using namespace kiln;
using namespace kiln::session;
using namespace kiln::session::test;
using kiln::test::check_contains_at;
using payloads::FailureScope;

namespace {

// A step whose task runs this script; parameters Out (OUT folder) and the task's Frame.
std::string simple(const std::string& script, const std::string& more = "") {
  std::string lines;
  for (std::size_t begin = 0; begin < script.size();) {
    const auto end = std::min(script.find('\n', begin), script.size());
    lines += "              " + script.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  return R"(
name: Simple
parameterDefinitions:
  - {name: Out, type: PATH, dataFlow: OUT, objectType: DIRECTORY, default: "."}
steps:
  - name: Work
    parameterSpace:
      taskParameterDefinitions:
        - {name: Frame, type: INT, range: "1-10"}
    script:
      actions:
        onRun: {command: sh, args: ["{{Task.File.Run}}"])" +
         more + R"(}
      embeddedFiles:
        - name: Run
          type: TEXT
          data: |
)" + lines;
}

void a_tasks_files_are_its_result() {
  TemplateBench bench;
  const auto document =
      bench.document(simple("mkdir -p '{{Param.Out}}/sub'\n"
                            "printf frame-{{Task.Param.Frame}} > '{{Param.Out}}/sub/f.txt'\n"
                            "printf x > '{{Param.Out}}/a.bin'\n"
                            "ln -s a.bin '{{Param.Out}}/latest'\n"
                            "echo hello from $PWD"));
  auto task = TemplateBench::task(document, 0, 4);
  task.frames = payloads::FrameSet::of(5);
  const auto outcome = bench.run(task);
  check_succeeded(outcome);
  check(paths_of(outcome) == (std::vector<std::string>{"a.bin", "sub/f.txt"}));
  check_equal(slurp(outcome.folder / "sub/f.txt"), "frame-5");
  check_equal(outcome.report.files[0].frame, 5);
  check_contains(outcome.log, "hello from ");
  check_contains(outcome.log, "step 'Work': Frame=5");
}

void a_task_without_files_succeeds_and_has_no_folder() {
  TemplateBench bench;
  const auto outcome = bench.run(TemplateBench::task(bench.document(simple("true"))));
  check_succeeded(outcome);
  check(outcome.folder.empty());
  check(outcome.report.files.empty());
}

void each_task_finds_its_output_folder_empty() {
  TemplateBench bench;
  const auto document =
      bench.document(simple("ls -A '{{Param.Out}}' > '{{Param.Out}}/found'; mkdir -p '{{Param.Out}}/d'; "
                            "touch '{{Param.Out}}/d/x'; chmod 0 '{{Param.Out}}/d'"));
  for (const int first : {0, 1}) {
    const auto outcome = bench.run(TemplateBench::task(document, 0, first));
    check_succeeded(outcome);
    check_equal(slurp(outcome.folder / "found"), "found\n");
    check(paths_of(outcome) == (std::vector<std::string>{"d/x", "found"}));
  }
}

const char* const environments = R"(
name: Environments
parameterDefinitions:
  - {name: Out, type: PATH, dataFlow: OUT, objectType: DIRECTORY, default: "."}
  - {name: Trace, type: STRING}
jobEnvironments:
  - name: Outer
    script:
      actions:
        onEnter: {command: sh, args: [-c, "echo enter-outer >> {{Param.Trace}}; echo openjd_env: FROM_OUTER=yes"]}
        onExit: {command: sh, args: [-c, "echo exit-outer >> {{Param.Trace}}"]}
steps:
  - name: One
    stepEnvironments:
      - name: Inner
        variables: {FROM_INNER: "2"}
        script:
          actions:
            onEnter: {command: sh, args: [-c, "echo enter-inner >> {{Param.Trace}}"]}
            onExit: {command: sh, args: [-c, "echo exit-inner >> {{Param.Trace}}"]}
    parameterSpace:
      taskParameterDefinitions:
        - {name: I, type: INT, range: "1-4"}
    script:
      actions:
        onRun: {command: sh, args: [-c, "echo task-{{Task.Param.I}} $FROM_OUTER $FROM_INNER >> {{Param.Trace}}; test {{Task.Param.I}} != 4"]}
  - name: Two
    script:
      actions:
        onRun: {command: sh, args: [-c, "echo two >> {{Param.Trace}}"]}
)";

void a_session_stays_open_over_the_tasks_of_a_step() {
  std::string trace;
  {
    TemplateBench bench;
    const auto file = bench.root.native() + "-trace";
    const auto document = bench.document(environments, {{"Trace", file}});
    check_succeeded(bench.run(TemplateBench::task(document, 0, 0)));
    check_succeeded(bench.run(TemplateBench::task(document, 0, 1)));
    check_succeeded(bench.run(TemplateBench::task(document, 1)));
    check_failed(bench.run(TemplateBench::task(document, 0, 3)), "action-failed", FailureScope::attempt,
                 "exit code 1");
    check_succeeded(bench.run(TemplateBench::task(document, 0, 2)));
    bench.runner.reset();  // leaves what is open
    trace = slurp(file);
    fs::remove(file);
  }
  check_equal(trace,
              "enter-outer\nenter-inner\ntask-1 yes 2\ntask-2 yes 2\nexit-inner\nexit-outer\n"
              "enter-outer\ntwo\nexit-outer\n"
              "enter-outer\nenter-inner\ntask-4 yes 2\nexit-inner\nexit-outer\n"
              "enter-outer\nenter-inner\ntask-3 yes 2\nexit-inner\nexit-outer\n");
}

void an_idle_session_is_left() {
  TemplateBench bench([](Config& config) { config.session_idle_ms = 1; });
  const auto document = bench.document(environments, {{"Trace", (bench.root / "trace").native()}});
  check_succeeded(bench.run(TemplateBench::task(document, 0, 0)));
  const auto until = std::chrono::steady_clock::now() + patience;
  while (slurp(bench.root / "trace").find("exit-outer") == std::string::npos)
    check(std::chrono::steady_clock::now() < until);
}

void failures_say_what_and_whose_they_are() {
  const struct {
    std::string script;
    std::string more;
    std::string code;
    std::string message;
  } cases[] = {
      {"exit 7", "", "action-failed", "exit code 7"},
      {"echo openjd_fail: the licence is gone; exit 1", "", "action-failed", "the licence is gone"},
      {"sleep 60", ", timeout: 1", "timeout", "timeout of 1 s"},
      {"kill -SEGV $$", "", "action-failed", "SIGSEGV"},
  };
  TemplateBench bench;
  for (const auto& one : cases) {
    const auto outcome = bench.run(TemplateBench::task(bench.document(simple(one.script, one.more))));
    check_failed(outcome, one.code, FailureScope::attempt, one.message);
  }
}

void the_jobs_own_limits_hold() {
  TemplateBench bench;
  auto task = TemplateBench::task(bench.document(simple("while true; do echo x; sleep 0.1; done")));
  task.options.max_run_s = 1;
  check_failed(bench.run(task), "timeout", FailureScope::attempt, "longer than");
  task = TemplateBench::task(bench.document(simple("sleep 60")));
  task.options.stall_s = 1;
  check_failed(bench.run(task), "renderer-hung", FailureScope::attempt, "no line for 1 s");
}

void what_is_wrong_with_the_job_fails_all_of_it() {
  TemplateBench bench;
  const auto fine = bench.document(simple("true"));
  check_failed(bench.run(TemplateBench::task("sha256:absent")), "missing-file", FailureScope::job,
               "document");
  check_failed(bench.run(TemplateBench::task(bench.add("nonsense"))), "bad-template", FailureScope::job,
               "document");
  check_failed(bench.run(TemplateBench::task(bench.document("name: x\nsteps: []\n"))), "bad-template",
               FailureScope::job, "steps");
  check_failed(bench.run(TemplateBench::task(fine, 1)), "bad-template", FailureScope::job, "1 steps");
  check_failed(bench.run(TemplateBench::task(fine, 0, 10)), "bad-template", FailureScope::job, "10 points");
  check_failed(bench.run(TemplateBench::task(fine, 0, 0, 2)), "bad-template", FailureScope::job, "2 points");
}

void an_environment_that_fails_fails_the_task() {
  TemplateBench bench;
  const auto outcome = bench.run(TemplateBench::task(bench.document(R"(
name: Broken
jobEnvironments:
  - name: Licence
    script:
      actions:
        onEnter: {command: sh, args: [-c, "echo openjd_fail: no seat left; exit 1"]}
steps:
  - name: One
    script: {actions: {onRun: {command: "true"}}}
)")));
  check_failed(outcome, "environment-failed", FailureScope::attempt, "no seat left");
}

void path_parameters_name_files_on_this_box() {
  TemplateBench bench;
  write(bench.root / "files/scenes/a.txt", "scene");
  write(bench.root / "files/ext/wood.txt", "wood");
  bench.mappings = {{"/mnt/show/ext/wood.txt", "ext/wood.txt"}};
  const std::string text = R"(
name: Paths
parameterDefinitions:
  - {name: Scene, type: PATH, dataFlow: IN, objectType: FILE}
  - {name: Wood, type: PATH, dataFlow: IN, objectType: FILE, default: /mnt/show/ext/wood.txt}
  - {name: Folder, type: PATH, dataFlow: IN, objectType: DIRECTORY, default: /mnt/show/ext}
  - {name: Film, type: PATH, dataFlow: OUT, objectType: FILE, default: film/cut.txt}
steps:
  - name: One
    script:
      actions:
        onRun: {command: sh, args: [-c, "cat {{Param.Scene}} {{Param.Wood}} {{Param.Folder}}/wood.txt > {{Param.Film}}; echo {{RawParam.Scene}}"]}
)";
  auto task = TemplateBench::task(bench.document(text, {{"Scene", "scenes/a.txt"}}));
  task.manifest = "sha256:files";
  const auto outcome = bench.run(task);
  check_succeeded(outcome);
  check_equal(slurp(outcome.folder / "film/cut.txt"), "scenewoodwood");
  check_contains(outcome.log, "\nscenes/a.txt\n");

  task = TemplateBench::task(bench.document(text, {{"Scene", "scenes/b.txt"}}));
  task.manifest = "sha256:files";
  check_failed(bench.run(task), "missing-file", FailureScope::job, "scenes/b.txt");
  task = TemplateBench::task(bench.document(text, {{"Scene", "../secrets"}}));
  task.manifest = "sha256:files";
  check_failed(bench.run(task), "bad-template", FailureScope::job, "'..'");
  task = TemplateBench::task(bench.document(text, {{"Scene", "scenes/a.txt"}}));
  task.manifest = "sha256:gone";
  check_failed(bench.run(task), "missing-file", FailureScope::job, "no such manifest");
}

void what_earlier_steps_made_is_there_and_only_changes_are_results() {
  TemplateBench bench;
  bench.lay("tiles/0.txt", "zero");
  bench.lay("tiles/1.txt", "one");
  bench.lay("old.txt", "old");
  auto task =
      TemplateBench::task(bench.document(simple("cd '{{Param.Out}}'; cat tiles/*.txt > whole.txt; rm "
                                                "old.txt; echo new > old.txt; test ! -w tiles || true")));
  task.of_template.inputs = true;
  const auto outcome = bench.run(task);
  check_succeeded(outcome);
  check(paths_of(outcome) == (std::vector<std::string>{"old.txt", "whole.txt"}));
  check_equal(slurp(outcome.folder / "whole.txt"), "zeroone");
  check(bench.asked_for == std::vector<TaskId>{task.task});
  check_equal(slurp(bench.root / "inputs/old.txt"), "old");
  check(!fs::exists(outcome.folder / "tiles/0.txt"));
}

void pictures_are_checked_and_measured() {
  const std::string png =
      "import struct, sys, zlib\n"
      "def chunk(kind, data):\n"
      "    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))\n"
      "whole = b'\\x89PNG\\r\\n\\x1a\\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 3, 2, 8, 0, 0, 0, 0)) \\\n"
      "    + chunk(b'IDAT', zlib.compress(b'\\0abc\\0def')) + chunk(b'IEND', b'')\n"
      "open(sys.argv[1], 'wb').write(whole[:int(sys.argv[2])] if len(sys.argv) > 2 else whole)\n";
  TemplateBench bench;
  write(bench.root / "png.py", png);
  const auto script = "python3 " + (bench.root / "png.py").native() + " '{{Param.Out}}/a.png'";
  const auto outcome = bench.run(TemplateBench::task(bench.document(simple(script))));
  check_succeeded(outcome);
  check_equal(outcome.report.files.at(0).width, 3U);
  check_equal(outcome.report.files.at(0).height, 2U);
  check_failed(bench.run(TemplateBench::task(bench.document(simple(script + " 40")))), "frame-invalid",
               FailureScope::attempt, "a.png");
}

void too_many_files_fail_the_job() {
  TemplateBench bench;
  check_failed(bench.run(TemplateBench::task(
                   bench.document(simple("cd '{{Param.Out}}'; seq 1 5000 | while read i; do : > $i; done")))),
               "too-many-files", FailureScope::job, "4096");
}

void progress_is_told() {
  TemplateBench bench;
  const auto fifo = bench.root / "go";
  auto task = TemplateBench::task(bench.document(
      simple("echo openjd_progress: 40; sleep 0.3; echo openjd_progress: 60; while ! test -e " +
             fifo.native() + "; do sleep 0.05; done")));
  task.frames = payloads::FrameSet::of(3);
  bench.runner->start(task, 0);
  const auto at = bench.await(task, [](const Progress& one) { return one.percent >= 60; });
  check(at.phase == payloads::TaskPhase::rendering);
  check_equal(at.frame, 3);
  check(at.eta_s.has_value());
  write(fifo, "");
  check_succeeded(bench.wait());
}

void a_cancelled_task_is_killed_and_its_environments_left() {
  TemplateBench bench;
  const auto text = R"(
name: Long
jobEnvironments:
  - name: Outer
    script:
      actions:
        onEnter: {command: "true"}
        onExit: {command: sh, args: [-c, "touch ROOT/left"]}
steps:
  - name: One
    script:
      actions:
        onRun:
          command: sh
          args: [-c, "trap '' TERM; echo $$ > ROOT/pid.new; mv ROOT/pid.new ROOT/pid; while true; do sleep 1; done"]
          cancelation: {mode: NOTIFY_THEN_TERMINATE, notifyPeriodInSeconds: 600}
)";
  std::string filled = text;
  for (std::size_t at = 0; (at = filled.find("ROOT", at)) != std::string::npos;)
    filled.replace(at, 4, bench.root.native());
  const auto task = TemplateBench::task(bench.document(filled));
  bench.runner->start(task, 0);
  const auto pid = std::atoi(bench.await_file("pid").c_str());
  bench.runner->cancel(task.task, task.attempt);
  const auto outcome = bench.wait();
  check(outcome.cancelled);
  check(::kill(pid, 0) != 0);
  check(fs::exists(bench.root / "left"));
  // The slot is as good as new.
  check_succeeded(bench.run(TemplateBench::task(bench.document(simple("true")))));
}

void a_slots_variables_reach_its_sessions() {
  TemplateBench bench([](Config& config) {
    config.slot_environment = {{{"CUDA_VISIBLE_DEVICES", "GPU-7"}}};
  });
  const auto outcome = bench.run(TemplateBench::task(bench.document(
      simple("echo gpu=$CUDA_VISIBLE_DEVICES; test -S $KILN_RESIDENT_SOCKET; test -d $TMPDIR"))));
  check_succeeded(outcome);
  check_contains(outcome.log, "gpu=GPU-7");
}

}  // namespace

int main() {
  return kiln::test::run(
      "template",
      {{"what a task leaves in its output folder is its result", &a_tasks_files_are_its_result},
       {"a task without files succeeds and has no folder", &a_task_without_files_succeeds_and_has_no_folder},
       {"each task finds its output folder empty", &each_task_finds_its_output_folder_empty},
       {"a session stays open over the tasks of a step", &a_session_stays_open_over_the_tasks_of_a_step},
       {"an idle session is left", &an_idle_session_is_left},
       {"failures say what and whose they are", &failures_say_what_and_whose_they_are},
       {"the job's own limits hold", &the_jobs_own_limits_hold},
       {"what is wrong with the job fails all of it", &what_is_wrong_with_the_job_fails_all_of_it},
       {"an environment that fails fails the task", &an_environment_that_fails_fails_the_task},
       {"PATH parameters name files on this box", &path_parameters_name_files_on_this_box},
       {"inputs are there, and only changes are results",
        &what_earlier_steps_made_is_there_and_only_changes_are_results},
       {"pictures are checked and measured", &pictures_are_checked_and_measured},
       {"too many files fail the job", &too_many_files_fail_the_job},
       {"progress is told", &progress_is_told},
       {"a cancelled task is killed and its environments left",
        &a_cancelled_task_is_killed_and_its_environments_left},
       {"a slot's variables reach its sessions", &a_slots_variables_reach_its_sessions}});
}
