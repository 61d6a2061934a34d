#include "runtime/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

extern char** environ;

namespace kiln::runtime {

namespace {

using namespace std::chrono_literals;

// The program as an absolute path, so that the child needs no PATH search between fork and exec.
Result<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (::access(name.c_str(), X_OK) != 0) return fail(system_error(errno, name));
    return name;
  }
  const char* variable = std::getenv("PATH");
  std::string_view folders = variable != nullptr ? variable : "/usr/local/bin:/usr/bin:/bin";
  while (!folders.empty()) {
    const auto colon = std::min(folders.find(':'), folders.size());
    auto candidate = fmt::format("{}/{}", folders.substr(0, colon), name);
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    folders.remove_prefix(std::min(colon + 1, folders.size()));
  }
  return fail(Code::not_found, fmt::format("the program '{}' is not installed (not in PATH)", name));
}

std::vector<std::string> child_environment(const std::vector<std::pair<std::string, std::string>>& added) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const auto name = text.substr(0, text.find('='));
    const bool replaced =
        std::any_of(added.begin(), added.end(), [&](const auto& one) { return one.first == name; });
    // NOTIFY_SOCKET and WATCHDOG_* speak to systemd in our name: not for children.
    if (!replaced && name != "NOTIFY_SOCKET" && !name.starts_with("WATCHDOG_")) all.emplace_back(text);
  }
  for (const auto& [name, value] : added) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (auto& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// Everything the child needs between fork and exec, prepared before the fork: after it only
// async-signal-safe calls are allowed (signal-safety(7)), since other threads may hold malloc's lock.
struct ChildPlan {
  const char* program;
  char** argv;
  char** environment;
  const char* cwd;
  const std::pair<int, int>* descriptors;
  std::size_t descriptor_count;
  Limits limits;
  pid_t parent;
};

[[noreturn]] void child_main(const ChildPlan& plan, int report_fd) {
  const auto give_up = [&] {
    const int error = errno;
    [[maybe_unused]] const auto ignored = ::write(report_fd, &error, sizeof error);
    ::_exit(127);
  };
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != plan.parent) ::_exit(127);  // the parent died before the line above
  struct sigaction defaults {};
  defaults.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &defaults, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);

  // First out of the way of the targets, then onto them.
  constexpr int above = 64;
  int moved[16];
  const int report = ::fcntl(report_fd, F_DUPFD_CLOEXEC, above);
  if (report < 0 || plan.descriptor_count > std::size(moved)) give_up();
  for (std::size_t i = 0; i < plan.descriptor_count; ++i) {
    moved[i] = ::fcntl(plan.descriptors[i].first, F_DUPFD_CLOEXEC, above);
    if (moved[i] < 0) give_up();
  }
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int standard = 0; standard < 3; ++standard) ::dup2(null, standard);
  for (std::size_t i = 0; i < plan.descriptor_count; ++i) ::dup2(moved[i], plan.descriptors[i].second);
  // Close-on-exec marks the rest, so that a library's descriptor without the flag does not leak.
  int highest_target = 2;
  for (std::size_t i = 0; i < plan.descriptor_count; ++i) {
    highest_target = std::max(highest_target, plan.descriptors[i].second);
  }
  ::syscall(SYS_close_range, static_cast<unsigned>(highest_target) + 1U, ~0U,
            1U << 2U /* CLOSE_RANGE_CLOEXEC */);

  const auto limit = [&](auto which, std::uint64_t value) {
    const struct rlimit bound { value, value };
    if (value != 0 && ::setrlimit(which, &bound) != 0) give_up();
  };
  limit(RLIMIT_AS, plan.limits.memory_bytes);
  limit(RLIMIT_CPU, plan.limits.cpu_s);
  if (plan.cwd != nullptr && ::chdir(plan.cwd) != 0) give_up();
  ::execve(plan.program, plan.argv, plan.environment);
  const int error = errno;
  [[maybe_unused]] const auto ignored = ::write(report, &error, sizeof error);
  ::_exit(127);
}

}  // namespace

std::string ExitStatus::str() const {
  if (signal == 0) return fmt::format("exit code {}", code);
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? fmt::format("killed by SIG{}", name) : fmt::format("killed by signal {}", signal);
}

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(system_error(errno, "while making a pipe"));
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

Process::~Process() {
  if (running()) kill();
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), pidfd_(std::move(other.pidfd_)) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    if (running()) kill();
    pid_ = std::exchange(other.pid_, 0);
    pidfd_ = std::move(other.pidfd_);
  }
  return *this;
}

