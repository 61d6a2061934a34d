#include "cage/cage.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

#include "cage/wire.h"
#include "runtime/files.h"

namespace kiln::cage {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

constexpr auto start_within = 10s;  // milliseconds on an idle box
constexpr auto order_within = 10s;  // the warden gives up on what cannot die after five
constexpr std::size_t max_words = 4096;
constexpr std::uint64_t mib = 1024UL * 1024;

std::string read_words(const runtime::Fd& pipe) {
  std::string text;
  std::array<char, 1024> buffer{};
  while (text.size() < max_words) {
    const auto got = ::read(pipe.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

Result<std::pair<runtime::Fd, runtime::Fd>> make_sockets(int type) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return fail(runtime::os_error(errno, "making a socket to a cage"));
  return std::pair(runtime::Fd(ends[0]), runtime::Fd(ends[1]));
}

union Space {
  cmsghdr align;
  std::array<char, CMSG_SPACE(sizeof(int) * wire::max_descriptors)> bytes;
};

bool send_with(int socket, const void* bytes, std::size_t size, const std::vector<int>& fds) {
  iovec part{const_cast<void*>(bytes), size};
  Space space{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    const auto length = fds.size() * sizeof(int);
    message.msg_control = space.bytes.data();
    message.msg_controllen = CMSG_SPACE(length);
    auto* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(length);
    std::memcpy(CMSG_DATA(header), fds.data(), length);
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(size);
}

// What came, and the descriptor that came with it.
ssize_t receive_with(int socket, void* bytes, std::size_t size, runtime::Fd& fd) {
  iovec part{bytes, size};
  Space space{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space.bytes.data();
  message.msg_controllen = CMSG_SPACE(sizeof(int));
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  auto* header = got < 0 ? nullptr : CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
      header->cmsg_len == CMSG_LEN(sizeof(int))) {
    int number = -1;
    std::memcpy(&number, CMSG_DATA(header), sizeof number);
    fd.reset(number);
  }
  return got;
}

// The process behind a pidfd, as we see it; 0 when it is gone.
pid_t pid_of(const runtime::Fd& pidfd) {
  const auto text = runtime::read_file(fmt::format("/proc/self/fdinfo/{}", pidfd.get()), 4096).value_or("");
  const auto at = text.find("\nPid:");
  int pid = 0;
  if (at != std::string::npos) std::sscanf(text.c_str() + at, "\nPid: %d", &pid);
  return pid > 0 ? pid : 0;
}

// The kernel does not count root's processes, so that among thousands of them the warden would wait for its
// turn for ever. What it starts does not inherit this. Refused to anybody else, whose processes are counted.
void go_first(pid_t warden) {
  const sched_param lowest{.sched_priority = 1};
  if (::geteuid() == 0) ::sched_setscheduler(warden, SCHED_RR | SCHED_RESET_ON_FORK, &lowest);
}

std::string what_helps(std::string_view words) {
  const auto says = [&](std::string_view text) { return words.find(text) != std::string_view::npos; };
  if (says("No permissions to create") || says("Creating new namespace failed") ||
      says("setting up uid map")) {
    return "; the kernel refuses user namespaces: kernel.unprivileged_userns_clone = 1 (and on Ubuntu "
           "kernel.apparmor_restrict_unprivileged_userns = 0) by sysctl would allow them, and so would "
           "systemd's "
           "RestrictNamespaces= without them";
  }
  if (says("Can't mount proc"))
    return "; parts of /proc are covered here (a container?): it must be whole for a new one to be made";
  return {};
}

Error error_of(const wire::Answer& answer, const runtime::SpawnOptions& options, const fs::path& program) {
  switch (answer.step) {
    case wire::Answer::folder:
      return runtime::os_error(answer.error,
                               fmt::format("starting {} in {}", options.argv[0], options.cwd.native()));
    case wire::Answer::exec: {
      auto error = runtime::os_error(answer.error, fmt::format("starting {}", program.native()));
      if (answer.error == ENOENT) {
        error.message +=
            ": it cannot be seen from where tasks run; what is not below /usr or /opt is named by "
            "[cage] read_only in agent.toml";
      }
      return error;
    }
    case wire::Answer::descriptors:
      return runtime::os_error(answer.error, fmt::format("preparing the descriptors of {}", options.argv[0]));
    default:
      return runtime::os_error(answer.error, fmt::format("starting {}", options.argv[0]));
  }
}

std::string request_of(const runtime::SpawnOptions& options, const fs::path& program,
                       const std::vector<std::string>& environment) {
  std::string text;
  const auto add = [&](const std::string& one) { text.append(one.c_str(), one.size() + 1); };
  add(program.native());
  add(options.cwd.native());
  for (const auto& one : options.argv) add(one);
  for (const auto& one : environment) add(one);
  for (const auto& [ours, theirs] : options.descriptors) {
    const std::int32_t number = theirs;
    text.append(reinterpret_cast<const char*>(&number), sizeof number);
  }
  return text;
}

// bwrap as our child. `fds`: its output, control, trouble.
Result<runtime::Process> start(const std::vector<std::string>& argv, const std::vector<int>& fds) {
  runtime::SpawnOptions options;
  options.argv = argv;
  options.cwd = "/";
  options.descriptors = {{fds[0], STDOUT_FILENO},
                         {fds[0], STDERR_FILENO},
                         {fds[1], wire::control_fd},
                         {fds[2], wire::trouble_fd}};
  auto process = runtime::Process::spawn(options);
  if (process || process.error().code != Code::not_found) return process;
  return fail(Code::not_found,
              "bubblewrap is not installed, and tasks run in cages that it makes: apt-get install "
              "bubblewrap, or [cage] enabled = false in agent.toml");
}

// bwrap as the child of a service, in a control group of its own.
Status ask_for(const std::vector<std::string>& argv, const std::vector<int>& fds, const fs::path& service) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const auto& name = service.native();
  if (name.size() >= sizeof address.sun_path) return fail(Code::invalid, name + " is too long for a socket");
  std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
  const runtime::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail(Code::unavailable,
                fmt::format("nothing makes cages at {} ({}): systemctl enable --now kiln-cage.socket", name,
                            std::strerror(errno)));
  }
  std::string text;
  for (const auto& one : argv) text.append(one.c_str(), one.size() + 1);
  const wire::Enter enter{static_cast<std::uint32_t>(text.size()), static_cast<std::uint32_t>(argv.size())};
  if (send_with(socket.get(), &enter, sizeof enter, fds) &&
      send_with(socket.get(), text.data(), text.size(), {})) {
    return {};
  }
  return fail(runtime::os_error(errno, "asking for a cage at " + name));
}

}  // namespace

Result<std::unique_ptr<Cage>> Cage::open(const Plan& plan) {
  auto control = make_sockets(SOCK_SEQPACKET);
  if (!control) return fail(std::move(control.error()));
  auto trouble = runtime::make_pipe();
  if (!trouble) return fail(std::move(trouble.error()));
  auto errors = runtime::make_pipe();
  if (!errors) return fail(std::move(errors.error()));
  std::unique_ptr<Cage> cage(new Cage);
  const std::vector<int> theirs = {errors->write.get(), control->second.get(), trouble->write.get()};
  if (plan.service.empty()) {
    auto process = start(arguments(plan), theirs);
    if (!process) return fail(std::move(process.error()));
    cage->process_ = std::move(*process);
  } else if (auto asked = ask_for(arguments(plan), theirs, plan.service); !asked) {
    return fail(std::move(asked.error()));
  }
  cage->control_ = std::move(control->first);
  cage->trouble_ = std::move(trouble->read);
  cage->errors_ = std::move(errors->read);
  for (const auto* one : {&cage->trouble_, &cage->errors_}) ::fcntl(one->get(), F_SETFL, O_NONBLOCK);
  control->second.reset();
  trouble->write.reset();
  errors->write.reset();
  if (auto greeted = cage->greet(plan.bwrap); !greeted) return fail(std::move(greeted.error()));
  return cage;
}

Status Cage::greet(const fs::path& bwrap) {
  char hello = 0;
  if (runtime::wait_readable(control_.get(), start_within) &&
      receive_with(control_.get(), &hello, 1, warden_) == 1 && hello == wire::hello && warden_) {
    go_first(pid_of(warden_));
    return {};
  }
  const auto ended =
      process_.running() ? process_.kill().str() : std::string("no word, as the service started it");
  const auto words = read_words(errors_);
  return fail(Code::denied,
              fmt::format("a cage for tasks cannot be made here: {}{}",
                          words.empty() ? fmt::format("{} ended with {}", bwrap.native(), ended) : words,
                          what_helps(words)));
}

Cage::~Cage() {
  control_.reset();
  if (process_.running()) process_.kill();
  if (warden_) ::syscall(SYS_pidfd_send_signal, warden_.get(), SIGKILL, nullptr, 0);
  // The first process of a cage is gone when all others are. One that hangs in a driver is not waited for.
  if (warden_) static_cast<void>(runtime::wait_readable(warden_.get(), order_within));
}

bool Cage::alive() const {
  return warden_ && !runtime::wait_readable(warden_.get(), 0ms);
}

Result<runtime::Launched> Cage::launch(const runtime::SpawnOptions& options, const fs::path& program,
                                       const std::vector<std::string>& environment) {
  KILN_ASSERT(options.descriptors.size() < wire::max_descriptors);
  KILN_ASSERT(options.limits.memory_bytes == 0 && options.limits.cpu_s == 0);
  auto channel = make_sockets(SOCK_STREAM);
  if (!channel) return fail(std::move(channel.error()));
  const auto gone = [&] {
    return fail(Code::io, fmt::format("starting {}: its cage is gone", options.argv[0]));
  };
  auto with_null = options;
  runtime::Fd null;
  bool has_input = false;
  for (const auto& [ours, theirs] : options.descriptors) has_input = has_input || theirs == STDIN_FILENO;
  if (!has_input) {
    auto opened = runtime::open_file("/dev/null", O_RDONLY);
    if (!opened) return fail(std::move(opened.error()));
    null = std::move(*opened);
    with_null.descriptors.emplace_back(null.get(), STDIN_FILENO);
  }
  const auto text = request_of(with_null, program, environment);
  if (text.size() > wire::max_request_bytes) {
    return fail(Code::too_large,
                fmt::format("starting {}: its arguments and variables are longer than {} MiB",
                            options.argv[0], wire::max_request_bytes / mib));
  }
  wire::Request request;
  request.bytes = static_cast<std::uint32_t>(text.size());
  request.arguments = static_cast<std::uint32_t>(options.argv.size());
  request.variables = static_cast<std::uint32_t>(environment.size());
  request.descriptors = static_cast<std::uint32_t>(with_null.descriptors.size());
  request.niceness = options.niceness;
  std::vector<int> fds;
  for (const auto& [ours, theirs] : with_null.descriptors) fds.push_back(ours);
  const wire::Order order{wire::Order::launch, 0};
  if (!send_with(control_.get(), &order, sizeof order, {channel->second.get()})) return gone();
  channel->second.reset();
  if (!send_with(channel->first.get(), &request, sizeof request, fds)) return gone();
  for (std::string_view rest = text; !rest.empty();) {
    const auto sent = ::send(channel->first.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return gone();
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  wire::Answer answer;
  runtime::Launched out;
  if (receive_with(channel->first.get(), &answer, sizeof answer, out.pidfd) != sizeof answer) return gone();
  if (answer.step != wire::Answer::fine) return fail(error_of(answer, options, program));
  out.pid = out.pidfd ? pid_of(out.pidfd) : 0;
  if (out.pid == 0) return gone();
  out.reaper = std::move(channel->first);
  return out;
}

bool Cage::passes_on(std::string_view variable) const {
  return cage::passes_on(variable);
}

void Cage::order(std::uint32_t what, std::size_t level) {
  const wire::Order order{what, static_cast<std::uint32_t>(level)};
  char done = 0;
  if (!send_with(control_.get(), &order, sizeof order, {})) return;
  if (runtime::wait_readable(control_.get(), order_within))
    static_cast<void>(::recv(control_.get(), &done, 1, 0));
}

void Cage::keep(std::size_t level) {
  order(wire::Order::keep, level);
}

void Cage::sweep(std::size_t level) {
  order(wire::Order::sweep, level);
}

std::string Cage::trouble() {
  if (!told_.empty()) return {};
  told_ = read_words(trouble_);
  return told_;
}

Layout look_at_layout() {
  Layout out;
  for (const auto* path : {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}) {
    std::error_code error;
    if (fs::is_symlink(path, error)) {
      out.emplace_back(path, fs::read_symlink(path, error).native());
    } else if (fs::is_directory(path, error)) {
      out.emplace_back(path, "");
    }
  }
  return out;
}

Result<fs::path> find_warden() {
  std::error_code error;
  auto program = fs::read_symlink("/proc/self/exe", error).replace_filename("kiln-cage");
  if (!error && ::access(program.c_str(), X_OK) == 0) return program;
  return fail(Code::not_found, fmt::format("{} is not there, and tasks run in cages that it keeps: install "
                                           "kiln-agent again, or [cage] enabled = false in agent.toml",
                                           program.native()));
}

Status write_accounts(const fs::path& folder) {
  if (auto made = runtime::make_folders(folder); !made) return made;
  auto written = runtime::write_file_atomically(folder / "passwd",
                                                "root:x:0:0:root:/:/usr/sbin/nologin\n"
                                                "render:x:1000:1000:render:/tmp/home:/bin/sh\n"
                                                "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n");
  if (!written) return written;
  return runtime::write_file_atomically(folder / "group", "root:x:0:\nrender:x:1000:\nnogroup:x:65534:\n");
}

fs::path find_service() {
  const char* socket = std::getenv("KILN_CAGE_SOCKET");  // kiln-agent.service says so
  return socket == nullptr ? fs::path() : fs::path(socket);
}

Status try_out(const fs::path& scratch, const fs::path& service) {
  auto warden = find_warden();
  if (!warden) return fail(std::move(warden.error()));
  auto pattern = (scratch / "cage-XXXXXX").native();
  if (::mkdtemp(pattern.data()) == nullptr) return fail(runtime::os_error(errno, "making " + pattern));
  const fs::path folder = pattern;
  const auto try_in = [&]() -> Status {
    if (auto written = write_accounts(folder); !written) return written;
    Plan plan;
    plan.service = service;
    plan.warden = *warden;
    plan.layout = look_at_layout();
    plan.bounds = bounds_of(Settings{}, 1024, 1, 1024);
    plan.data = scratch;
    plan.accounts = folder;
    auto cage = Cage::open(plan);
    if (!cage) return fail(std::move(cage.error()));
    runtime::SpawnOptions options;
    options.argv = {"true"};
    options.launcher = cage->get();
    auto process = runtime::Process::spawn(options);
    if (!process) return fail(std::move(process.error()));
    const auto status = process->wait(start_within);
    if (status && status->ok()) return {};
    return fail(Code::denied, "a program that was started in a cage did not end well");
  };
  auto tried = try_in();
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  return tried;
}

}  // namespace kiln::cage
