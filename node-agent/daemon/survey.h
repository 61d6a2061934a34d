// What this box is, as it introduces itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/config.h"
#include "payloads/messages.h"
#include "telemetry/sampler.h"

namespace kiln::agent {

// The configured number, or one per GPU, or one for the CPU.
std::uint32_t slots_of(const Config& config, const telemetry::Hardware& hardware);

payloads::NodeInfo describe(const Config& config, const telemetry::Hardware& hardware,
                            std::vector<payloads::RendererInfo> renderers);

// Whether there is such a program: a path, or a name in PATH.
bool is_installed(const std::string& program);

// What a person reads when this box has no renderer: what to do.
std::string no_renderer(const std::string& blender);

}  // namespace kiln::agent
