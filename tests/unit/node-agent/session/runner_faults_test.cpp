// The runner when something goes wrong: with the real Blender, and with shell scripts in its place.
#include <sys/mount.h>

#include "runner_bench.h"

using namespace kiln::session::test;
namespace payloads = kiln::payloads;
using kiln::session::Config;
using kiln::session::JobTree;
using kiln::session::Runner;

namespace {

void a_cancelled_frame_dies_with_its_blender() {
  Bench bench;
  const auto task = Bench::task("long");
  bench.runner->start(task, 0);
  bench.wait_for_work(task);
  const auto pid = bench.runner->renderers().at(0);
  bench.runner->cancel(task.task, 2);  // another attempt: ignored
  bench.runner->cancel(task.task, 1);
  const auto outcome = bench.wait();
  check(outcome.cancelled);
  check(!outcome.report.ok);
  check(gone(pid));
  check_rendered(bench.render(Bench::task("plain")));
  // Nothing of the cancelled one is left.
  check(!fs::exists(bench.scratch / (task.task.str() + ".1")));
}

void a_killed_blender_is_a_failed_attempt_and_the_next_task_works() {
  Bench bench;
  const auto task = Bench::task("long");
  bench.runner->start(task, 0);
  bench.wait_for_work(task);
  check_equal(::kill(bench.runner->renderers().at(0), SIGKILL), 0);
  const auto outcome = bench.wait();
  check_failed(outcome, "renderer-crashed", payloads::FailureScope::attempt);
  check_contains(outcome.report.failure.message, "rendering frame 1 (killed by SIGKILL)");
  check_equal(bench.runner->warm().at(0), "");
  check_rendered(bench.render(Bench::task("plain")));
  // One that dies while it idles costs no task.
  const auto idle = bench.runner->renderers().at(0);
  const auto ending = ending_of(idle);
  check_equal(::kill(idle, SIGKILL), 0);
  check(kiln::runtime::wait_readable(ending.get(), deadline));
  check_rendered(bench.render(Bench::task("plain", "2")));
}

void a_renderer_that_misbehaves_is_named() {
  const struct {
    std::string script;
    const char* code;
    const char* says;
  } cases[] = {
      {"exec sleep 1000", "renderer-hung", "no sign of life for 0.5 s while starting"},
      {"echo cannot open shared object; exit 3", "renderer-crashed", "cannot open shared object"},
      {"kill -SEGV $$", "renderer-crashed", "killed by SIGSEGV"},
      {"echo nonsense >&3; exec sleep 1000", "renderer-crashed", "nonsense"},
      {R"(echo '{"event":"ready","version":"abc"}' >&3; exec sleep 1000)", "renderer-missing", "no Blender"},
      {R"(echo '{"event":"ready","version":"3.4.1"}' >&3; read line; exec sleep 1000)", "renderer-hung",
       "opening plain.blend"},
  };
  for (const auto& one : cases) {
    Bench bench([&](Config& config) {
      config.blender = ground->program(one.script);
      config.hang_ms = 500;
    });
    const auto outcome = bench.render(Bench::task("plain"));
    check_failed(outcome, one.code, payloads::FailureScope::attempt);
    check_contains(outcome.report.failure.message, one.says);
    check_equal(bench.runner->renderers().at(0), 0);
  }
}

void a_task_beyond_its_jobs_limits_is_stopped() {
  // Talks on and on: it does not hang, it takes too long.
  const char* const chatty =
      R"(echo '{"event":"ready","version":"3.4.1"}' >&3; read line; while :; do echo Sample; sleep 0.1; done)";
  const struct {
    const char* script;
    std::uint32_t max_run_s, stall_s;
    const char* code;
    const char* says;
  } cases[] = {
      {chatty, 1, 0, "timeout",
       "longer than the 1 s that its job allows, and was stopped while opening plain.blend"},
      {chatty, 2, 1, "timeout", "longer than the 2 s"},
      {"exec sleep 1000", 0, 1, "renderer-hung", "no sign of life for 1 s while starting"},
      {"exec sleep 1000", 100, 1, "renderer-hung", "no sign of life for 1 s"},
  };
  for (const auto& one : cases) {
    Bench bench([&](Config& config) { config.blender = ground->program(one.script); });
    auto task = Bench::task("plain");
    task.options.max_run_s = one.max_run_s;
    task.options.stall_s = one.stall_s;
    const auto outcome = bench.render(task);
    check_failed(outcome, one.code, payloads::FailureScope::attempt);
    check_contains(outcome.report.failure.message, one.says);
    check_equal(bench.runner->renderers().at(0), 0);
  }
}

void a_job_that_asks_for_a_gpu_is_not_rendered_on_the_cpu() {
  Bench bench;
  auto gpu = Bench::task("plain");
  gpu.options.device = payloads::Device::gpu;
  const auto refused = bench.render(gpu);
  if (refused.report.ok) return check(refused.report.warnings.empty());  // a machine with a GPU for Cycles
  check_failed(refused, "no-gpu", payloads::FailureScope::attempt);
  check_contains(refused.report.failure.message, "finds none on this box that Cycles can use");
  check(refused.report.files.empty());
  auto cpu = Bench::task("plain");
  cpu.options.device = payloads::Device::cpu;
  check_rendered(bench.render(cpu));
  check_failed(bench.render(gpu), "no-gpu", payloads::FailureScope::attempt);
}

void a_box_without_blender_says_what_to_install() {
  Bench bench([](Config& config) { config.blender = "no-such-blender"; });
  const auto outcome = bench.render(Bench::task("plain"));
  check_failed(outcome, "renderer-missing", payloads::FailureScope::attempt);
  check_contains(outcome.report.failure.message, "apt-get install blender");
  check(Runner::detect("no-such-blender").empty());
  check(Runner::detect(ground->program("exit 1").string()).empty());
  const auto found = Runner::detect("blender");
  check_equal(found.size(), 1U);
  check_equal(found[0].name, "blender");
  check_equal(std::count(found[0].version.begin(), found[0].version.end(), '.'), 2);
}

void a_scratch_that_cannot_be_written_is_named() {
  const auto file = ground->root / "a-file";
  write(file, "");
  Bench bench([&](Config& config) { config.scratch = file / "scratch"; });
  const auto outcome = bench.render(Bench::task("plain"));
  check_failed(outcome, "scratch-unusable", payloads::FailureScope::attempt);
  check_contains(outcome.report.failure.message, "a-file");
}

void a_full_disk_is_named() {
  const auto disk = ground->root / "disk";
  fs::create_directories(disk);
  if (::mount("kiln-test", disk.c_str(), "tmpfs", 0, "size=3m") != 0) {
    print_message("no right to mount a small disk here: not tested\n");
    return;
  }
  {
    Bench bench([&](Config& config) { config.scratch = disk / "scratch"; });
    const auto outcome = bench.render(Bench::task("big"));  // 600 x 600 x 16 bytes
    check_failed(outcome, "disk-full", payloads::FailureScope::attempt);
    check_contains(outcome.report.failure.message, "no space left");
    check_rendered(bench.render(Bench::task("plain")));  // the wreck is gone, and this one fits
  }
  check_equal(::umount(disk.c_str()), 0);
}

void a_blender_grown_too_big_is_not_taken_to_the_next_scene() {
  Bench bench([](Config& config) { config.max_renderer_mib = 1; });
  check_rendered(bench.render(Bench::task("plain")));
  const auto first = bench.runner->renderers().at(0);
  check_rendered(bench.render(Bench::task("plain", "1")));
  check_equal(bench.runner->renderers().at(0), first);  // what a scene needs anyway is no growth
  check_rendered(bench.render(Bench::task("other")));
  check(bench.runner->renderers().at(0) != first);
}

void noop_proves_the_plumbing_without_a_renderer() {
  Bench bench([](Config& config) { config.blender = "no-such-blender"; });
  auto task = Bench::task("plain");
  task.renderer = "noop";
  task.manifest.clear();
  const auto outcome = bench.render(task);
  check(outcome.report.ok);
  check(outcome.report.files.empty());
  check(outcome.folder.empty());
  task.renderer = "povray";
  check_failed(bench.render(task), "renderer-missing", payloads::FailureScope::attempt);
}

void fetching_is_cancelled_and_its_failures_told() {
  std::mutex mutex;
  std::condition_variable changed;
  std::set<std::string> asked;
  Bench bench([&](Config& config) {
    config.blender = ground->program("exec sleep 1000").string();
    config.fetch = [&](const std::string& manifest,
                       const std::function<bool()>& cancelled) -> kiln::Result<JobTree> {
      {
        const std::lock_guard lock(mutex);
        asked.insert(manifest);
      }
      changed.notify_all();
      if (manifest == "sha256:full") return kiln::fail(kiln::Code::full, "12 bytes are missing");
      if (manifest == "sha256:gone") return kiln::fail(kiln::Code::not_found, "no blob sha256:1");
      if (manifest == "sha256:away") return kiln::fail(kiln::Code::unavailable, "connection refused");
      while (!cancelled()) std::this_thread::sleep_for(1ms);
      return kiln::fail(kiln::Code::timeout, "cancelled");
    };
  });
  const auto was_asked = [&](const std::string& manifest) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, deadline, [&] { return asked.contains(manifest); });
  };
  const auto slow = Bench::task("slow");
  bench.runner->start(slow, 0);
  check(was_asked("sha256:slow"));
  bench.runner->cancel(slow.task, 1);
  check(bench.wait().cancelled);

  check_failed(bench.render(Bench::task("full")), "disk-full", payloads::FailureScope::attempt);
  check_failed(bench.render(Bench::task("gone")), "missing-file", payloads::FailureScope::job);
  check_failed(bench.render(Bench::task("away")), "fetch-failed", payloads::FailureScope::attempt);

  const auto ahead = Bench::task("ahead");
  bench.runner->prefetch(ahead);
  bench.runner->prefetch(Bench::task("next"));
  check(was_asked("sha256:ahead"));
  bench.runner->cancel(ahead.task, 1);
  check(was_asked("sha256:next"));  // which the runner's end cancels
}

