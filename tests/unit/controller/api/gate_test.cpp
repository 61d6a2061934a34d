#include "api/gate.h"

#include <set>

#include "controller/api/fakes.h"

#include "check.h"

using namespace kiln::test;
using kiln::accounts::Role;
using kiln::http::Method;

namespace {

// A path that the pattern matches, of things that are there.
std::string path_of(std::string_view pattern) {
  const std::pair<std::string_view, std::string_view> names[] = {
      {"/nodes/{id}", "/nodes/render-1"},
      {"/jobs/{id}", "/jobs/1-aaaaa"},
      {"/tokens/{id}", "/tokens/none"},
      {"/enrollments/{id}", "/enrollments/render-1"},
      {"/join-tokens/{id}", "/join-tokens/none"},
      {"{fingerprint}", "k3xq-7jv2-m5nw-4hfa"},
      {"{task}", "1-aaaaa-0"},
      {"{n}", "1"},
      {"{boot}", "5b8a3bd6-8c7e-4f0e-9d5a-0123456789ab"},
      {"{path...}", "a.png"},
      {"types/{name}", "types/noop"},
      {"{name}", "nobody"},
      {"{number}", "1"},
      {"{digest}", "sha256:00"}};
  std::string path(pattern);
  for (const auto& [name, value] : names) {
    if (const auto at = path.find(name); at != std::string::npos) path.replace(at, name.size(), value);
  }
  check(path.find('{') == std::string::npos);
  return path;
}

std::string line_of(const Access& access) {
  return fmt::format("{} {}", to_string(access.method), access.pattern);
}

int ask(World& world, const Access& access, const std::string& fields) {
  const bool has_body = access.method != Method::get && access.method != Method::delete_;
  return world
      .ask(std::string(to_string(access.method)), path_of(access.pattern), has_body ? "{}" : "", fields)
      .status;
}

bool is_refused(int status) {
  return status == 401 || status == 403 || status == 429;
}

void every_route_has_a_row_and_every_row_is_a_route() {
  World world;
  std::set<std::string> routes;
  std::set<std::string> rows;
  for (const auto& route : make_router(world.api).routes())
    routes.insert(fmt::format("{} {}", to_string(route.method), route.pattern));
  for (const auto& access : access_table()) check(rows.insert(line_of(access)).second);
  for (const auto& route : routes) {
    if (!rows.contains(route)) print_error("no row: %s\n", route.c_str());
  }
  check(routes == rows);
}

void what_is_open_to_anyone_is_named_here() {
  for (const auto& access : access_table()) {
    if (access.owned != Owned::no) check(access.least == Least::artist);
    if (access.nodes == Nodes::own) check(access.least == Least::administrator);
    const bool is_open = access.pattern == "/healthz" || access.pattern == "/api/v1/openapi.yaml" ||
                         access.pattern == "/api/v1/login" || access.pattern == "/api/v1/logout" ||
                         access.pattern == "/api/v1/me" || access.pattern == "/api/v1/ca" ||
                         access.pattern == "/api/v1/enroll";
    check_equal(access.least == Least::anyone, is_open);
  }
}

void each_role_may_what_its_row_says_and_no_more() {
  for (const auto role : {Role::viewer, Role::artist, Role::operator_, Role::administrator}) {
    World world;
    world.api.settings.trust_loopback = false;
    const std::string key = world.key_of("ada", role);  // the jobs are ada's
    for (const auto& access : access_table()) {
      if (access.pattern == "/api/v1/login") continue;
      const bool may =
          access.least == Least::anyone || static_cast<int>(role) + 1 >= static_cast<int>(access.least);
      const auto asked = world.farm.asked.size();
      const int status = ask(world, access, key);
      if (is_refused(status) == may && access.pattern != "/api/v1/users/{name}")
        print_error("%s as %s: %d\n", line_of(access).c_str(), std::string(to_string(role)).c_str(), status);
      // What a handler refuses by itself: /users/{name} of somebody else.
      if (access.pattern == "/api/v1/users/{name}" && role != Role::administrator) {
        check_equal(status, 403);
        continue;
      }
      check_equal(is_refused(status), !may);
      if (!may) check_equal(status, 403);
      if (!may) check_equal(world.farm.asked.size(), asked);
    }
  }
}

void nobody_in_particular_may_what_is_public() {
  World world;
  world.api.settings.trust_loopback = false;
  for (const auto& access : access_table()) {
    if (access.pattern == "/api/v1/login") continue;
    const int status = ask(world, access, "");
    if (is_refused(status) != (access.least != Least::anyone))
      print_error("%s: %d\n", line_of(access).c_str(), status);
    check_equal(status == 401, access.least != Least::anyone);
  }
  check_equal(world.ask("GET", "/", "", "Accept-Encoding: gzip\r\n").status, 200);  // the page, to log in on
  const Answer answer = world.ask("GET", "/api/v1/jobs");
  check_equal(answer.fields.at("www-authenticate"), "Bearer");
  check_contains(answer.body, "kiln login");
  check(world.farm.asked.empty());
}

void an_artist_steers_own_jobs_only() {
  World world;
  world.api.settings.trust_loopback = false;
  world.reader.job_rows[1].user = "bob";
  const std::string ada = world.key_of("ada", Role::artist);
  const std::string bob = world.key_of("bob", Role::artist);
  const std::string eve = world.key_of("eve", Role::operator_);
  for (const auto& access : access_table()) {
    if (access.owned == Owned::no) continue;
    check_equal(ask(world, access, bob), 403);
    check(world.farm.asked.empty());
  }
  const auto status = [&](const std::string& path, const std::string& key) {
    return world.ask("PATCH", path, R"({"priority":80})", key).status;
  };
  check_equal(status("/api/v1/jobs/1", ada), 200);
  check_equal(status("/api/v1/jobs/2", ada), 403);
  check_equal(status("/api/v1/jobs/2-bbbbb", bob), 200);
  check_equal(status("/api/v1/jobs/2", eve), 200);
  check_equal(status("/api/v1/jobs/99", ada), 404);
  const Answer answer = world.ask("POST", "/api/v1/tasks/2-bbbbb-0/requeue", "{}", ada);
  check_equal(answer.status, 403);
  check_contains(answer.body, "job 2 is bob's");
  const auto asked = world.farm.asked.size();
  world.ask("POST", "/api/v1/tasks/2-bbbbb-0/requeue", "{}", bob);
  check_equal(world.farm.asked.size(), asked + 1);
}

void a_job_belongs_to_who_submits_it() {
  World world;
  world.api.settings.trust_loopback = false;
  const std::string ada = world.key_of("ada", Role::artist);
  const std::string body = R"({"type":"noop","frames":"1"})";
  check_contains(world.ask("POST", "/api/v1/jobs", body, ada + "X-Kiln-User: eve\r\n").body,
                 R"("user":"ada")");
}

void a_node_does_what_nodes_do_at_its_own_attempts() {
  World world;
  world.api.settings.trust_loopback = false;
  world.api.node_of = [](std::string_view id, std::string_view secret) -> std::optional<kiln::NodeId> {
    if (secret != "right") return std::nullopt;
    return node_id(id);
  };
  const kiln::TaskId task{job_id("1-aaaaa"), 0};
  sch::TaskRow row;
  row.id = task;
  row.state = sch::TaskState::running;
  row.attempt = 2;
  row.node = node_id("render-2");
  world.reader.task_rows[task] = row;
  for (const std::uint32_t number : {1U, 2U}) {
    sch::AttemptRow attempt;
    attempt.task = task;
    attempt.attempt = number;
    attempt.node = node_id(fmt::format("render-{}", number));
    world.reader.attempt_rows.push_back(attempt);
  }
  const auto key = [](const std::string& id, const std::string& secret) {
    return "Authorization: Bearer kilnnode_" + id + "_" + secret + "\r\n";
  };
  for (const auto& access : access_table()) {
    const int status = ask(world, access, key("render-1", "right"));  // of attempt 1
    const bool may = access.nodes != Nodes::none || access.least == Least::anyone;
    if (access.pattern == "/api/v1/login") continue;
    if (is_refused(status) == may) print_error("%s: %d\n", line_of(access).c_str(), status);
    check_equal(is_refused(status), !may);
    check_equal(ask(world, access, key("render-1", "wrong")), 401);
  }
  const std::string base = "/api/v1/tasks/1-aaaaa-0/attempts/";
  check_equal(world.ask("PUT", base + "1/log", "log", key("render-1", "right")).status, 204);
  check_equal(world.ask("PUT", base + "2/log", "log", key("render-2", "right")).status, 204);
  for (const auto* rest : {"2/log", "2/files/a.png"}) {
    const Answer answer = world.ask("PUT", base + rest, "log", key("render-1", "right"));
    check_equal(answer.status, 403);
    check_contains(answer.body, "given to node render-2, not to render-1");
  }
  check_equal(world.ask("POST", base + "2/result", R"({"ok":true})", key("render-1", "right")).status, 403);
  check_equal(world.ask("PUT", base + "3/log", "log", key("render-1", "right")).status, 404);
  check(world.book->deeds({})->empty());  // what nodes deliver has its rows elsewhere
}

void a_node_is_nobody_while_no_nodes_keys_are_known() {
  World world;
  check_equal(world.ask("GET", "/api/v1/farm", "", "Authorization: Bearer kilnnode_render-1_x\r\n").status,
              401);
}

void this_machine_is_trusted_unless_it_speaks_for_somebody_else() {
  World world;
  const std::string host = "localhost";
  const struct {
    const char* method;
    std::string fields;
    bool may;
  } cases[] = {
      {"GET", "", true},
      {"POST", "", true},
      {"POST", "Origin: http://localhost\r\n", true},
      {"POST", "Sec-Fetch-Site: same-origin\r\nOrigin: http://localhost\r\n", true},
      {"GET", "Sec-Fetch-Site: none\r\n", true},
      {"GET", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n", true},
      // a proxy's
      {"GET", "X-Forwarded-For: 10.0.0.1\r\n", false},
      {"GET", "Forwarded: for=10.0.0.1\r\n", false},
      {"GET", "Via: 1.1 proxy\r\n", false},
      {"GET", "X-Real-IP: 10.0.0.1\r\n", false},
      // a page of somebody else's, in a browser on this machine
      {"GET", "Origin: http://evil.example\r\n", false},
      {"GET", "Origin: null\r\n", false},
      {"GET", "Origin: https://localhost\r\n", false},
      {"GET", "Origin: http://localhost:3000\r\n", false},
      {"GET", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n", false},
      {"GET", "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\n", false},
      {"GET", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n", false},
      {"POST", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
       false},
      {"POST", "Sec-Fetch-Site: none\r\n", false},
  };
  for (const auto& one : cases) {
    const bool is_get = one.method == std::string("GET");
    const int status =
        world.ask(one.method, is_get ? "/api/v1/jobs" : "/api/v1/jobs/1/cancel", "", one.fields).status;
    if ((status == 200) != one.may) print_error("%s %s: %d\n", one.method, one.fields.c_str(), status);
    check_equal(status, one.may ? 200 : 401);
  }
  world.api.settings.trust_loopback = false;
  check_equal(world.ask("GET", "/api/v1/jobs").status, 401);
}

void a_token_that_is_not_good_is_refused_even_here() {
  World world;  // this machine is trusted: a wrong token is no way around being told so
  const std::string good = world.key_of("ada", Role::operator_);
  const std::string path = "/api/v1/nodes/render-1/drain";
  const auto status = [&](const std::string& fields) { return world.ask("POST", path, "{}", fields).status; };
  check_equal(status(good), 200);
  for (const std::string bad :
       {"Authorization: Bearer kiln_tada_00\r\n", "Authorization: Bearer kiln_none_00\r\n",
        "Authorization: Bearer x\r\n", "Authorization: Basic YWRhOng=\r\n", "Authorization: \r\n",
        "Authorization: bearer  kiln_tada_\r\n"}) {
    const Answer answer = world.ask("POST", path, "{}", bad);
    check_equal(answer.status, 401);
    check_contains(answer.fields.at("www-authenticate"), "Bearer");
  }
  // The lesser of the token's role and its user's.
  auto ada = **world.book->user("ada");
  ada.role = Role::artist;
  check_ok(world.book->save_user(ada));
  check_equal(status(good), 403);
  ada.role = Role::administrator;
  check_ok(world.book->save_user(ada));
  check_equal(status(good), 200);
  check_equal(world.ask("GET", "/api/v1/users", "", good).status, 403);
  ada.is_disabled = true;
  check_ok(world.book->save_user(ada));
  check_equal(status(good), 401);
  ada.is_disabled = false;
  check_ok(world.book->save_user(ada));
  check_ok(world.book->remove_token("tada"));
  check_equal(status(good), 401);
}

void a_token_ends_when_it_expires() {
  World world;
  const kiln::accounts::ScriptKey key{"brief", kiln::accounts::random_secret()};
  check_ok(world.book->add_user({.name = "ada", .role = Role::viewer}, ""));
  check_ok(world.book->add_token({.id = "brief", .user = "ada", .label = "x", .expires_ms = 1'001'000},
                                 kiln::accounts::hash_of(key.secret)));
  const std::string fields = "Authorization: Bearer " + to_text(key) + "\r\n";
  check_equal(world.ask("GET", "/api/v1/jobs", "", fields).status, 200);
  check_equal((*world.book->token("brief"))->seen_ms, 1'000'000);
  world.passed_ms = 1'000;
  const Answer answer = world.ask("GET", "/api/v1/jobs", "", fields);
  check_equal(answer.status, 401);
  check_contains(answer.body, "expired");
}

void who_does_not_say_who_it_is_may_not_ask_for_ever() {
  World world;
  world.api.settings.trust_loopback = false;
  int let_in = 0;
  Answer last;
  for (int i = 0; i < 200 && last.status != 429; ++i) {
    last = world.ask("GET", "/healthz");
    if (last.status == 200) ++let_in;
  }
  check_equal(last.status, 429);
  check_equal(let_in, 120);
  check_equal(last.fields.at("retry-after"), "1");
  check_equal(world.ask("GET", "/api/v1/jobs", "", "Authorization: Bearer kiln_a_b\r\n").status, 429);
  check_equal(world.ask("GET", "/api/v1/jobs", "", world.key_of("ada", Role::viewer)).status, 200);
  world.passed_ms = 1'000;
  check_equal(world.ask("GET", "/healthz").status, 200);
}

void what_was_changed_is_in_the_log_and_nothing_else() {
  World world;
  const std::string ada = world.key_of("ada", Role::operator_);
  const std::string body = R"({"type":"noop","frames":"1"})";
  sch::TaskRow task;
  task.id = {job_id("1-aaaaa"), 0};
  world.reader.task_rows[task.id] = task;
  world.ask("POST", "/api/v1/jobs", body, ada);
  world.ask("PATCH", "/api/v1/jobs/1?x=secret", R"({"priority":80})", ada);
  world.ask("POST", "/api/v1/nodes/render-1/drain", "{}", ada);
  world.ask("PATCH", "/api/v1/farm", R"({"fair_share":true})");
  world.ask("POST", "/api/v1/tasks/1-aaaaa-0/accept", "{}");
  // reads, refusals, what was not there, and content under its digest leave no line
  world.ask("GET", "/api/v1/jobs", "", ada);
  world.ask("POST", "/api/v1/blobs/missing", R"({"digests":[]})", ada);
  world.ask("PUT", "/api/v1/blobs/" + digest_of_letter('b'), "b", ada);
  world.ask("POST", "/api/v1/jobs/99/cancel", "{}", ada);
  world.ask("PATCH", "/api/v1/jobs/1", "{}", ada);
  world.ask("POST", "/api/v1/users", R"({"name":"x","role":"viewer"})", ada);
  const auto deeds = *world.book->deeds({});
  const struct {
    const char* caller;
    const char* role;
    const char* method;
    const char* path;
    const char* what;
    int status;
  } want[] = {
      {"local", "administrator", "POST", "/api/v1/tasks/1-aaaaa-0/accept", "task 1-aaaaa-0", 200},
      {"local", "administrator", "PATCH", "/api/v1/farm", R"(farm: {"fair_share":true})", 200},
      {"ada", "operator", "POST", "/api/v1/nodes/render-1/drain", "node render-1", 200},
      {"ada", "operator", "PATCH", "/api/v1/jobs/1", R"(job 1: {"priority":80})", 200},
      {"ada", "operator", "POST", "/api/v1/jobs", "job 3-haaaa", 201},
  };
  check_equal(deeds.size(), std::size(want));
  for (std::size_t i = 0; i < deeds.size(); ++i) {
    check_equal(deeds[i].caller, want[i].caller);
    check_equal(deeds[i].role, want[i].role);
    check_equal(deeds[i].method, want[i].method);
    check_equal(deeds[i].path, want[i].path);
    check_equal(deeds[i].what, want[i].what);
    check_equal(deeds[i].status, want[i].status);
    check_equal(deeds[i].peer, "127.0.0.1");
    check_equal(deeds[i].at_ms, 1'000'000);
  }
}

void a_stream_ends_for_who_is_shut_out() {
  World world;
  const std::string ada = world.key_of("ada", Role::viewer);
  Wire wire(world.server->port());
  wire.send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n" + ada + "\r\n");
  check_equal(wire.answer().status, 200);
  check_contains(wire.read_until("\n\n"), "retry:");
  check_contains(wire.read_until("\n\n"), "snapshot");
  check_ok(world.book->remove_user("ada"));
  world.passed_ms = 6'000;
  check(wire.ends_at_last());  // a word that was on its way may come first
}

// Every answer, whatever it is.
void every_answer_keeps_other_sites_out() {
  World world;
  for (const auto* path : {"/", "/api/v1/jobs", "/api/v1/none", "/healthz", "/api/v1/jobs/1/files/../x"}) {
    const Answer answer = world.ask("GET", path, "", "Accept-Encoding: gzip\r\n");
    check_contains(answer.fields.at("content-security-policy"), "frame-ancestors 'none'");
    check(answer.fields.at("content-security-policy").find("script-src") == std::string::npos);
    check_contains(answer.fields.at("content-security-policy"),
                   path == std::string("/") ? "default-src 'self'" : "default-src 'none'");
    check_equal(answer.fields.at("x-content-type-options"), "nosniff");
    check_equal(answer.fields.at("referrer-policy"), "no-referrer");
    check_equal(answer.fields.at("cross-origin-opener-policy"), "same-origin");
    check_equal(answer.fields.at("cross-origin-resource-policy"), "same-origin");
    check(!answer.fields.contains("strict-transport-security"));  // not over TLS
    check(!answer.fields.contains("access-control-allow-origin"));
  }
}

}  // namespace

int main() {
  return kiln::test::run(
      "gate",
      {{"every route has a row, and every row is a route", every_route_has_a_row_and_every_row_is_a_route},
       {"what is open to anyone is named here", what_is_open_to_anyone_is_named_here},
       {"each role may what its row says, and no more", each_role_may_what_its_row_says_and_no_more},
       {"nobody in particular may what is public", nobody_in_particular_may_what_is_public},
       {"an artist steers own jobs only", an_artist_steers_own_jobs_only},
       {"a job belongs to who submits it", a_job_belongs_to_who_submits_it},
       {"a node does what nodes do, at its own attempts", a_node_does_what_nodes_do_at_its_own_attempts},
       {"a node is nobody while no nodes' keys are known", a_node_is_nobody_while_no_nodes_keys_are_known},
       {"this machine is trusted unless it speaks for somebody else",
        this_machine_is_trusted_unless_it_speaks_for_somebody_else},
       {"a token that is not good is refused, even here", a_token_that_is_not_good_is_refused_even_here},
       {"a token ends when it expires", a_token_ends_when_it_expires},
       {"who does not say who it is may not ask for ever", who_does_not_say_who_it_is_may_not_ask_for_ever},
       {"what was changed is in the log, and nothing else", what_was_changed_is_in_the_log_and_nothing_else},
       {"a stream ends for who is shut out", a_stream_ends_for_who_is_shut_out},
       {"every answer keeps other sites out", every_answer_keeps_other_sites_out}});
}
