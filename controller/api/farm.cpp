#include "api/gate.h"
#include "api/openapi.h"
#include "api/routes.h"
#include "api/shapes.h"
#include "base/version.h"

namespace kiln::api {

Result<Json> farm_json(Api& api) {
  auto settings = api.reader.settings();
  if (!settings) return fail(std::move(settings.error()));
  Json alarms(Json::Array{});
  for (const auto& text : api.broadcaster.alarms()) alarms.push(text);
  return Json::object({{"farm", api.settings.farm},
                       {"version", version},
                       {"mqtt", Json::object({{"host", api.settings.mqtt_host},
                                              {"port", api.settings.mqtt_port},
                                              {"tls", api.settings.mqtt_is_tls}})},
                       {"ca_fingerprint", api.settings.ca_fingerprint},
                       {"data_dir", api.settings.data_dir},
                       {"settings", to_json(*settings)},
                       {"soft_c", api.settings.soft_c},
                       {"hard_c", api.settings.hard_c},
                       {"summary", payloads::to_json(api.live.summary())},
                       {"alarms", std::move(alarms)}});
}

namespace {

constexpr std::size_t max_patch_bytes = 16ULL * 1024;

http::Response farm_response(Api& api) {
  const auto json = farm_json(api);
  return json ? json_response(*json) : http::problem(json.error());
}

http::Response patch(Api& api, http::Request& request) {
  const auto body = request.body->read_all(max_patch_bytes);
  if (!body) return http::problem(body.error());
  const auto json = Json::parse(*body);
  if (!json) return http::problem(json.error());
  auto edit = read_farm_edit(*json);
  if (!edit) return http::problem(edit.error());
  caller_of(request).what = json->dump();
  if (const auto edited = edit_farm(api, std::move(*edit)); !edited) return http::problem(edited.error());
  return farm_response(api);
}

}  // namespace

void add_farm_routes(http::Router& router, Api& api) {
  using http::Method;
  router.add(Method::get, "/api/v1/farm", [&](http::Request&) { return farm_response(api); });
  router.add(Method::patch, "/api/v1/farm", [&](http::Request& request) { return patch(api, request); });
  router.add(Method::get, "/api/v1/openapi.yaml", [](http::Request&) {
    return http::Response{.content_type = "application/yaml", .body = http::StaticBytes{openapi_yaml()}};
  });
  router.add(Method::get, "/healthz", [](http::Request&) {
    return http::Response{.content_type = "text/plain; charset=utf-8", .body = http::StaticBytes{"ok\n"}};
  });
}

}  // namespace kiln::api
