#include "telemetry/nvml.h"

#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/json.h"
#include "telemetry/parse.h"

namespace kiln::telemetry {

namespace {

constexpr std::size_t max_answer_bytes = 16UL * 1024;  // 16 GPUs take 4 KiB
constexpr std::size_t max_unkillable = 2;              // a driver that swallows children is not fed more
constexpr unsigned healthy_answers = 10;  // one that answers once and hangs again stays backed off
constexpr double max_mib = 4.0 * 1024 * 1024;

void set(Json& json, const char* key, const std::optional<double>& value) {
  if (value) json.set(key, *value);
}

std::int64_t now_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// Waits until fd can be read; false at the deadline.
bool wait_readable(int fd, std::int64_t until_ms) {
  for (;;) {
    pollfd one{fd, POLLIN, 0};
    const auto left = std::max<std::int64_t>(0, until_ms - now_ms());
    const int got = ::poll(&one, 1, static_cast<int>(left));
    if (got >= 0 || errno != EINTR) return got > 0;
  }
}

}  // namespace

std::string encode(const NvmlReading& reading) {
  Json gpus(Json::Array{});
  for (const auto& gpu : reading.gpus) {
    Json one = Json::object(
        {{"pci", gpu.pci}, {"name", gpu.name}, {"uuid", gpu.uuid}, {"memory_mib", gpu.memory_mib}});
    set(one, "temp_c", gpu.now.temp_c);
    set(one, "util_pct", gpu.now.util_pct);
    set(one, "power_w", gpu.now.power_w);
    set(one, "mem_mib", gpu.now.mem_mib);
    set(one, "fan_pct", gpu.now.fan_pct);
    gpus.push(std::move(one));
  }
  return Json::object({{"driver", reading.driver}, {"gpus", std::move(gpus)}}).dump();
}

std::string encode(const NvmlTrouble& trouble) {
  return Json::object({{"error", trouble.message}, {"missing", trouble.is_missing}}).dump();
}

Result<NvmlReading> decode_nvml_answer(std::string_view line, bool* is_missing) {
  *is_missing = false;
  auto json = Json::parse(line);
  if (!json) return fail(std::move(json.error()).with("the NVML probe's answer"));
  JsonReader in(*json, "NVML answer");
  std::string error;
  in.optional("error", error);
  in.optional("missing", *is_missing);
  if (in.ok() && !error.empty()) return fail(Code::unavailable, clean_text(error, 300));
  NvmlReading reading;
  in.required("driver", reading.driver);
  reading.driver = clean_text(reading.driver, 64);
  const auto* gpus = in.array("gpus", payloads::max_gpus);
  if (gpus != nullptr) {
    for (const auto& item : *gpus) {
      JsonReader fields(item, "NVML answer.gpus");
      NvmlGpu gpu;
      fields.required("pci", gpu.pci);
      fields.optional("name", gpu.name);
      fields.optional("uuid", gpu.uuid);
      fields.optional("memory_mib", gpu.memory_mib);
      fields.optional("temp_c", gpu.now.temp_c);
      fields.optional("util_pct", gpu.now.util_pct);
      fields.optional("power_w", gpu.now.power_w);
      fields.optional("mem_mib", gpu.now.mem_mib);
      fields.optional("fan_pct", gpu.now.fan_pct);
      auto address = normal_pci_address(gpu.pci);
      if (!address) fields.reject("pci", "an address such as 0000:0a:00.0 is expected");
      if (!fields.ok()) return fail(fields.finish(0).error());
      gpu.pci = std::move(*address);
      gpu.name = clean_text(gpu.name, 64);
      gpu.uuid = clean_text(gpu.uuid, 64);
      gpu.now.temp_c = plausible(gpu.now.temp_c, 0.5, 150);
      gpu.now.util_pct = plausible(gpu.now.util_pct, 0, 100);
      gpu.now.power_w = plausible(gpu.now.power_w, 0, 2000);
      gpu.now.mem_mib = plausible(gpu.now.mem_mib, 0, max_mib);
      gpu.now.fan_pct = plausible(gpu.now.fan_pct, 0, 100);
      reading.gpus.push_back(std::move(gpu));
    }
  }
  return in.finish(std::move(reading));
}

NvmlProbe::NvmlProbe(NvmlOptions options) : options_(std::move(options)) {}

NvmlProbe::~NvmlProbe() {
  stop();
  // Killed children die within milliseconds, unless they hang in the driver; init takes those over.
  const auto until = now_ms() + 500;
  for (reap(); !killed_.empty() && now_ms() < until; reap()) ::usleep(2'000);
}

void NvmlProbe::reap() {
  std::erase_if(killed_, [](int pid) { return ::waitpid(pid, nullptr, WNOHANG) != 0; });
}

void NvmlProbe::stop() {
  if (socket_ >= 0) ::close(socket_);
  if (child_ > 0) {
    ::kill(child_, SIGKILL);
    killed_.push_back(child_);
  }
  socket_ = -1;
  child_ = -1;
  received_.clear();
  asked_ms_.reset();
}

void NvmlProbe::give_up(std::int64_t mono_ms, std::string why, bool is_missing) {
  stop();
  reading_.reset();
  trouble_ = std::move(why);
  is_missing_ = is_missing;
  const auto doubled = options_.backoff_min_ms << std::min(failures_, 20U);
  next_start_ms_ =
      mono_ms + (is_missing_ ? options_.backoff_max_ms : std::min(doubled, options_.backoff_max_ms));
  ++failures_;
}

void NvmlProbe::start(std::int64_t mono_ms) {
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return give_up(mono_ms, fmt::format("the NVML probe cannot start: {}", std::strerror(errno)));
  }
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  // The daemon blocks its signals to read them from a descriptor; the child wants the plain ones.
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t signals;
  ::sigemptyset(&signals);
  ::posix_spawnattr_setsigmask(&attributes, &signals);
  ::sigfillset(&signals);
  ::posix_spawnattr_setsigdefault(&attributes, &signals);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::string program = "kiln-agent";
  std::string flag = "--nvml-probe";
  std::array<char*, 4> argv{program.data(), flag.data(), options_.library.data(), nullptr};
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, argv.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (error != 0) {
    ::close(ends[0]);
    return give_up(mono_ms, fmt::format("the NVML probe cannot start: {}", std::strerror(error)));
  }
  child_ = pid;
  socket_ = ends[0];
  answers_ = 0;
}

void NvmlProbe::take(std::int64_t mono_ms, std::string_view line) {
  bool is_missing = false;
  auto reading = decode_nvml_answer(line, &is_missing);
  if (!reading) return give_up(mono_ms, reading.error().message, is_missing);
  reading_ = std::move(*reading);
  trouble_.clear();
  is_missing_ = false;
  if (++answers_ >= healthy_answers) failures_ = 0;
  asked_ms_.reset();
}

const std::optional<NvmlReading>& NvmlProbe::ask(std::int64_t mono_ms, int wait_ms) {
  reap();
  if (child_ < 0) {
    if (mono_ms < next_start_ms_ || killed_.size() > max_unkillable) return reading_;
    start(mono_ms);
    if (child_ < 0) return reading_;
  }
  if (!asked_ms_) {
    constexpr std::string_view request = "read\n";
    // A child that has ended left its reason to be read: whether this arrives does not matter.
    (void)::send(socket_, request.data(), request.size(), MSG_NOSIGNAL);
    asked_ms_ = mono_ms;
  }
  const auto until = now_ms() + wait_ms;
  while (child_ > 0 && wait_readable(socket_, until)) {
    std::array<char, 4096> buffer{};
    const auto got = ::recv(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) {
      give_up(mono_ms, "the NVML probe crashed");
      return reading_;
    }
    received_.append(buffer.data(), static_cast<std::size_t>(got));
    if (const auto end = received_.find('\n'); end != std::string::npos) {
      const auto line = received_.substr(0, end);
      received_.erase(0, end + 1);
      take(mono_ms, line);
      return reading_;
    }
    if (received_.size() > max_answer_bytes) {
      give_up(mono_ms, "the NVML probe answered with garbage");
      return reading_;
    }
  }
  const auto limit = answers_ > 0 ? options_.answer_ms : options_.first_answer_ms;
  if (asked_ms_ && mono_ms - *asked_ms_ >= limit) {
    give_up(mono_ms, fmt::format("NVML did not answer within {} ms", limit));
  }
  return reading_;
}

}  // namespace kiln::telemetry