// This program, as an agent that renders without end: says its Blender's process id on stdout.
void be_an_agent() {
  Bench bench;
  const auto task = Bench::task("long");
  bench.runner->start(task, 0);
  bench.wait_for_work(task);
  const auto line = std::to_string(bench.runner->renderers().at(0)) + "\n";
  KILN_ASSERT(::write(STDOUT_FILENO, line.data(), line.size()) == static_cast<ssize_t>(line.size()));
  ::pause();
}

void a_blender_does_not_outlive_the_agent() {
  auto said = kiln::runtime::make_pipe();
  check_ok(said);
  auto agent = kiln::runtime::Process::spawn({.argv = {"/proc/self/exe", "agent", ground->root.string()},
                                              .cwd = {},
                                              .environment = {},
                                              .descriptors = {{said->write.get(), 1}},
                                              .limits = {}});
  check_ok(agent);
  check(kiln::runtime::wait_readable(said->read.get(), deadline));
  char line[32] = {};
  check(::read(said->read.get(), line, sizeof line - 1) > 0);
  const auto blender = static_cast<pid_t>(std::strtol(line, nullptr, 10));
  const auto ending = ending_of(blender);
  check(static_cast<bool>(ending));
  check_equal(::kill(agent->pid(), SIGKILL), 0);
  check(kiln::runtime::wait_readable(ending.get(), deadline));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "agent") {
    Ground theirs{fs::path(argv[2])};
    ground = &theirs;
    be_an_agent();
    return 0;
  }
  Ground here;
  ground = &here;
  return kiln::test::run(
      "runner_faults",
      {{"a cancelled frame dies with its Blender", a_cancelled_frame_dies_with_its_blender},
       {"a killed Blender is a failed attempt and the next task works",
        a_killed_blender_is_a_failed_attempt_and_the_next_task_works},
       {"a renderer that misbehaves is named", a_renderer_that_misbehaves_is_named},
       {"a task beyond its job's limits is stopped", a_task_beyond_its_jobs_limits_is_stopped},
       {"a job that asks for a GPU is not rendered on the CPU",
        a_job_that_asks_for_a_gpu_is_not_rendered_on_the_cpu},
       {"a box without Blender says what to install", a_box_without_blender_says_what_to_install},
       {"a scratch that cannot be written is named", a_scratch_that_cannot_be_written_is_named},
       {"a full disk is named", a_full_disk_is_named},
       {"a Blender grown too big is not taken to the next scene",
        a_blender_grown_too_big_is_not_taken_to_the_next_scene},
       {"noop proves the plumbing without a renderer", noop_proves_the_plumbing_without_a_renderer},
       {"fetching is cancelled and its failures told", fetching_is_cancelled_and_its_failures_told},
       {"a Blender does not outlive the agent", a_blender_does_not_outlive_the_agent}});
}
