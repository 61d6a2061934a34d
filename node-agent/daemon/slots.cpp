#include "daemon/slots.h"

#include <fmt/format.h>

#include <algorithm>

namespace kiln::agent {

planner::Slots slots_of(const Config& config, const std::vector<payloads::GpuInfo>& gpus) {
  const auto there = static_cast<std::uint32_t>(std::min(gpus.size(), payloads::max_gpus));
  planner::Slots slots;
  slots.with_gpu = std::min(config.gpu_slots.value_or(there), there);
  const auto for_cpu = config.slots.value_or(0);
  slots.count = std::clamp<std::uint32_t>(slots.with_gpu + for_cpu, 1, payloads::max_slots);
  return slots;
}

Environment slot_environment(const std::vector<payloads::GpuInfo>& gpus, std::size_t gpu_slots,
                             std::size_t slot) {
  if (gpus.empty()) return {};
  const auto* own = slot < gpu_slots && slot < gpus.size() ? &gpus[slot] : nullptr;
  const auto is_of = [&](std::string_view vendor) { return own != nullptr && own->vendor == vendor; };
  // By PCI address, as ours are numbered: each vendor's runtime counts its own cards only.
  std::size_t place = 0;
  for (std::size_t i = 0; own != nullptr && i < slot; ++i) place += gpus[i].vendor == own->vendor ? 1 : 0;
  const auto number = std::to_string(place);
  // Not "": HIP takes an empty list for none given, and CUDA's in its place (ROCclr, Device::init).
  const std::string hidden = "-1";

  Environment all = {
      {"CUDA_VISIBLE_DEVICES", !is_of("nvidia")    ? hidden
                               : own->uuid.empty() ? number
                                                   : own->uuid},
      // Counts what the next one has left.
      {"HIP_VISIBLE_DEVICES", is_of("amd") ? "0" : hidden},
      // Hides everything when it is empty (ROCR-Runtime, amd_filter_device.h).
      {"ROCR_VISIBLE_DEVICES", is_of("amd") ? number : std::string()},
      {"ONEAPI_DEVICE_SELECTOR", is_of("intel") ? fmt::format("level_zero:{}", number) : "*:cpu"},
  };
  if (is_of("nvidia")) all.emplace_back("CUDA_DEVICE_ORDER", "PCI_BUS_ID");    // else the fastest is 0
  if (is_of("intel")) all.emplace_back("ZE_ENABLE_PCI_ID_DEVICE_ORDER", "1");  // else the discrete one is 0
  return all;
}

}  // namespace kiln::agent
