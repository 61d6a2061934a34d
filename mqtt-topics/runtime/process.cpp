#include "runtime/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <map>
#include <thread>

#include "runtime/files.h"
#include "runtime/queue.h"

namespace kiln::runtime {

namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

constexpr Milliseconds for_ever{-1};

// ---- one thread that starts every child -----------------------------------------------------------------
// PR_SET_PDEATHSIG is about the thread that forked, not its process: a child started by a task's thread would
// die when that thread ends. So one thread, which lives as long as the process, starts them all.

class Starter {
 public:
  static void run(const std::function<void()>& job) {
    static Starter& starter = *new Starter;  // never destroyed: a child may be started at any time
    std::promise<void> done;
    const auto pushed = starter.jobs_.push([&] {
      job();
      done.set_value();
    });
    KILN_ASSERT(pushed);
    done.get_future().wait();
  }

 private:
  Starter() {
    std::thread([this] {
      sigset_t all;
      ::sigfillset(&all);
      ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
      for (;;) {
        for (const auto& job : jobs_.pop_all(for_ever)) job();
      }
    }).detach();
  }

  static constexpr std::size_t more_than_threads = 100'000;  // each caller waits for its own
  Queue<std::function<void()>> jobs_{more_than_threads};
};

// ---- between fork and exec ------------------------------------------------------------------------------
// Only async-signal-safe calls from here on: other threads' locks may be held for ever in the child.

enum class Step : int { descriptors, limits, cwd, exec };
struct Trouble {
  Step step;
  int error;
};

struct Plan {
  pid_t parent = 0;
  const char* program = nullptr;
  char* const* argv = nullptr;
  char* const* envp = nullptr;
  const char* cwd = nullptr;             // nullptr: ours
  std::vector<std::pair<int, int>> fds;  // ours, the child's
  std::vector<int> copies;               // room for as many
  Limits limits;
  int niceness = 0;
  int report_fd = -1;
};

[[noreturn]] void report(int fd, Step step) {
  const Trouble trouble{step, errno};
  [[maybe_unused]] const auto written = ::write(fd, &trouble, sizeof trouble);
  ::_exit(127);
}

bool close_on_exec_from(unsigned first) {
  constexpr unsigned cloexec = 1U << 2U;  // CLOSE_RANGE_CLOEXEC
  return ::syscall(SYS_close_range, first, UINT_MAX, cloexec) == 0;
}

bool limit(int which, std::uint64_t value) {
  const rlimit bound{value, value};
  return value == 0 || ::setrlimit(static_cast<__rlimit_resource>(which), &bound) == 0;
}

[[noreturn]] void become(Plan& plan) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != plan.parent) ::_exit(127);  // it died before we asked to be told
  ::setpgid(0, 0);
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);

  // First copies far above every number wanted, so that none is overwritten before it was copied.
  int above = 3;
  for (const auto& [ours, theirs] : plan.fds) above = std::max(above, theirs + 1);
  const int report_fd = ::fcntl(plan.report_fd, F_DUPFD_CLOEXEC, above);
  if (report_fd < 0) report(plan.report_fd, Step::descriptors);
  for (std::size_t i = 0; i < plan.fds.size(); ++i) {
    plan.copies[i] = ::fcntl(plan.fds[i].first, F_DUPFD_CLOEXEC, above);
    if (plan.copies[i] < 0) report(report_fd, Step::descriptors);
  }
  if (!close_on_exec_from(3)) report(report_fd, Step::descriptors);
  for (std::size_t i = 0; i < plan.fds.size(); ++i) {
    if (::dup2(plan.copies[i], plan.fds[i].second) < 0) report(report_fd, Step::descriptors);
  }

  if (!limit(RLIMIT_AS, plan.limits.memory_bytes) || !limit(RLIMIT_CPU, plan.limits.cpu_s)) {
    report(report_fd, Step::limits);
  }
  if (plan.cwd != nullptr && ::chdir(plan.cwd) != 0) report(report_fd, Step::cwd);
  if (plan.niceness != 0) [[maybe_unused]]
    const int nice = ::nice(plan.niceness);
  ::execve(plan.program, plan.argv, plan.envp);
  report(report_fd, Step::exec);
}

// ---- around it ------------------------------------------------------------------------------------------

