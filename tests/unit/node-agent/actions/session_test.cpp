#include "session_bench.h"

#include <sys/stat.h>

using namespace kiln::actions::test;
using namespace kiln::actions;
using kiln::openjd::Value;

namespace {

// ---- values

constexpr auto one_task = R"yaml(
name: Values
extensions: [TASK_CHUNKING, FEATURE_BUNDLE_1]
parameterDefinitions:
- {name: Text, type: STRING, default: "two words"}
- {name: In, type: PATH, default: /show/in}
steps:
- name: Only
  parameterSpace:
    taskParameterDefinitions:
    - {name: Frame, type: "CHUNK[INT]", range: "1-7", chunks: {defaultTaskCount: 4, rangeConstraint: CONTIGUOUS}}
    - {name: Out, type: PATH, range: ["C:\\out\\a"]}
  script:
    actions:
      onRun: {command: "{{Task.File.Script}}", args: ["{{Param.Text}}", "{{Task.Param.Frame}}", "{{Task.RawParam.Out}}"]}
    embeddedFiles:
    - name: Script
      type: TEXT
      runnable: true
      filename: show.sh
      data: |
        #!/bin/bash
        echo "args $1|$2|$3"
        echo "paths {{Param.In}} {{RawParam.In}} {{Task.Param.Out}} {{Task.RawParam.Out}}"
        echo "session {{Session.WorkingDirectory}} {{Session.HasPathMappingRules}} {{Session.PathMappingRulesFile}}"
        echo "file {{Task.File.Data}} in $(pwd)"
        echo "slot $FROM_SLOT"
        stat -c 'mode %a %n' "{{Task.File.Data}}" "$0"
        cat "{{Task.File.Data}}"
    - {name: Data, type: TEXT, data: "frame {{Task.Param.Frame}}\n"}
)yaml";

void a_task_sees_every_value() {
  Bench bench(one_task, {},
              {{PathFormat::posix, "/show", "/mnt/show"}, {PathFormat::windows, "c:\\OUT", "/mnt/out"}});
  const auto folder = bench.session->folder().native();
  check_success(bench.run());
  const auto output = bench.output();
  check_contains(output, "args two words|1-4|C:\\out\\a\n");
  check_contains(output, "paths /mnt/show/in /show/in /mnt/out/a C:\\out\\a\n");
  check_contains(output, fmt::format("session {0} true {0}/path_mapping_rules.json\n", folder));
  check_contains(output, fmt::format("file {}/embedded_files/task-1/Data-", folder));
  check_contains(output, fmt::format("in {}\n", folder));
  check_contains(output, "slot 7\n");
  check_contains(output, "mode 400 ");
  check_contains(output, "mode 500 ");
  check_contains(output, "show.sh\n");
  check_contains(output, "frame 1-4\n");
  check_contains(slurp(bench.session->folder() / "path_mapping_rules.json"), R"("source_path":"c:\\OUT")");

  check_success(bench.run(1));
  check_contains(bench.output(), "frame 5-7\n");
  // A task's files go with it.
  check(!fs::exists(bench.session->folder() / "embedded_files/task-1"));
  check(!fs::exists(bench.session->folder() / "embedded_files/task-2"));
}

void without_rules_paths_stay_and_the_file_says_so() {
  Bench bench(one_task);
  check_success(bench.run());
  check_contains(bench.output(), "paths /show/in /show/in C:\\out\\a C:\\out\\a\n");
  check_contains(bench.output(), " false ");
  check_contains(slurp(bench.session->folder() / "path_mapping_rules.json"), R"("path_mapping_rules":[])");
}

void the_folder_is_private_and_goes_with_the_session() {
  Bench bench(R"yaml(
name: Folder
steps:
- name: Only
  script: {actions: {onRun: {command: bash, args: ["-c", "mkdir -p a/b && touch a/b/c && chmod 0 a/b && chmod 500 a"]}}}
)yaml");
  const auto folder = bench.session->folder();
  struct stat about {};
  check_equal(::stat(folder.c_str(), &about), 0);
  check_equal(about.st_mode & 0777U, 0700U);
  check_success(bench.run());
  bench.session.reset();
  check(!fs::exists(folder));
}

