#include "fleet/heat.h"

#include <cmath>

namespace kiln::fleet {

namespace {

constexpr double step_c = 1;
constexpr std::int64_t again_ms = 30'000;
constexpr std::size_t max_gpus_kept = 16'384;  // topics are named by whoever publishes: bounded

}  // namespace

std::optional<scheduler::NodeHeatSeen> Heat::seen(const GpuSeen& seen, Instant now) {
  if (!seen.telemetry.temp_c) return std::nullopt;
  const double temp_c = *seen.telemetry.temp_c;
  if (told_.size() >= max_gpus_kept) told_.clear();
  const auto [told, is_new] = told_.try_emplace({seen.node, seen.gpu});
  if (!is_new && std::abs(temp_c - told->second.temp_c) < step_c &&
      now.mono_ms - told->second.mono_ms < again_ms) {
    return std::nullopt;
  }
  told->second = {temp_c, now.mono_ms};
  return scheduler::NodeHeatSeen{seen.node, seen.gpu, temp_c};
}

}  // namespace kiln::fleet