// Ours without what speaks to systemd in our name, and with the changes.
std::vector<std::string> environment(const std::vector<std::pair<std::string, std::string>>& changes,
                                     const std::vector<std::string>& without, const Launcher* launcher) {
  std::map<std::string, std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    const auto name = text.substr(0, equals);
    if (launcher != nullptr && !launcher->passes_on(name)) continue;
    if (name != "NOTIFY_SOCKET" && !name.starts_with("WATCHDOG_")) all.emplace(name, text.substr(equals + 1));
  }
  for (const auto& name : without) all.erase(name);
  for (const auto& [name, value] : changes) all[name] = value;
  std::vector<std::string> entries;
  entries.reserve(all.size());
  for (const auto& [name, value] : all) entries.push_back(fmt::format("{}={}", name, value));
  return entries;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  all.reserve(texts.size() + 1);
  for (auto& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

Error trouble_error(const Trouble& trouble, const SpawnOptions& options, const fs::path& program) {
  const auto& name = options.argv[0];
  switch (trouble.step) {
    case Step::descriptors:
      return os_error(trouble.error, fmt::format("preparing the descriptors of {}", name));
    case Step::limits:
      return os_error(trouble.error, fmt::format("limiting {}", name));
    case Step::cwd:
      return os_error(trouble.error, fmt::format("starting {} in {}", name, options.cwd.native()));
    case Step::exec:
      return os_error(trouble.error, fmt::format("starting {}", program.native()));
  }
  return Error{};
}

ExitStatus to_status(int wait_status) {
  if (WIFSIGNALED(wait_status)) return {0, WTERMSIG(wait_status)};
  return {WEXITSTATUS(wait_status), 0};
}

// Reaps one that we just started ourselves.
int reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) KILN_ASSERT(errno == EINTR);
  return status;
}

}  // namespace

std::string ExitStatus::str() const {
  if (signal == 0) return fmt::format("exit code {}", code);
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? fmt::format("killed by SIG{}", name) : fmt::format("killed by signal {}", signal);
}

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(os_error(errno, "making a pipe"));
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

Result<fs::path> find_program(const std::string& name, const std::optional<std::string>& other_path) {
  if (name.find('/') != std::string::npos) {
    if (::access(name.c_str(), X_OK) != 0) return fail(os_error(errno, fmt::format("starting {}", name)));
    return fs::path(name);
  }
  const auto is_program = [](const fs::path& path) {
    std::error_code error;
    return fs::is_regular_file(path, error) && ::access(path.c_str(), X_OK) == 0;
  };
  const char* variable = std::getenv("PATH");
  const std::string_view path = other_path            ? std::string_view(*other_path)
                                : variable == nullptr ? "/usr/local/bin:/usr/bin:/bin"
                                                      : variable;
  for (std::size_t begin = 0; !name.empty() && begin <= path.size();) {
    const auto end = std::min(path.find(':', begin), path.size());
    auto candidate = fs::path(path.substr(begin, end - begin)) / name;
    if (candidate.is_absolute() && is_program(candidate)) return candidate;
    begin = end + 1;
  }
  return fail(Code::not_found, fmt::format("the program '{}' is not installed (not in PATH)", name));
}

Result<Process> Process::spawn(const SpawnOptions& options) {
  KILN_ASSERT(!options.argv.empty());
  const auto path = std::find_if(options.environment.begin(), options.environment.end(),
                                 [](const auto& variable) { return variable.first == "PATH"; });
  const auto program = find_program(
      options.argv[0], path == options.environment.end() ? std::nullopt : std::optional(path->second));
  if (!program) return fail(program.error());
  auto env_texts = environment(options.environment, options.without, options.launcher);
  if (options.launcher != nullptr) return launch(options, *program, env_texts);
  auto trouble_pipe = make_pipe();
  if (!trouble_pipe) return fail(std::move(trouble_pipe.error()));

  auto argv_texts = options.argv;
  const auto argv = pointers(argv_texts);
  const auto envp = pointers(env_texts);
  Fd null;
  Plan plan;
  plan.parent = ::getpid();
  plan.program = program->c_str();
  plan.argv = argv.data();
  plan.envp = envp.data();
  plan.cwd = options.cwd.empty() ? nullptr : options.cwd.c_str();
  plan.fds = options.descriptors;
  plan.limits = options.limits;
  if (std::none_of(plan.fds.begin(), plan.fds.end(),
                   [](const auto& pair) { return pair.second == STDIN_FILENO; })) {
    auto opened = open_file("/dev/null", O_RDONLY);
    if (!opened) return fail(std::move(opened.error()));
    null = std::move(*opened);
    plan.fds.emplace_back(null.get(), STDIN_FILENO);
  }
  plan.copies.resize(plan.fds.size());
  plan.niceness = options.niceness;
  plan.report_fd = trouble_pipe->write.get();

  pid_t pid = -1;
  int error = 0;
  Fd pidfd;
  Starter::run([&] {
    pid = ::fork();
    if (pid == 0) become(plan);
    error = errno;
    if (pid > 0) pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (pid > 0 && !pidfd) error = errno;
  });
  if (pid < 0) return fail(os_error(error, fmt::format("starting {}", options.argv[0])));
  if (!pidfd) {
    ::kill(pid, SIGKILL);
    reap(pid);
    return fail(os_error(error, fmt::format("watching {}", options.argv[0])));
  }

  trouble_pipe->write.reset();
  Trouble trouble{};
  ssize_t got = 0;
  do {
    got = ::read(trouble_pipe->read.get(), &trouble, sizeof trouble);
  } while (got < 0 && errno == EINTR);
  if (got == sizeof trouble) {
    reap(pid);
    return fail(trouble_error(trouble, options, *program));
  }
  Process process;
  process.pid_ = pid;
  process.pidfd_ = std::move(pidfd);
  process.keeps_group_ = options.keeps_group;
  return process;
}

