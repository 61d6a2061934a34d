// Which temperatures are worth an event: a GPU speaks every two seconds, and mostly says the same. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "base/time.h"
#include "fleet/inbound.h"

namespace kiln::fleet {

class Heat {
 public:
  // The event for that telemetry when the GPU is 1 °C or more from what was last told of it, or nothing was
  // told for half a minute: an event that was lost, or a node that was forgotten meanwhile, is made good by
  // that. One without a temperature tells nothing.
  std::optional<scheduler::NodeHeatSeen> seen(const GpuSeen& seen, Instant now);

 private:
  struct Told {
    double temp_c = 0;
    std::int64_t mono_ms = 0;
  };
  std::map<std::pair<NodeId, std::uint32_t>, Told> told_;
};

}  // namespace kiln::fleet
