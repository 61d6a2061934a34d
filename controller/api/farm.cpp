#include "api/openapi.h"
#include "api/routes.h"
#include "base/version.h"

namespace kiln::api {

Json farm_json(Api& api) {
  Json alarms(Json::Array{});
  for (const auto& text : api.broadcaster.alarms()) alarms.push(text);
  return Json::object(
      {{"farm", api.settings.farm},
       {"version", version},
       {"mqtt", Json::object({{"host", api.settings.mqtt_host}, {"port", api.settings.mqtt_port}})},
       {"data_dir", api.settings.data_dir},
       {"summary", payloads::to_json(api.live.summary())},
       {"alarms", std::move(alarms)}});
}

void add_farm_routes(http::Router& router, Api& api) {
  using http::Method;
  router.add(Method::get, "/api/v1/farm", [&](http::Request&) { return json_response(farm_json(api)); });
  router.add(Method::get, "/api/v1/openapi.yaml", [](http::Request&) {
    return http::Response{.content_type = "application/yaml", .body = http::StaticBytes{openapi_yaml()}};
  });
  router.add(Method::get, "/healthz", [](http::Request&) {
    return http::Response{.content_type = "text/plain; charset=utf-8", .body = http::StaticBytes{"ok\n"}};
  });
}

}  // namespace kiln::api
