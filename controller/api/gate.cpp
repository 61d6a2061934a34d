#include "api/gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "accounts/limits.h"
#include "accounts/secrets.h"
#include "accounts/session_life.h"
#include "api/routes.h"
#include "base/text.h"
#include "runtime/log.h"

namespace kiln::api {

namespace {

using accounts::Role;
using http::Method;

constexpr std::size_t max_what = 300;  // bytes of the audit log's remark

// ---- the table -------------------------------------------------------------------------------------------

constexpr std::array table{
    // clang-format off
    //     method           pattern                                                least           nodes        owned        logged
    Access{Method::get,     "/healthz",                                            Least::anyone},
    Access{Method::get,     "/metrics",                                            Least::viewer},
    Access{Method::get,     "/api/v1/openapi.yaml",                                Least::anyone},
    Access{Method::get,     "/api/v1/me",                                          Least::anyone,  Nodes::any},
    Access{Method::post,    "/api/v1/login",                                       Least::anyone,  Nodes::none, Owned::no,   Logged::no},  // logs itself, refusals too
    Access{Method::post,    "/api/v1/logout",                                      Least::anyone,  Nodes::none, Owned::no,   Logged::no},
    Access{Method::get,     "/api/v1/users",                                       Least::administrator},
    Access{Method::post,    "/api/v1/users",                                       Least::administrator},
    Access{Method::patch,   "/api/v1/users/{name}",                                Least::viewer},  // the own password; the handler sees to it
    Access{Method::delete_, "/api/v1/users/{name}",                                Least::administrator},
    Access{Method::get,     "/api/v1/tokens",                                      Least::viewer},  // the own ones; the handlers see to it
    Access{Method::post,    "/api/v1/tokens",                                      Least::viewer},
    Access{Method::delete_, "/api/v1/tokens/{id}",                                 Least::viewer},
    Access{Method::get,     "/api/v1/audit",                                       Least::administrator},

    Access{Method::get,     "/api/v1/farm",                                        Least::viewer,  Nodes::any},
    Access{Method::patch,   "/api/v1/farm",                                        Least::operator_},
    Access{Method::get,     "/api/v1/events",                                      Least::viewer},
    Access{Method::get,     "/api/v1/productions",                                 Least::viewer},
    Access{Method::get,     "/api/v1/usage",                                       Least::viewer},
    Access{Method::get,     "/api/v1/types",                                       Least::viewer},
    Access{Method::get,     "/api/v1/types/{name}",                                Least::viewer},
    Access{Method::get,     "/api/v1/results",                                     Least::viewer},

    Access{Method::get,     "/api/v1/jobs",                                        Least::viewer},
    Access{Method::post,    "/api/v1/jobs",                                        Least::artist},
    Access{Method::get,     "/api/v1/jobs/{id}",                                   Least::viewer},
    Access{Method::patch,   "/api/v1/jobs/{id}",                                   Least::artist,  Nodes::none, Owned::job},
    Access{Method::delete_, "/api/v1/jobs/{id}",                                   Least::artist,  Nodes::none, Owned::job},
    Access{Method::post,    "/api/v1/jobs/{id}/cancel",                            Least::artist,  Nodes::none, Owned::job},
    Access{Method::post,    "/api/v1/jobs/{id}/retry",                             Least::artist,  Nodes::none, Owned::job},
    Access{Method::post,    "/api/v1/jobs/{id}/requeue",                           Least::artist,  Nodes::none, Owned::job},
    Access{Method::get,     "/api/v1/jobs/{id}/why",                               Least::viewer},
    Access{Method::get,     "/api/v1/jobs/{id}/statistics",                        Least::viewer},
    Access{Method::get,     "/api/v1/jobs/{id}/tasks",                             Least::viewer},
    Access{Method::get,     "/api/v1/jobs/{id}/results",                           Least::viewer},
    Access{Method::get,     "/api/v1/jobs/{id}/files/{path...}",                   Least::viewer,  Nodes::any},
    Access{Method::get,     "/api/v1/jobs/{id}/thumbnails/{path...}",              Least::viewer},
    Access{Method::get,     "/api/v1/jobs/{id}/archive",                           Least::viewer},

    Access{Method::get,     "/api/v1/tasks/{task}",                                Least::viewer},
    Access{Method::get,     "/api/v1/tasks/{task}/inputs",                         Least::viewer,  Nodes::any},
    Access{Method::post,    "/api/v1/tasks/{task}/accept",                         Least::artist,  Nodes::none, Owned::task},
    Access{Method::post,    "/api/v1/tasks/{task}/requeue",                        Least::artist,  Nodes::none, Owned::task},
    // What nodes deliver: every attempt has its row in the farm's database.
    Access{Method::put,     "/api/v1/tasks/{task}/attempts/{n}/files/{path...}",   Least::administrator, Nodes::own, Owned::no, Logged::no},
    Access{Method::put,     "/api/v1/tasks/{task}/attempts/{n}/log",               Least::administrator, Nodes::own, Owned::no, Logged::no},
    Access{Method::get,     "/api/v1/tasks/{task}/attempts/{n}/log",               Least::viewer},
    Access{Method::post,    "/api/v1/tasks/{task}/attempts/{n}/result",            Least::administrator, Nodes::own, Owned::no, Logged::no},

    // Content under its own digest: the submission that uses it is logged.
    Access{Method::get,     "/api/v1/blobs/{digest}",                              Least::viewer,  Nodes::any},
    Access{Method::put,     "/api/v1/blobs/{digest}",                              Least::artist,  Nodes::none, Owned::no,   Logged::no},
    Access{Method::post,    "/api/v1/blobs/missing",                               Least::artist,  Nodes::none, Owned::no,   Logged::no},

    // A box that asks is nobody yet: its key speaks for it.
    Access{Method::get,     "/api/v1/ca",                                          Least::anyone},
    Access{Method::get,     "/api/v1/enroll",                                      Least::anyone},
    Access{Method::post,    "/api/v1/enroll",                                      Least::anyone,  Nodes::any,  Owned::no,   Logged::no},  // every start of a box; decisions are logged
    Access{Method::get,     "/api/v1/enrollments",                                 Least::operator_},
    Access{Method::post,    "/api/v1/enrollments/{id}/approve",                    Least::operator_},
    Access{Method::post,    "/api/v1/enrollments/{id}/reject",                     Least::operator_},
    Access{Method::post,    "/api/v1/enrollments/{id}/revoke",                     Least::operator_},
    Access{Method::post,    "/api/v1/enrollments/{id}/rotate",                     Least::operator_},
    Access{Method::delete_, "/api/v1/enrollments/{id}",                            Least::operator_},
    Access{Method::get,     "/api/v1/join-tokens",                                 Least::operator_},
    Access{Method::post,    "/api/v1/join-tokens",                                 Least::operator_},
    Access{Method::delete_, "/api/v1/join-tokens/{id}",                            Least::operator_},
    Access{Method::get,     "/api/v1/known-fingerprints",                          Least::operator_},
    Access{Method::post,    "/api/v1/known-fingerprints",                          Least::operator_},
    Access{Method::delete_, "/api/v1/known-fingerprints/{fingerprint}",            Least::operator_},
    Access{Method::get,     "/api/v1/mqtt-viewer",                                 Least::operator_},

    Access{Method::get,     "/api/v1/nodes",                                       Least::viewer},
    Access{Method::get,     "/api/v1/nodes/{id}",                                  Least::viewer},
    Access{Method::get,     "/api/v1/nodes/{id}/telemetry",                        Least::viewer},
    Access{Method::patch,   "/api/v1/nodes/{id}",                                  Least::operator_},
    Access{Method::delete_, "/api/v1/nodes/{id}",                                  Least::operator_},
    Access{Method::post,    "/api/v1/nodes/{id}/wake",                             Least::operator_},
    Access{Method::post,    "/api/v1/nodes/{id}/sleep",                            Least::operator_},
    Access{Method::post,    "/api/v1/nodes/{id}/drain",                            Least::operator_},
    Access{Method::post,    "/api/v1/nodes/{id}/resume",                           Least::operator_},
    Access{Method::post,    "/api/v1/nodes/{id}/forgive",                          Least::operator_},
    // clang-format on
};

// The page's own files hold nothing of the farm's.
constexpr Access page{Method::get, "", Least::anyone};

bool is_read(const http::Request& request) {
  return request.method == Method::get || request.method == Method::head;
}

Role role_of(Least least) {
  switch (least) {
    case Least::anyone:
    case Least::viewer:
      return Role::viewer;
    case Least::artist:
      return Role::artist;
    case Least::operator_:
      return Role::operator_;
    case Least::administrator:
      break;
  }
  return Role::administrator;
}

bool is_same_text(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
           return lower(x) == lower(y);
         });
}