void line_ends_of_embedded_files_are_as_asked() {
  Bench bench(R"yaml(
name: Lines
extensions: [FEATURE_BUNDLE_1]
steps:
- name: Only
  script:
    actions: {onRun: {command: bash, args: ["-c", "for f in {{Task.File.A}} {{Task.File.L}} {{Task.File.C}}; do od -An -c $f | tr -d ' \n'; echo; done"]}}
    embeddedFiles:
    - {name: A, type: TEXT, data: "1\r\n2\n"}
    - {name: L, type: TEXT, endOfLine: LF, data: "1\r\n2\r3\n"}
    - {name: C, type: TEXT, endOfLine: CRLF, data: "1\r\n2\n3"}
)yaml");
  check_success(bench.run());
  check_equal(bench.output(), "1\\n2\\n\n1\\n2\\r3\\n\n1\\r\\n2\\r\\n3\n");
}

void what_cannot_be_started_says_why() {
  struct Row {
    std::string command;
    std::string why;
  };
  for (const auto& [command, why] : std::vector<Row>{{"no-such-program-of-kiln", "not installed"},
                                                     {"./missing", "No such file"},
                                                     {"{{Param.Empty}}", "must name a program"},
                                                     {"/etc/passwd", "denied"}}) {
    Bench bench(fmt::format(R"yaml(
name: Missing
parameterDefinitions: [{{name: Empty, type: STRING, default: ""}}]
steps: [{{name: Only, script: {{actions: {{onRun: {{command: "{}"}}}}}}}}]
)yaml",
                            command));
    const auto result = bench.run();
    check(!result.status.has_value());
    check_ending(result, Ending::failed, why);
    check(bench.session->is_over());
  }
}

// ---- environments

constexpr auto environments = R"yaml(
name: Environments
jobEnvironments:
- name: Outer
  variables: {A: "outer {{Session.HasPathMappingRules}}", DROPPED: "x", HOME: "/nowhere"}
  script:
    actions:
      onEnter: {command: bash, args: ["{{Env.File.Enter}}"]}
      onExit: {command: bash, args: ["-c", "echo leave-outer A=$A B=$B C=$C D=$DROPPED >> $OUT"]}
    embeddedFiles:
    - name: Enter
      type: TEXT
      data: |
        echo "enter-outer A=$A B=$B" >> $OUT
        echo "openjd_env: B=set"
        echo "openjd_env: DROPPED=y" >&2
        echo "openjd_unset_env: DROPPED"
        echo "openjd_unset_env: HOME"
- name: OnlyVariables
  variables: {C: "c"}
steps:
- name: First
  stepEnvironments:
  - name: Inner
    variables: {A: "inner"}
    script:
      actions:
        onEnter: {command: bash, args: ["-c", "echo 'openjd_env: B=inner'; echo openjd_env: HOME=/again"]}
        onExit: {command: bash, args: ["-c", "echo leave-inner A=$A B=$B >> $OUT"]}
  script: {actions: {onRun: {command: bash, args: ["-c", "echo task A=$A B=$B C=$C D=${DROPPED-gone} H=${HOME-gone}; echo openjd_env: B=task; exit ${EXIT:-0}"]}}}
)yaml";

