// What an MQTT message means to the controller. Pure.
#pragma once

#include <string_view>
#include <variant>

#include "base/ids.h"
#include "base/result.h"
#include "payloads/messages.h"
#include "scheduler/events.h"

namespace kiln::fleet {

// Numbers for the page, never for a decision.
struct GpuSeen {
  NodeId node;
  std::uint32_t gpu = 0;
  payloads::GpuTelemetry telemetry;
};
struct HostSeen {
  NodeId node;
  payloads::HostTelemetry telemetry;
};
struct UpdateSeen {
  NodeId node;
  payloads::NodeUpdate update;
};
struct RequestSeen {
  std::string user;
  std::string verb;
  payloads::Request request;
};
// For the log.
struct NodeEventSeen {
  NodeId node;
  payloads::NodeEvent event;
};
// Something of ours echoed, or a plain number beside a structured message that says the same.
struct Nothing {};

using Inbound =
    std::variant<scheduler::Event, GpuSeen, HostSeen, UpdateSeen, NodeEventSeen, RequestSeen, Nothing>;

// Errors: invalid or too_large, naming the topic and the field.
Result<Inbound> read(std::string_view topic, std::string_view payload, bool retained);

}  // namespace kiln::fleet
