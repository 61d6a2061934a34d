// What this box is made of and how it fares: GPUs (NVML, amdgpu, i915, xe), CPU, memory, disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "payloads/messages.h"
#include "telemetry/nvml.h"

namespace kiln::telemetry {

struct Config {
  std::filesystem::path data_dir;  // the disk that is reported: where job files and frames lie
  std::filesystem::path sysfs = "/sys";
  std::filesystem::path proc = "/proc";
  std::filesystem::path os_release = "/etc/os-release";
  std::filesystem::path pci_ids = "/usr/share/misc/pci.ids";  // names the cards, where installed
  bool nvml = true;                                           // false: NVIDIA GPUs are listed without values
  NvmlOptions nvml_options;
  // How long hardware() waits for the driver's first answer; sample() waits a quarter of a second.
  std::int64_t nvml_wait_ms = 3'000;
};

struct Hardware {
  std::string cpu;
  std::uint32_t cores = 0;
  std::uint64_t memory_mib = 0;
  std::string os;
  // By PCI address, the index being the place: the same after a reboot. Empty: the box has no GPU. A card
  // whose driver does not answer is listed with the reason in its name.
  std::vector<payloads::GpuInfo> gpus;
};

struct Sample {
  std::vector<std::pair<std::uint32_t, payloads::GpuTelemetry>> gpus;  // one for each of hardware().gpus
  payloads::HostTelemetry host;
  std::string trouble;  // why values are absent that this box should have; "" when all is well
};

// Reads on a thread of its own, so that a driver, a sensor or a network disk that hangs never holds up the
// caller: the values are then absent, and the thread is left behind at destruction.
class Sampler {
 public:
  explicit Sampler(Config config);
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  // Takes a moment (NVIDIA: up to nvml_wait_ms the first time). Cheap enough to ask once a minute: a driver
  // that came late, or went away, changes names and sizes.
  Hardware hardware();
  // Returns within half a second. unix_s: now, stamped on the values.
  Sample sample(std::int64_t unix_s);

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the thread, which may outlive this
};

}  // namespace kiln::telemetry