bool is_own_origin(const http::Request& request, std::string_view origin) {
  return is_same_text(origin, (request.is_secure ? "https://" : "http://") + request.host);
}

// ---- who it is -------------------------------------------------------------------------------------------

// The caller, or the answer to one that cannot be let in.
struct Found {
  Caller caller = {};
  std::optional<http::Response> refusal = {};
};

Found refuse(http::Response response) {
  return {.refusal = std::move(response)};
}

Found unknown_key(std::string_view detail) {
  auto response = http::problem(401, detail);
  response.set("WWW-Authenticate", "Bearer error=\"invalid_token\"");
  return refuse(std::move(response));
}

// Enabled users only.
Result<std::optional<Caller>> user_caller(Api& api, const std::string& name) {
  auto user = api.book.user(name);
  if (!user) return fail(std::move(user.error()));
  if (!*user || (*user)->is_disabled) return std::nullopt;
  return Caller{.kind = Caller::Kind::user, .name = name, .role = (*user)->role};
}

void note_seen(Api& api, const Caller& caller, std::int64_t seen_ms) {
  const std::int64_t now_ms = api.now().unix_ms;
  if (now_ms - seen_ms < accounts::seen_every_ms) return;
  if (const auto noted = api.book.saw(caller.name, caller.session, caller.token, now_ms); !noted)
    log::warn("accounts", "{}", noted.error().message);
}