void variables_live_as_long_as_their_environment() {
  Bench bench(environments);
  const auto& job = bench.job;
  for (const auto& one : job.environments) check_success(bench.session->enter(one, job.extensions));
  check_success(bench.run());
  check_contains(bench.output(), "task A=outer false B=set C=c D=gone H=gone\n");
  check_success(bench.session->enter(job.steps[0].environments[0], job.extensions));
  check_equal(bench.session->depth(), 3U);
  check_success(bench.run());
  check_contains(bench.output(), "task A=inner B=inner C=c D=gone H=/again\n");
  // A task's openjd_env is not heard.
  check_success(bench.session->leave());
  check_success(bench.run());
  check(bench.output().rfind("task A=outer false B=set C=c D=gone H=gone\n") >
        bench.output().find("task A=inner"));
  check_success(bench.session->leave_all());
  check_equal(
      slurp(bench.root / "out"),
      "enter-outer A=outer false B=\nleave-inner A=inner B=inner\nleave-outer A=outer false B=set C= D=\n");
}

void environments_are_left_in_reverse_after_a_failure() {
  for (const std::string broken : {"task", "enter"}) {
    Bench bench(R"yaml(
name: Failing
parameterDefinitions: [{name: Broken, type: STRING}]
jobEnvironments:
- {name: One, script: {actions: {onEnter: {command: "true"}, onExit: {command: bash, args: ["-c", "echo one >> $OUT"]}}}}
- {name: Two, script: {actions: {onEnter: {command: bash, args: ["-c", "[ {{Param.Broken}} != enter ]"]}, onExit: {command: bash, args: ["-c", "echo two >> $OUT; exit 4"]}}}}
steps:
- name: Only
  stepEnvironments:
  - {name: Three, script: {actions: {onEnter: {command: "true"}, onExit: {command: bash, args: ["-c", "echo three >> $OUT"]}}}}
  script: {actions: {onRun: {command: bash, args: ["-c", "echo openjd_fail: the scene is empty; exit 3"]}}}
)yaml",
                {{"Broken", Value::of(broken)}});
    const auto entered = bench.enter();
    const auto result = bench.run();
    if (broken == "task") {
      check_success(entered);
      check_ending(result, Ending::failed, "the scene is empty");
      check_equal(result.status->code, 3);
      check_ending(bench.run(), Ending::failed, "failed before");
    } else {
      // The third was not entered, and the task not run.
      check_ending(entered, Ending::failed, "failed before");
      check_ending(result, Ending::failed, "failed before");
    }
    check_ending(bench.session->leave_all(), Ending::failed, "exit code 4");
    check_equal(slurp(bench.root / "out"), broken == "task" ? "three\ntwo\none\n" : "two\none\n");
    check_equal(bench.session->depth(), 0U);
  }
}

void a_daemon_of_an_environment_lives_until_it_is_left() {
  Bench bench(R"yaml(
name: Daemon
jobEnvironments:
- name: Daemon
  script:
    actions:
      onEnter: {command: bash, args: ["{{Env.File.Start}}"]}
      onExit: {command: bash, args: ["-c", "kill -0 $DAEMON && echo still there"]}
    embeddedFiles:
    - name: Start
      type: TEXT
      data: |
        setsid bash -c '
          trap "" TERM HUP
          while [ ! -e go ]; do sleep 0.01; done
          echo daemon speaks
          touch spoken
          sleep 1000' &
        echo "openjd_env: DAEMON=$!"
        echo "daemon=$!"
steps:
- name: Only
  script:
    actions:
      onRun: {command: bash, args: ["-c", "touch go; while [ ! -e spoken ]; do sleep 0.01; done; sleep 1000 & echo left=$!"]}
)yaml");
  check_success(bench.enter());
  const auto daemon = bench.pid_of("daemon");
  check(is_alive(daemon));
  check_success(bench.run());
  check_contains(bench.output(), "daemon speaks\n");
  check(!is_alive(bench.pid_of("left")));
  check(is_alive(daemon));
  check_success(bench.session->leave());
  check_contains(bench.output(), "still there\n");
  check(!is_alive(daemon));
}

// ---- messages