Process::~Process() {
  kill();
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      pidfd_(std::move(other.pidfd_)),
      reaper_(std::move(other.reaper_)),
      status_(other.status_),
      keeps_group_(other.keeps_group_) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    kill();
    pid_ = std::exchange(other.pid_, 0);
    pidfd_ = std::move(other.pidfd_);
    reaper_ = std::move(other.reaper_);
    status_ = other.status_;
    keeps_group_ = other.keeps_group_;
  }
  return *this;
}

std::optional<ExitStatus> Process::wait(Milliseconds time) {
  if (!running()) return status_;
  if (!wait_readable(pidfd_.get(), time)) return std::nullopt;
  // Before it is reaped: its group's number is ours only as long as it is a zombie or has members.
  if (!keeps_group_) signal(SIGKILL);
  status_ = ask_end();
  return status_;
}

ExitStatus Process::ask_end() const {
  if (!reaper_) return to_status(reap(pid_));
  int status = 0;
  const char ask = 'r';
  ssize_t got = -1;
  if (::send(reaper_.get(), &ask, 1, MSG_NOSIGNAL) == 1) {
    do {
      got = ::recv(reaper_.get(), &status, sizeof status, MSG_WAITALL);
    } while (got < 0 && errno == EINTR);
  }
  // Who would know is gone, and took it along.
  return got == sizeof status ? to_status(status) : ExitStatus{0, SIGKILL};
}

void Process::signal(int number) const {
  if (!running()) return;
  // Nobody holds the number for us any more when the reaper is gone: it may be another's.
  pollfd alive{reaper_ ? reaper_.get() : -1, 0, 0};
  if (::poll(&alive, 1, 0) > 0) return;
  ::kill(-pid_, number);
}

Result<Process> Process::launch(const SpawnOptions& options, const fs::path& program,
                                const std::vector<std::string>& environment) {
  auto launched = options.launcher->launch(options, program, environment);
  if (!launched) return fail(std::move(launched.error()));
  Process process;
  process.pid_ = launched->pid;
  process.pidfd_ = std::move(launched->pidfd);
  process.reaper_ = std::move(launched->reaper);
  process.keeps_group_ = options.keeps_group;
  return process;
}

ExitStatus Process::stop(Milliseconds grace) {
  signal(SIGTERM);
  if (const auto status = wait(grace)) return *status;
  return kill();
}

ExitStatus Process::kill() {
  signal(SIGKILL);
  return wait(for_ever).value_or(ExitStatus{});
}

// ---- run_capture ----------------------------------------------------------------------------------------

namespace {

// Reads what is there, keeps what fits; false at the end.
bool take(int fd, std::string& text, std::size_t max_bytes) {
  std::array<char, 16ULL * 1024> chunk{};
  for (;;) {
    const auto got = ::read(fd, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return true;
    if (got <= 0) return false;
    const auto room = max_bytes - std::min(max_bytes, text.size());
    text.append(chunk.data(), std::min(static_cast<std::size_t>(got), room));
  }
}

}  // namespace

Result<Captured> run_capture(const std::vector<std::string>& argv, const CaptureOptions& options) {
  auto pipe = make_pipe();
  if (!pipe) return fail(std::move(pipe.error()));
  SpawnOptions spawn;
  spawn.argv = argv;
  spawn.cwd = options.cwd;
  spawn.environment = options.environment;
  spawn.limits = options.limits;
  spawn.niceness = options.niceness;
  spawn.launcher = options.launcher;
  spawn.descriptors = {{pipe->write.get(), STDOUT_FILENO}, {pipe->write.get(), STDERR_FILENO}};
  auto process = Process::spawn(spawn);
  if (!process) return fail(std::move(process.error()));
  pipe->write.reset();
  ::fcntl(pipe->read.get(), F_SETFL, O_NONBLOCK);

  Captured captured;
  const auto deadline = Clock::now() + options.timeout;
  for (;;) {
    const auto left = std::chrono::ceil<Milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) {
      return fail(Code::timeout, fmt::format("{} did not end within {} ms and was killed", argv[0],
                                             options.timeout.count()));
    }
    // poll leaves out negative numbers: a closed pipe, no cancel_fd.
    std::array<pollfd, 3> fds{
        {{process->pidfd(), POLLIN, 0}, {pipe->read.get(), POLLIN, 0}, {options.cancel_fd, POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), static_cast<int>(std::min<std::int64_t>(left, INT_MAX))) < 0) {
      KILN_ASSERT(errno == EINTR);
      continue;
    }
    if (fds[2].revents != 0) return fail(Code::timeout, fmt::format("{} was cancelled", argv[0]));
    if (fds[1].revents != 0 && !take(pipe->read.get(), captured.output, options.max_output_bytes))
      pipe->read.reset();
    if (fds[0].revents == 0) continue;
    captured.status = process->kill();  // it has ended; takes the rest of its group along
    if (pipe->read) take(pipe->read.get(), captured.output, options.max_output_bytes);
    return captured;
  }
}

}  // namespace kiln::runtime
