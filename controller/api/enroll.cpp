#include <fmt/format.h>

#include "api/gate.h"
#include "api/routes.h"
#include "base/version.h"
#include "enrollment/enrollment.h"
#include "identity/key.h"
#include "payloads/enrollment.h"

namespace kiln::api {

namespace {

constexpr std::size_t max_body_bytes = 4096;
constexpr std::int64_t default_token_days = 7;
constexpr std::int64_t day_ms = 86'400'000;
constexpr std::int64_t max_token_days = 3650;
constexpr std::uint32_t max_token_uses = 10'000;

using Decide = Status (enrollment::Enrollment::*)(const NodeId&, const std::string&);

http::Response done(const Status& status) {
  return status ? http::Response{.status = 204} : http::problem(status.error());
}

Json to_json(const enrollment::NodeKey& key) {
  auto json = Json::object({{"id", key.id.str()},
                            {"fingerprint", identity::fingerprint_of_key(key.public_key)},
                            {"state", to_string(key.state)},
                            {"name", key.name},
                            {"hardware", key.hardware},
                            {"peer", key.peer},
                            {"first_seen_ms", key.first_seen_ms},
                            {"last_seen_ms", key.last_seen_ms}});
  if (!key.decided_by.empty()) json.set("decided_by", key.decided_by);
  if (!key.remark.empty()) json.set("remark", key.remark);
  return json;
}

Json to_json(const enrollment::JoinToken& token) {
  return Json::object({{"id", token.id},
                       {"label", token.label},
                       {"expires_ms", token.expires_ms},
                       {"uses_left", token.uses_left},
                       {"made_by", token.made_by},
                       {"made_ms", token.made_ms}});
}

http::Response ask(Api& api, http::Request& request) {
  const auto body = request.body->read_all(payloads::max_enrollment_bytes);
  if (!body) return http::problem(body.error());
  const auto* signature = request.field(payloads::signature_field);
  auto answer = api.enrollment->ask(*body, signature == nullptr ? "" : *signature, request.peer,
                                    is_from_this_machine(request));
  if (!answer) return http::problem(answer.error());
  http::Response response{.content_type = "application/json"};
  response.body = payloads::encode(*answer);
  return response;
}

Result<NodeId> node_of(const http::Request& request) {
  return NodeId::parse(request.param("id"));
}

http::Response make_token(Api& api, http::Request& request) {
  const auto body = request.body->read_all(max_body_bytes);
  if (!body) return http::problem(body.error());
  const auto json = Json::parse(body->empty() ? "{}" : *body);
  if (!json) return http::problem(json.error());
  std::string label;
  std::uint32_t uses = 1;
  std::uint32_t days = default_token_days;
  JsonReader in(*json, "token");
  in.optional("label", label);
  in.optional("uses", uses, max_token_uses);
  in.optional("days", days, max_token_days);
  if (auto read = in.finish(0); !read) return http::problem(read.error());
  const auto made =
      api.enrollment->make_token(label, api.now().unix_ms + days * day_ms, uses, caller_of(request).name);
  if (!made) return http::problem(made.error());
  auto out = to_json(made->token);
  out.set("token", made->secret);  // this once
  return json_response(out, 201);
}

http::Response add_known(Api& api, http::Request& request) {
  const auto body = request.body->read_all(max_body_bytes);
  if (!body) return http::problem(body.error());
  const auto json = Json::parse(*body);
  if (!json) return http::problem(json.error());
  std::string text;
  JsonReader in(*json, "known");
  in.required("fingerprint", text);
  if (auto read = in.finish(0); !read) return http::problem(read.error());
  const auto added = api.enrollment->add_known(text);
  if (!added) return http::problem(added.error());
  return json_response(Json::object({{"fingerprint", *added}}), 201);
}

}  // namespace

void add_enroll_routes(http::Router& router, Api& api) {
  using enrollment::Enrollment;
  using http::Method;
  const auto add = [&](Method method, std::string pattern, http::Handler handler) {
    router.add(method, std::move(pattern), [&api, handler = std::move(handler)](http::Request& request) {
      if (api.enrollment == nullptr) return http::problem(503, "nobody can join this farm");
      return handler(request);
    });
  };
  add(Method::get, "/api/v1/ca", [&](http::Request&) {
    return http::Response{.content_type = "application/x-pem-file", .body = api.settings.ca_certificate};
  });
  add(Method::get, "/api/v1/enroll", [&](http::Request&) {
    return json_response(Json::object(
        {{"farm", api.settings.farm}, {"version", version}, {"nonce", api.enrollment->nonce()}}));
  });
  add(Method::post, "/api/v1/enroll", [&](http::Request& request) { return ask(api, request); });

  add(Method::get, "/api/v1/enrollments", [&](http::Request&) {
    return list_response("enrollments", api.enrollment->keys(),
                         [](const enrollment::NodeKey& key) { return to_json(key); });
  });
  const auto decide = [&](const char* verb, Decide what) {
    add(Method::post, fmt::format("/api/v1/enrollments/{{id}}/{}", verb),
        [&api, what](http::Request& request) {
          const auto node = node_of(request);
          if (!node) return http::problem(node.error());
          return done((api.enrollment->*what)(*node, caller_of(request).name));
        });
  };
  decide("approve", &Enrollment::approve);
  decide("reject", &Enrollment::reject);
  decide("revoke", &Enrollment::revoke);
  add(Method::post, "/api/v1/enrollments/{id}/rotate", [&](http::Request& request) {
    const auto node = node_of(request);
    return node ? done(api.enrollment->rotate(*node)) : http::problem(node.error());
  });
  add(Method::delete_, "/api/v1/enrollments/{id}", [&](http::Request& request) {
    const auto node = node_of(request);
    return node ? done(api.enrollment->remove(*node)) : http::problem(node.error());
  });

  add(Method::get, "/api/v1/mqtt-viewer", [&](http::Request&) {
    if (api.settings.viewer_password.empty())
      return http::problem(404,
                           "the farm uses a broker of its own: whoever runs that one knows its accounts");
    return json_response(Json::object({{"username", "viewer"},
                                       {"password", api.settings.viewer_password},
                                       {"host", api.settings.mqtt_host},
                                       {"port", api.settings.mqtt_port},
                                       {"tls", api.settings.mqtt_is_tls}}));
  });
  add(Method::get, "/api/v1/join-tokens", [&](http::Request&) {
    return list_response("tokens", api.enrollment->tokens(),
                         [](const enrollment::JoinToken& token) { return to_json(token); });
  });
  add(Method::post, "/api/v1/join-tokens", [&](http::Request& request) { return make_token(api, request); });
  add(Method::delete_, "/api/v1/join-tokens/{id}",
      [&](http::Request& request) { return done(api.enrollment->remove_token(request.param("id"))); });

  add(Method::get, "/api/v1/known-fingerprints", [&](http::Request&) {
    return list_response("fingerprints", api.enrollment->known(),
                         [](const std::string& one) { return Json(one); });
  });
  add(Method::post, "/api/v1/known-fingerprints",
      [&](http::Request& request) { return add_known(api, request); });
  add(Method::delete_, "/api/v1/known-fingerprints/{fingerprint}", [&](http::Request& request) {
    return done(api.enrollment->remove_known(request.param("fingerprint")));
  });
}

}  // namespace kiln::api
