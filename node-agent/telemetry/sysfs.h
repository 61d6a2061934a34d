// What the drivers publish in sysfs. Thin: reads small files below a root that is a parameter; every file may
// be missing, unreadable or nonsense, and is then an absent value.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "payloads/messages.h"

namespace kiln::telemetry {

// A whole small file, at most max_bytes of it; absent when it cannot be read.
std::optional<std::string> read_text(const std::filesystem::path& path, std::size_t max_bytes = 64UL * 1024);

inline constexpr std::uint32_t vendor_nvidia = 0x10de;
inline constexpr std::uint32_t vendor_amd = 0x1002;
inline constexpr std::uint32_t vendor_intel = 0x8086;

// One GPU as the kernel lists it.
struct SysfsGpu {
  std::string pci;               // 0000:0a:00.0
  std::filesystem::path device;  // its folder
  std::uint32_t vendor = 0;
  std::uint32_t device_id = 0;
  std::string driver;  // "amdgpu", "i915", "xe", "nvidia", "nouveau", …; "" without one

  // NVIDIA's own driver publishes nothing in sysfs.
  [[nodiscard]] bool needs_nvml() const { return vendor == vendor_nvidia && driver != "nouveau"; }
};

// Every GPU of those three vendors, by PCI address: the order survives a reboot. Not listed: the display
// adapters of virtual machines and of server boards, virtual functions, devices given away to a guest.
std::vector<SysfsGpu> find_gpus(const std::filesystem::path& sysfs);

// What does not change. `pci_ids` is the text of the pci.ids database, or empty.
payloads::GpuInfo describe(const SysfsGpu& gpu, std::string_view pci_ids);

// Intel's drivers publish energy; power is the difference of two readings.
struct EnergyReading {
  std::int64_t microjoules = 0;
  std::int64_t mono_ms = 0;
};
using EnergyReadings = std::map<std::string, EnergyReading>;  // by PCI address

// What changes. A GPU that sleeps is not woken to be asked: it has no values. `ts` is left to the caller.
payloads::GpuTelemetry read_sensors(const SysfsGpu& gpu, std::int64_t mono_ms, EnergyReadings& energy);

// The hottest CPU package in degrees Celsius, from the sensor that names a CPU most clearly.
std::optional<double> read_cpu_temp_c(const std::filesystem::path& sysfs);

}  // namespace kiln::telemetry
