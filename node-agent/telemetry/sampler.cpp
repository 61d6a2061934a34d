#include "telemetry/sampler.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "telemetry/parse.h"
#include "telemetry/sysfs.h"

namespace kiln::telemetry {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int nvml_sample_wait_ms = 250;       // a healthy driver takes 1 to 50
constexpr milliseconds sample_wait{500};       // the driver's share, and as much for the rest
constexpr milliseconds hardware_slack{1'000};  // beyond the wait for the driver
constexpr milliseconds goodbye_wait{1'500};    // for the thread at destruction, before it is left behind
constexpr std::size_t max_pci_ids_bytes = 8UL * 1024 * 1024;  // 1.4 MiB today

std::int64_t mono_ms() {
  return std::chrono::duration_cast<milliseconds>(Clock::now().time_since_epoch()).count();
}

// The reader: everything that touches files, only ever on its own thread.
class Reader {
 public:
  explicit Reader(const Config& config) : config_(config), probe_(config.nvml_options) {
    gpus_ = find_gpus(config_.sysfs);
    cpu_times_ = parse_cpu_times(read_text(config_.proc / "stat").value_or(""));
  }

  Hardware hardware() {
    Hardware out;
    auto cpu = parse_cpuinfo(read_text(config_.proc / "cpuinfo").value_or(""));
    out.cpu = std::move(cpu.name);
    out.cores = cpu.cores;
    if (const auto memory = parse_meminfo(read_text(config_.proc / "meminfo").value_or(""))) {
      out.memory_mib = memory->total_mib;
    }
    out.os = parse_os_release(read_text(config_.os_release).value_or(""));
    gpus_ = find_gpus(config_.sysfs);
    const auto& nvidia = ask_nvml(static_cast<int>(config_.nvml_wait_ms));
    const auto pci_ids =
        gpus_.empty() ? std::string() : read_text(config_.pci_ids, max_pci_ids_bytes).value_or("");
    for (const auto& gpu : gpus_) {
      auto info = describe(gpu, pci_ids);
      info.index = static_cast<std::uint32_t>(out.gpus.size());
      if (gpu.needs_nvml()) complete(gpu, nvidia, info);
      out.gpus.push_back(std::move(info));
    }
    return out;
  }

  Sample sample() {
    Sample out;
    const auto& nvidia = ask_nvml(nvml_sample_wait_ms);
    for (const auto& gpu : gpus_) {
      payloads::GpuTelemetry now;
      if (!gpu.needs_nvml()) {
        now = read_sensors(gpu, mono_ms(), energy_);
      } else if (const auto* known = find(nvidia, gpu.pci)) {
        now = known->now;
      }
      out.gpus.emplace_back(static_cast<std::uint32_t>(out.gpus.size()), now);
    }
    out.trouble = probe_.trouble();
    read_host(out.host);
    return out;
  }

 private:
  static const NvmlGpu* find(const std::optional<NvmlReading>& reading, const std::string& pci) {
    if (!reading) return nullptr;
    const auto found = std::find_if(reading->gpus.begin(), reading->gpus.end(),
                                    [&](const NvmlGpu& gpu) { return gpu.pci == pci; });
    return found == reading->gpus.end() ? nullptr : &*found;
  }

  const std::optional<NvmlReading>& ask_nvml(int wait_ms) {
    static const std::optional<NvmlReading> none;
    const bool is_wanted =
        std::any_of(gpus_.begin(), gpus_.end(), [](const SysfsGpu& g) { return g.needs_nvml(); });
    return config_.nvml && is_wanted ? probe_.ask(mono_ms(), wait_ms) : none;
  }

  void complete(const SysfsGpu& gpu, const std::optional<NvmlReading>& reading,
                payloads::GpuInfo& info) const {
    if (const auto* known = find(reading, gpu.pci)) {
      if (!known->name.empty())
        info.name = known->name.starts_with("NVIDIA") ? known->name : "NVIDIA " + known->name;
      info.uuid = known->uuid;
      info.memory_mib = known->memory_mib;
      info.driver = reading->driver.empty() ? "nvidia" : "nvidia " + reading->driver;
      return;
    }
    if (!config_.nvml) return;
    info.name += gpu.driver.empty()    ? " (no driver)"
                 : probe_.is_missing() ? " (driver library missing)"
                 : reading.has_value() ? " (unknown to its driver)"
                                       : " (driver does not answer)";
  }

  void read_host(payloads::HostTelemetry& host) {
    host.cpu_temp_c = read_cpu_temp_c(config_.sysfs);
    const auto times = parse_cpu_times(read_text(config_.proc / "stat").value_or(""));
    if (times && cpu_times_) cpu_pct_ = cpu_percent(*cpu_times_, *times).value_or(cpu_pct_);
    if (times) cpu_times_ = times;
    host.cpu_pct = cpu_pct_;
    if (const auto memory = parse_meminfo(read_text(config_.proc / "meminfo").value_or(""))) {
      host.mem_total_mib = memory->total_mib;
      host.mem_used_mib = memory->used_mib;
    }
    struct statvfs disk {};
    if (::statvfs(config_.data_dir.c_str(), &disk) == 0) {
      constexpr std::uint64_t mib = 1024ULL * 1024;
      host.disk_free_mib = disk.f_bavail * disk.f_frsize / mib;  // what an ordinary user may still write
      host.disk_total_mib = disk.f_blocks * disk.f_frsize / mib;
    }
  }

  const Config config_;
  NvmlProbe probe_;
  std::vector<SysfsGpu> gpus_;
  EnergyReadings energy_;
  std::optional<CpuTimes> cpu_times_;
  double cpu_pct_ = 0;
};

}  // namespace

struct Sampler::State {
  explicit State(Config given) : config(std::move(given)) {}

  const Config config;
  std::mutex mutex;
  std::condition_variable changed;
  bool stop = false;
  bool has_ended = false;
  // Requests are counted; an answer carries the number of the request that it saw.
  std::uint64_t hardware_asked = 0, hardware_done = 0;
  std::uint64_t sample_asked = 0, sample_done = 0;
  Hardware hardware;
  Sample sample;

  void run() {
    {
      Reader reader(config);
      std::unique_lock lock(mutex);
      for (;;) {
        changed.wait(lock,
                     [&] { return stop || hardware_asked > hardware_done || sample_asked > sample_done; });
        if (stop) break;
        if (hardware_asked > hardware_done) {
          const auto number = hardware_asked;
          lock.unlock();
          auto fresh = reader.hardware();
          lock.lock();
          hardware = std::move(fresh);
          hardware_done = number;
        } else {
          const auto number = sample_asked;
          lock.unlock();
          auto fresh = reader.sample();
          lock.lock();
          sample = std::move(fresh);
          sample_done = number;
        }
        changed.notify_all();
      }
    }
    const std::lock_guard lock(mutex);
    has_ended = true;
    changed.notify_all();
  }
};

Sampler::Sampler(Config config) : state_(std::make_shared<State>(std::move(config))) {
  std::thread([state = state_] { state->run(); }).detach();
}

Sampler::~Sampler() {
  std::unique_lock lock(state_->mutex);
  state_->stop = true;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, goodbye_wait, [&] { return state_->has_ended; });
}

Hardware Sampler::hardware() {
  std::unique_lock lock(state_->mutex);
  const auto number = ++state_->hardware_asked;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, milliseconds(state_->config.nvml_wait_ms) + hardware_slack,
                           [&] { return state_->hardware_done >= number; });
  return state_->hardware;
}

Sample Sampler::sample(std::int64_t unix_s) {
  std::unique_lock lock(state_->mutex);
  const auto number = ++state_->sample_asked;
  state_->changed.notify_all();
  const bool is_fresh =
      state_->changed.wait_for(lock, sample_wait, [&] { return state_->sample_done >= number; });
  Sample out = state_->sample;
  for (auto& [index, gpu] : out.gpus) {
    if (!is_fresh) gpu = {};
    gpu.ts = unix_s;
  }
  if (!is_fresh) {
    out.host.cpu_temp_c.reset();
    out.trouble = "a sensor of this box does not answer";
  }
  out.host.ts = unix_s;
  return out;
}

}  // namespace kiln::telemetry
