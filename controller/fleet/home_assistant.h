// Home Assistant's MQTT discovery, one message a node
// (https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload). Pure.
#pragma once

#include <string>

#include "base/ids.h"
#include "payloads/messages.h"

namespace kiln::fleet {

// The retained payload of homeassistant/device/kiln-<id>/config: the node as a device, with a sensor for its
// state, progress, CPU and each GPU's temperature.
std::string home_assistant_device(const NodeId& node, const payloads::NodeInfo& info);

}  // namespace kiln::fleet