Found by_script_key(Api& api, const accounts::ScriptKey& key) {
  const auto hash = api.book.token_hash(key.id);
  if (!hash) return refuse(http::problem(hash.error()));
  if (!accounts::is_same(*hash, accounts::hash_of(key.secret)))
    return unknown_key("the token is not known here: it was removed, or belongs to another controller");
  const auto token = api.book.token(key.id);
  if (!token) return refuse(http::problem(token.error()));
  if (!*token || !accounts::is_alive(**token, api.now().unix_ms))
    return unknown_key("the token has expired; make another with `kiln token add`");
  auto caller = user_caller(api, (*token)->user);
  if (!caller) return refuse(http::problem(caller.error()));
  if (!*caller) return unknown_key("the token's user may not come in any more");
  (*caller)->token = key.id;
  (*caller)->role = std::min(*(*caller)->role, (*token)->role);
  note_seen(api, **caller, (*token)->seen_ms);
  return {.caller = std::move(**caller)};
}

Found by_authorization(Api& api, std::string_view field) {
  constexpr std::string_view scheme = "bearer ";
  if (!is_same_text(field.substr(0, scheme.size()), scheme))
    return unknown_key("Authorization takes `Bearer` and a token, as `kiln token add` shows it");
  field.remove_prefix(scheme.size());
  while (field.starts_with(' ')) field.remove_prefix(1);
  const auto key = accounts::parse_key(field);
  if (const auto* script = std::get_if<accounts::ScriptKey>(&key)) return by_script_key(api, *script);
  if (const auto* box = std::get_if<accounts::NodeKey>(&key)) {
    const auto node = api.node_of ? api.node_of(box->id, box->secret) : std::nullopt;
    if (!node) return unknown_key("this node's key is not, or no longer, known here: enroll it again");
    return {.caller = {.kind = Caller::Kind::node, .name = node->str(), .node = *node}};
  }
  return unknown_key("that is no token of Kiln's: they look like kiln_<id>_<64 hex digits>");
}

