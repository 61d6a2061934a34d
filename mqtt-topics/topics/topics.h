// Every topic name of Kiln, in one file: built here, parsed here, spelled nowhere else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"

namespace kiln::topics {

inline constexpr std::string_view prefix = "kiln/v1";

// GPUs of a node are numbered 0 to this: a node cannot make its readers keep state for numbers without end.
inline constexpr std::uint32_t max_gpu_index = 63;

std::string controller_status();
std::string controller_summary();

std::string node_status(const NodeId&);
std::string node_info(const NodeId&);
std::string node_tasks(const NodeId&);
std::string node_progress(const NodeId&);  // plain number
std::string node_host(const NodeId&);
std::string node_event(const NodeId&);
std::string node_ack(const NodeId&);
std::string node_update(const NodeId&);  // of flashed boxes
std::string gpu_telemetry(const NodeId&, std::uint32_t gpu);
std::string gpu_temp_c(const NodeId&, std::uint32_t gpu);  // plain number
std::string cpu_temp_c(const NodeId&);                     // plain number: what a box without a GPU has

std::string command(const NodeId&);
std::string command_all();

std::string job_status(const JobId&);
std::string job_progress(const JobId&);  // plain number
std::string job_event(const JobId&);

// user and verb are ids (is_id); anything else is a bug.
std::string request(std::string_view user, std::string_view verb);
std::string response(std::string_view user, std::string_view verb);

std::string home_assistant_config(const NodeId&);  // homeassistant/device/kiln-<id>/config

// What each program subscribes to.
std::string all_nodes_filter();     // kiln/v1/nodes/#
std::string all_requests_filter();  // kiln/v1/request/+/+

// ---- parsing -------------------------------------------------------------------------------------------

enum class NodeLeaf {
  status,
  info,
  tasks,
  progress,
  host,
  event,
  ack,
  update,
  gpu_telemetry,
  gpu_temp_c,
  cpu_temp_c
};

struct NodeTopic {
  NodeId node;
  NodeLeaf leaf = NodeLeaf::status;
  std::uint32_t gpu = 0;  // for the gpu leaves
};
// nullopt: not a topic of a node, or its id is malformed.
std::optional<NodeTopic> parse_node_topic(std::string_view topic);

struct RequestTopic {
  std::string user;
  std::string verb;
};
std::optional<RequestTopic> parse_request_topic(std::string_view topic);

}  // namespace kiln::topics
