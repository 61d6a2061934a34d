#include "runtime/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "check.h"
#include "runtime/event_fd.h"

using namespace std::chrono_literals;
using kiln::Code;
using kiln::runtime::Process;
using kiln::runtime::run_capture;
using kiln::runtime::SpawnOptions;

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
  check(leak.get() < 40);
  // Asked one by one: a listing would need a descriptor itself.
  const auto child = run_capture(
      {"sh", "-c", "n=0; while [ $n -lt 40 ]; do [ -e /proc/$$/fd/$n ] && echo $n; n=$((n+1)); done"});
  check_ok(child);
  check_equal(child->output, "0\n1\n2\n");
}

SpawnOptions shell(const std::string& script) {
  SpawnOptions options;
  options.argv = {"sh", "-c", script};
  return options;
}

// One line of what the child says; empty at its end.
std::string read_line(const kiln::runtime::Fd& fd) {
  std::string line;
  char c = 0;
  while (::read(fd.get(), &c, 1) == 1 && c != '\n') line += c;
  return line;
}

void a_pidfd_tells_the_end_and_stop_is_gentle_first() {
  auto pipe = kiln::runtime::make_pipe();
  check_ok(pipe);
  auto options = shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done");
  options.descriptors = {{pipe->write.get(), 1}};
  auto process = Process::spawn(options);
  check_ok(process);
  check_equal(read_line(pipe->read), "ready");
  pollfd ended{process->pidfd(), POLLIN, 0};
  check_equal(::poll(&ended, 1, 0), 0);
  check(!process->wait(0ms).has_value());
  check_equal(process->stop(10s).str(), "exit code 7");
  check(!process->running());
  check_equal(process->wait(0ms)->str(), "exit code 7");  // the answer stays
}

void a_child_that_will_not_stop_is_killed_after_the_grace_time() {
  auto pipe = kiln::runtime::make_pipe();
  check_ok(pipe);
  auto options = shell("trap '' TERM; echo ready; while :; do sleep 0.05; done");
  options.descriptors = {{pipe->write.get(), 1}};
  auto process = Process::spawn(options);
  check_ok(process);
  check_equal(read_line(pipe->read), "ready");
  check_equal(process->stop(20ms).str(), "killed by SIGKILL");
}

void what_a_child_leaves_in_its_group_ends_with_it() {
  auto pipe = kiln::runtime::make_pipe();
  check_ok(pipe);
  auto options = shell("sleep 600 & exit 0");
  options.descriptors = {{pipe->write.get(), 1}};
  auto process = Process::spawn(options);
  check_ok(process);
  pipe->write.reset();
  check_equal(process->wait(-1ms)->str(), "exit code 0");
  check_equal(read_line(pipe->read), "");  // the end: no writer is left, the sleeper included
}

void a_child_outlives_the_thread_that_spawned_it() {
  Process child;
  std::thread([&] {
    auto process = Process::spawn(shell("read word; exit 4"));
    if (process) child = std::move(*process);
  }).join();
  check(child.pid() > 0);
  check_equal(child.wait(-1ms)->str(), "exit code 4");  // not SIGKILL
}

// Run as `test_runtime_process hold`: starts a child that holds descriptor 5 and says so.
int hold() {
  SpawnOptions options;
  options.argv = {"sleep", "600"};
  options.descriptors = {{5, 1}};
  const auto child = Process::spawn(options);
  [[maybe_unused]] const auto written = ::write(1, child ? "up\n" : "no\n", 3);
  for (;;) ::pause();
}

void a_child_dies_with_the_process_that_spawned_it() {
  auto told = kiln::runtime::make_pipe();
  auto held = kiln::runtime::make_pipe();
  check_ok(told);
  check_ok(held);
  SpawnOptions options;
  options.argv = {std::filesystem::read_symlink("/proc/self/exe").string(), "hold"};
  options.descriptors = {{told->write.get(), 1}, {held->write.get(), 5}};
  auto parent = Process::spawn(options);
  check_ok(parent);
  told->write.reset();
  held->write.reset();
  check_equal(read_line(told->read), "up");
  parent->kill();  // its child is in another group: only the kernel tells it
  check(kiln::runtime::wait_readable(held->read.get(), 30s));
  check_equal(read_line(held->read), "");
}

void descriptors_may_trade_places() {
  auto one = kiln::runtime::make_pipe();
  auto two = kiln::runtime::make_pipe();
  check_ok(one);
  check_ok(two);
  auto options = shell("echo first >&3; echo second >&4");
  const int a = one->write.get();
  const int b = two->write.get();
  options.descriptors = {{a, 3}, {b, 4}};
  // Whatever numbers ours have, none is overwritten before it was copied.
  if (a != 3) options.descriptors.emplace_back(::open("/dev/null", O_RDWR | O_CLOEXEC), a == 5 ? 6 : 5);
  auto process = Process::spawn(options);
  check_ok(process);
  check_equal(read_line(one->read), "first");
  check_equal(read_line(two->read), "second");
  check(process->wait(-1ms)->ok());
}

