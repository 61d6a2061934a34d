#include "fleet/inbound.h"

#include <fmt/core.h>

#include "topics/topics.h"

namespace kiln::fleet {

namespace {

using scheduler::Event;

// What `make` makes of the message, or why the message is no good.
template <class T, class Make>
Result<Inbound> meaning(Result<T> message, Make make) {
  if (!message) return fail(std::move(message.error()));
  return Inbound(make(std::move(*message)));
}

Result<Inbound> read_node(const topics::NodeTopic& topic, std::string_view payload, bool retained) {
  using topics::NodeLeaf;
  const NodeId& node = topic.node;
  switch (topic.leaf) {
    case NodeLeaf::status:
      return meaning(payloads::decode_node_status(payload), [&](payloads::NodeStatus status) {
        return Event(scheduler::NodeStatusSeen{node, status, retained});
      });
    case NodeLeaf::info:
      return meaning(payloads::decode_node_info(payload), [&](payloads::NodeInfo info) {
        return Event(scheduler::NodeInfoSeen{node, std::move(info), retained});
      });
    case NodeLeaf::tasks:
      return meaning(payloads::decode_node_tasks(payload), [&](payloads::NodeTasks tasks) {
        return Event(scheduler::NodeTasksSeen{node, std::move(tasks), retained});
      });
    case NodeLeaf::ack:
      if (retained) return Nothing{};
      return meaning(payloads::decode_ack(payload), [&](payloads::Ack ack) {
        return Event(scheduler::NodeAckSeen{node, std::move(ack)});
      });
    case NodeLeaf::event:
      if (retained) return Nothing{};
      return meaning(payloads::decode_node_event(payload), [&](payloads::NodeEvent event) {
        return NodeEventSeen{node, std::move(event)};
      });
    case NodeLeaf::gpu_telemetry:
      return meaning(payloads::decode_gpu_telemetry(payload), [&](payloads::GpuTelemetry telemetry) {
        return GpuSeen{node, topic.gpu, telemetry};
      });
    case NodeLeaf::host:
      return meaning(payloads::decode_host_telemetry(payload), [&](payloads::HostTelemetry telemetry) {
        return HostSeen{node, telemetry};
      });
    case NodeLeaf::update:
      return meaning(payloads::decode_node_update(payload), [&](payloads::NodeUpdate update) {
        return UpdateSeen{node, std::move(update)};
      });
    case NodeLeaf::progress:
    case NodeLeaf::gpu_temp_c:
    case NodeLeaf::cpu_temp_c:
      return Nothing{};
  }
  return Nothing{};
}

}  // namespace

Result<Inbound> read(std::string_view topic, std::string_view payload, bool retained) {
  const auto located = [&](Error error) { return fail(std::move(error).with(topic)); };
  if (const auto node = topics::parse_node_topic(topic)) {
    if (payload.empty()) return Nothing{};  // a retained topic was cleared
    auto inbound = read_node(*node, payload, retained);
    if (!inbound) return located(std::move(inbound.error()));
    return inbound;
  }
  if (auto request = topics::parse_request_topic(topic)) {
    if (retained) return Nothing{};  // rule 9: nobody retains a request
    auto decoded = payloads::decode_request(payload);
    if (!decoded) return located(std::move(decoded.error()));
    return RequestSeen{std::move(request->user), std::move(request->verb), std::move(*decoded)};
  }
  return located(Error{Code::invalid, "a topic that nobody of this farm publishes"});
}

}  // namespace kiln::fleet
