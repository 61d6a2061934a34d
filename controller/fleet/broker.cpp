#include "fleet/broker.h"

#include <fmt/core.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <future>
#include <memory>

#include "runtime/files.h"
#include "runtime/log.h"
#include "runtime/process.h"

namespace kiln::fleet {

namespace {

using namespace std::chrono_literals;

constexpr auto start_deadline = 10s;
constexpr auto stop_grace = 3s;
constexpr auto first_pause = 200ms;  // between a death and the next start; doubles…
constexpr auto longest_pause = 5s;   // …up to this
constexpr const char* security_name = "dynamic-security.json";

// The plugin comes with Mosquitto's package, in the architecture's folder of libraries.
std::string security_plugin() {
  const auto name = "mosquitto_dynamic_security.so";
  for (const char* folder : {"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64",
                             "/usr/local/lib", "/usr/lib"}) {
    const auto path = std::filesystem::path(folder) / name;
    if (::access(path.c_str(), R_OK) == 0) return path.string();
  }
  return name;
}

std::string access_lines(const BrokerConfig& config) {
  if (!config.accounts) return "allow_anonymous true\n";
  return fmt::format("allow_anonymous false\nplugin {}\nplugin_opt_config_file {}\n", security_plugin(),
                     (config.folder / security_name).string());
}

std::string tls_lines(const BrokerConfig& config) {
  if (config.ca_file.empty()) return "";
  return fmt::format("cafile {}\ncertfile {}\nkeyfile {}\ntls_version tlsv1.2\n", config.ca_file.string(),
                     config.certificate_file.string(), config.key_file.string());
}

// The port as a socket, bound (to see whether it is free) or connected (to see whether the broker is up).
enum class Probe { bind, connect };

bool probe(const BrokerConfig& config, Probe what) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = what == Probe::bind ? AI_PASSIVE | AI_NUMERICSERV : AI_NUMERICSERV;
  // To a wildcard address nobody can connect; loopback stands for it.
  const bool is_wildcard = config.host == "0.0.0.0" || config.host == "::";
  const std::string host = is_wildcard && what == Probe::connect ? "127.0.0.1" : config.host;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(config.port).c_str(), &hints, &found) != 0) return false;
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
  const runtime::Fd fd(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return false;
  if (what == Probe::connect) return ::connect(fd.get(), found->ai_addr, found->ai_addrlen) == 0;
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  // as Mosquitto itself binds
  return ::bind(fd.get(), found->ai_addr, found->ai_addrlen) == 0;
}

std::string own_user() {
  const auto* entry = ::getpwuid(::geteuid());
  return entry != nullptr ? entry->pw_name : "";
}

Status wait_until_up(const BrokerConfig& config, runtime::Process& process) {
  const auto deadline = std::chrono::steady_clock::now() + start_deadline;
  while (std::chrono::steady_clock::now() < deadline) {
    if (probe(config, Probe::connect)) return {};
    if (const auto ended = process.wait(20ms)) {
      return fail(Code::io,
                  fmt::format("{} ended at once ({}); its messages are above", config.program, ended->str()));
    }
  }
  return fail(Code::timeout, fmt::format("{} does not accept connections on {}:{} after {} s", config.program,
                                         config.host, config.port, start_deadline.count()));
}

Result<runtime::Process> launch(const BrokerConfig& config) {
  if (!probe(config, Probe::bind)) {
    return fail(
        Code::conflict,
        fmt::format("port {} on {} is in use or not ours: stop the other program (`ss -ltnp 'sport = :{}'` "
                    "names it), or choose another with --mqtt host:port",
                    config.port, config.host, config.port));
  }
  if (auto made = runtime::make_folders(config.folder); !made) return fail(std::move(made.error()));
  if (config.accounts) {
    const auto accounts = security_file(config.accounts());
    if (auto written = runtime::write_file_atomically(config.folder / security_name, accounts, 0600);
        !written)
      return fail(std::move(written.error()));
  }
  const auto file = config.folder / "mosquitto.conf";
  if (auto written = runtime::write_file_atomically(file, broker_configuration(config, own_user()));
      !written) {
    return fail(std::move(written.error()));
  }
  runtime::SpawnOptions options;
  options.argv = {config.program, "-c", file.string()};
  // Debian installs it where an ordinary user's PATH does not look.
  for (const char* program : {"/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"}) {
    if (config.program == "mosquitto" && ::access(program, X_OK) == 0) options.argv[0] = program;
  }
  auto process = runtime::Process::spawn(options);
  if (!process) {
    if (process.error().code != Code::not_found) return process;
    return fail(Code::not_found,
                fmt::format("{}: `apt-get install mosquitto`, or name another broker with --broker host:port",
                            process.error().message));
  }
  if (auto up = wait_until_up(config, *process); !up) return fail(std::move(up.error()));
  return process;
}

}  // namespace

