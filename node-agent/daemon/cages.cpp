#include "daemon/cages.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <system_error>

#include "cage/plan.h"
#include "runtime/process.h"
#include "telemetry/sysfs.h"

namespace kiln::agent {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t mib_of_gib = 1024;

// "Device Minor: \t 0" of NVIDIA's driver.
std::string nvidia_minor(const fs::path& proc, const std::string& pci) {
  const auto text = telemetry::read_text(proc / "driver/nvidia/gpus" / pci / "information").value_or("");
  constexpr std::string_view label = "Device Minor:";
  const auto at = text.find(label);
  if (at == std::string::npos) return {};
  const auto begin = text.find_first_of("0123456789", at);
  const auto end = text.find_first_not_of("0123456789", begin);
  return begin == std::string::npos ? std::string() : text.substr(begin, end - begin);
}

// "renderD128" and "card0" of the kernel's own.
std::string node_of(const fs::path& device, std::string_view kind) {
  std::error_code error;
  for (fs::directory_iterator at(device / "drm", error), end; !error && at != end; at.increment(error)) {
    auto name = at->path().filename().native();
    const auto number = name.find_first_of("0123456789");
    const bool is_it = name.starts_with(kind) && number == kind.size() &&
                       name.find_first_not_of("0123456789", number) == std::string::npos;
    if (is_it) return name;
  }
  return {};
}

bool is_a_home(const fs::path& folder) {
  const char* home = std::getenv("HOME");
  return folder == "/" || folder == "/root" || folder.parent_path() == "/home" ||
         folder.parent_path() == "/" || (home != nullptr && folder == fs::path(home));
}

}  // namespace

std::vector<fs::path> slot_devices(const fs::path& sysfs, const fs::path& proc,
                                   const std::vector<payloads::GpuInfo>& gpus, std::size_t gpu_slots,
                                   std::size_t slot) {
  if (slot >= gpu_slots || slot >= gpus.size()) return {};
  const auto cards = telemetry::find_gpus(sysfs);
  // They are in the same order: by PCI address.
  if (gpus[slot].index >= cards.size()) return {};
  const auto& card = cards[gpus[slot].index];
  cage::Gpu gpu;
  gpu.vendor = gpus[slot].vendor;
  gpu.render = node_of(card.device, "renderD");
  gpu.card = node_of(card.device, "card");
  if (gpu.vendor == "nvidia") gpu.minor = nvidia_minor(proc, card.pci);
  return cage::device_nodes(gpu);
}

std::vector<fs::path> folders_of(const std::vector<std::string>& programs) {
  std::vector<fs::path> out;
  const auto add = [&](const fs::path& program) {
    const auto folder = program.parent_path();
    const auto& one = is_a_home(folder) ? program : folder;
    if (cage::is_below(program, "/usr") || cage::is_below(program, "/opt")) return;
    if (std::find(out.begin(), out.end(), one) == out.end()) out.push_back(one);
  };
  for (const auto& name : programs) {
    const auto program = runtime::find_program(name);
    if (!program) continue;
    add(fs::absolute(*program).lexically_normal());
    std::error_code error;
    if (const auto real = fs::canonical(*program, error); !error) add(real);
  }
  return out;
}

session::CageConfig cage_config(const Config& config, const telemetry::Hardware& hardware,
                                std::size_t gpu_slots, std::size_t slots) {
  session::CageConfig out;
  out.settings = config.cage;
  out.data = config.data;
  out.memory_mib = hardware.memory_mib;
  out.cores = hardware.cores;
  auto programs = config.programs;
  programs.push_back(config.blender);
  out.programs = folders_of(programs);
  for (std::size_t slot = 0; slot < slots; ++slot)
    out.slot_devices.push_back(slot_devices(config.sysfs, "/proc", hardware.gpus, gpu_slots, slot));
  return out;
}

std::string describe(const session::CageConfig& cage) {
  const auto bounds =
      cage::bounds_of(cage.settings, cage.memory_mib, cage.cores, cage.settings.scratch_gib * mib_of_gib * 2);
  auto text = fmt::format("{} MiB of memory, {} processes, {} GiB of files", bounds.memory_mib,
                          bounds.processes, cage.settings.scratch_gib);
  std::vector<std::string> more;
  for (const auto* list : {&cage.programs, &cage.settings.read_only}) {
    for (const auto& one : *list) more.push_back(one.native());
  }
  if (!more.empty()) text += fmt::format("; reads {}", fmt::join(more, ", "));
  return text;
}

}  // namespace kiln::agent
