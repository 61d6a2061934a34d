#include <fmt/format.h>

#include "accounts/limits.h"
#include "accounts/secrets.h"
#include "accounts/session_life.h"
#include "api/gate.h"
#include "api/routes.h"

namespace kiln::api {

namespace {

constexpr std::size_t max_login_bytes = 4ULL * 1024;

Json me_json(const Api& api, const Caller& caller) {
  using enum Caller::Kind;
  const char* kind = caller.kind == user    ? "user"
                     : caller.kind == local ? "local"
                     : caller.kind == node  ? "node"
                                            : "anonymous";
  return Json::object({{"kind", kind},
                       {"name", caller.name},
                       {"role", caller.role ? Json(accounts::to_string(*caller.role)) : Json()},
                       {"by", !caller.token.empty()     ? Json("token")
                              : !caller.session.empty() ? Json("cookie")
                                                        : Json()},
                       {"farm", api.settings.farm}});
}

std::string cookie(const http::Request& request, std::string_view value, std::int64_t seconds) {
  return fmt::format("{}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{}", cookie_name(request), value,
                     seconds, request.is_secure ? "; Secure" : "");
}

// A page elsewhere must not log a browser in as somebody whose work it can watch.
Status check_page(const http::Request& request) {
  if (is_from_elsewhere(request)) return fail(Code::denied, "a page of another site may not log in here");
  const std::string* type = request.field("content-type");
  if (type != nullptr && type->starts_with("application/json")) return {};
  return fail(Code::denied, "send the name and password as Content-Type: application/json");
}

http::Response log_in(Api& api, http::Request& request) {
  if (const auto fine = check_page(request); !fine) return http::problem(fine.error());
  // What follows is a password: not for the wire in clear.
  if (!request.is_secure && !accounts::is_loopback(request.peer))
    return http::problem(403, "a password is taken over https only, or on the controller's own machine");
  const auto body = request.body->read_all(max_login_bytes);
  if (!body) return http::problem(body.error());
  const auto json = Json::parse(*body, {.bytes = max_login_bytes, .depth = 2, .values = 16});
  if (!json) return http::problem(json.error());
  std::string name;
  std::string password;
  JsonReader in(*json, "login");
  in.required("name", name);
  in.required("password", password);
  if (const auto read = in.finish(0); !read) return http::problem(read.error());

  const Instant now = api.now();
  const std::string peer = accounts::peer_key(request.peer);
  if (const auto wait = api.login_limit_of_peer.begin(peer, now.mono_ms); wait > 0) return too_often(wait);
  if (const auto wait = api.login_limit_of_name.begin(name, now.mono_ms); wait > 0) return too_often(wait);
  const auto hash = api.book.password_hash(name);
  if (!hash) return http::problem(hash.error());
  const auto is_right = api.hasher.verify(*hash, password);
  if (!is_right) return http::problem(is_right.error());
  const auto user = api.book.user(name);
  if (!user) return http::problem(user.error());
  if (!*is_right || !*user || (*user)->is_disabled) {
    // Somebody types a password where the name goes: what nobody is called is not written down.
    log_deed(api, caller_of(request), request.peer, "POST", request.path,
             *user ? fmt::format("user {}: login refused", name) : "a name nobody has: login refused", 401);
    auto response = http::problem(401, "the name or the password is wrong");
    response.set("WWW-Authenticate", "Bearer");
    return response;
  }
  api.login_limit_of_peer.succeeded(peer);
  api.login_limit_of_name.succeeded(name);

  const Caller before = caller_of(request);
  Caller caller{.kind = Caller::Kind::user, .name = name, .role = (*user)->role};
  const std::string secret = accounts::random_secret();
  caller.session = accounts::hash_of(secret);
  const auto added =
      api.book.add_session(caller.session, {name, now.unix_ms, now.unix_ms}, now.unix_ms - accounts::idle_ms);
  if (!added) return http::problem(added.error());
  if (!before.session.empty()) {
    if (const auto ended = api.book.end_session(before.session); !ended) return http::problem(ended.error());
  }
  log_deed(api, caller, request.peer, "POST", request.path, fmt::format("user {}: logged in", name), 200);
  auto response = json_response(me_json(api, caller));
  response.set("Set-Cookie", cookie(request, secret, accounts::longest_ms / 1000));
  return response;
}

http::Response log_out(Api& api, http::Request& request) {
  const Caller& caller = caller_of(request);
  if (!caller.session.empty()) {
    if (const auto ended = api.book.end_session(caller.session); !ended) return http::problem(ended.error());
    log_deed(api, caller, request.peer, "POST", request.path, fmt::format("user {}: logged out", caller.name),
             204);
  }
  http::Response response{.status = 204};
  response.set("Set-Cookie", cookie(request, "", 0));
  return response;
}

}  // namespace

void add_login_routes(http::Router& router, Api& api) {
  using http::Method;
  router.add(Method::post, "/api/v1/login", [&](http::Request& request) { return log_in(api, request); });
  router.add(Method::post, "/api/v1/logout", [&](http::Request& request) { return log_out(api, request); });
  router.add(Method::get, "/api/v1/me",
             [&](http::Request& request) { return json_response(me_json(api, caller_of(request))); });
}

}  // namespace kiln::api
