#include "api/api.h"

#include "api/requests.h"
#include "controller/api/fakes.h"

#include "check.h"

using namespace kiln::test;
using kiln::accounts::Role;

namespace {

struct Case {
  const char* method;
  std::string path;
  std::string body;
  std::string fields;
  int status;
  std::string part;  // of the answer
};

void check_all(World& world, const std::vector<Case>& cases) {
  for (const auto& one : cases) {
    const Answer answer = world.ask(one.method, one.path, one.body, one.fields);
    if (answer.status != one.status)
      print_error("%s %s %s\n%s\n", one.method, one.path.c_str(), one.body.c_str(), answer.body.c_str());
    check_equal(answer.status, one.status);
    check_contains(answer.body, one.part);
  }
}

constexpr const char* users = "/api/v1/users";

void users_are_added_changed_and_removed() {
  World world;
  check_all(
      world,
      {
          {"GET", users, "", "", 200, R"({"users":[]})"},
          {"POST", users, R"({"name":"ada","role":"artist","password":"correct horse"})", "", 201,
           R"({"name":"ada","role":"artist","disabled":false,"has_password":true,"created_ms":1000000,"seen_ms":0})"},
          {"POST", users, R"({"name":"ada","role":"artist"})", "", 409, "a user 'ada' already"},
          {"POST", users, R"({"name":"bot","role":"viewer"})", "", 201, R"("has_password":false)"},
          {"POST", users, R"({"name":"Ada","role":"artist"})", "", 400, "user.name: 'Ada' cannot be"},
          {"POST", users, R"({"name":"local","role":"artist"})", "", 400, "user.name"},
          {"POST", users, R"({"name":"eve"})", "", 400, "user.role: missing"},
          {"POST", users, R"({"name":"eve","role":"root"})", "", 400, "user.role: 'root' is no role"},
          {"POST", users, R"({"name":"eve","role":"artist","password":"short"})", "", 400, "user.password"},
          {"GET", users, "", "", 200, R"({"users":[{"name":"ada")"},
          {"PATCH", "/api/v1/users/ada", R"({"role":"operator"})", "", 200, R"("role":"operator")"},
          {"PATCH", "/api/v1/users/ada", R"({"disabled":true})", "", 200,
           R"("role":"operator","disabled":true)"},
          {"PATCH", "/api/v1/users/ada", R"({"password":"another horse","disabled":false})", "", 200, ""},
          {"PATCH", "/api/v1/users/ada", R"({"password":""})", "", 400, "user.password"},
          {"PATCH", "/api/v1/users/ada", "{}", "", 400, "nothing to change"},
          {"PATCH", "/api/v1/users/nobody", R"({"role":"viewer"})", "", 404, "no user 'nobody'"},
          {"DELETE", "/api/v1/users/ada", "", "", 204, ""},
          {"DELETE", "/api/v1/users/ada", "", "", 404, ""},
      });
  check(*world.api.hasher.verify(*world.book->password_hash("ada"), "x") == false);
  const auto deeds = *world.book->deeds({});
  check_equal(deeds.size(), 6U);
  check_equal(deeds[0].what, "user ada: removed, was operator");
  check_equal(deeds[1].what, "user ada: enabled, new password");
  check_equal(deeds[3].what, "user ada: operator instead of artist");
  check_equal(deeds[4].what, "user bot: added as viewer");
}

void everybody_changes_the_own_password_with_the_old_one() {
  World world;
  const std::string ada = world.key_of("ada", Role::viewer);
  const std::string path = "/api/v1/users/ada";
  check_all(
      world,
      {
          // without a password yet, whoever holds the token sets the first one
          {"PATCH", path, R"({"password":"correct horse"})", ada, 200, R"("has_password":true)"},
          {"PATCH", path, R"({"password":"another horse"})", ada, 400, "old_password"},
          {"PATCH", path, R"({"password":"another horse","old_password":"wrong"})", ada, 403, "is wrong"},
          {"PATCH", path, R"({"password":"another horse","old_password":"correct horse"})", ada, 200, ""},
          {"PATCH", path, R"({"role":"administrator"})", ada, 403, "takes the role administrator"},
          {"PATCH", path, R"({"disabled":false})", ada, 403, "takes the role administrator"},
          {"PATCH", "/api/v1/users/bob", R"({"password":"another horse"})", ada, 403, ""},
          {"DELETE", path, "", ada, 403, ""},
      });
  check(*world.api.hasher.verify(*world.book->password_hash("ada"), "another horse"));
}

void the_last_administrator_stays_where_this_machine_is_not_trusted() {
  World world;
  world.api.settings.trust_loopback = false;
  const std::string ada = world.key_of("ada", Role::administrator);
  check_all(world,
            {
                {"PATCH", "/api/v1/users/ada", R"({"role":"operator"})", ada, 409, "last administrator"},
                {"PATCH", "/api/v1/users/ada", R"({"disabled":true})", ada, 409, "last administrator"},
                {"DELETE", "/api/v1/users/ada", "", ada, 409, "last administrator"},
                {"POST", users, R"({"name":"eve","role":"administrator"})", ada, 201, ""},  // cannot log in
                {"DELETE", "/api/v1/users/ada", "", ada, 409, "last administrator"},
                {"PATCH", "/api/v1/users/eve", R"({"password":"correct horse"})", ada, 200, ""},
                {"DELETE", "/api/v1/users/ada", "", ada, 204, ""},
            });
}

std::string member(const Answer& answer, const char* key) {
  const auto json = kiln::Json::parse(answer.body);
  check_ok(json);
  const auto* value = json->find(key);
  check(value != nullptr && value->as_string() != nullptr);
  return *value->as_string();
}

void a_token_is_shown_once_and_kept_hashed() {
  World world;
  const std::string ada = world.key_of("ada", Role::operator_);
  const Answer made = world.ask("POST", "/api/v1/tokens", R"({"label":"nightly","role":"viewer"})", ada);
  check_equal(made.status, 201);
  const std::string text = member(made, "token");
  const std::string id = member(made, "id");
  check(text.starts_with("kiln_" + id + "_"));
  check_equal(made.fields.at("location"), "/api/v1/tokens/" + id);
  check_contains(made.body, R"("expires_ms":31537000000)");
  const std::string secret = text.substr(text.rfind('_') + 1);
  check_equal(*world.book->token_hash(id), kiln::accounts::hash_of(secret));
  const Answer list = world.ask("GET", "/api/v1/tokens", "", ada);
  check_contains(list.body, R"("label":"nightly","role":"viewer")");
  check(list.body.find(secret) == std::string::npos);
  const auto deeds = *world.book->deeds({});
  for (const auto& deed : deeds) check(deed.what.find(secret) == std::string::npos);
  const std::string fields = "Authorization: Bearer " + text + "\r\n";
  check_contains(world.ask("GET", "/api/v1/me", "", fields).body,
                 R"("name":"ada","role":"viewer","by":"token")");
  check_equal(world.ask("DELETE", "/api/v1/tokens/" + id, "", ada).status, 204);
  check_equal(world.ask("GET", "/api/v1/me", "", fields).status, 401);
}

void nobody_makes_or_sees_a_token_beyond_the_own_rights() {
  World world;
  const std::string ada = world.key_of("ada", Role::artist);
  const std::string root = world.key_of("root", Role::administrator);
  const std::string tokens = "/api/v1/tokens";
  check_all(
      world,
      {
          {"POST", tokens, R"({"label":"x","role":"operator"})", ada, 403, "the role artist at most"},
          {"POST", tokens, R"({"label":"x","user":"root"})", ada, 403, ""},
          {"POST", tokens, R"({"label":""})", ada, 400, "token.label"},
          {"POST", tokens, R"({"label":"a\nb"})", ada, 400, "token.label"},
          {"POST", tokens, "{}", ada, 400, "token.label"},
          {"POST", tokens, R"({"label":"x","expires_s":-1})", ada, 400, "token.expires_s"},
          {"POST", tokens, R"({"label":"x","user":"ada","role":"operator"})", root, 403, "artist at most"},
          {"POST", tokens, R"({"label":"x","user":"nobody"})", root, 404, "no user"},
          {"POST", tokens, R"({"label":"x"})", "", 400, "token.user: missing"},  // local: nobody's
          {"POST", tokens, R"({"label":"x","user":"ada","expires_s":0})", "", 201, R"("expires_ms":0)"},
          {"GET", tokens + "?user=root", "", ada, 403, ""},
          {"GET", tokens + "?user=ada", "", root, 200, R"("id":"tada")"},
          {"DELETE", tokens + "/troot", "", ada, 404, "no token 'troot' of yours"},
          {"DELETE", tokens + "/none", "", root, 404, ""},
          {"DELETE", tokens + "/tada", "", root, 204, ""},
      });
  check(world.ask("GET", tokens, "", world.key_of("bob", Role::viewer)).body.find("troot") ==
        std::string::npos);
}

void a_token_makes_none_that_lives_longer() {
  World world;
  const std::string ada = world.key_of("ada", Role::artist);
  const Answer made =
      world.ask("POST", "/api/v1/tokens", R"({"label":"a","role":"viewer","expires_s":100})", ada);
  const std::string brief = "Authorization: Bearer " + member(made, "token") + "\r\n";
  const auto status = [&](const char* body) {
    return world.ask("POST", "/api/v1/tokens", body, brief).status;
  };
  check_equal(status(R"({"label":"b","expires_s":101})"), 403);
  check_equal(status(R"({"label":"b","expires_s":0})"), 403);
  check_equal(status(R"({"label":"c"})"), 201);  // ends with the one that made it
  check_equal(status(R"({"label":"b","expires_s":100,"role":"artist"})"), 403);
  check_equal(status(R"({"label":"b","expires_s":100})"), 201);
}

void the_audit_log_is_read_in_pages() {
  World world;
  for (int i = 0; i < 5; ++i) world.ask("POST", "/api/v1/jobs/1/cancel", "{}");
  const std::string ada = world.key_of("ada", Role::artist);
  world.ask("POST", "/api/v1/jobs/1/retry", "{}", ada);
  check_all(world,
            {
                {"GET", "/api/v1/audit?limit=1", "", "", 200,
                 R"({"entries":[{"seq":6,"at_ms":1000000,"caller":"ada","role":"artist","peer":"127.0.0.1",)"
                 R"("method":"POST","path":"/api/v1/jobs/1/retry","what":"job 1","status":200}]})"},
                {"GET", "/api/v1/audit?before=3&limit=1", "", "", 200, R"("seq":2,)"},
                {"GET", "/api/v1/audit?caller=ada", "", "", 200, R"({"entries":[{"seq":6,)"},
                {"GET", "/api/v1/audit?limit=x", "", "", 400, "limit"},
                {"GET", "/api/v1/audit", "", ada, 403, ""},
            });
}

void mqtt_asks_for_the_same_roles() {
  World world;
  for (const auto& [name, role] : {std::pair("vic", Role::viewer),
                                   {"bob", Role::artist},
                                   {"ada", Role::artist},
                                   {"eve", Role::operator_}})
    check_ok(world.book->add_user({.name = name, .role = role}, ""));
  auto gone = kiln::accounts::User{.name = "gone", .role = Role::administrator, .is_disabled = true};
  check_ok(world.book->add_user(gone, ""));
  const auto ask = [&](const char* user, const char* verb, const char* body) {
    kiln::payloads::Request request;
    request.cid = "c";
    request.body = *kiln::Json::parse(body);
    return handle_request(world.api, user, verb, request).status;
  };
  const char* job = R"({"job":1})";  // ada's
  const struct {
    const char* user;
    const char* verb;
    const char* body;
    int status;
  } cases[] = {
      {"vic", "job-status", job, 200},  {"vic", "job-why", job, 200},
      {"vic", "job-cancel", job, 403},  {"vic", "job-submit", R"({"type":"noop","frames":"1"})", 403},
      {"bob", "job-cancel", job, 403},  {"bob", "job-priority", R"({"job":1,"priority":1})", 403},
      {"ada", "job-cancel", job, 200},  {"ada", "job-submit", R"({"type":"noop","frames":"1"})", 201},
      {"eve", "job-retry", job, 200},   {"ada", "node-drain", R"({"node":"render-1"})", 403},
      {"gone", "job-status", job, 403}, {"eve", "node-drain", R"({"node":"render-1"})", 200},
      {"zoe", "job-status", job, 200},  // nobody's account: this machine's, while it is trusted
  };
  for (const auto& one : cases) {
    const int status = ask(one.user, one.verb, one.body);
    if (status != one.status) print_error("%s %s\n", one.user, one.verb);
    check_equal(status, one.status);
  }
  const auto deeds = *world.book->deeds({.limit = 1});
  check_equal(deeds[0].caller, "eve");
  check_equal(deeds[0].method, "REQUEST");
  check_equal(deeds[0].path, "request/eve/node-drain");
  check_equal(deeds[0].what, R"(node render-1: {"node":"render-1"})");
  world.api.settings.trust_loopback = false;
  check_equal(ask("zoe", "job-status", job), 403);
  check_equal(ask("zoe", "dance", job), 403);
}

}  // namespace

int main() {
  return kiln::test::run("people",
                         {{"users are added, changed and removed", users_are_added_changed_and_removed},
                          {"everybody changes the own password with the old one",
                           everybody_changes_the_own_password_with_the_old_one},
                          {"the last administrator stays where this machine is not trusted",
                           the_last_administrator_stays_where_this_machine_is_not_trusted},
                          {"a token is shown once and kept hashed", a_token_is_shown_once_and_kept_hashed},
                          {"nobody makes or sees a token beyond the own rights",
                           nobody_makes_or_sees_a_token_beyond_the_own_rights},
                          {"a token makes none that lives longer", a_token_makes_none_that_lives_longer},
                          {"the audit log is read in pages", the_audit_log_is_read_in_pages},
                          {"MQTT asks for the same roles", mqtt_asks_for_the_same_roles}});
}