std::optional<std::string> cookie_of(const http::Request& request) {
  const std::string wanted = std::string(cookie_name(request)) + '=';
  for (const auto& [name, value] : request.fields) {
    if (!is_same_text(name, "cookie")) continue;
    for (std::string_view rest = value; !rest.empty();) {
      const auto end = std::min(rest.find(';'), rest.size());
      std::string_view one = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      while (one.starts_with(' ')) one.remove_prefix(1);
      if (one.starts_with(wanted)) return std::string(one.substr(wanted.size()));
    }
  }
  return std::nullopt;
}

// A browser attaches a cookie to whatever any page makes it ask. The first part of "no page but ours": the
// cookie is SameSite=Strict. These are the second and the third.
Status check_cookie_use(const http::Request& request) {
  if (is_from_elsewhere(request)) return fail(Code::denied, "a page of another site may not ask this");
  if (is_read(request)) return {};
  if (!is_from_our_page(request)) {
    return fail(Code::denied,
                "with a cookie, a change is taken from this farm's own page only (Sec-Fetch-Site or Origin "
                "says so); a script sends a token instead");
  }
  const bool has_json_method = request.method == Method::post || request.method == Method::patch;
  if (!has_json_method || request.body->size() == 0) return {};
  const std::string* type = request.field("content-type");
  if (type == nullptr ||
      !is_same_text(std::string_view(*type).substr(0, type->find(';')), "application/json"))
    return fail(Code::denied, "with a cookie, a body is taken as Content-Type: application/json only");
  return {};
}

// nullopt: no cookie, or one of a session that has ended.
std::optional<Found> by_cookie(Api& api, const http::Request& request) {
  const auto secret = cookie_of(request);
  if (!secret) return std::nullopt;
  const std::string key = accounts::hash_of(*secret);
  const auto session = api.book.session(key);
  if (!session) return refuse(http::problem(session.error()));
  if (!*session || !accounts::is_alive(**session, api.now().unix_ms)) return std::nullopt;
  auto caller = user_caller(api, (*session)->user);
  if (!caller) return refuse(http::problem(caller.error()));
  if (!*caller) return std::nullopt;
  if (const auto fine = check_cookie_use(request); !fine) return refuse(http::problem(fine.error()));
  (*caller)->session = key;
  note_seen(api, **caller, (*session)->seen_ms);
  return Found{.caller = std::move(**caller)};
}

// Whoever sits at this machine owns its disk with the database on it. A proxy on this machine speaks for
// others, and a browser on it may be driven by a page from anywhere.
bool is_local(const Api& api, const http::Request& request) {
  return api.settings.trust_loopback && is_from_this_machine(request) && !is_from_elsewhere(request);
}

Found find_caller(Api& api, const http::Request& request) {
  if (const std::string* field = request.field("authorization")) return by_authorization(api, *field);
  if (auto found = by_cookie(api, request)) return std::move(*found);
  if (is_local(api, request)) {
    return {.caller = {.kind = Caller::Kind::local,
                       .name = std::string(accounts::local_name),
                       .role = Role::administrator}};
  }
  return {};
}

// ---- whether it may --------------------------------------------------------------------------------------

http::Response refused(const Caller& caller, const Error& error) {
  if (caller.kind != Caller::Kind::anonymous || error.code != Code::denied) return http::problem(error);
  auto response = http::problem(
      401, "log in first: on the page, with `kiln login`, or with a token as `Authorization: Bearer …`");
  response.set("WWW-Authenticate", "Bearer");
  return response;
}

// Errors: denied when the attempt is another node's. One that was never made is for the handler to say.
Status check_attempt(Api& api, const Caller& caller, const http::Request& request) {
  const auto task = TaskId::parse(request.param("task"));
  if (!task) return {};
  const auto attempts = api.reader.attempts(*task);
  if (!attempts) return fail(attempts.error());
  for (const auto& attempt : *attempts) {
    if (fmt::format("{}", attempt.attempt) != request.param("n") || attempt.node == caller.node) continue;
    return fail(Code::denied, fmt::format("attempt {} at {} was given to node {}, not to {}", attempt.attempt,
                                          task->str(), attempt.node.str(), caller.node.str()));
  }
  return {};
}

