#include <fmt/format.h>

#include "api/routes.h"
#include "base/version.h"

namespace kiln::api {

namespace {

// Prometheus' text format 0.0.4.
class Metrics {
 public:
  void begin(std::string_view name, std::string_view type, std::string_view help) {
    text_ += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
  }
  void value(std::string_view name, double value) { text_ += fmt::format("{} {}\n", name, value); }
  // `labels`: name, value, name, value…
  void value(std::string_view name, std::initializer_list<std::string_view> labels, double value) {
    text_ += fmt::format("{}{{", name);
    bool is_name = true;
    for (const auto label : labels) {
      text_ += is_name ? fmt::format("{}{}=", text_.back() == '{' ? "" : ",", label) : quoted(label);
      is_name = !is_name;
    }
    text_ += fmt::format("}} {}\n", value);
  }
  void one(std::string_view name, std::string_view type, std::string_view help, double number) {
    begin(name, type, help);
    value(name, number);
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  static std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
      if (c == '\\' || c == '"') out += '\\';
      out += c == '\n' ? ' ' : c;
    }
    return out + '"';
  }
  std::string text_;
};

void add_nodes(Metrics& out, Api& api, const std::vector<scheduler::NodeRow>& nodes) {
  using scheduler::NodePresence;
  out.begin("kiln_nodes", "gauge", "Nodes by what is known of their presence.");
  for (const auto presence :
       {NodePresence::unknown, NodePresence::online, NodePresence::draining, NodePresence::offline}) {
    const auto count = std::count_if(nodes.begin(), nodes.end(),
                                     [&](const auto& node) { return node.presence == presence; });
    out.value("kiln_nodes", {"presence", scheduler::to_string(presence)}, static_cast<double>(count));
  }
  out.one("kiln_nodes_quarantined", "gauge", "Nodes that get no work because several jobs failed on them.",
          static_cast<double>(std::count_if(nodes.begin(), nodes.end(),
                                            [](const auto& node) { return !node.quarantine.empty(); })));
  out.begin("kiln_node_tasks_total", "counter", "Tasks that a node ended, by how.");
  for (const auto& node : nodes) {
    out.value("kiln_node_tasks_total", {"node", node.id.str(), "state", "done"},
              static_cast<double>(node.tasks_done));
    out.value("kiln_node_tasks_total", {"node", node.id.str(), "state", "failed"},
              static_cast<double>(node.tasks_failed));
  }
  std::vector<std::pair<std::string, LiveNode>> live;
  for (const auto& node : nodes) {
    if (node.presence != NodePresence::offline) live.emplace_back(node.id.str(), api.live.node(node.id));
  }
  out.begin("kiln_node_gpu_temperature_celsius", "gauge", "Temperature of a node's GPU.");
  for (const auto& [id, node] : live) {
    for (const auto& [gpu, telemetry] : node.gpus) {
      if (!telemetry.temp_c) continue;
      out.value("kiln_node_gpu_temperature_celsius", {"node", id, "gpu", fmt::format("{}", gpu)},
                *telemetry.temp_c);
    }
  }
  out.begin("kiln_node_cpu_temperature_celsius", "gauge", "Temperature of a node's CPU.");
  for (const auto& [id, node] : live) {
    if (node.host && node.host->cpu_temp_c) {
      out.value("kiln_node_cpu_temperature_celsius", {"node", id}, *node.host->cpu_temp_c);
    }
  }
}

http::Response metrics(Api& api) {
  const auto nodes = api.reader.nodes();
  if (!nodes) return http::problem(nodes.error());
  const payloads::ControllerSummary summary = api.live.summary();
  Metrics out;
  out.begin("kiln_build_info", "gauge", "Always 1; the version is a label.");
  out.value("kiln_build_info", {"version", version}, 1);
  const double uptime_s = static_cast<double>(api.now().mono_ms - api.started.mono_ms) / 1000;
  out.one("kiln_uptime_seconds", "gauge", "Since the controller started.", uptime_s);
  add_nodes(out, api, *nodes);
  out.begin("kiln_slots", "gauge", "Slots of the nodes that are online.");
  out.value("kiln_slots", {"state", "busy"}, summary.slots_busy);
  out.value("kiln_slots", {"state", "idle"},
            summary.slots > summary.slots_busy ? summary.slots - summary.slots_busy : 0);
  out.begin("kiln_tasks", "gauge", "Tasks of the jobs that have not ended.");
  out.value("kiln_tasks", {"state", "queued"}, static_cast<double>(summary.tasks_queued));
  out.value("kiln_tasks", {"state", "running"}, static_cast<double>(summary.tasks_running));
  out.value("kiln_tasks", {"state", "failed"}, static_cast<double>(summary.tasks_failed));
  out.one("kiln_jobs_active", "gauge", "Jobs with work to do.", summary.jobs_active);
  out.begin("kiln_http_requests_total", "counter", "Requests answered, by the status' first digit.");
  for (std::size_t digit = 1; digit < api.counters.answers.size(); ++digit) {
    out.value("kiln_http_requests_total", {"class", fmt::format("{}xx", digit)},
              static_cast<double>(api.counters.answers.at(digit)));
  }
  out.begin("kiln_http_bytes_total", "counter", "Bytes over HTTP, heads and bodies.");
  out.value("kiln_http_bytes_total", {"direction", "in"}, static_cast<double>(api.counters.bytes_in));
  out.value("kiln_http_bytes_total", {"direction", "out"}, static_cast<double>(api.counters.bytes_out));
  out.one("kiln_http_connections", "gauge", "Connections open now.",
          static_cast<double>(api.counters.connections));
  out.one("kiln_alarms", "gauge", "Alarms that wait for a person.",
          static_cast<double>(api.broadcaster.alarms().size()));
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = out.take()};
}

}  // namespace

void add_metric_routes(http::Router& router, Api& api) {
  router.add(http::Method::get, "/metrics", [&](http::Request&) { return metrics(api); });
}

}  // namespace kiln::api
