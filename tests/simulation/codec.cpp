#include "codec.h"

#include "topics/topics.h"

namespace kiln::sim {

std::string topic_text(const Topic& topic, const NodeId& node) {
  switch (topic.leaf) {
    case Leaf::controller_status:
      return topics::controller_status();
    case Leaf::node_status:
      return topics::node_status(node);
    case Leaf::node_info:
      return topics::node_info(node);
    case Leaf::node_tasks:
      return topics::node_tasks(node);
    case Leaf::node_ack:
      return topics::node_ack(node);
    case Leaf::command:
      return topics::command(node);
    case Leaf::command_all:
      return topics::command_all();
  }
  return {};
}

std::string encode(const Body& body) {
  return std::visit([](const auto& one) { return payloads::encode(one); }, body);
}

}  // namespace kiln::sim
