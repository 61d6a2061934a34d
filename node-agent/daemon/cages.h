// What the box's cages are made of: its settings, its programs, the device nodes of each slot's GPU.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "daemon/config.h"
#include "payloads/messages.h"
#include "session/runner.h"
#include "telemetry/sampler.h"

namespace kiln::agent {

// Device nodes of the slot's GPU; none for a slot without one. `sysfs` and `proc` say which card has which
// number.
std::vector<std::filesystem::path> slot_devices(const std::filesystem::path& sysfs,
                                                const std::filesystem::path& proc,
                                                const std::vector<payloads::GpuInfo>& gpus,
                                                std::size_t gpu_slots, std::size_t slot);

// What tasks must see of a program that is not the system's: its folder, or the file alone where that folder
// is somebody's home. Nothing for what lies below /usr and /opt, or is not there.
std::vector<std::filesystem::path> folders_of(const std::vector<std::string>& programs);

session::CageConfig cage_config(const Config& config, const telemetry::Hardware& hardware,
                                std::size_t gpu_slots, std::size_t slots);

// "4096 MiB of memory, 1056 processes, 100 GiB of files"
std::string describe(const session::CageConfig& cage);

}  // namespace kiln::agent
