#include "uplink/inbound.h"

#include <fmt/format.h>

#include <utility>

#include "payloads/messages.h"
#include "topics/topics.h"

namespace kiln::uplink {

Result<planner::Fact> read_message(const NodeId& node, std::string_view topic, std::string_view payload,
                                   bool is_retained, std::uint32_t random) {
  if (topic == topics::command(node) || topic == topics::command_all()) {
    auto command = payloads::decode_command(payload);
    std::string cid = command ? std::string() : payloads::peek_cid(payload);
    return planner::CommandReceived{std::move(command), std::move(cid), is_retained, random};
  }
  if (topic == topics::controller_status()) {
    auto status = payloads::decode_controller_status(payload);
    if (!status) return fail(std::move(status.error()).with(topic));
    return planner::ControllerSeen{std::move(*status)};
  }
  if (topic == topics::node_status(node)) {
    auto status = payloads::decode_node_status(payload);
    if (!status) return fail(std::move(status.error()).with(topic));
    return planner::StatusSeen{*status, is_retained};
  }
  return fail(Code::invalid, fmt::format("{}: nobody asked for this topic", topic));
}

}  // namespace kiln::uplink
