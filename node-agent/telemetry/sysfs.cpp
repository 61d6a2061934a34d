#include "telemetry/sysfs.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "telemetry/parse.h"

namespace kiln::telemetry {

namespace fs = std::filesystem;

namespace {

constexpr double max_temp_c = 150;    // silicon is dead long before
constexpr double max_power_w = 2000;  // above any card
constexpr double max_memory_mib = 4.0 * 1024 * 1024;
constexpr double mib = 1024.0 * 1024.0;
constexpr int max_sensors = 16;  // of one kind on one chip; the largest have 12 (k10temp's CCDs)
constexpr std::int64_t min_energy_interval_ms = 100;  // the counters move in steps of some milliseconds

// The names in a folder, sorted by length and then text, so that hwmon2 precedes hwmon10.
std::vector<fs::path> list(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (auto it = fs::directory_iterator(folder, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    out.push_back(it->path());
  }
  std::sort(out.begin(), out.end(), [](const fs::path& a, const fs::path& b) {
    const auto x = a.filename().string();
    const auto y = b.filename().string();
    return x.size() != y.size() ? x.size() < y.size() : x < y;
  });
  return out;
}

std::optional<double> number(const fs::path& path) {
  const auto text = read_text(path);
  if (!text) return std::nullopt;
  const auto value = parse_integer(*text);
  if (!value) return std::nullopt;
  return static_cast<double>(*value);
}

std::optional<double> scaled(const fs::path& path, double divisor, double low, double high) {
  const auto value = number(path);
  return value ? plausible(*value / divisor, low, high) : std::nullopt;
}

std::string text(const fs::path& path) {
  return clean_text(read_text(path).value_or(""));
}

std::optional<std::uint32_t> hex(const fs::path& path) {
  const auto content = read_text(path);
  return content ? parse_hex(*content) : std::nullopt;
}

// Zero degrees is what an absent sensor reads, not a temperature of a running box.
std::optional<double> celsius(const fs::path& path) {
  const auto value = scaled(path, 1000, -max_temp_c, max_temp_c);
  return value && *value > 0 ? value : std::nullopt;
}

struct Temperature {
  std::string label;
  double celsius = 0;
};
std::vector<Temperature> temperatures(const fs::path& hwmon) {
  std::vector<Temperature> out;
  for (int i = 1; i <= max_sensors; ++i) {
    const auto value = celsius(hwmon / fmt::format("temp{}_input", i));
    if (value) out.push_back({text(hwmon / fmt::format("temp{}_label", i)), *value});
  }
  return out;
}

// The hottest of the sensors whose label starts with one of `labels`, the first label that has any winning;
// without such a label the first sensor.
std::optional<double> pick(const std::vector<Temperature>& all,
                           std::initializer_list<std::string_view> labels) {
  for (const auto label : labels) {
    std::optional<double> hottest;
    for (const auto& one : all) {
      if (one.label.starts_with(label)) hottest = std::max(hottest.value_or(0), one.celsius);
    }
    if (hottest) return hottest;
  }
  if (all.empty()) return std::nullopt;
  return all.front().celsius;
}

// An i915 device has a chip of its own for each engine (`i915_gt0`) beside that of the card.
std::optional<fs::path> hwmon_of(const fs::path& device) {
  for (const auto& folder : list(device / "hwmon")) {
    const auto name = text(folder / "name");
    if (!name.empty() && name.find("_gt") == std::string::npos) return folder;
  }
  return std::nullopt;
}

std::optional<double> power_w(const SysfsGpu& gpu, const fs::path& hwmon, std::int64_t mono_ms,
                              EnergyReadings& energy) {
  for (const auto* name : {"power1_average", "power1_input"}) {
    if (const auto watts = scaled(hwmon / name, 1e6, 0, max_power_w)) return watts;
  }
  // xe: energy1 is the card, energy2 the package, and a card may have either (sysfs-driver-intel-xe-hwmon).
  for (const auto* name : {"energy1_input", "energy2_input"}) {
    const auto content = read_text(hwmon / name);
    const auto microjoules = content ? parse_integer(*content) : std::nullopt;
    if (!microjoules || *microjoules < 0) continue;
    const auto before = energy.find(gpu.pci);
    const bool is_first = before == energy.end();
    const EnergyReading last = is_first ? EnergyReading{*microjoules, mono_ms} : before->second;
    if (!is_first && mono_ms - last.mono_ms < min_energy_interval_ms) return std::nullopt;
    energy[gpu.pci] = {*microjoules, mono_ms};
    if (is_first || *microjoules < last.microjoules) return std::nullopt;  // the counter wrapped
    const auto joules = static_cast<double>(*microjoules - last.microjoules) / 1e6;
    return plausible(joules * 1000 / static_cast<double>(mono_ms - last.mono_ms), 0, max_power_w);
  }
  return std::nullopt;
}

std::optional<double> fan_pct(const fs::path& hwmon) {
  if (const auto pwm = scaled(hwmon / "pwm1", 2.55, 0, 100)) return pwm;
  const auto rpm = number(hwmon / "fan1_input");
  const auto max = number(hwmon / "fan1_max");
  if (!rpm || !max || *max <= 0) return std::nullopt;  // turns alone are no share
  return plausible(100 * *rpm / *max, 0, 100);
}

std::string_view vendor_name(std::uint32_t vendor) {
  switch (vendor) {
    case vendor_nvidia:
      return "nvidia";
    case vendor_amd:
      return "amd";
    default:
      return "intel";
  }
}

std::string_view brand(std::uint32_t vendor) {
  switch (vendor) {
    case vendor_nvidia:
      return "NVIDIA";
    case vendor_amd:
      return "AMD";
    default:
      return "Intel";
  }
}

// ES1000: the ATI chip on server boards, a frame buffer and nothing else.
bool is_basic_display(std::uint32_t vendor, std::uint32_t device) {
  return vendor == vendor_amd && (device == 0x515e || device == 0x5969);
}

std::string driver_of(const fs::path& device) {
  std::error_code error;
  const auto target = fs::read_symlink(device / "driver", error);
  return error ? std::string() : clean_text(target.filename().string());
}

std::optional<std::string> pci_address(const fs::path& device) {
  const auto uevent = read_text(device / "uevent").value_or("");
  constexpr std::string_view key = "PCI_SLOT_NAME=";
  if (const auto at = uevent.find(key); at != std::string::npos) {
    const auto end = uevent.find('\n', at);
    const auto from = at + key.size();
    if (auto address = normal_pci_address(uevent.substr(from, end - std::min(end, from)))) return address;
  }
  std::error_code error;
  const auto real = fs::canonical(device, error);
  return error ? std::nullopt : normal_pci_address(real.filename().string());
}

void add_gpu(const fs::path& device, std::map<std::string, SysfsGpu>& found) {
  const auto vendor = hex(device / "vendor");
  if (!vendor || (*vendor != vendor_nvidia && *vendor != vendor_amd && *vendor != vendor_intel)) return;
  const auto id = hex(device / "device").value_or(0);
  const auto pci = pci_address(device);
  if (!pci || is_basic_display(*vendor, id)) return;
  std::error_code error;
  if (fs::is_symlink(device / "physfn", error)) return;  // a virtual function: its card is listed
  const auto driver = driver_of(device);
  if (driver == "vfio-pci" || driver == "pci-stub") return;
  found.emplace(*pci, SysfsGpu{*pci, device, *vendor, id, driver});
}

}  // namespace

std::optional<std::string> read_text(const fs::path& path, std::size_t max_bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return std::nullopt;
  std::string out;
  std::array<char, 4096> buffer{};
  ssize_t got = 0;
  while (out.size() < max_bytes && (got = ::read(fd, buffer.data(), buffer.size())) > 0) {
    out.append(buffer.data(), static_cast<std::size_t>(got));
  }
  ::close(fd);
  if (got < 0 && out.empty()) return std::nullopt;
  return out;
}

std::vector<SysfsGpu> find_gpus(const fs::path& sysfs) {
  std::map<std::string, SysfsGpu> found;
  for (const auto& card : list(sysfs / "class/drm")) {
    const auto name = card.filename().string();
    const bool is_card = name.starts_with("card") && name.size() > 4 &&
                         name.find_first_not_of("0123456789", 4) == std::string::npos;  // not card0-HDMI-A-1
    if (is_card) add_gpu(card / "device", found);
  }
  // NVIDIA's driver makes no DRM card unless nvidia-drm is loaded, which a headless box need not do.
  for (const auto& device : list(sysfs / "bus/pci/devices")) {
    constexpr std::uint32_t display = 0x03;
    const auto kind = hex(device / "class");
    if (kind && *kind >> 16U == display && hex(device / "vendor") == vendor_nvidia) add_gpu(device, found);
  }
  std::vector<SysfsGpu> out;
  for (auto& [pci, gpu] : found) {
    if (out.size() < payloads::max_gpus) out.push_back(std::move(gpu));
  }
  return out;
}

payloads::GpuInfo describe(const SysfsGpu& gpu, std::string_view pci_ids) {
  payloads::GpuInfo info;
  info.vendor = vendor_name(gpu.vendor);
  info.driver = gpu.driver;
  auto name = text(gpu.device / "product_name");  // amdgpu, on cards that carry it
  if (name.empty()) name = pci_device_name(pci_ids, gpu.vendor, gpu.device_id);
  if (name.empty()) name = fmt::format("GPU {:04x}:{:04x}", gpu.vendor, gpu.device_id);
  const auto maker = brand(gpu.vendor);
  info.name = name.starts_with(maker) ? name : fmt::format("{} {}", maker, name);
  const auto unique = text(gpu.device / "unique_id");
  if (unique.find_first_not_of('0') != std::string::npos) info.uuid = unique.substr(0, 64);
  // i915 and xe say the memory's size nowhere in sysfs (6.12).
  const auto memory = scaled(gpu.device / "mem_info_vram_total", mib, 0, max_memory_mib);
  info.memory_mib = static_cast<std::uint64_t>(memory.value_or(0));
  return info;
}

payloads::GpuTelemetry read_sensors(const SysfsGpu& gpu, std::int64_t mono_ms, EnergyReadings& energy) {
  payloads::GpuTelemetry out;
  if (text(gpu.device / "power/runtime_status") == "suspended") return out;
  out.util_pct = scaled(gpu.device / "gpu_busy_percent", 1, 0, 100);
  out.mem_mib = scaled(gpu.device / "mem_info_vram_used", mib, 0, max_memory_mib);
  const auto hwmon = hwmon_of(gpu.device);
  if (!hwmon) return out;
  // amdgpu: edge, junction, mem; xe: pkg, vram; a data-centre card may have the junction only.
  out.temp_c = pick(temperatures(*hwmon), {"edge", "pkg", "package", "junction"});
  out.power_w = power_w(gpu, *hwmon, mono_ms, energy);
  out.fan_pct = fan_pct(*hwmon);
  return out;
}

std::optional<double> read_cpu_temp_c(const fs::path& sysfs) {
  // Clearest first. Tctl carries an offset for the fan curve on some Ryzens; Tdie, where present, has none.
  static constexpr std::array<std::string_view, 8> chips = {"coretemp",     "zenpower",    "k10temp",
                                                            "cpu_thermal",  "soc_thermal", "cpu0_thermal",
                                                            "scpi_sensors", "acpitz"};
  std::array<std::optional<double>, chips.size()> by_chip;
  for (const auto& hwmon : list(sysfs / "class/hwmon")) {
    const auto chip = std::find(chips.begin(), chips.end(), text(hwmon / "name"));
    if (chip == chips.end()) continue;
    const auto temp = pick(temperatures(hwmon), {"Package id", "Tdie", "Tctl", "Core"});
    auto& best = by_chip[static_cast<std::size_t>(chip - chips.begin())];
    if (temp) best = std::max(best.value_or(0), *temp);  // one chip a socket
  }
  static constexpr std::array<std::string_view, 6> zones = {"x86_pkg_temp", "cpu-thermal", "cpu_thermal",
                                                            "soc-thermal",  "cpu",         "acpitz"};
  std::array<std::optional<double>, zones.size()> by_zone;
  for (const auto& zone : list(sysfs / "class/thermal")) {
    const auto type = text(zone / "type");
    const auto known =
        std::find_if(zones.begin(), zones.end(), [&](auto name) { return type.starts_with(name); });
    if (known == zones.end()) continue;
    auto& best = by_zone[static_cast<std::size_t>(known - zones.begin())];
    if (const auto temp = celsius(zone / "temp")) best = std::max(best.value_or(0), *temp);
  }
  // acpitz is some place in the case, often a constant: only when nothing names a CPU.
  for (std::size_t i = 0; i + 1 < chips.size(); ++i) {
    if (by_chip[i]) return by_chip[i];
  }
  for (std::size_t i = 0; i + 1 < zones.size(); ++i) {
    if (by_zone[i]) return by_zone[i];
  }
  return by_chip.back() ? by_chip.back() : by_zone.back();
}

}  // namespace kiln::telemetry
