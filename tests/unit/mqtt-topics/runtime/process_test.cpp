#include "runtime/process.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "check.h"

using namespace std::chrono_literals;
using kiln::Code;
using kiln::runtime::Process;
using kiln::runtime::run_capture;

namespace {

void output_and_exit_code_come_back() {
  const auto both = run_capture({"sh", "-c", "echo out; echo err >&2; exit 3"});
  check_ok(both);
  check_equal(both->output, "out\nerr\n");
  check_equal(both->status.str(), "exit code 3");
  const auto killed = run_capture({"sh", "-c", "kill -SEGV $$"});
  check_ok(killed);
  check_equal(killed->status.str(), "killed by SIGSEGV");
}

void a_program_that_is_not_there_is_named() {
  const auto missing = run_capture({"no-such-program-anywhere"});
  check(!missing.has_value());
  check(missing.error().code == Code::not_found);
  check_contains(missing.error().message, "no-such-program-anywhere");
  const auto no_binary = run_capture({"/etc/passwd"});
  check(!no_binary.has_value());
  check(no_binary.error().code == Code::denied);
}

void output_is_bounded_and_the_rest_does_not_block_the_child() {
  kiln::runtime::CaptureOptions options;
  options.max_output_bytes = 10;
  const auto big = run_capture({"sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x"}, options);
  check_ok(big);
  check_equal(big->output, "xxxxxxxxxx");
  check(big->status.ok());
}

void a_child_over_its_time_is_killed_with_its_children() {
  kiln::runtime::CaptureOptions options;
  options.timeout = 200ms;
  const auto slow = run_capture({"sh", "-c", "sleep 600 & sleep 600"}, options);
  check(!slow.has_value());
  check(slow.error().code == Code::timeout);
}

void limits_cwd_and_environment_reach_the_child() {
  kiln::runtime::CaptureOptions options;
  options.cwd = "/usr";
  options.environment = {{"KILN_WORD", "clay"}};
  options.limits.memory_bytes = 1ULL << 30U;
  const auto child = run_capture({"sh", "-c", "pwd; echo $KILN_WORD; ulimit -v"}, options);
  check_ok(child);
  check_equal(child->output, "/usr\nclay\n1048576\n");
}

void only_the_descriptors_that_were_given_are_open() {
  const auto leak = kiln::runtime::Fd(::dup(2));  // without close-on-exec, as a library might leave it
  const auto child = run_capture({"sh", "-c", "ls /proc/$$/fd | tr '\\n' ' '"});
  check_ok(child);
  check_equal(child->output, "0 1 2 ");
}

void a_pidfd_tells_the_end_and_stop_is_gentle_first() {
  auto process = Process::spawn(
      {{"sh", "-c", "trap 'exit 7' TERM; echo; while :; do sleep 0.05; done"}, {}, {}, {}, {}});
  check_ok(process);
  pollfd ended{process->pidfd(), POLLIN, 0};
  check_equal(::poll(&ended, 1, 0), 0);
  check(!process->wait(50ms).has_value());
  process->signal(SIGTERM);
  check_equal(::poll(&ended, 1, 10'000), 1);
  const auto status = process->wait(0ms);
  check(status.has_value());
  check(status->code == 7 || status->signal == SIGTERM);  // before or after the trap was set
  check(!process->running());
}

void a_child_dies_with_the_thread_that_spawned_it() {
  auto pipe = kiln::runtime::make_pipe();
  check_ok(pipe);
  Process orphan;
  std::thread([&] {
    auto process = Process::spawn({{"sleep", "600"}, {}, {}, {{pipe->write.get(), 1}}, {}});
    if (process) orphan = std::move(*process);
  }).join();
  pipe->write.reset();
  pollfd closed{pipe->read.get(), POLLIN, 0};
  check_equal(::poll(&closed, 1, 10'000), 1);  // the last writer is gone
  const auto status = orphan.wait(10s);
  check(status.has_value());
  check_equal(status->str(), "killed by SIGKILL");
}

}  // namespace

int main() {
  return kiln::test::run(
      "process",
      {{"output and exit code come back", output_and_exit_code_come_back},
       {"a program that is not there is named", a_program_that_is_not_there_is_named},
       {"output is bounded and the rest does not block the child",
        output_is_bounded_and_the_rest_does_not_block_the_child},
       {"a child over its time is killed with its children",
        a_child_over_its_time_is_killed_with_its_children},
       {"limits, cwd and environment reach the child", limits_cwd_and_environment_reach_the_child},
       {"only the descriptors that were given are open", only_the_descriptors_that_were_given_are_open},
       {"a pidfd tells the end and stop is gentle first", a_pidfd_tells_the_end_and_stop_is_gentle_first},
       {"a child dies with the thread that spawned it", a_child_dies_with_the_thread_that_spawned_it}});
}