std::string broker_configuration(const BrokerConfig& config, const std::string& user) {
  return fmt::format(
      "# Written by kiln-controller at every start; changes here are lost.\n"
      "listener {} {}\n"
      "{}{}"
      // As root Mosquitto would change to a user that may not read this folder.
      "{}"
      // Nothing on the broker is the truth: what is retained is said again by its owner at every reconnect.
      "persistence false\n"
      // protocol.md: 16 KiB a message, and the topic.
      "max_packet_size 24576\n"
      // A subscriber that stands still is not served from memory without end.
      "max_queued_messages 10000\n"
      "max_queued_bytes 67108864\n"
      // Small messages at once instead of Nagle's wait: a command is on the node in well under a millisecond.
      "set_tcp_nodelay true\n"
      "log_dest stderr\n"
      "log_type error\n"
      "log_type warning\n"
      "connection_messages false\n",
      config.port, config.host, tls_lines(config), access_lines(config),
      user.empty() ? "" : "user " + user + "\n");
}

Broker::Broker(BrokerConfig config, std::function<void(const std::string&)> on_alarm)
    : config_(std::move(config)), on_alarm_(std::move(on_alarm)), wake_(::eventfd(0, EFD_CLOEXEC)) {}

Broker::~Broker() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopping_changed_.notify_all();
  ::eventfd_write(wake_, 1);
  if (thread_.joinable()) thread_.join();
  ::close(wake_);
}

Status Broker::start() {
  std::promise<Status> first;
  auto started = first.get_future();
  // The child dies with the thread that spawned it, so one thread does it for the broker's whole life.
  thread_ =
      std::thread([this, &first] { run([&first](Status status) { first.set_value(std::move(status)); }); });
  return started.get();
}

void Broker::reload() {
  // Not reaped before pid_ is 0: the number is still its own.
  const std::lock_guard lock(mutex_);
  if (pid_ > 0) ::kill(pid_, SIGHUP);
}

void Broker::run(std::function<void(Status)> first_start) {
  std::chrono::milliseconds pause = first_pause;
  for (;;) {
    auto process = launch(config_);
    if (first_start) {
      const bool failed = !process;
      auto status = failed ? Status(fail(process.error())) : Status();
      std::exchange(first_start, nullptr)(std::move(status));
      if (failed) return;
      log::info("broker", "Mosquitto runs on {}:{} (pid {})", config_.host, config_.port, process->pid());
    } else if (process) {
      log::info("broker", "Mosquitto runs again (pid {})", process->pid());
      on_alarm_("");
    } else {
      log::error("broker", "{}; trying again", process.error().message);
      on_alarm_(process.error().message);
    }
    if (process) {
      const auto up_since = std::chrono::steady_clock::now();
      {
        const std::lock_guard lock(mutex_);
        pid_ = process->pid();
      }
      pollfd either[] = {{process->pidfd(), POLLIN, 0}, {wake_, POLLIN, 0}};
      while (::poll(either, 2, -1) < 0) {
      }
      {
        const std::lock_guard lock(mutex_);
        pid_ = 0;
      }
      if (either[1].revents != 0) {
        process->stop(stop_grace);
        return;
      }
      const auto ended = process->wait(std::chrono::milliseconds(0));
      const auto how = ended ? ended->str() : std::string("ended");
      log::error("broker", "Mosquitto is gone ({}); starting it again", how);
      on_alarm_(fmt::format("the MQTT broker is gone ({}); starting it again", how));
      if (std::chrono::steady_clock::now() - up_since > longest_pause) pause = first_pause;
    }
    std::unique_lock lock(mutex_);
    if (stopping_changed_.wait_for(lock, pause, [this] { return stopping_; })) return;
    pause = std::min<std::chrono::milliseconds>(2 * pause, longest_pause);
  }
}

}  // namespace kiln::fleet
