#include "topics/topics.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

namespace kiln::topics {

namespace {

constexpr std::string_view nodes_prefix = "kiln/v1/nodes/";
constexpr std::string_view request_prefix = "kiln/v1/request/";

struct Leaf {
  std::string_view text;
  NodeLeaf leaf;
};
// What follows nodes/<id>/ …
constexpr Leaf node_leaves[] = {
    {"status", NodeLeaf::status}, {"info", NodeLeaf::info},
    {"tasks", NodeLeaf::tasks},   {"progress", NodeLeaf::progress},
    {"host", NodeLeaf::host},     {"event", NodeLeaf::event},
    {"ack", NodeLeaf::ack},       {"cpu_temp_c", NodeLeaf::cpu_temp_c},
    {"update", NodeLeaf::update},
};
// … and what follows nodes/<id>/gpus/<n>/.
constexpr Leaf gpu_leaves[] = {
    {"telemetry", NodeLeaf::gpu_telemetry},
    {"temp_c", NodeLeaf::gpu_temp_c},
};

template <std::size_t N>
std::optional<NodeLeaf> find_leaf(const Leaf (&leaves)[N], std::string_view text) {
  const auto* found =
      std::find_if(std::begin(leaves), std::end(leaves), [&](const Leaf& l) { return l.text == text; });
  if (found == std::end(leaves)) return std::nullopt;
  return found->leaf;
}

// A topic level of its own: an empty id here would name another topic.
const std::string& level(const std::string& id) {
  KILN_ASSERT(is_id(id));
  return id;
}

std::string of_node(const NodeId& node, std::string_view leaf) {
  return fmt::format("{}{}/{}", nodes_prefix, level(node.str()), leaf);
}
std::string of_gpu(const NodeId& node, std::uint32_t gpu, std::string_view leaf) {
  KILN_ASSERT(gpu <= max_gpu_index);
  return fmt::format("{}{}/gpus/{}/{}", nodes_prefix, level(node.str()), gpu, leaf);
}
std::string of_job(const JobId& job, std::string_view leaf) {
  return fmt::format("{}/jobs/{}/{}", prefix, level(job.str()), leaf);
}
std::string of_user(std::string_view kind, std::string_view user, std::string_view verb) {
  KILN_ASSERT(is_id(user) && is_id(verb));
  return fmt::format("{}/{}/{}/{}", prefix, kind, user, verb);
}

// Cuts the text up to the next '/' off `rest`; nullopt when there is none.
std::optional<std::string_view> take_level(std::string_view& rest) {
  const auto slash = rest.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto head = rest.substr(0, slash);
  rest.remove_prefix(slash + 1);
  return head;
}

std::optional<std::uint32_t> parse_gpu(std::string_view digits) {
  std::uint32_t gpu = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), gpu);
  const bool is_canonical = digits.size() == 1 || !digits.starts_with('0');
  if (error != std::errc{} || end != digits.data() + digits.size() || !is_canonical || gpu > max_gpu_index) {
    return std::nullopt;
  }
  return gpu;
}

}  // namespace

std::string controller_status() {
  return fmt::format("{}/controller/status", prefix);
}
std::string controller_summary() {
  return fmt::format("{}/controller/summary", prefix);
}

std::string node_status(const NodeId& node) {
  return of_node(node, "status");
}
std::string node_info(const NodeId& node) {
  return of_node(node, "info");
}
std::string node_tasks(const NodeId& node) {
  return of_node(node, "tasks");
}
std::string node_progress(const NodeId& node) {
  return of_node(node, "progress");
}
std::string node_host(const NodeId& node) {
  return of_node(node, "host");
}
std::string node_event(const NodeId& node) {
  return of_node(node, "event");
}
std::string node_ack(const NodeId& node) {
  return of_node(node, "ack");
}
std::string node_update(const NodeId& node) {
  return of_node(node, "update");
}
std::string gpu_telemetry(const NodeId& node, std::uint32_t gpu) {
  return of_gpu(node, gpu, "telemetry");
}
std::string gpu_temp_c(const NodeId& node, std::uint32_t gpu) {
  return of_gpu(node, gpu, "temp_c");
}
std::string cpu_temp_c(const NodeId& node) {
  return of_node(node, "cpu_temp_c");
}

std::string command(const NodeId& node) {
  // cmd/all is everybody's: no box may be named so.
  KILN_ASSERT(node.str() != "all");
  return fmt::format("{}/cmd/{}", prefix, level(node.str()));
}
std::string command_all() {
  return fmt::format("{}/cmd/all", prefix);
}

std::string job_status(const JobId& job) {
  return of_job(job, "status");
}
std::string job_progress(const JobId& job) {
  return of_job(job, "progress");
}
std::string job_event(const JobId& job) {
  return of_job(job, "event");
}

std::string request(std::string_view user, std::string_view verb) {
  return of_user("request", user, verb);
}
std::string response(std::string_view user, std::string_view verb) {
  return of_user("response", user, verb);
}

std::string home_assistant_config(const NodeId& node) {
  return fmt::format("homeassistant/device/kiln-{}/config", level(node.str()));
}

std::string all_nodes_filter() {
  return fmt::format("{}#", nodes_prefix);
}
std::string all_requests_filter() {
  return fmt::format("{}+/+", request_prefix);
}

std::optional<NodeTopic> parse_node_topic(std::string_view topic) {
  if (!topic.starts_with(nodes_prefix)) return std::nullopt;
  topic.remove_prefix(nodes_prefix.size());
  const auto id = take_level(topic);
  if (!id || *id == "all") return std::nullopt;
  auto node = NodeId::parse(*id);
  if (!node) return std::nullopt;

  NodeTopic parsed;
  parsed.node = std::move(*node);
  constexpr std::string_view gpus = "gpus/";
  std::optional<NodeLeaf> leaf;
  if (topic.starts_with(gpus)) {
    topic.remove_prefix(gpus.size());
    const auto digits = take_level(topic);
    const auto gpu = digits ? parse_gpu(*digits) : std::nullopt;
    if (!gpu) return std::nullopt;
    parsed.gpu = *gpu;
    leaf = find_leaf(gpu_leaves, topic);
  } else {
    leaf = find_leaf(node_leaves, topic);
  }
  if (!leaf) return std::nullopt;
  parsed.leaf = *leaf;
  return parsed;
}

std::optional<RequestTopic> parse_request_topic(std::string_view topic) {
  if (!topic.starts_with(request_prefix)) return std::nullopt;
  topic.remove_prefix(request_prefix.size());
  const auto user = take_level(topic);
  if (!user || !is_id(*user) || !is_id(topic)) return std::nullopt;
  return RequestTopic{std::string(*user), std::string(topic)};
}

}  // namespace kiln::topics
