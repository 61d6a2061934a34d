// kiln-cage: the first process of a cage. Starts what the agent asks it to, watches what the cage uses, and
// kills what is left. The kernel kills everything in the cage when this process ends, and nothing in there
// can end it: signals from within do not reach the first process, and without being dumpable it cannot be
// traced.
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cage/seccomp.h"
#include "cage/watch.h"
#include "cage/wire.h"

namespace kiln::cage {

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

constexpr Milliseconds tick{100};  // how long processes may multiply unseen; their count is bounded besides
constexpr Milliseconds disk_every{500};    // …and files
constexpr int disk_share = 20;             // looking at files takes a twentieth of a processor at most
constexpr Milliseconds unkillable{5'000};  // one that hangs in a driver is not waited for longer
constexpr std::uint64_t mib = 1024UL * 1024;
constexpr std::uint64_t spare_processes =
    32;  // counted by the kernel, so that we see that there are too many
// A disk with less than this serves nobody; whoever holds more than the second gives way.
constexpr std::uint64_t least_free_bytes = 128 * mib;
constexpr std::uint64_t innocent_bytes = 64 * mib;
constexpr const char* oom_adjustment = "500";  // before the agent and everything of the system

struct Bounds {
  std::uint64_t processes = 0;  // with their threads
  std::uint64_t memory_bytes = 0;
  std::uint64_t scratch_bytes = 0;
  std::vector<std::string> folders;
};

[[noreturn]] void give_up(const char* why) {
  std::fprintf(stderr, "kiln-cage: %s: %s\n", why, std::strerror(errno));
  ::_exit(1);
}

void bound(__rlimit_resource which, std::uint64_t value) {
  rlimit now{};
  ::getrlimit(which, &now);
  const rlim_t wanted = std::min<rlim_t>(now.rlim_max, value);
  const rlimit limit{wanted, wanted};
  ::setrlimit(which, &limit);
}

// ---- one child -------------------------------------------------------------------------------------------

// Only async-signal-safe calls, though there is one thread: it is also short of memory when the cage is.
[[noreturn]] void report(int fd, wire::Answer::Step step) {
  const wire::Answer answer{step, errno};
  [[maybe_unused]] const auto written = ::write(fd, &answer, sizeof answer);
  ::_exit(127);
}

struct Start {
  const char* program = nullptr;
  const char* folder = nullptr;
  std::vector<char*> argv;
  std::vector<char*> envp;
  std::vector<int> ours;
  std::vector<std::int32_t> theirs;
  int niceness = 0;
};

[[noreturn]] void become(Start& start, int report_fd) {
  ::setpgid(0, 0);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  int above = 3;
  for (const auto one : start.theirs) above = std::max(above, one + 1);
  report_fd = ::fcntl(report_fd, F_DUPFD_CLOEXEC, above);
  if (report_fd < 0) ::_exit(127);
  for (auto& one : start.ours) {
    one = ::fcntl(one, F_DUPFD_CLOEXEC, above);
    if (one < 0) report(report_fd, wire::Answer::descriptors);
  }
  constexpr unsigned cloexec = 1U << 2U;  // CLOSE_RANGE_CLOEXEC
  if (::syscall(SYS_close_range, 3U, UINT_MAX, cloexec) != 0) report(report_fd, wire::Answer::descriptors);
  for (std::size_t i = 0; i < start.ours.size(); ++i) {
    if (::dup2(start.ours[i], start.theirs[i]) < 0) report(report_fd, wire::Answer::descriptors);
  }
  if (*start.folder != '\0' && ::chdir(start.folder) != 0) report(report_fd, wire::Answer::folder);
  if (start.niceness != 0) [[maybe_unused]]
    const int nice = ::nice(start.niceness);
  ::execve(start.program, start.argv.data(), start.envp.data());
  report(report_fd, wire::Answer::exec);
}

// ---- sockets ---------------------------------------------------------------------------------------------

union Space {
  cmsghdr align;
  std::array<char, CMSG_SPACE(sizeof(int) * wire::max_descriptors)> bytes;
};

// With at most one descriptor (below 0: none).
bool send_with(int socket, const void* bytes, std::size_t size, int fd) {
  iovec part{const_cast<void*>(bytes), size};
  Space space{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = space.bytes.data();
    message.msg_controllen = CMSG_SPACE(sizeof(int));
    auto* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(size);
}

ssize_t receive_with(int socket, void* bytes, std::size_t size, std::vector<int>& fds) {
  iovec part{bytes, size};
  Space space{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space.bytes.data();
  message.msg_controllen = space.bytes.size();
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  for (auto* header = CMSG_FIRSTHDR(&message); got >= 0 && header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const auto count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const auto before = fds.size();
    fds.resize(before + count);
    std::memcpy(fds.data() + before, CMSG_DATA(header), count * sizeof(int));
  }
  return got;
}

bool receive_all(int socket, char* bytes, std::size_t size) {
  while (size > 0) {
    const auto got = ::recv(socket, bytes, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    bytes += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

// ---- the warden ------------------------------------------------------------------------------------------

class Warden {
 public:
  explicit Warden(Bounds bounds) : bounds_(std::move(bounds)) {}

  [[noreturn]] void run() {
    for (;;) {
      std::vector<pollfd> waits{{wire::control_fd, POLLIN, 0}};
      for (const auto& [channel, pid] : children_) waits.push_back({channel, POLLIN, 0});
      const bool is_empty = children_.empty() && others_ == 0;
      const int ready = ::poll(waits.data(), waits.size(), is_empty ? -1 : static_cast<int>(tick.count()));
      if (ready < 0) continue;
      for (std::size_t i = 1; i < waits.size(); ++i) {
        if (waits[i].revents != 0) settle(waits[i].fd);
      }
      if (waits[0].revents != 0) obey();
      if (Clock::now() >= look_at_) look();
    }
  }

 private:
  struct Root {
    std::size_t level = 0;
    pid_t pid = 0;
    std::uint64_t started = 0;
  };

  // ---- orders

  void obey() {
    wire::Order order;
    std::vector<int> fds;
    const auto got = receive_with(wire::control_fd, &order, sizeof order, fds);
    if (got <= 0) ::_exit(0);  // the agent has gone; with us everything goes
    if (got == sizeof order && order.what == wire::Order::launch && fds.size() == 1) {
      const int channel = std::exchange(fds[0], -1);
      launch(channel);
    } else if (got == sizeof order && order.what != wire::Order::launch) {
      order.what == wire::Order::keep ? keep(order.level) : sweep(order.level);
      const char done = 'd';
      ::send(wire::control_fd, &done, 1, MSG_NOSIGNAL);
    }
    for (const auto one : fds) {
      if (one >= 0) ::close(one);
    }
  }

  void launch(int channel) {
    wire::Request request;
    std::vector<int> fds;
    std::string text;
    bool is_whole = receive_with(channel, &request, sizeof request, fds) == sizeof request &&
                    request.bytes <= wire::max_request_bytes && request.descriptors == fds.size();
    if (is_whole) {
      text.resize(request.bytes);
      is_whole = receive_all(channel, text.data(), text.size());
    }
    Start start;
    is_whole = is_whole && parse(request, text, start);
    start.ours = fds;
    wire::Answer answer{wire::Answer::fork, EINVAL};
    int pidfd = -1;
    pid_t pid = -1;
    if (is_whole) pid = begin(start, answer, pidfd);
    for (const auto one : fds) ::close(one);
    const bool is_told = send_with(channel, &answer, sizeof answer, pidfd);
    if (pidfd >= 0) ::close(pidfd);
    if (pid > 0 && is_told) {
      children_[channel] = pid;
      return;
    }
    if (pid > 0) end(pid);
    ::close(channel);
  }

  static bool parse(const wire::Request& request, std::string& text, Start& start) {
    const std::size_t numbers = request.descriptors * sizeof(std::int32_t);
    if (text.size() < numbers || request.arguments == 0) return false;
    const std::size_t end = text.size() - numbers;
    std::size_t at = 0;
    const auto next = [&]() -> char* {
      const auto nul = text.find('\0', at);
      if (nul == std::string::npos || nul >= end) return nullptr;
      return text.data() + std::exchange(at, nul + 1);
    };
    start.program = next();
    start.folder = next();
    for (std::uint32_t i = 0; i < request.arguments; ++i) start.argv.push_back(next());
    for (std::uint32_t i = 0; i < request.variables; ++i) start.envp.push_back(next());
    const auto is_missing = [](const char* one) { return one == nullptr; };
    if (start.program == nullptr || start.folder == nullptr || at != end ||
        std::any_of(start.argv.begin(), start.argv.end(), is_missing) ||
        std::any_of(start.envp.begin(), start.envp.end(), is_missing)) {
      return false;
    }
    start.argv.push_back(nullptr);
    start.envp.push_back(nullptr);
    start.theirs.resize(request.descriptors);
    std::memcpy(start.theirs.data(), text.data() + end, numbers);
    start.niceness = request.niceness;
    return true;
  }

  // Its pid, or -1 and why.
  static pid_t begin(Start& start, wire::Answer& answer, int& pidfd) {
    std::array<int, 2> pipe{};
    const auto fail = [&](wire::Answer::Step step) {
      answer = {step, errno};
      return -1;
    };
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return fail(wire::Answer::fork);
    const pid_t pid = ::fork();
    if (pid == 0) become(start, pipe[1]);
    const int why = errno;
    ::close(pipe[1]);
    if (pid < 0) {
      ::close(pipe[0]);
      errno = why;
      return fail(wire::Answer::fork);
    }
    wire::Answer trouble;
    ssize_t got = 0;
    do {
      got = ::read(pipe[0], &trouble, sizeof trouble);
    } while (got < 0 && errno == EINTR);
    ::close(pipe[0]);
    if (got == sizeof trouble) {
      ::waitpid(pid, nullptr, 0);
      answer = trouble;
      return -1;
    }
    pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (pidfd < 0) {
      const auto failed = fail(wire::Answer::fork);
      end(pid);
      return failed;
    }
    answer = {};
    return pid;
  }

  static void end(pid_t pid) {
    ::kill(-pid, SIGKILL);
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }

  // The agent asks how that child ended, or has lost interest in it.
  void settle(int channel) {
    const auto found = children_.find(channel);
    if (found == children_.end()) return;
    const pid_t pid = found->second;
    char ask = 0;
    int status = 0;
    if (::recv(channel, &ask, 1, MSG_DONTWAIT) == 1) {
      while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
      }
      ::send(channel, &status, sizeof status, MSG_NOSIGNAL);
    } else {
      end(pid);
    }
    ::close(channel);
    children_.erase(found);
  }

  // ---- who runs

  // Those who were left behind by their parents are ours to bury; the agent's children wait to be asked for.
  std::vector<Seen> around() {
    auto all = look_around(::getpid());
    count_ = 0;
    for (const auto& one : all) count_ += std::max<std::uint64_t>(1, one.threads);
    const auto is_buried = [this](const Seen& one) {
      if (!one.is_zombie) return false;
      const bool is_asked_for = std::any_of(children_.begin(), children_.end(),
                                            [&](const auto& child) { return child.second == one.pid; });
      if (one.parent == ::getpid() && !is_asked_for) ::waitpid(one.pid, nullptr, WNOHANG);
      return true;
    };
    all.erase(std::remove_if(all.begin(), all.end(), is_buried), all.end());
    others_ = all.size();
    return all;
  }

  // Those of `all` that descend from a root that still lives, and these.
  [[nodiscard]] std::set<pid_t> kept(const std::vector<Seen>& all) const {
    std::set<pid_t> found;
    for (const auto& one : all) {
      const auto is_root = [&](const Root& root) {
        return root.pid == one.pid && root.started == one.started;
      };
      if (std::any_of(roots_.begin(), roots_.end(), is_root)) found.insert(one.pid);
    }
    for (bool grows = true; grows;) {
      grows = false;
      for (const auto& one : all) {
        if (found.count(one.parent) > 0) grows = found.insert(one.pid).second || grows;
      }
    }
    return found;
  }

  void keep(std::size_t level) {
    const auto all = around();
    const auto before = kept(all);
    for (const auto& one : all) {
      if (before.count(one.pid) == 0) roots_.push_back({level, one.pid, one.started});
    }
  }

  void sweep(std::size_t level) {
    roots_.erase(
        std::remove_if(roots_.begin(), roots_.end(), [&](const Root& one) { return one.level >= level; }),
        roots_.end());
    const auto until = Clock::now() + unkillable;
    auto all = around();
    if (kept(all).empty()) {
      // To all at once: whoever is just forking is hit as well, and its child is not made.
      do {
        ::kill(-1, SIGKILL);
        all = around();
      } while (!all.empty() && Clock::now() < until && pause());
      return;
    }
    // Stopped, none can start another while the others go.
    ::kill(-1, SIGSTOP);
    for (;;) {
      all = around();
      const auto stay = kept(all);
      bool is_clean = true;
      for (const auto& one : all) {
        if (stay.count(one.pid) > 0) continue;
        is_clean = false;
        ::kill(one.pid, SIGKILL);
      }
      if (is_clean || Clock::now() >= until) break;
      pause();
    }
    ::kill(-1, SIGCONT);
  }

  static bool pause() { return ::poll(nullptr, 0, 1) == 0; }

  // ---- what they use

  void look() {
    const auto now = Clock::now();
    look_at_ = now + tick;
    const auto all = around();
    if (all.empty()) return;
    std::uint64_t rss_bytes = 0;
    for (const auto& one : all) rss_bytes += one.rss_bytes;
    if (count_ > bounds_.processes) {
      return end_all("it ran more than " + std::to_string(bounds_.processes) +
                     " processes and threads at a time ([cage] max_processes of this box)");
    }
    const bool is_time_for_files = now >= disk_at_;
    if (is_time_for_files) nameless_ = nameless(all, bounds_.folders);
    if (rss_bytes + nameless_.memory_bytes > bounds_.memory_bytes &&
        shared_out_bytes(all) + nameless_.memory_bytes > bounds_.memory_bytes) {
      return end_all("it held more than " + std::to_string(bounds_.memory_bytes / mib) +
                     " MiB of memory ([cage] memory_mib of this box)");
    }
    if (!is_time_for_files) return;
    look_at_disk();
    const auto took = std::chrono::duration_cast<Milliseconds>(Clock::now() - now);
    disk_at_ = Clock::now() + std::max(disk_every, took * disk_share);
  }

  void look_at_disk() {
    auto usage = usage_of(bounds_.folders);
    usage.bytes += nameless_.disk_bytes;
    if (usage.is_too_deep) return end_all("it made folders in folders without end");
    if (usage.bytes > bounds_.scratch_bytes) {
      return end_all("it wrote more than " + std::to_string(bounds_.scratch_bytes / mib) +
                     " MiB into its folders ([cage] scratch_gib of this box, or what its disk has left)");
    }
    if (usage.bytes <= innocent_bytes || bounds_.folders.empty()) return;
    struct statvfs disk {};
    if (::statvfs(bounds_.folders.front().c_str(), &disk) != 0) return;
    if (std::uint64_t{disk.f_bavail} * disk.f_frsize >= least_free_bytes) return;
    end_all("the disk of this box is full, and it held " + std::to_string(usage.bytes / mib) + " MiB of it");
  }

  void end_all(const std::string& why) {
    [[maybe_unused]] const auto told = ::write(wire::trouble_fd, why.data(), why.size());
    roots_.clear();
    sweep(0);
  }

  const Bounds bounds_;
  std::map<int, pid_t> children_;  // by their channel
  std::vector<Root> roots_;
  std::size_t others_ = 0;  // in the cage, when last looked at
  std::uint64_t count_ =
      0;               // of their threads, and of the dead that nobody has buried yet: the kernel counts them
  Nameless nameless_;  // when files were last looked at
  Clock::time_point look_at_;
  Clock::time_point disk_at_;
};

[[noreturn]] void guard(Bounds bounds) {
  if (::getpid() != 1) {
    errno = EINVAL;
    give_up("it is started by kiln-agent, as the first process of a cage");
  }
  // In the group of a terminal or of the agent nobody signals us but the kernel.
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGXFSZ}) ::signal(number, SIG_IGN);
  if (const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); fd >= 0) {
    [[maybe_unused]] const auto written = ::write(fd, oom_adjustment, std::strlen(oom_adjustment));
    ::close(fd);
  }
  for (const int fd : {wire::control_fd, wire::trouble_fd}) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // before the filter, which only pretends to
  if (!install_seccomp()) give_up("filtering system calls");
  bound(RLIMIT_CORE, 0);
  bound(RLIMIT_NPROC, bounds.processes + spare_processes);
  bound(RLIMIT_FSIZE, bounds.scratch_bytes);
  bound(RLIMIT_DATA, bounds.memory_bytes);
  const int self = static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0));
  if (self < 0) give_up("opening itself");
  if (!send_with(wire::control_fd, &wire::hello, 1, self)) give_up("greeting the agent");
  ::close(self);
  Warden(std::move(bounds)).run();
}

// ---- for an agent that may not make cages itself --------------------------------------------------------

// Becomes the bwrap that the agent on the other end of `socket` asks for. Its arguments are the agent's: this
// only is where namespaces are allowed.
[[noreturn]] void enter(int socket) {
  wire::Enter enter;
  std::vector<int> fds;
  if (receive_with(socket, &enter, sizeof enter, fds) != sizeof enter || fds.size() != 3 ||
      enter.arguments == 0 || enter.bytes == 0 || enter.bytes > wire::max_request_bytes) {
    errno = EPROTO;
    give_up("listening to the agent");
  }
  std::string text(enter.bytes, '\0');
  if (!receive_all(socket, text.data(), text.size())) give_up("listening to the agent");
  std::vector<char*> argv;
  for (std::size_t at = 0; at < text.size() && text.back() == '\0'; at = text.find('\0', at) + 1)
    argv.push_back(text.data() + at);
  if (argv.size() != enter.arguments) {
    errno = EPROTO;
    give_up("listening to the agent");
  }
  argv.push_back(nullptr);
  constexpr int above = 10;  // the numbers that are wanted
  for (auto& one : fds) one = ::fcntl(one, F_DUPFD_CLOEXEC, above);
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const std::array wanted = {std::pair(null, STDIN_FILENO), std::pair(fds[0], STDOUT_FILENO),
                             std::pair(fds[0], STDERR_FILENO), std::pair(fds[1], wire::control_fd),
                             std::pair(fds[2], wire::trouble_fd)};
  for (const auto& [ours, theirs] : wanted) {
    if (::dup2(ours, theirs) < 0) give_up("preparing descriptors");
  }
  constexpr unsigned cloexec = 1U << 2U;  // CLOSE_RANGE_CLOEXEC
  ::syscall(SYS_close_range, 5U, UINT_MAX, cloexec);
  ::execvp("bwrap", argv.data());
  give_up("starting bwrap (apt-get install bubblewrap)");
}

}  // namespace

}  // namespace kiln::cage

// kiln-cage PROCESSES MEMORY_MIB SCRATCH_MIB FOLDER...
// kiln-cage --enter      with the agent's connection as standard input
int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--enter") == 0) kiln::cage::enter(STDIN_FILENO);
  if (argc < 4) {
    std::fprintf(stderr, "kiln-cage is started by kiln-agent: it keeps what a task runs in its cage\n");
    return 2;
  }
  kiln::cage::Bounds bounds;
  bounds.processes = std::strtoull(argv[1], nullptr, 10);
  bounds.memory_bytes = std::strtoull(argv[2], nullptr, 10) * kiln::cage::mib;
  bounds.scratch_bytes = std::strtoull(argv[3], nullptr, 10) * kiln::cage::mib;
  for (int i = 4; i < argc; ++i) bounds.folders.emplace_back(argv[i]);
  kiln::cage::guard(std::move(bounds));
}