void a_missing_folder_is_named() {
  auto options = shell("true");
  options.cwd = "/no/such/folder";
  const auto process = Process::spawn(options);
  check(!process.has_value());
  check(process.error().code == Code::not_found);
  check_contains(process.error().message, "/no/such/folder");
}

void a_cancel_descriptor_ends_a_capture() {
  const kiln::runtime::EventFd cancel;
  auto canceller = cancel.fd();
  const std::uint64_t one = 1;
  check(::write(canceller, &one, sizeof one) == sizeof one);
  kiln::runtime::CaptureOptions options;
  options.cancel_fd = canceller;
  const auto captured = run_capture({"sleep", "600"}, options);
  check(!captured.has_value());
  check_equal(captured.error().message, "sleep was cancelled");
}

void variables_of_ours_may_be_left_out_and_a_path_of_the_child_finds_its_program() {
  ::setenv("KILN_LEFT_OUT", "ours", 1);
  auto pipe = kiln::runtime::make_pipe();
  check_ok(pipe);
  kiln::runtime::SpawnOptions options;
  options.argv = {"sh", "-c", "echo ${KILN_LEFT_OUT-gone}"};
  options.without = {"KILN_LEFT_OUT"};
  options.descriptors = {{pipe->write.get(), 1}};
  auto child = Process::spawn(options);
  check_ok(child);
  check(child->wait(10s).has_value());
  std::array<char, 16> word{};
  check_equal(::read(pipe->read.get(), word.data(), word.size()), 5);
  check_equal(std::string(word.data()), "gone\n");
  ::unsetenv("KILN_LEFT_OUT");

  options.environment = {{"PATH", "/nowhere"}};
  child = Process::spawn(options);
  check(!child.has_value());
  check(child.error().code == Code::not_found);
}

void a_child_may_leave_its_group_behind() {
  auto pipe = kiln::runtime::make_pipe();
  check_ok(pipe);
  kiln::runtime::SpawnOptions options;
  options.argv = {"sh", "-c", "sleep 600 & true"};
  options.descriptors = {{pipe->write.get(), 1}};
  options.keeps_group = true;
  auto child = Process::spawn(options);
  check_ok(child);
  pipe->write.reset();
  const auto group = child->pid();
  check_equal(child->wait(10s)->code, 0);
  check_equal(::kill(-group, 0), 0);  // the sleeper
  check_equal(::kill(-group, SIGKILL), 0);
  check(kiln::runtime::wait_readable(pipe->read.get(), 10s));  // nobody holds the other end any more
}

void systemd_is_not_spoken_to_by_children() {
  ::setenv("NOTIFY_SOCKET", "/run/x", 1);
  ::setenv("WATCHDOG_USEC", "1", 1);
  const auto child = run_capture({"sh", "-c", "echo \"$NOTIFY_SOCKET$WATCHDOG_USEC\""});
  ::unsetenv("NOTIFY_SOCKET");
  ::unsetenv("WATCHDOG_USEC");
  check_ok(child);
  check_equal(child->output, "\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "hold") return hold();
  return kiln::test::run(
      "process",
      {{"output and exit code come back", output_and_exit_code_come_back},
       {"a program that is not there is named", a_program_that_is_not_there_is_named},
       {"a missing folder is named", a_missing_folder_is_named},
       {"output is bounded and the rest does not block the child",
        output_is_bounded_and_the_rest_does_not_block_the_child},
       {"a child over its time is killed with its children",
        a_child_over_its_time_is_killed_with_its_children},
       {"a cancel descriptor ends a capture", a_cancel_descriptor_ends_a_capture},
       {"limits, cwd and environment reach the child", limits_cwd_and_environment_reach_the_child},
       {"variables of ours may be left out, and a PATH of the child finds its program",
        variables_of_ours_may_be_left_out_and_a_path_of_the_child_finds_its_program},
       {"a child may leave its group behind", a_child_may_leave_its_group_behind},
       {"systemd is not spoken to by children", systemd_is_not_spoken_to_by_children},
       {"only the descriptors that were given are open", only_the_descriptors_that_were_given_are_open},
       {"descriptors may trade places", descriptors_may_trade_places},
       {"a pidfd tells the end and stop is gentle first", a_pidfd_tells_the_end_and_stop_is_gentle_first},
       {"a child that will not stop is killed", a_child_that_will_not_stop_is_killed_after_the_grace_time},
       {"what a child leaves in its group ends with it", what_a_child_leaves_in_its_group_ends_with_it},
       {"a child outlives the thread that spawned it", a_child_outlives_the_thread_that_spawned_it},
       {"a child dies with the process that spawned it", a_child_dies_with_the_process_that_spawned_it}});
}
