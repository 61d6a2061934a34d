// What this box is, as it introduces itself.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "daemon/config.h"
#include "payloads/messages.h"
#include "telemetry/sampler.h"

namespace kiln::agent {

// Renderers of the controller that are here, and the room for them.
struct Fetched {
  std::vector<payloads::HeldBundle> bundles;
  std::uint64_t max_mib = 0;
};

// mac: of mac_towards. At most 4 KiB on the wire (protocol.md): what is too long for that is left out, and
// said in the log.
payloads::NodeInfo describe(const Config& config, const telemetry::Hardware& hardware,
                            std::vector<payloads::RendererInfo> renderers, std::string mac,
                            Fetched fetched = {});

// The hardware address of an interface, "aa:bb:cc:dd:ee:ff"; "" where it has none, as loopback and tunnels.
std::string mac_of(const std::filesystem::path& sysfs, const std::string& interface);
// That of the interface by which the host is reached: what a magic packet must name to wake this box. Sends
// nothing but what it takes to look the name up. "" when there is no route yet.
std::string mac_towards(const std::string& host, const std::filesystem::path& sysfs);

// What a person reads when this box has no renderer: what to do.
std::string no_renderer(const std::string& blender);

}  // namespace kiln::agent
