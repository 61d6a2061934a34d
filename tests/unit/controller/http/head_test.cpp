#include "http/head.h"

#include "check.h"
#include "http/router.h"
#include "http/target.h"

using namespace kiln::http;

namespace {

const HeadRules rules{.names = {"farm.example.org"}};

void a_plain_request_is_read() {
  const auto head = parse_head(
      "PUT /a%20b?c=d HTTP/1.1\r\nHost: render-1:8780\r\nContent-Length: 12\r\nExpect: 100-Continue\r\nX-A:  "
      "b \r\n\r\n",
      rules);
  check(head.has_value());
  check_equal(head->method, "PUT");
  check_equal(head->target, "/a%20b?c=d");
  check_equal(head->host, "render-1:8780");
  check_equal(head->content_length.value_or(0), 12U);
  check(head->keep_alive && head->expects_continue);
  check_equal(*find_field(head->fields, "x-a"), "b");
}

void the_connection_is_kept_as_asked() {
  const struct {
    const char* head;
    bool is_kept;
  } cases[] = {
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", false},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n", false},
      {"GET / HTTP/1.0\r\nHost: a\r\n\r\n", false},
  };
  for (const auto& one : cases) {
    const auto head = parse_head(one.head, rules);
    check(head.has_value());
    check_equal(head->keep_alive, one.is_kept);
  }
}

void only_names_that_nobody_can_rebind_are_ours() {
  const struct {
    const char* host;
    bool is_ours;
  } cases[] = {
      {"127.0.0.1", true},
      {"192.168.1.7:8780", true},
      {"[::1]", true},
      {"[fe80::1]:8780", true},
      {"localhost", true},
      {"LOCALHOST:1", true},
      {"render-1", true},
      {"farm.local", true},
      {"farm.local.", true},
      {"Farm.Example.Org", true},
      {"evil.example", false},
      {"local.evil.com", false},
      {"127.0.0.1.evil.com", false},
      {"[::g]", false},
      {"127.1", false},
      {".", false},
  };
  for (const auto& one : cases) {
    if (is_our_host(one.host, rules.names) != one.is_ours) print_error("%s\n", one.host);
    check_equal(is_our_host(one.host, rules.names), one.is_ours);
  }
}

void the_end_of_a_head_is_found_however_it_is_split() {
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (std::size_t cut = 1; cut < head.size(); ++cut) {
    const auto before = find_head_end(std::string_view(head).substr(0, cut), 0, rules);
    check(before.has_value());
    check_equal(*before, 0U);
    const auto after = find_head_end(head + "body", cut, rules);
    check(after.has_value());
    check_equal(*after, head.size());
  }
}

void bytes_behind_the_head_are_not_judged() {
  const auto end = find_head_end(std::string("GET / HTTP/1.1\r\n\r\n\0\n\r", 21), 0, rules);
  check(end.has_value());
  check_equal(*end, 18U);
}

void a_target_is_decoded() {
  const auto target = parse_target("/api/v1/jobs/7-abc/files/a%20b/%C3%B6.png?state=done&q=a+b%26&flag");
  check(target.has_value());
  check_equal(target->segments.size(), 7U);
  check_equal(target->segments[5], "a b");
  check_equal(target->segments[6], "ö.png");
  check_equal(target->query.size(), 3U);
  check_equal(target->query[1].second, "a b&");
  check_equal(target->query[2].second, "");
  check(parse_target("/")->segments.empty());
  check_equal(parse_target("/a/")->segments.size(), 2U);
  check_equal(encode_path("a b/ö.png"), "a%20b/%C3%B6.png");
}

void a_target_that_leads_elsewhere_is_refused() {
  const char* cases[] = {"/..",       "/a/../b", "/%2e%2e", "/a%2f..%2fb", "/a/.",   "/%00",
                         "/a%0d%0ab", "/%zz",    "/%4",     "/a\\b",       "/%5c",   "/%ff",
                         "/%c0%af",   "/a#b",    "/?a=%00", "/?%0a=b",     "/?a=%f", "/?a=%ed%a0%80"};
  for (const char* one : cases) {
    const auto target = parse_target(one);
    if (target) print_error("%s was taken\n", one);
    check(!target.has_value());
    check_equal(target.error().status, 400);
  }
  std::string many = "/?";
  for (int i = 0; i < 65; ++i) many += "a&";
  check(!parse_target(many).has_value());
}

void a_route_is_chosen_by_its_literals() {
  Router router;
  std::string called;
  const auto add = [&](Method method, const char* pattern) {
    router.add(method, pattern, [](Request&) { return Response(); });
  };
  add(Method::get, "/blobs/{digest}");
  add(Method::put, "/blobs/{digest}");
  add(Method::post, "/blobs/missing");
  add(Method::get, "/jobs/{id}/files/{path...}");
  add(Method::get, "/");
  const auto find = [&](std::string_view method, const char* target) {
    return router.find(method, parse_target(target)->segments);
  };
  check(find("GET", "/").handler != nullptr);
  check(find("HEAD", "/blobs/x").handler != nullptr);
  check(find("POST", "/blobs/missing").handler != nullptr);
  check_equal(find("DELETE", "/blobs/missing").allowed, "GET, HEAD, PUT, POST");
  check_equal(find("POST", "/blobs/x").allowed, "GET, HEAD, PUT");
  check_equal(find("BREW", "/").allowed, "GET, HEAD");
  check(find("GET", "/none").handler == nullptr && find("GET", "/none").allowed.empty());
  check(find("GET", "/blobs/").handler == nullptr);
  check(find("GET", "/blobs/a%2fb").handler == nullptr);
  check(find("GET", "/jobs/7/files").handler == nullptr);
  const auto match = find("GET", "/jobs/7/files/a/b%2Fc.png");
  check(match.handler != nullptr);
  check_equal(match.params.size(), 2U);
  check_equal(match.params[0].second, "7");
  check_equal(match.params[1].first, "path");
  check_equal(match.params[1].second, "a/b/c.png");
}

}  // namespace

int main() {
  return kiln::test::run(
      "head",
      {{"a plain request is read", a_plain_request_is_read},
       {"the connection is kept as asked", the_connection_is_kept_as_asked},
       {"only names that nobody can rebind are ours", only_names_that_nobody_can_rebind_are_ours},
       {"the end of a head is found however it is split", the_end_of_a_head_is_found_however_it_is_split},
       {"bytes behind the head are not judged", bytes_behind_the_head_are_not_judged},
       {"a target is decoded", a_target_is_decoded},
       {"a target that leads elsewhere is refused", a_target_that_leads_elsewhere_is_refused},
       {"a route is chosen by its literals", a_route_is_chosen_by_its_literals}});
}
