#include <fmt/format.h>

#include <algorithm>

#include "accounts/passwords.h"
#include "accounts/secrets.h"
#include "api/gate.h"
#include "api/routes.h"
#include "base/text.h"

namespace kiln::api {

namespace {

using accounts::Role;

constexpr std::size_t max_body_bytes = 4ULL * 1024;
constexpr std::size_t max_label = 64;
// A token that nobody remembers should end some day; 0 asks for one that does not.
constexpr std::uint32_t token_life_s = 365U * 24 * 3600;
constexpr std::uint32_t longest_token_life_s = 20 * token_life_s;

Json to_json(const accounts::User& user) {
  return Json::object({{"name", user.name},
                       {"role", accounts::to_string(user.role)},
                       {"disabled", user.is_disabled},
                       {"has_password", user.has_password},
                       {"created_ms", user.created_ms},
                       {"seen_ms", user.seen_ms}});
}

Json to_json(const accounts::Token& token) {
  return Json::object({{"id", token.id},
                       {"user", token.user},
                       {"label", token.label},
                       {"role", accounts::to_string(token.role)},
                       {"created_ms", token.created_ms},
                       {"expires_ms", token.expires_ms},
                       {"seen_ms", token.seen_ms}});
}

Json to_json(const accounts::Deed& deed) {
  return Json::object({{"seq", deed.seq},
                       {"at_ms", deed.at_ms},
                       {"caller", deed.caller},
                       {"role", deed.role},
                       {"peer", deed.peer},
                       {"method", deed.method},
                       {"path", deed.path},
                       {"what", deed.what},
                       {"status", deed.status}});
}

Result<Json> read_body(http::Request& request) {
  const auto body = request.body->read_all(max_body_bytes);
  if (!body) return fail(body.error());
  return Json::parse(*body, {.bytes = max_body_bytes, .depth = 2, .values = 32});
}

void take_role(JsonReader& in, const Json& body, std::optional<Role>& out) {
  if (body.find("role") == nullptr) return;
  std::string text;
  in.optional("role", text);
  if (!in.ok()) return;
  auto role = accounts::parse_role(text);
  if (role) {
    out = *role;
  } else {
    in.reject("role", role.error());
  }
}

Result<accounts::User> find_user(Api& api, const std::string& name) {
  auto user = api.book.user(name);
  if (!user) return fail(std::move(user.error()));
  if (!*user) return fail(Code::not_found, fmt::format("no user '{}'", name));
  return std::move(**user);
}

// Where this machine is not trusted, somebody must be left who can let others in.
Status check_someone_stays(Api& api, const accounts::User& leaving) {
  if (api.settings.trust_loopback || leaving.role != Role::administrator || leaving.is_disabled) return {};
  const auto users = api.book.users();
  if (!users) return fail(users.error());
  const bool is_left = std::any_of(users->begin(), users->end(), [&](const accounts::User& user) {
    return user.name != leaving.name && accounts::can_let_others_in(user);
  });
  if (is_left) return {};
  return fail(Code::conflict,
              fmt::format("{} is the last administrator: make another one first", leaving.name));
}

// ---- users -----------------------------------------------------------------------------------------------

http::Response add_user(Api& api, http::Request& request) {
  const auto body = read_body(request);
  if (!body) return http::problem(body.error());
  accounts::User user;
  std::optional<Role> role;
  std::string password;
  JsonReader in(*body, "user");
  in.required("name", user.name);
  take_role(in, *body, role);
  in.optional("password", password);
  if (in.ok() && !role) in.reject("role", "missing: viewer, artist, operator or administrator is expected");
  if (in.ok()) {
    if (const auto fine = accounts::check_name(user.name); !fine) in.reject("name", fine.error());
  }
  if (in.ok() && !password.empty()) {
    if (const auto fine = accounts::check_password(password, user.name); !fine)
      in.reject("password", fine.error());
  }
  if (const auto read = in.finish(0); !read) return http::problem(read.error());
  user.role = *role;
  user.created_ms = api.now().unix_ms;
  std::string hash;
  if (!password.empty()) {
    auto made = api.hasher.hash(password);
    if (!made) return http::problem(made.error());
    hash = std::move(*made);
  }
  user.has_password = !hash.empty();
  if (const auto added = api.book.add_user(user, hash); !added) return http::problem(added.error());
  caller_of(request).what = fmt::format("added as {}", accounts::to_string(user.role));
  auto response = json_response(to_json(user), 201);
  response.set("Location", "/api/v1/users/" + user.name);
  return response;
}

struct UserEdit {
  std::optional<Role> role;
  std::optional<bool> disabled;
  std::string password;
  std::string old_password;
};

Result<UserEdit> read_user_edit(const Json& body, const std::string& name) {
  UserEdit edit;
  JsonReader in(body, "user");
  take_role(in, body, edit.role);
  if (body.find("disabled") != nullptr) {
    bool disabled = false;
    in.optional("disabled", disabled);
    edit.disabled = disabled;
  }
  in.optional("password", edit.password);
  in.optional("old_password", edit.old_password);
  if (in.ok() && body.find("password") != nullptr) {
    if (const auto fine = accounts::check_password(edit.password, name); !fine)
      in.reject("password", fine.error());
  }
  if (in.ok() && !edit.role && !edit.disabled && edit.password.empty())
    return fail(Code::invalid, R"(nothing to change: send one of "role", "disabled" or "password")");
  return in.finish(std::move(edit));
}

// A session that somebody left open must not become somebody else's account.
std::optional<http::Response> check_old_password(Api& api, const accounts::User& user, const UserEdit& edit) {
  if (!user.has_password) return std::nullopt;
  if (edit.old_password.empty())
    return http::problem(400, "user.old_password: to change your own password, send the old one too");
  if (const auto wait = api.login_limit_of_name.begin(user.name, api.now().mono_ms); wait > 0)
    return too_often(wait);
  const auto hash = api.book.password_hash(user.name);
  if (!hash) return http::problem(hash.error());
  const auto is_right = api.hasher.verify(*hash, edit.old_password);
  if (!is_right) return http::problem(is_right.error());
  if (!*is_right) return http::problem(403, "the old password is wrong");
  api.login_limit_of_name.succeeded(user.name);
  return std::nullopt;
}

http::Response edit_user(Api& api, http::Request& request) {
  Caller& caller = caller_of(request);
  const std::string& name = request.param("name");
  const bool is_self = caller.kind == Caller::Kind::user && caller.name == name;
  if (!is_self) {
    if (const auto allowed = check_role(caller, Least::administrator); !allowed)
      return http::problem(allowed.error());
  }
  const auto body = read_body(request);
  if (!body) return http::problem(body.error());
  const auto edit = read_user_edit(*body, name);
  if (!edit) return http::problem(edit.error());
  if (edit->role || edit->disabled) {
    if (const auto allowed = check_role(caller, Least::administrator); !allowed)
      return http::problem(allowed.error());
  }
  auto user = find_user(api, name);
  if (!user) return http::problem(user.error());
  if (is_self && !edit->password.empty()) {
    if (auto refused = check_old_password(api, *user, *edit)) return std::move(*refused);
  }

  std::string done;
  const auto did = [&](std::string_view what) { done.append(done.empty() ? "" : ", ").append(what); };
  if (edit->role || edit->disabled) {
    if (edit->role && *edit->role != user->role)
      did(fmt::format("{} instead of {}", accounts::to_string(*edit->role), accounts::to_string(user->role)));
    if (edit->disabled && *edit->disabled != user->is_disabled) did(*edit->disabled ? "disabled" : "enabled");
    const accounts::User before = *user;
    user->role = edit->role.value_or(user->role);
    user->is_disabled = edit->disabled.value_or(user->is_disabled);
    if (user->role != Role::administrator || user->is_disabled) {
      if (const auto fine = check_someone_stays(api, before); !fine) return http::problem(fine.error());
    }
    if (const auto saved = api.book.save_user(*user); !saved) return http::problem(saved.error());
  }
  if (!edit->password.empty()) {
    const auto hash = api.hasher.hash(edit->password);
    if (!hash) return http::problem(hash.error());
    const auto saved = api.book.set_password(name, *hash, is_self ? caller.session : "");
    if (!saved) return http::problem(saved.error());
    user->has_password = true;
    did("new password");
  }
  caller.what = done;
  return json_response(to_json(*user));
}

http::Response remove_user(Api& api, http::Request& request) {
  const std::string& name = request.param("name");
  const auto user = find_user(api, name);
  if (!user) return http::problem(user.error());
  if (const auto fine = check_someone_stays(api, *user); !fine) return http::problem(fine.error());
  const auto tokens = api.book.tokens(name);
  if (!tokens) return http::problem(tokens.error());
  if (const auto removed = api.book.remove_user(name); !removed) return http::problem(removed.error());
  for (const auto& token : *tokens) {
    if (api.on_token_gone) api.on_token_gone(token.id);
  }
  caller_of(request).what = fmt::format("removed, was {}", accounts::to_string(user->role));
  return {.status = 204};
}

// ---- tokens ----------------------------------------------------------------------------------------------

http::Response list_tokens(Api& api, http::Request& request) {
  const Caller& caller = caller_of(request);
  std::optional<std::string> user;
  if (const std::string* wanted = request.query_value("user")) user = *wanted;
  if (!caller.is(Role::administrator)) {
    if (user && *user != caller.name)
      return http::problem(403, "an administrator sees other people's tokens; you see your own");
    user = caller.name;
  }
  const auto tokens = api.book.tokens(user);
  if (!tokens) return http::problem(tokens.error());
  return list_response("tokens", *tokens, [](const accounts::Token& token) { return to_json(token); });
}

struct TokenWish {
  std::string user;
  std::string label;
  std::optional<Role> role;
  std::optional<std::uint32_t> expires_s;  // 0 = never; none: a year, or as long as the token that makes it
};

Result<TokenWish> read_token_wish(const Json& body, const Caller& caller) {
  TokenWish wish;
  if (caller.kind == Caller::Kind::user) wish.user = caller.name;
  JsonReader in(body, "token");
  in.optional("user", wish.user);
  in.required("label", wish.label);
  take_role(in, body, wish.role);
  if (body.find("expires_s")) in.optional("expires_s", wish.expires_s.emplace(), longest_token_life_s);
  if (in.ok() && wish.user.empty()) in.reject("user", "missing: whose token is it to be?");
  if (in.ok() && (wish.label.empty() || wish.label.size() > max_label || !is_one_line(wish.label)))
    in.reject("label", fmt::format("1 to {} bytes on one line are expected: what is it for?", max_label));
  return in.finish(std::move(wish));
}

// Unix milliseconds, 0 = never. A token makes none that lives longer than itself. Errors: denied.
Result<std::int64_t> end_of_token(Api& api, const Caller& caller, std::optional<std::uint32_t> expires_s,
                                  std::int64_t now_ms) {
  std::int64_t most = 0;
  if (!caller.token.empty()) {
    const auto own = api.book.token(caller.token);
    if (!own) return fail(own.error());
    if (!*own) return fail(Code::denied, "the token is gone");
    most = (*own)->expires_ms;
  }
  if (!expires_s) {
    const std::int64_t end = now_ms + std::int64_t{token_life_s} * 1000;
    return most == 0 ? end : std::min(end, most);
  }
  const std::int64_t end = *expires_s == 0 ? 0 : now_ms + std::int64_t{*expires_s} * 1000;
  if (most != 0 && (end == 0 || end > most))
    return fail(Code::denied,
                "a token makes none that lives longer than itself: give a shorter expires_s, or none");
  return end;
}

http::Response add_token(Api& api, http::Request& request) {
  Caller& caller = caller_of(request);
  const auto body = read_body(request);
  if (!body) return http::problem(body.error());
  const auto wish = read_token_wish(*body, caller);
  if (!wish) return http::problem(wish.error());
  const bool is_own = caller.kind == Caller::Kind::user && wish->user == caller.name;
  if (!is_own) {
    if (const auto allowed = check_role(caller, Least::administrator); !allowed)
      return http::problem(allowed.error());
  }
  const auto user = find_user(api, wish->user);
  if (!user) return http::problem(user.error());
  const Role most = is_own ? *caller.role : user->role;
  if (wish->role && *wish->role > most) {
    return http::problem(403, fmt::format("token.role: {} may give a token the role {} at most", caller.name,
                                          accounts::to_string(most)));
  }
  accounts::Token token;
  token.id = accounts::random_token_id();
  token.user = user->name;
  token.label = wish->label;
  token.role = wish->role.value_or(most);
  token.created_ms = api.now().unix_ms;
  const auto end = end_of_token(api, caller, wish->expires_s, token.created_ms);
  if (!end) return http::problem(end.error());
  token.expires_ms = *end;
  const accounts::ScriptKey key{token.id, accounts::random_secret()};
  if (const auto added = api.book.add_token(token, accounts::hash_of(key.secret)); !added)
    return http::problem(added.error());
  if (api.on_token && token.expires_ms == 0 && token.role == user->role) api.on_token(token, key.secret);
  caller.what = fmt::format("{} of {}, '{}'", accounts::to_string(token.role), token.user, token.label);
  Json json = to_json(token);
  json.set("token", accounts::to_text(key));
  auto response = json_response(json, 201);
  response.set("Location", "/api/v1/tokens/" + token.id);
  return response;
}

http::Response remove_token(Api& api, http::Request& request) {
  Caller& caller = caller_of(request);
  const auto token = api.book.token(request.param("id"));
  if (!token) return http::problem(token.error());
  const bool is_own = *token && caller.kind == Caller::Kind::user && (*token)->user == caller.name;
  if (!*token || (!is_own && !caller.is(Role::administrator)))
    return http::problem(404, fmt::format("no token '{}' of yours", request.param("id")));
  if (const auto removed = api.book.remove_token((*token)->id); !removed)
    return http::problem(removed.error());
  if (api.on_token_gone) api.on_token_gone((*token)->id);
  caller.what = fmt::format("removed, of {}, '{}'", (*token)->user, (*token)->label);
  return {.status = 204};
}

// ---- the audit log ---------------------------------------------------------------------------------------

http::Response list_deeds(Api& api, http::Request& request) {
  accounts::DeedQuery query;
  if (const auto page = read_page(request, "before", &accounts::DeedQuery::before, query); !page)
    return http::problem(page.error());
  if (const std::string* caller = request.query_value("caller")) query.caller = *caller;
  const auto deeds = api.book.deeds(query);
  if (!deeds) return http::problem(deeds.error());
  return list_response("entries", *deeds, [](const accounts::Deed& deed) { return to_json(deed); });
}

}  // namespace

void add_people_routes(http::Router& router, Api& api) {
  using http::Method;
  router.add(Method::get, "/api/v1/users", [&](http::Request&) {
    const auto users = api.book.users();
    if (!users) return http::problem(users.error());
    return list_response("users", *users, [](const accounts::User& user) { return to_json(user); });
  });
  router.add(Method::post, "/api/v1/users", [&](http::Request& request) { return add_user(api, request); });
  router.add(Method::patch, "/api/v1/users/{name}",
             [&](http::Request& request) { return edit_user(api, request); });
  router.add(Method::delete_, "/api/v1/users/{name}",
             [&](http::Request& request) { return remove_user(api, request); });
  router.add(Method::get, "/api/v1/tokens",
             [&](http::Request& request) { return list_tokens(api, request); });
  router.add(Method::post, "/api/v1/tokens", [&](http::Request& request) { return add_token(api, request); });
  router.add(Method::delete_, "/api/v1/tokens/{id}",
             [&](http::Request& request) { return remove_token(api, request); });
  router.add(Method::get, "/api/v1/audit", [&](http::Request& request) { return list_deeds(api, request); });
}

}  // namespace kiln::api