Status check_node(Api& api, const Access& access, const Caller& caller, const http::Request& request) {
  if (access.nodes == Nodes::own) return check_attempt(api, caller, request);
  if (access.nodes == Nodes::any || access.least == Least::anyone) return {};
  return fail(Code::denied, "this is for people; a node has no business here");
}

Status check_owner(Api& api, const Access& access, const Caller& caller, const http::Request& request) {
  if (access.owned == Owned::no || caller.is(Role::operator_)) return {};
  std::string job;
  if (access.owned == Owned::job) {
    job = request.param("id");
  } else if (const auto task = TaskId::parse(request.param("task"))) {
    job = task->job.str();
  }
  const auto row = api.reader.job(job);
  if (!row) return row.error().code == Code::not_found ? Status() : Status(fail(row.error()));
  return check_own(caller, *row);
}

Status check(Api& api, const Access& access, const Caller& caller, const http::Request& request) {
  if (caller.kind == Caller::Kind::node) return check_node(api, access, caller, request);
  if (auto allowed = check_role(caller, access.least); !allowed) return allowed;
  return check_owner(api, access, caller, request);
}

// "job 7-k3fqa", "node render-1", "farm" out of a path.
std::string thing_of(std::string_view path) {
  constexpr std::string_view base = "/api/v1/";
  if (!path.starts_with(base)) return "";
  path.remove_prefix(base.size());
  std::string_view kind = path.substr(0, path.find('/'));
  if (kind.size() == path.size()) return std::string(kind);
  path.remove_prefix(kind.size() + 1);
  if (kind.ends_with('s')) kind.remove_suffix(1);
  return fmt::format("{} {}", kind, path.substr(0, path.find('/')));
}

http::Handler guarded(Api& api, const Access& access, http::Handler handler) {
  return [&api, access, handler = std::move(handler)](http::Request& request) -> http::Response {
    auto found = find_caller(api, request);
    const Instant now = api.now();
    if (found.refusal || found.caller.kind == Caller::Kind::anonymous) {
      if (!api.anonymous_limit.take(accounts::peer_key(request.peer), now.mono_ms)) return too_often(1'000);
    }
    if (found.refusal) return std::move(*found.refusal);
    if (const auto allowed = check(api, access, found.caller, request); !allowed)
      return refused(found.caller, allowed.error());
    request.caller = std::move(found.caller);
    http::Response response = handler(request);
    const bool is_done = response.status >= 200 && response.status < 300;
    if (is_done && !is_read(request) && access.logged == Logged::always) {
      const Caller& caller = caller_of(request);
      const std::string* location = http::find_field(response.fields, "location");
      std::string what = thing_of(location != nullptr ? *location : request.path);
      if (!caller.what.empty()) what += (what.empty() ? "" : ": ") + caller.what;
      log_deed(api, caller, request.peer, to_string(request.method), request.path, what, response.status);
    }
    return response;
  };
}

}  // namespace

std::span<const Access> access_table() {
  return table;
}

const Access* access_of(http::Method method, std::string_view pattern) {
  for (const auto& access : table) {
    if (access.method == method && access.pattern == pattern) return &access;
  }
  return nullptr;
}

void guard(http::Router& router, Api& api) {
  router.wrap([&api](const http::Route* route, http::Handler handler) {
    const Access* access = route == nullptr ? &page : access_of(route->method, route->pattern);
    KILN_ASSERT(access != nullptr);  // a route that nobody decided about
    return guarded(api, *access, std::move(handler));
  });
}

Caller& caller_of(http::Request& request) {
  auto* caller = std::any_cast<Caller>(&request.caller);
  KILN_ASSERT(caller != nullptr);
  return *caller;
}

