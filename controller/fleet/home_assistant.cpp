#include "fleet/home_assistant.h"

#include <fmt/core.h>

#include "base/json.h"
#include "topics/topics.h"

namespace kiln::fleet {

namespace {

Json sensor(const NodeId& node, std::string_view key, std::string_view name, std::string state_topic) {
  return Json::object({{"p", "sensor"},
                       {"unique_id", fmt::format("kiln-{}-{}", node.str(), key)},
                       {"name", name},
                       {"state_topic", std::move(state_topic)}});
}

Json temperature(const NodeId& node, std::string_view key, std::string_view name, std::string topic) {
  Json out = sensor(node, key, name, std::move(topic));
  out.set("device_class", "temperature").set("unit_of_measurement", "°C").set("state_class", "measurement");
  return out;
}

}  // namespace

std::string home_assistant_device(const NodeId& node, const payloads::NodeInfo& info) {
  Json state = sensor(node, "state", "State", topics::node_status(node));
  state.set("value_template", "{{ value_json.state }}");
  Json progress = sensor(node, "progress", "Progress", topics::node_progress(node));
  progress.set("unit_of_measurement", "%").set("state_class", "measurement");

  Json sensors = Json::object({{"state", state}, {"progress", progress}});
  sensors.set("cpu_temp", temperature(node, "cpu-temp", "CPU temperature", topics::cpu_temp_c(node)));
  for (const auto& gpu : info.gpus) {
    const auto key = fmt::format("gpu{}-temp", gpu.index);
    sensors.set(key, temperature(node, key, fmt::format("GPU {} temperature", gpu.index),
                                 topics::gpu_temp_c(node, gpu.index)));
  }
  const Json device = Json::object({{"ids", Json(Json::Array{Json("kiln-" + node.str())})},
                                    {"name", info.name.empty() ? node.str() : info.name},
                                    {"mf", "Kiln"},
                                    {"mdl", "Render node"},
                                    {"sw", info.agent_version}});
  const Json origin = Json::object({{"name", "kiln"}});
  return Json::object({{"dev", device}, {"o", origin}, {"cmps", sensors}, {"qos", 0}}).dump();
}

}  // namespace kiln::fleet
