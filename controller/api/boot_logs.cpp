#include <fmt/format.h>

#include "api/gate.h"
#include "api/routes.h"

namespace kiln::api {

namespace {

constexpr std::size_t max_bytes = 4UL * 1024 * 1024;

http::Response put_log(Api& api, http::Request& request) {
  const auto node = NodeId::parse(request.param("id"));
  if (!node) return http::problem(node.error());
  const Caller& caller = caller_of(request);
  if (caller.kind == Caller::Kind::node && caller.name != node->str())
    return http::problem(403, fmt::format("{} delivers its own logs only", caller.name));
  const auto text = request.body->read_all(max_bytes);
  if (!text) return http::problem(text.error());
  if (const auto kept = api.storage.keep_boot_log(*node, request.param("boot"), *text); !kept)
    return http::problem(kept.error());
  return {.status = 204};
}

http::Response list_logs(Api& api, http::Request& request) {
  const auto node = NodeId::parse(request.param("id"));
  if (!node) return http::problem(node.error());
  return list_response("boots", api.storage.boot_logs(*node), [](const BootLog& log) {
    return Json::object({{"boot", log.boot}, {"bytes", log.bytes}, {"at_ms", log.at_ms}});
  });
}

http::Response get_log(Api& api, http::Request& request) {
  const auto node = NodeId::parse(request.param("id"));
  if (!node) return http::problem(node.error());
  auto log = api.storage.open_boot_log(*node, request.param("boot"));
  if (!log) return http::problem(log.error());
  return file_response(std::move(*log), "text/plain; charset=utf-8", false);
}

}  // namespace

void add_boot_log_routes(http::Router& router, Api& api) {
  using http::Method;
  router.add(Method::get, "/api/v1/nodes/{id}/boot-logs",
             [&](http::Request& request) { return list_logs(api, request); });
  router.add(Method::get, "/api/v1/nodes/{id}/boot-logs/{boot}",
             [&](http::Request& request) { return get_log(api, request); });
  router.add(Method::put, "/api/v1/nodes/{id}/boot-logs/{boot}",
             [&](http::Request& request) { return put_log(api, request); });
}

}  // namespace kiln::api
