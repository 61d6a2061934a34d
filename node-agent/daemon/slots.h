// How many tasks run here at a time, and which GPU each of them sees.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "daemon/config.h"
#include "payloads/messages.h"
#include "planner/planner.h"

namespace kiln::agent {

// What the settings say of a box with these GPUs: one slot for each, else one for the CPU; never none at all.
planner::Slots slots_of(const Config& config, const std::vector<payloads::GpuInfo>& gpus);

// Variables that let a slot's programs see its GPU alone: the slot's number among `gpus` as long as it is
// below `gpu_slots`, and no GPU for the others. Nothing on a box without GPUs. Isolation between willing
// programs, no protection: a program may set them anew.
using Environment = std::vector<std::pair<std::string, std::string>>;
Environment slot_environment(const std::vector<payloads::GpuInfo>& gpus, std::size_t gpu_slots,
                             std::size_t slot);

}  // namespace kiln::agent
