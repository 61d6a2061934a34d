#include <fmt/format.h>

#include "api/gate.h"
#include "api/routes.h"
#include "api/shapes.h"

namespace kiln::api {

namespace {

constexpr std::uint32_t max_points = 10'000;
constexpr std::size_t max_patch_bytes = 8ULL * 1024;

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

http::Response patch(Api& api, http::Request& request) {
  const auto body = request.body->read_all(max_patch_bytes);
  if (!body) return http::problem(body.error());
  const auto json = Json::parse(*body);
  if (!json) return http::problem(json.error());
  const auto edit = read_node_edit(*json);
  if (!edit) return http::problem(edit.error());
  caller_of(request).what = json->dump();
  return node_response(api, edit_node(api, request.param("id"), *edit));
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
  router.add(Method::patch, "/api/v1/nodes/{id}",
             [&](http::Request& request) { return patch(api, request); });
  router.add(Method::delete_, "/api/v1/nodes/{id}", [&](http::Request& request) {
    const auto forgotten = forget_node(api, request.param("id"));
    return forgotten ? http::Response{.status = 204} : http::problem(forgotten.error());
  });
  for (const bool wake : {true, false}) {
    router.add(Method::post, fmt::format("/api/v1/nodes/{{id}}/{}", wake ? "wake" : "sleep"),
               [&api, wake](http::Request& request) {
                 return node_response(api, power_node(api, request.param("id"), wake));
               });
  }
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
