#include "api/api.h"

#include "api/gate.h"
#include "controller/api/fakes.h"

#include "check.h"

using namespace kiln::test;
using kiln::accounts::Role;
namespace http = kiln::http;

namespace {

constexpr std::string_view json_type = "Content-Type: application/json\r\n";
constexpr std::string_view password = "correct horse battery";

void add(World& world, const std::string& name, Role role) {
  check_ok(
      world.book->add_user({.name = name, .role = role, .created_ms = 1}, *world.api.hasher.hash(password)));
}

Answer log_in(World& world, const std::string& name, std::string_view with,
              const std::string& fields = std::string(json_type)) {
  return world.ask("POST", "/api/v1/login", fmt::format(R"({{"name":"{}","password":"{}"}})", name, with),
                   fields);
}

// "Cookie: kiln=…\r\n" of a login's answer.
std::string cookie_of(const Answer& answer) {
  const auto& field = answer.fields.at("set-cookie");
  return "Cookie: other=1; " + field.substr(0, field.find(';')) + "; more=2\r\n";
}

const std::string ours = "Origin: http://localhost\r\n";

void a_login_gives_a_cookie_that_only_this_page_can_use() {
  World world;
  world.api.settings.trust_loopback = false;
  add(world, "ada", Role::artist);
  const Answer answer = log_in(world, "ada", password);
  check_equal(answer.status, 200);
  check_contains(answer.body, R"("kind":"user","name":"ada","role":"artist","by":"cookie")");
  const auto& field = answer.fields.at("set-cookie");
  check(field.starts_with("kiln="));
  check_contains(field, "; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict");
  const std::string cookie = cookie_of(answer);
  check(answer.body.find(field.substr(5, 64)) == std::string::npos);
  check_contains(world.ask("GET", "/api/v1/me", "", cookie).body, R"("name":"ada")");
  check_equal(world.ask("GET", "/api/v1/jobs", "", cookie).status, 200);
  check_equal(world.ask("GET", "/api/v1/users", "", cookie).status, 403);

  const std::string json(json_type);
  const struct {
    const char* method;
    std::string fields;
    int status;
  } cases[] = {
      {"PATCH", ours + json, 200},
      {"PATCH", "Sec-Fetch-Site: same-origin\r\n" + json, 200},
      {"PATCH", ours + "Content-Type: application/json; charset=utf-8\r\n", 200},
      {"PATCH", json, 403},  // no browser's word for where it comes from
      {"PATCH", ours, 403},
      {"PATCH", ours + "Content-Type: text/plain\r\n", 403},
      {"PATCH", ours + "Content-Type: application/jsonp\r\n", 403},
      {"PATCH", "Origin: https://localhost\r\n" + json, 403},
      {"PATCH", "Origin: http://localhost:3000\r\n" + json, 403},
      {"PATCH", "Origin: http://evil.example\r\n" + json, 403},
      {"PATCH", "Origin: null\r\n" + json, 403},
      {"PATCH", "Sec-Fetch-Site: same-site\r\n" + json, 403},
      {"PATCH", "Sec-Fetch-Site: cross-site\r\n" + ours + json, 403},
      {"PATCH", "Sec-Fetch-Site: none\r\n" + json, 403},
      {"GET", "", 200},
      {"GET", "Sec-Fetch-Site: none\r\n", 200},
      {"GET", "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: no-cors\r\n", 403},
      {"GET", "Origin: http://evil.example\r\n", 403},
  };
  for (const auto& one : cases) {
    const bool is_get = one.method == std::string("GET");
    const int status =
        world.ask(one.method, "/api/v1/jobs/1", is_get ? "" : R"({"priority":80})", cookie + one.fields)
            .status;
    if (status != one.status) print_error("%s %s\n", one.method, one.fields.c_str());
    check_equal(status, one.status);
  }
  check_equal(world.farm.asked.size(), 3U);
}

void a_wrong_name_and_a_wrong_password_look_the_same() {
  World world;
  add(world, "ada", Role::artist);
  check_ok(world.book->add_user({.name = "bot", .role = Role::artist}, ""));
  auto gone = kiln::accounts::User{.name = "gone", .role = Role::artist};
  check_ok(world.book->add_user(gone, *world.api.hasher.hash(password)));
  gone.is_disabled = true;
  check_ok(world.book->save_user(gone));
  const std::string want = log_in(world, "ada", "incorrect horse").body;
  for (const auto& [name, with] : {std::pair("nobody", password), {"bot", password}, {"gone", password}}) {
    const Answer answer = log_in(world, name, with);
    check_equal(answer.status, 401);
    check_equal(answer.body, want);
    check(!answer.fields.contains("set-cookie"));
  }
}

void guessing_waits_longer_each_time() {
  World world;
  world.api.login_limit_of_peer.succeeded("127.0.0.1");
  add(world, "ada", Role::artist);
  for (int i = 0; i < 5; ++i) check_equal(log_in(world, "ada", "incorrect horse").status, 401);
  const Answer early = log_in(world, "ada", password);
  check_equal(early.status, 429);
  check_equal(early.fields.at("retry-after"), "1");
  world.passed_ms = 1'000;
  check_equal(log_in(world, "ada", "incorrect horse").status, 401);
  check_equal(log_in(world, "ada", password).fields.at("retry-after"), "2");
  world.passed_ms = 3'000;
  check_equal(log_in(world, "ada", password).status, 200);
  check_equal(log_in(world, "ada", "incorrect horse").status, 401);
  check_equal(log_in(world, "ada", password).status, 200);
}

void what_is_no_login_is_said_so() {
  World world;
  add(world, "ada", Role::artist);
  const std::string body = R"({"name":"ada","password":"correct horse battery"})";
  const struct {
    std::string body;
    std::string fields;
    int status;
  } cases[] = {
      {body, "", 403},
      {body, "Content-Type: text/plain\r\n", 403},
      {body, std::string(json_type) + "Sec-Fetch-Site: cross-site\r\n", 403},
      {body, std::string(json_type) + "Origin: http://localhost:3000\r\n", 403},
      {"", std::string(json_type), 400},
      {"[]", std::string(json_type), 400},
      {R"({"name":"ada"})", std::string(json_type), 400},
      {R"({"name":"ada","password":7})", std::string(json_type), 400},
      {std::string(5000, ' '), std::string(json_type), 413},
      {body, std::string(json_type) + "Sec-Fetch-Site: same-origin\r\n", 200},
  };
  for (const auto& one : cases) {
    const int status = world.ask("POST", "/api/v1/login", one.body, one.fields).status;
    if (status != one.status) print_error("%s %s\n", one.body.c_str(), one.fields.c_str());
    check_equal(status, one.status);
  }
}

void a_session_ends_by_logout_idleness_and_age() {
  World world;
  world.api.settings.trust_loopback = false;
  add(world, "ada", Role::artist);
  constexpr std::int64_t day_ms = 24LL * 3'600'000;
  const auto status = [&](const std::string& cookie) {
    return world.ask("GET", "/api/v1/jobs", "", cookie).status;
  };
  const std::string first = cookie_of(log_in(world, "ada", password));
  const std::string second = cookie_of(log_in(world, "ada", password));
  const Answer out = world.ask("POST", "/api/v1/logout", "", first + ours);
  check_equal(out.status, 204);
  check_contains(out.fields.at("set-cookie"), "kiln=; Path=/; Max-Age=0");
  check_equal(status(first), 401);
  check_equal(status(second), 200);
  world.passed_ms = 3 * day_ms - 1;
  check_equal(status(second), 200);  // …and is seen now
  world.passed_ms = 6 * day_ms - 1;
  check_equal(status(second), 401);
  const std::string third = cookie_of(log_in(world, "ada", password));
  for (int day = 8; day < 36; day += 2) {
    world.passed_ms = day * day_ms - 1;
    check_equal(status(third), 200);
  }
  world.passed_ms = 36 * day_ms;
  check_equal(status(third), 401);
  check_equal(world.ask("POST", "/api/v1/logout", "", "").status, 204);  // who is not logged in is logged out
}

void a_new_login_ends_the_old_session() {
  World world;
  world.api.settings.trust_loopback = false;
  add(world, "ada", Role::artist);
  const std::string first = cookie_of(log_in(world, "ada", password));
  const Answer again = log_in(world, "ada", password, std::string(json_type) + first + ours);
  check_equal(again.status, 200);
  check_equal(world.ask("GET", "/api/v1/jobs", "", first).status, 401);
  check_equal(world.ask("GET", "/api/v1/jobs", "", cookie_of(again)).status, 200);
}

void a_disabled_user_is_out_at_once() {
  World world;
  world.api.settings.trust_loopback = false;
  add(world, "ada", Role::artist);
  const std::string cookie = cookie_of(log_in(world, "ada", password));
  const std::string root = world.key_of("root", Role::administrator);
  check_equal(world.ask("PATCH", "/api/v1/users/ada", R"({"disabled":true})", root).status, 200);
  check_equal(world.ask("GET", "/api/v1/jobs", "", cookie).status, 401);
  check_equal(log_in(world, "ada", password).status, 401);
}

void logins_are_in_the_log_without_what_was_typed() {
  World world;
  add(world, "ada", Role::artist);
  const std::string cookie = cookie_of(log_in(world, "ada", password));
  log_in(world, "ada", "my other secret");
  log_in(world, "correct-horse-battery-typed-here", "x");
  world.ask("POST", "/api/v1/logout", "", cookie + ours);
  const auto deeds = *world.book->deeds({});
  check_equal(deeds.size(), 4U);
  const struct {
    const char* caller;
    const char* what;
    int status;
  } want[] = {{"ada", "user ada: logged out", 204},
              {"local", "a name nobody has: login refused", 401},
              {"local", "user ada: login refused", 401},
              {"ada", "user ada: logged in", 200}};
  for (std::size_t i = 0; i < 4; ++i) {
    check_equal(deeds[i].caller, want[i].caller);
    check_equal(deeds[i].what, want[i].what);
    check_equal(deeds[i].status, want[i].status);
  }
}

struct TextBody final : http::Body {
  std::string text;
  std::size_t at = 0;
  explicit TextBody(std::string t) : text(std::move(t)) {}
  [[nodiscard]] std::uint64_t size() const override { return text.size(); }
  kiln::Result<std::size_t> read_some(std::span<char> out) override {
    const auto count = std::min(out.size(), text.size() - at);
    std::copy_n(text.begin() + static_cast<std::ptrdiff_t>(at), count, out.begin());
    at += count;
    return count;
  }
};

// As it comes to the handlers, from another machine than this one.
http::Response log_in_from(World& world, const std::string& peer, bool is_secure) {
  static const auto router = make_router(world.api);
  TextBody body(R"({"name":"ada","password":"correct horse battery"})");
  http::Request request;
  request.method = http::Method::post;
  request.path = "/api/v1/login";
  request.fields = {{"Content-Type", "application/json"}};
  request.host = "farm.local";
  request.peer = peer;
  request.is_secure = is_secure;
  request.body = &body;
  return (*router.find("POST", {"api", "v1", "login"}).handler)(request);
}

void a_password_does_not_cross_the_wire_in_clear() {
  static World world;
  add(world, "ada", Role::artist);
  check_equal(log_in_from(world, "192.168.1.7", false).status, 403);
  const auto response = log_in_from(world, "192.168.1.7", true);
  check_equal(response.status, 200);
  const auto* cookie = http::find_field(response.fields, "set-cookie");
  check(cookie != nullptr && cookie->starts_with("__Host-kiln="));
  check_contains(*cookie, "; HttpOnly; SameSite=Strict; Secure");
  check_contains(*cookie, "; Path=/;");
  check(cookie->find("Domain") == std::string::npos);
}

}  // namespace

int main() {
  return kiln::test::run(
      "login",
      {{"a login gives a cookie that only this page can use",
        a_login_gives_a_cookie_that_only_this_page_can_use},
       {"a wrong name and a wrong password look the same", a_wrong_name_and_a_wrong_password_look_the_same},
       {"guessing waits longer each time", guessing_waits_longer_each_time},
       {"what is no login is said so", what_is_no_login_is_said_so},
       {"a session ends by logout, idleness and age", a_session_ends_by_logout_idleness_and_age},
       {"a new login ends the old session", a_new_login_ends_the_old_session},
       {"a disabled user is out at once", a_disabled_user_is_out_at_once},
       {"logins are in the log, without what was typed", logins_are_in_the_log_without_what_was_typed},
       {"a password does not cross the wire in clear", a_password_does_not_cross_the_wire_in_clear}});
}