Result<Caller> caller_of_mqtt(Api& api, const std::string& user) {
  const auto known = api.book.user(user);
  if (!known) return fail(known.error());
  if (*known && !(*known)->is_disabled)
    return Caller{.kind = Caller::Kind::user, .name = user, .role = (*known)->role};
  // A broker of somebody else's without accounts vouches for nobody: it is as open as this machine is.
  if (!*known && api.settings.trust_loopback && !api.settings.mqtt_is_tls)
    return Caller{.kind = Caller::Kind::local, .name = user, .role = Role::administrator};
  return fail(Code::denied, fmt::format("there is no user '{}' who may ask for anything", user));
}

bool still_stands(Api& api, const Caller& caller) {
  if (caller.kind == Caller::Kind::node || caller.kind == Caller::Kind::local) return true;
  const auto user = api.book.user(caller.name);
  if (!user) return true;
  if (!*user || (*user)->is_disabled) return false;
  const std::int64_t now_ms = api.now().unix_ms;
  if (!caller.session.empty()) {
    const auto session = api.book.session(caller.session);
    return !session || (*session && accounts::is_alive(**session, now_ms));
  }
  const auto token = api.book.token(caller.token);
  return !token || (*token && accounts::is_alive(**token, now_ms));
}

Status check_role(const Caller& caller, Least least) {
  if (least == Least::anyone || caller.is(role_of(least))) return {};
  return fail(Code::denied,
              fmt::format("this takes the role {}; {} is {}", accounts::to_string(role_of(least)),
                          caller.name, caller.role ? accounts::to_string(*caller.role) : "nobody here"));
}

Status check_own(const Caller& caller, const scheduler::JobRow& job) {
  if (caller.is(Role::operator_) || job.user == caller.name) return {};
  return fail(Code::denied, fmt::format("job {} is {}'s: an operator may steer it, {} may not", job.number,
                                        job.user, caller.name));
}

bool is_from_this_machine(const http::Request& request) {
  if (!accounts::is_loopback(request.peer)) return false;
  for (const auto* forwarded : {"x-forwarded-for", "forwarded", "via", "x-real-ip"}) {
    if (request.field(forwarded) != nullptr) return false;
  }
  return true;
}

bool is_from_our_page(const http::Request& request) {
  if (const std::string* site = request.field("sec-fetch-site")) return *site == "same-origin";
  const std::string* origin = request.field("origin");
  return origin != nullptr && is_own_origin(request, *origin);
}

bool is_from_elsewhere(const http::Request& request) {
  if (const std::string* site = request.field("sec-fetch-site")) {
    if (*site == "same-origin") return false;
    if (!is_read(request)) return true;
    if (*site == "none") return false;  // typed, or a bookmark
    // A link that a person followed shows that person what is behind it, and nobody else.
    const std::string* mode = request.field("sec-fetch-mode");
    const std::string* destination = request.field("sec-fetch-dest");
    return mode == nullptr || *mode != "navigate" || destination == nullptr || *destination != "document";
  }
  const std::string* origin = request.field("origin");
  return origin != nullptr && !is_own_origin(request, *origin);
}

std::string_view cookie_name(const http::Request& request) {
  return request.is_secure ? "__Host-kiln" : "kiln";
}

void log_deed(Api& api, const Caller& caller, std::string_view peer, std::string_view method,
              std::string_view path, const std::string& what, int status) {
  accounts::Deed deed;
  deed.at_ms = api.now().unix_ms;
  deed.caller = caller.name;
  if (caller.role) deed.role = accounts::to_string(*caller.role);
  if (caller.kind == Caller::Kind::node) deed.role = "node";
  deed.peer = peer;
  deed.method = method;
  deed.path = to_utf8(clip(path, max_what));
  deed.what = to_utf8(clip(what, max_what));
  deed.status = status;
  if (const auto added = api.book.add_deed(deed); !added) {
    log::error("accounts", "while noting {} {} by {} in the audit log: {}", method, deed.path, caller.name,
               added.error().message);
  }
}

http::Response too_often(std::int64_t wait_ms) {
  const std::int64_t wait_s = std::max<std::int64_t>((wait_ms + 999) / 1000, 1);
  auto response = http::problem(429, fmt::format("that was too often; try again in {} s", wait_s));
  response.set("Retry-After", fmt::format("{}", wait_s));
  return response;
}

}  // namespace kiln::api
