#include "daemon/survey.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "base/version.h"
#include "daemon/identity.h"

namespace kiln::agent {

std::uint32_t slots_of(const Config& config, const telemetry::Hardware& hardware) {
  if (config.slots > 0) return config.slots;
  return static_cast<std::uint32_t>(std::clamp<std::size_t>(hardware.gpus.size(), 1, payloads::max_slots));
}

payloads::NodeInfo describe(const Config& config, const telemetry::Hardware& hardware,
                            std::vector<payloads::RendererInfo> renderers) {
  payloads::NodeInfo info;
  info.name = config.name.empty() ? host_name() : config.name;
  info.os = hardware.os;
  info.agent_version = version;
  info.cpu = hardware.cpu;
  info.cores = hardware.cores;
  info.memory_mib = hardware.memory_mib;
  info.slots = slots_of(config, hardware);
  info.renderers = std::move(renderers);
  info.gpus = hardware.gpus;
  return info;
}

bool is_installed(const std::string& program) {
  if (program.find('/') != std::string::npos) return ::access(program.c_str(), X_OK) == 0;
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
  while (!rest.empty()) {
    const auto folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(folder.size() + 1, rest.size()));
    if (::access(fmt::format("{}/{}", folder, program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

std::string no_renderer(const std::string& blender) {
  return fmt::format(
      "no Blender was found as '{}': install it (apt install blender) or name the program with "
      "--blender or `blender = …` in /etc/kiln/agent.toml; until then this box renders nothing",
      blender);
}

}  // namespace kiln::agent