void messages_reach_the_caller() {
  Bench bench(R"yaml(
name: Messages
steps:
- name: Only
  script: {actions: {onRun: {command: bash, args: ["-c", "echo openjd_progress: 10; echo openjd_status: loading >&2; echo openjd_progress: 200; echo openjd_progress: 99.5; printf 'openjd_status: no line end'"]}}}
)yaml");
  check_success(bench.run());
  check((bench.progress == std::vector<double>{10, 99.5}));
  check(bench.statuses == std::vector<std::string>({"loading", "no line end"}));
  check_contains(bench.output(), "openjd_progress: 10\n");
  check_contains(bench.notes(), "a number from 0 to 100");
}

void a_malformed_variable_ends_its_onenter() {
  Bench bench(R"yaml(
name: Malformed
jobEnvironments: [{name: Bad, script: {actions: {onEnter: {command: bash, args: ["-c", "echo openjd_env: NOVALUE; sleep 1000"]}}}}]
steps: [{name: Only, script: {actions: {onRun: {command: bash, args: ["-c", "echo openjd_env: NOVALUE"]}}}}]
)yaml");
  // In a task it is not heard at all.
  check_success(bench.run());
  check_ending(bench.enter(), Ending::failed, "openjd_env takes NAME=value");
}

constexpr auto secrets = R"yaml(
name: Secrets
EXTENSIONS
parameterDefinitions: [{name: Line, type: STRING, default: "TOKEN=hush-hush"}]
jobEnvironments:
- name: Secret
  script:
    actions:
      onEnter: {command: bash, args: ["{{Env.File.Enter}}"]}
      onExit: {command: bash, args: ["-c", "echo exit says ${TOKEN-nothing}"]}
    embeddedFiles: [{name: Enter, type: TEXT, data: "echo before\necho 'openjd_redacted_env: {{Param.Line}}'\necho after hush-hush"}]
steps:
- name: Only
  script: {actions: {onRun: {command: bash, args: ["-c", "echo openjd_status: ${TOKEN-nothing}; echo \"openjd_fail: no hush-hush\"; exit 1"]}}}
)yaml";

std::string secrets_with(std::string_view extensions) {
  std::string text = secrets;
  const std::string_view mark = "EXTENSIONS";
  return text.replace(text.find(mark), mark.size(), extensions);
}

void a_secret_is_hidden_from_its_own_line_on() {
  Bench bench(secrets_with("extensions: [REDACTED_ENV_VARS]"));
  check_success(bench.enter());
  const auto result = bench.run();
  check_success(bench.session->leave_all());
  check_equal(bench.output(),
              "before\nopenjd_redacted_env: TOKEN=********\nafter ********\nopenjd_status: "
              "********\nopenjd_fail: no ********\n"
              "exit says ********\n");
  check(bench.statuses == std::vector<std::string>{"********"});
  check_ending(result, Ending::failed, "no ********");
  check(bench.notes().find("hush") == std::string::npos);
}

void without_the_extension_a_secret_is_hidden_and_not_set() {
  Bench bench(secrets_with(""));
  check_success(bench.enter());
  bench.run();
  check_success(bench.session->leave_all());
  check_contains(bench.output(),
                 "openjd_redacted_env: TOKEN=********\nafter ********\nopenjd_status: nothing\n");
  check(bench.output().find("hush") == std::string::npos);
  check_contains(bench.notes(), "REDACTED_ENV_VARS");
}

void a_malformed_secret_is_hidden_too() {
  Bench bench(secrets_with("extensions: [REDACTED_ENV_VARS]"), {{"Line", Value::of("TO KEN=hush-hush")}});
  check_ending(bench.enter(), Ending::failed, "openjd_redacted_env takes NAME=value");
  check_success(bench.session->leave_all());
  check(bench.output().find("hush") == std::string::npos);
  check(bench.notes().find("hush") == std::string::npos);
}