Result<Process> Process::spawn(const SpawnOptions& options) {
  KILN_ASSERT(!options.argv.empty());
  auto program = find_program(options.argv[0]);
  if (!program) return fail(std::move(program.error()));
  auto argv = options.argv;
  auto environment = child_environment(options.environment);
  auto argv_pointers = pointers(argv);
  auto environment_pointers = pointers(environment);
  auto report = make_pipe();
  if (!report) return fail(std::move(report.error()));
  const ChildPlan plan{program->c_str(),
                       argv_pointers.data(),
                       environment_pointers.data(),
                       options.cwd.empty() ? nullptr : options.cwd.c_str(),
                       options.descriptors.data(),
                       options.descriptors.size(),
                       options.limits,
                       ::getpid()};

  // No handler of ours may run in the child before it has reset them.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) child_main(plan, report->write.get());
  const int fork_error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return fail(system_error(fork_error, fmt::format("while starting {}", argv[0])));

  Process process;
  process.pid_ = pid;
  process.pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  ::setpgid(pid, pid);  // both sides: a signal to the group must not come too early
  report->write.reset();
  int error = 0;
  ssize_t got = 0;
  do {
    got = ::read(report->read.get(), &error, sizeof error);
  } while (got < 0 && errno == EINTR);
  if (got == sizeof error) {  // exec failed; a closed pipe means that it went well
    process.wait(-1ms);
    return fail(system_error(error, fmt::format("while starting {}", argv[0])));
  }
  return process;
}

std::optional<ExitStatus> Process::wait(std::chrono::milliseconds time) {
  if (!running()) return std::nullopt;
  if (time >= 0ms) {
    const auto deadline = std::chrono::steady_clock::now() + time;
    for (;;) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      pollfd ended{pidfd_.get(), POLLIN, 0};
      const int ready = ::poll(&ended, 1, static_cast<int>(std::max(left, 0ms).count()));
      if (ready < 0 && errno == EINTR) continue;
      if (ready == 0) return std::nullopt;
      break;
    }
  }
  int status = 0;
  pid_t reaped = 0;
  do {
    reaped = ::waitpid(pid_, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  pid_ = 0;
  pidfd_.reset();
  ExitStatus exit;
  if (reaped > 0 && WIFSIGNALED(status)) exit.signal = WTERMSIG(status);
  if (reaped > 0 && WIFEXITED(status)) exit.code = WEXITSTATUS(status);
  return exit;
}

void Process::signal(int number) const {
  if (running()) ::kill(-pid_, number);
}

ExitStatus Process::stop(std::chrono::milliseconds grace) {
  signal(SIGTERM);
  if (auto status = wait(grace)) {
    return *status;
  }
  return kill();
}

ExitStatus Process::kill() {
  if (!running()) return {};
  signal(SIGKILL);
  return wait(-1ms).value_or(ExitStatus{});
}

Result<Captured> run_capture(const std::vector<std::string>& argv, const CaptureOptions& options) {
  auto pipe = make_pipe();
  if (!pipe) return fail(std::move(pipe.error()));
  SpawnOptions spawn;
  spawn.argv = argv;
  spawn.cwd = options.cwd;
  spawn.environment = options.environment;
  spawn.limits = options.limits;
  spawn.descriptors = {{pipe->write.get(), 1}, {pipe->write.get(), 2}};
  auto process = Process::spawn(spawn);
  if (!process) return fail(std::move(process.error()));
  pipe->write.reset();

  Captured captured;
  const auto deadline = std::chrono::steady_clock::now() + options.timeout;
  char buffer[16 * 1024];
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd readable{pipe->read.get(), POLLIN, 0};
    const int ready = left > 0ms ? ::poll(&readable, 1, static_cast<int>(left.count())) : 0;
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      process->kill();
      return fail(Code::timeout,
                  fmt::format("{} did not end within {} ms", argv[0], options.timeout.count()));
    }
    const auto got = ::read(pipe->read.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    const auto room = options.max_output_bytes - captured.output.size();
    captured.output.append(buffer, std::min(static_cast<std::size_t>(got), room));
  }
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  auto status = process->wait(std::max(left, 0ms));
  if (!status) {
    process->kill();
    return fail(Code::timeout, fmt::format("{} did not end within {} ms", argv[0], options.timeout.count()));
  }
  captured.status = *status;
  return captured;
}

}  // namespace kiln::runtime
