#include <fmt/format.h>

#include "api/routes.h"
#include "api/shapes.h"

namespace kiln::api {

namespace {

constexpr std::uint32_t max_points = 10'000;

http::Response node_response(Api& api, const Result<scheduler::NodeRow>& node) {
  return node ? json_response(shown(api, *node)) : http::problem(node.error());
}

Result<scheduler::NodeRow> node_of(Api& api, const http::Request& request) {
  auto id = NodeId::parse(request.param("id"));
  if (!id) return fail(std::move(id.error()));
  return api.reader.node(*id);
}

http::Response telemetry(Api& api, http::Request& request) {
  const auto node = node_of(api, request);
  if (!node) return http::problem(node.error());
  const auto limit = query_number(request, "limit", 300, max_points);
  if (!limit) return http::problem(limit.error());
  const auto gpu = query_number(request, "gpu", 0, payloads::max_gpus - 1);
  if (!gpu) return http::problem(gpu.error());
  const int source = request.query_value("gpu") == nullptr ? -1 : static_cast<int>(*gpu);
  return list_response("points", api.live.history(node->id, source, *limit),
                       [](const TelemetryPoint& point) { return to_json(point); });
}

}  // namespace

void add_node_routes(http::Router& router, Api& api) {
  using http::Method;
  router.add(Method::get, "/api/v1/nodes", [&](http::Request&) {
    const auto nodes = api.reader.nodes();
    if (!nodes) return http::problem(nodes.error());
    return list_response("nodes", *nodes, [&](const scheduler::NodeRow& node) { return shown(api, node); });
  });
  router.add(Method::get, "/api/v1/nodes/{id}",
             [&](http::Request& request) { return node_response(api, node_of(api, request)); });
  router.add(Method::post, "/api/v1/nodes/{id}/drain", [&](http::Request& request) {
    return node_response(api, drain_node(api, request.param("id"), true));
  });
  router.add(Method::post, "/api/v1/nodes/{id}/resume", [&](http::Request& request) {
    return node_response(api, drain_node(api, request.param("id"), false));
  });
  router.add(Method::post, "/api/v1/nodes/{id}/forgive", [&](http::Request& request) {
    return node_response(api, forgive_node(api, request.param("id")));
  });
  router.add(Method::get, "/api/v1/nodes/{id}/telemetry",
             [&](http::Request& request) { return telemetry(api, request); });
}

}  // namespace kiln::api
