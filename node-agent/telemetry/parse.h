// What the kernel's text files say. Pure: text in, values out; what is malformed or implausible is absent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kiln::telemetry {

// One decimal whole number, white space around it ignored.
std::optional<std::int64_t> parse_integer(std::string_view text);
// `0x1002`, as sysfs writes ids and classes.
std::optional<std::uint32_t> parse_hex(std::string_view text);
// The value when low <= value <= high: a broken sensor reads -128, 0x7fffffff or 511 degrees.
std::optional<double> plausible(std::optional<double> value, double low, double high);
// Fit to be shown and sent: printable ASCII, runs of blanks made one, at most max_bytes.
std::string clean_text(std::string_view text, std::size_t max_bytes = 96);

// /proc/stat, in ticks since boot over all CPUs. Waiting for a disk counts as idle.
struct CpuTimes {
  std::uint64_t busy = 0;
  std::uint64_t total = 0;
};
std::optional<CpuTimes> parse_cpu_times(std::string_view proc_stat);
// Load between two readings, 0 to 100; absent when no time has passed or the counters ran backwards.
std::optional<double> cpu_percent(const CpuTimes& before, const CpuTimes& after);

// /proc/meminfo
struct Memory {
  std::uint64_t total_mib = 0;
  std::uint64_t used_mib = 0;  // total less what the kernel could hand out without swapping
};
std::optional<Memory> parse_meminfo(std::string_view meminfo);

// /proc/cpuinfo: the first CPU's name ("" where the architecture names none) and how many CPUs it lists.
struct Cpu {
  std::string name;
  std::uint32_t cores = 0;
};
Cpu parse_cpuinfo(std::string_view cpuinfo);

// PRETTY_NAME of os-release(5), or NAME; "" when there is neither.
std::string parse_os_release(std::string_view os_release);

// `00000000:0A:00.0` (NVML) and `0000:0a:00.0` (sysfs) are one address: the latter. Absent if it is neither.
std::optional<std::string> normal_pci_address(std::string_view text);

// A device's name in the pci.ids database, the marketing name in brackets preferred; "" when it has none.
std::string pci_device_name(std::string_view pci_ids, std::uint32_t vendor, std::uint32_t device);

}  // namespace kiln::telemetry