void a_secret_longer_than_a_line_may_be_is_hidden_and_refused() {
  Bench bench(R"yaml(
name: Long
extensions: [REDACTED_ENV_VARS]
jobEnvironments: [{name: Long, script: {actions: {onEnter: {command: bash, args: ["-c", "printf 'openjd_redacted_env: A='; head -c 100000 /dev/zero | tr '\\0' s; echo"]}}}}]
steps: [{name: Only, script: {actions: {onRun: {command: "true"}}}}]
)yaml");
  check_ending(bench.enter(), Ending::failed, "at most 65536 bytes");
  check(bench.output().find("ssss") == std::string::npos);
}

void output_is_bounded_by_lines_and_made_text() {
  Bench bench(R"yaml(
name: Output
steps:
- name: Only
  script: {actions: {onRun: {command: bash, args: ["-c", "head -c 1000000 /dev/zero | tr '\\0' x; echo; printf 'bad \\xff byte\\r\\n'; for i in $(seq 20000); do echo $i; done"]}}}
)yaml");
  check_success(bench.run());
  const auto output = bench.output();
  check_contains(output, std::string(65536, 'x') + " … (cut)\nbad \xEF\xBF\xBD byte\n1\n");
  check(output.ends_with("19999\n20000\n"));
}

void the_agents_own_secrets_of_systemd_stay_out_and_stdin_is_empty() {
  ::setenv("NOTIFY_SOCKET", "/run/none", 1);
  Bench bench(R"yaml(
name: Clean
steps: [{name: Only, script: {actions: {onRun: {command: bash, args: ["-c", "cat; echo ${NOTIFY_SOCKET-none}"]}}}}]
)yaml");
  check_success(bench.run());
  check_equal(bench.output(), "none\n");
  ::unsetenv("NOTIFY_SOCKET");
}

void a_path_that_an_environment_sets_finds_programs() {
  Bench bench(R"yaml(
name: Path
jobEnvironments: [{name: E, script: {actions: {onEnter: {command: bash, args: ["-c", "mkdir bin; printf '#!/bin/bash\\necho mine' > bin/kiln-mine; chmod +x bin/kiln-mine; echo openjd_env: PATH=$(pwd)/bin:$PATH"]}}}}]
steps: [{name: Only, script: {actions: {onRun: {command: kiln-mine}}}}]
)yaml");
  check_success(bench.enter());
  check_success(bench.run());
  check_equal(bench.output().substr(bench.output().size() - 5), "mine\n");
}

}  // namespace

int main() {
  return kiln::test::run(
      "session",
      {
          {"a task sees every value that its template may name", &a_task_sees_every_value},
          {"without rules paths stay, and the rules file says so",
           &without_rules_paths_stay_and_the_file_says_so},
          {"the folder is private and goes with the session",
           &the_folder_is_private_and_goes_with_the_session},
          {"line ends of embedded files are as asked", &line_ends_of_embedded_files_are_as_asked},
          {"what cannot be started says why", &what_cannot_be_started_says_why},
          {"variables live as long as their environment", &variables_live_as_long_as_their_environment},
          {"environments are left in reverse after a failure",
           &environments_are_left_in_reverse_after_a_failure},
          {"a daemon of an environment lives until it is left",
           &a_daemon_of_an_environment_lives_until_it_is_left},
          {"messages reach the caller", &messages_reach_the_caller},
          {"a malformed variable ends its onEnter", &a_malformed_variable_ends_its_onenter},
          {"a secret is hidden from its own line on", &a_secret_is_hidden_from_its_own_line_on},
          {"without the extension a secret is hidden and not set",
           &without_the_extension_a_secret_is_hidden_and_not_set},
          {"a malformed secret is hidden too", &a_malformed_secret_is_hidden_too},
          {"a secret longer than a line may be is hidden and refused",
           &a_secret_longer_than_a_line_may_be_is_hidden_and_refused},
          {"output is bounded by lines and made text", &output_is_bounded_by_lines_and_made_text},
          {"what speaks to systemd stays out, and stdin is empty",
           &the_agents_own_secrets_of_systemd_stay_out_and_stdin_is_empty},
          {"a PATH that an environment sets finds programs", &a_path_that_an_environment_sets_finds_programs},
      });
}
