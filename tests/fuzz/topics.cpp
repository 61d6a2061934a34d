// "<topic>\n<payload>": what a broker brings to the controller and to a node.
#include "topics/topics.h"
#include "fleet/inbound.h"
#include "fuzz.h"
#include "uplink/inbound.h"

using namespace kiln;  // NOLINT(google-build-using-namespace)

namespace {

std::string built(const topics::NodeTopic& topic) {
  using topics::NodeLeaf;
  switch (topic.leaf) {
    case NodeLeaf::status:
      return topics::node_status(topic.node);
    case NodeLeaf::info:
      return topics::node_info(topic.node);
    case NodeLeaf::tasks:
      return topics::node_tasks(topic.node);
    case NodeLeaf::progress:
      return topics::node_progress(topic.node);
    case NodeLeaf::host:
      return topics::node_host(topic.node);
    case NodeLeaf::event:
      return topics::node_event(topic.node);
    case NodeLeaf::ack:
      return topics::node_ack(topic.node);
    case NodeLeaf::update:
      return topics::node_update(topic.node);
    case NodeLeaf::gpu_telemetry:
      return topics::gpu_telemetry(topic.node, topic.gpu);
    case NodeLeaf::gpu_temp_c:
      return topics::gpu_temp_c(topic.node, topic.gpu);
    case NodeLeaf::cpu_temp_c:
      return topics::cpu_temp_c(topic.node);
  }
  return "";
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = fuzz::text_of(data, size);
  const auto end = input.find('\n');
  const auto topic = input.substr(0, end);
  const auto payload = end == std::string_view::npos ? std::string_view() : input.substr(end + 1);

  if (const auto node = topics::parse_node_topic(topic)) {
    fuzz::notice(built(*node));
    KILN_ASSERT(built(*node) == topic);
    KILN_ASSERT(node->gpu <= topics::max_gpu_index);
    KILN_ASSERT(node->node.str() != "all");
  }
  if (const auto request = topics::parse_request_topic(topic)) {
    KILN_ASSERT(topics::request(request->user, request->verb) == topic);
    KILN_ASSERT(!topics::parse_node_topic(topic));
  }
  for (const bool is_retained : {false, true}) {
    const auto inbound = fleet::read(topic, payload, is_retained);
    if (inbound) {
      fuzz::notice(std::string("controller ") + static_cast<char>('a' + inbound->index()));
      KILN_ASSERT(!is_retained || !std::holds_alternative<fleet::RequestSeen>(*inbound));  // rule 9
    } else {
      fuzz::check_sentence(inbound.error());
    }
    static const auto node = *NodeId::parse("render-1");
    const auto fact = uplink::read_message(node, topic, payload, is_retained, 7);
    if (fact) {
      fuzz::notice(std::string("node ") + static_cast<char>('a' + fact->index()));
    } else {
      fuzz::check_sentence(fact.error());
    }
  }
  return 0;
}
