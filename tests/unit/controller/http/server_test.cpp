#include "http/server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <sys/mman.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "controller/http/wire.h"
#include "http/problem.h"

#include "check.h"

using namespace kiln::http;
using kiln::Code;
using kiln::test::Answer;
using kiln::test::Wire;

namespace {

using Clock = std::chrono::steady_clock;

File file_with(const std::string& bytes) {
  Fd fd(::memfd_create("test", MFD_CLOEXEC));
  check_equal(::write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  return {std::move(fd), bytes.size()};
}

// A server with a handler for each thing the tests ask for.
struct Farm {
  Counters counters;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> complaints;
  int waiting = 0;  // requests inside /wait
  bool may_go = false;
  std::unique_ptr<Server> server;

  explicit Farm(Config config = {}) {
    config.port = 0;
    config.counters = &counters;
    config.on_complaint = [this](const std::string& text) {
      const std::lock_guard lock(mutex);
      complaints.push_back(text);
    };
    auto started = Server::start(std::move(config), router());
    check_ok(started);
    server = std::move(*started);
  }

  Router router() {
    Router router;
    router.add(Method::get, "/hello", [](Request& request) {
      Response response{.content_type = "text/plain"};
      response.body = "hello " + (request.query_value("name") ? *request.query_value("name") : "you");
      return response;
    });
    router.add(Method::post, "/echo", [](Request& request) {
      auto body = request.body->read_all(1000);
      if (!body) return problem(body.error());
      return Response{.content_type = "text/plain", .body = *body};
    });
    router.add(Method::put, "/refused", [](Request&) { return problem(403, "not you"); });
    router.add(Method::put, "/count", [](Request& request) {
      std::string piece(64 * 1024, '\0');
      std::uint64_t sum = 0;
      for (;;) {
        auto count = request.body->read_some(piece);
        if (!count) return problem(count.error());
        if (*count == 0) break;
        for (std::size_t i = 0; i < *count; ++i) sum += static_cast<unsigned char>(piece[i]);
      }
      return Response{.body = fmt::format("{} {}", request.body->size(), sum)};
    });
    router.add(Method::get, "/file", [](Request&) {
      Response response{.content_type = "image/png", .etag = "\"v1\""};
      response.body = file_with("0123456789");
      return response;
    });
    router.add(Method::get, "/static", [](Request&) {
      return Response{.content_type = "text/css", .etag = "\"v2\"", .body = StaticBytes{"body{}"}};
    });
    router.add(Method::get, "/stream", [](Request&) {
      return Response{.content_type = "text/event-stream",
                      .body = Stream{std::nullopt, [](Sink& sink) { return sink.write("data: 1\n\n"); }}};
    });
    router.add(Method::get, "/short", [](Request&) {
      return Response{.body = Stream{10, [](Sink& sink) { return sink.write("12345"); }}};
    });
    router.add(Method::get, "/throws", [](Request&) -> Response { throw std::runtime_error("boom"); });
    router.add(Method::get, "/nothing", [](Request&) { return Response{.status = 204}; });
    router.add(Method::get, "/wait", [this](Request&) {
      std::unique_lock lock(mutex);
      ++waiting;
      changed.notify_all();
      changed.wait_for(lock, std::chrono::seconds(20), [&] { return may_go; });
      return Response{.body = "waited"};
    });
    return router;
  }

  bool wait_for_waiting(int count) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(20), [&] { return waiting >= count; });
  }
  void let_go() {
    const std::lock_guard lock(mutex);
    may_go = true;
    changed.notify_all();
  }
};

std::string get(const std::string& path, const std::string& more = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n";
}

Answer ask(Farm& farm, const std::string& request, bool is_head = false) {
  Wire wire(farm.server->port());
  check(wire.send(request));
  return wire.answer(is_head);
}

void hostile_requests_are_refused() {
  Farm farm;
  const std::string host = "Host: localhost\r\n";
  const struct {
    std::string request;
    int status;
  } cases[] = {
      // The head's form.
      {"GET / HTTP/1.1\nHost: a\n\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
      {"GET / HTTP/1.1\rHost: a\r\n\r\n", 400},
      {"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {std::string("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", 29), 400},
      {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
      {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n folded: x\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"GET / HTTP/1.11\r\nHost: a\r\n\r\n", 400},
      {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
      {"\x16\x03\x01\x02", 400},
      // How long the body is.
      {"POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501},
      {"POST /echo HTTP/1.1\r\n" + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 501},
      {"POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 501},
      {"POST /echo HTTP/1.1\r\n" + host + "tRANSFER-eNCODING: identity\r\nContent-Length: 3\r\n\r\nabc", 501},
      {"POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\nabc", 501},
      {"POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n", 501},
      {"GET /hello HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n", 501},
      {"POST /echo HTTP/1.1\r\n" + host + "\r\n", 411},
      {"PUT /count HTTP/1.1\r\n" + host + "\r\n", 411},
      {"PATCH /hello HTTP/1.1\r\n" + host + "\r\n", 411},
      {"POST /echo HTTP/1.1\r\n" + host + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
      {"POST /echo HTTP/1.1\r\n" + host + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
      {"POST /echo HTTP/1.1\r\n" + host + "Content-Length: 3, 3\r\n\r\nabc", 400},
      {"POST /echo HTTP/1.1\r\n" + host + "Content-Length: 3,\r\n\r\nabc", 400},
      {"POST /echo HTTP/1.1\r\n" + host + "Content-Length: +3\r\n\r\nabc", 400},
      {"POST /echo HTTP/1.1\r\n" + host + "Content-Length: -3\r\n\r\nabc", 400},
      {"POST /echo HTTP/1.1\r\n" + host + "Content-Length: 0x3\r\n\r\nabc", 400},
      {"POST /echo HTTP/1.1\r\n" + host + "Content-Length: 3 3\r\n\r\nabc", 400},
      {"POST /echo HTTP/1.1\r\n" + host + "Content-Length: \r\n\r\nabc", 400},
      {"POST /echo HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n\r\nabc", 400},
      {"GET /hello HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc", 400},
      {"POST /echo HTTP/1.1\r\n" + host + "Content-Length: 1001\r\n\r\n", 413},
      {"POST /echo HTTP/1.1\r\n" + host + "Content-Length: 3\r\nExpect: tea\r\n\r\nabc", 417},
      // Whom it is for.
      {"GET /hello HTTP/1.1\r\n\r\n", 400},
      {"GET /hello HTTP/1.0\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\nHost:\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\nHost: a:b\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
      {"GET http://evil.example/hello HTTP/1.1\r\nHost: localhost\r\n\r\n", 421},
      {"GET http://evil.example/hello HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
      {"GET https://localhost/hello HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"GET hello HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
      {"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
      {"POST /echo HTTP/1.1\r\n" + host + "Origin: http://evil.example\r\nContent-Length: 0\r\n\r\n", 403},
      {"POST /echo HTTP/1.1\r\n" + host + "Origin: null\r\nContent-Length: 0\r\n\r\n", 403},
      // What it asks for.
      {"GET /../etc/passwd HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET /%2e%2e/etc HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET /a%00b HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET /a%0d%0aSet-Cookie:x HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET /none HTTP/1.1\r\n" + host + "\r\n", 404},
      {"DELETE /hello HTTP/1.1\r\n" + host + "\r\n", 405},
      {"BREW /hello HTTP/1.1\r\n" + host + "\r\n", 405},
      {"get /hello HTTP/1.1\r\n" + host + "\r\n", 405},
  };
  for (const auto& one : cases) {
    const Answer answer = ask(farm, one.request);
    if (answer.status != one.status) print_error("%d for: %s\n", answer.status, one.request.c_str());
    check_equal(answer.status, one.status);
    check_equal(answer.fields.at("content-type"), "application/problem+json");
    check_contains(answer.body, fmt::format("\"status\":{}", one.status));
    if (one.status == 405) check(answer.fields.count("allow") == 1);
  }
  // A head over its bounds.
  std::string many;
  for (int i = 0; i < 65; ++i) many += "X: y\r\n";
  check_equal(ask(farm, get("/hello", many)).status, 431);
  check_equal(ask(farm, get("/hello", "X: " + std::string(17 * 1024, 'y') + "\r\n")).status, 431);
  check_equal(ask(farm, "GET /" + std::string(17 * 1024, 'y')).status, 431);
  // The farm goes on.
  check_equal(ask(farm, get("/hello")).body, "hello you");
}

void a_refused_request_smuggles_no_second_one() {
  Farm farm;
  const std::string hidden = "GET /hello?name=smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
  for (const std::string& request :
       {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n" +
            hidden,
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n" + hidden,
        "GET /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(hidden.size()) +
            "\r\n\r\n" + hidden}) {
    Wire wire(farm.server->port());
    check(wire.send(request));
    check(wire.answer().status >= 400);
    check(wire.ends());
  }
}

void two_pipelined_requests_are_answered_in_order() {
  Farm farm;
  Wire wire(farm.server->port());
  check(wire.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc" +
                  get("/hello?name=two") + get("/hello?name=three", "Connection: close\r\n")));
  check_equal(wire.answer().body, "abc");
  check_equal(wire.answer().body, "hello two");
  const Answer last = wire.answer();
  check_equal(last.body, "hello three");
  check_equal(last.fields.at("connection"), "close");
  check(wire.ends());
}

void an_absolute_target_of_ours_is_served() {
  Farm farm;
  const auto answer = ask(farm, "GET http://localhost:1/hello?name=x HTTP/1.1\r\nHost: localhost:1\r\n\r\n");
  check_equal(answer.body, "hello x");
}

void a_slow_head_meets_its_deadline() {
  Config config;
  config.head_deadline = Milliseconds(50);
  Farm farm(config);
  Wire wire(farm.server->port());
  check(wire.send("GET /hello HTTP/1.1\r\nHo"));
  const Answer answer = wire.answer();
  check_equal(answer.status, 408);
  check(wire.ends());
  Wire silent(farm.server->port());
  check(silent.ends());
}

void an_idle_connection_is_ended() {
  Config config;
  config.idle = Milliseconds(50);
  Farm farm(config);
  Wire wire(farm.server->port());
  check(wire.send(get("/hello")));
  check_equal(wire.answer().status, 200);
  check(wire.ends());
}

void a_body_that_stalls_is_given_up() {
  Config config;
  config.stall = Milliseconds(50);
  Farm farm(config);
  Wire wire(farm.server->port());
  check(wire.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc"));
  const Answer answer = wire.answer();
  check(answer.status >= 400);
  check_contains(answer.body, "stalled with 7 of 10 bytes to come");
  check(wire.ends());
}

void continue_is_said_only_to_a_request_that_is_taken() {
  Farm farm;
  {
    Wire wire(farm.server->port());
    check(wire.send(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"));
    check_equal(wire.answer().status, 100);
    check(wire.send("abc"));
    check_equal(wire.answer().body, "abc");
    check(wire.send(get("/hello")));
    check_equal(wire.answer().status, 200);
  }
  for (const char* path : {"/refused", "/nowhere"}) {
    Wire wire(farm.server->port());
    check(wire.send(std::string("PUT ") + path +
                    " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"));
    const Answer answer = wire.answer();
    check(answer.status == 403 || answer.status == 404);
    check_equal(answer.fields.at("connection"), "close");
    check(wire.ends());
  }
}

void a_body_nobody_read_does_not_become_a_request() {
  Farm farm;
  Wire wire(farm.server->port());
  check(wire.send("PUT /refused HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16\r\n\r\nGET / HTTP/1.1\r\n" +
                  get("/hello")));
  check_equal(wire.answer().status, 403);
  check_equal(wire.answer().body, "hello you");
}

void a_big_body_is_streamed() {
  Farm farm;
  Wire wire(farm.server->port());
  const std::string piece(1 << 20, '\1');
  constexpr int pieces = 64;
  check(wire.send(fmt::format("PUT /count HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
                              piece.size() * pieces)));
  for (int i = 0; i < pieces; ++i) check(wire.send(piece));
  check_equal(wire.answer().body, fmt::format("{0} {0}", piece.size() * pieces));
  farm.server->stop();  // counted by then
  check(farm.counters.bytes_in > piece.size() * pieces);
}

void a_file_is_served_in_parts() {
  Farm farm;
  const struct {
    const char* fields;
    int status;
    const char* body;
    const char* content_range;
  } cases[] = {
      {"", 200, "0123456789", ""},
      {"Range: bytes=2-4\r\n", 206, "234", "bytes 2-4/10"},
      {"Range: bytes=-2\r\n", 206, "89", "bytes 8-9/10"},
      {"Range: bytes=8-\r\n", 206, "89", "bytes 8-9/10"},
      {"Range: bytes=0-1,4-5\r\n", 200, "0123456789", ""},
      {"Range: bytes=2-4\r\nIf-Range: \"v1\"\r\n", 206, "234", "bytes 2-4/10"},
      {"Range: bytes=2-4\r\nIf-Range: \"v0\"\r\n", 200, "0123456789", ""},
      {"Range: bytes=2-4\r\nIf-Range: W/\"v1\"\r\n", 200, "0123456789", ""},
      {"If-None-Match: \"v1\"\r\n", 304, "", ""},
      {"If-None-Match: \"v0\", W/\"v1\"\r\n", 304, "", ""},
      {"If-None-Match: \"v1\"\r\nRange: bytes=2-4\r\n", 304, "", ""},
      {"If-None-Match: \"v0\"\r\n", 200, "0123456789", ""},
  };
  Wire wire(farm.server->port());  // one connection for all: each answer ends where it says
  for (const auto& one : cases) {
    check(wire.send(get("/file", one.fields)));
    const Answer answer = wire.answer();
    check_equal(answer.status, one.status);
    check_equal(answer.body, one.body);
    check_equal(answer.fields.at("etag"), "\"v1\"");
    check_equal(answer.fields.count("content-range") == 1 ? answer.fields.at("content-range") : "",
                one.content_range);
  }
  check(wire.send(get("/file", "Range: bytes=10-\r\n")));
  const Answer answer = wire.answer();
  check_equal(answer.status, 416);
  check_equal(answer.fields.at("content-range"), "bytes */10");
}

void head_gives_the_fields_without_the_body() {
  Farm farm;
  Wire wire(farm.server->port());
  const struct {
    const char* path;
    const char* length;
  } cases[] = {{"/hello", "9"}, {"/file", "10"}, {"/static", "6"}, {"/short", "10"}};
  for (const auto& one : cases) {
    check(wire.send(fmt::format("HEAD {} HTTP/1.1\r\nHost: localhost\r\n\r\n", one.path)));
    const Answer answer = wire.answer(true);
    check_equal(answer.status, 200);
    check_equal(answer.fields.at("content-length"), one.length);
  }
  check(wire.send(get("/nothing")));
  const Answer nothing = wire.answer();
  check_equal(nothing.status, 204);
  check_equal(nothing.fields.count("content-length"), 0U);
  check(wire.send(get("/hello")));
  check_equal(wire.answer().body, "hello you");
}

void every_answer_carries_the_safe_defaults() {
  Farm farm;
  const Answer answer = ask(farm, get("/hello"));
  check_equal(answer.fields.at("x-content-type-options"), "nosniff");
  check_equal(answer.fields.at("referrer-policy"), "no-referrer");
  check_contains(answer.fields.at("content-security-policy"), "frame-ancestors 'none'");
  check_equal(answer.fields.at("cache-control"), "no-store");
  check_equal(ask(farm, get("/file")).fields.at("cache-control"), "no-cache");
}

void a_stream_ends_with_its_connection() {
  Farm farm;
  Wire wire(farm.server->port());
  check(wire.send(get("/stream")));
  const Answer answer = wire.answer();
  check_equal(answer.status, 200);
  check_equal(answer.fields.count("content-length"), 0U);
  check_equal(answer.fields.at("connection"), "close");
  check_equal(wire.read_until("\n\n"), "data: 1\n\n");
  check(wire.ends());
}

void a_stream_that_falls_short_is_not_mistaken_for_whole() {
  Farm farm;
  Wire wire(farm.server->port());
  check(wire.send(get("/short")));
  check_equal(wire.answer().status, 0);
}

void a_handler_that_throws_is_a_500() {
  Farm farm;
  const Answer answer = ask(farm, get("/throws"));
  check_equal(answer.status, 500);
  check(answer.body.find("boom") == std::string::npos);
  const std::lock_guard lock(farm.mutex);
  check_equal(farm.complaints.size(), 1U);
  check_contains(farm.complaints[0], "GET /throws: boom");
}

// It takes something again and again, and never enough: the pauses are its pace, nothing waits for them to
// pass.
void a_client_that_reads_a_trickle_is_given_up() {
  int ends[2];
  check_equal(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const int small = 4096;
  ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  const auto connection = plain_connection(Fd(ends[0]));
  std::thread client([&] {
    char piece[256];
    while (::read(ends[1], piece, sizeof piece) > 0) ::poll(nullptr, 0, 5);
  });
  const auto written = connection->write(std::string(1 << 20, 'x'), Milliseconds(150), false);
  check(!written.has_value() && written.error().code == Code::timeout);
  check_contains(written.error().message, "writing to the client");
  connection->cut();
  client.join();
  ::close(ends[1]);
}

void connections_over_the_cap_are_told_to_come_back() {
  Config config;
  config.max_connections = 2;
  Farm farm(config);
  Wire first(farm.server->port());
  Wire second(farm.server->port());
  check(first.send(get("/wait")));
  check(second.send(get("/wait")));
  check(farm.wait_for_waiting(2));
  Wire third(farm.server->port());
  check(third.send(get("/hello")));
  const Answer answer = third.answer();
  check_equal(answer.status, 503);
  check(answer.fields.count("retry-after") == 1);
  farm.let_go();
  check_equal(first.answer().body, "waited");
  check_equal(second.answer().body, "waited");
}

void stopping_ends_idle_connections_at_once_and_lets_a_request_finish() {
  Farm farm;
  Wire idle(farm.server->port());
  check(idle.send(get("/hello")));
  check_equal(idle.answer().status, 200);
  Wire busy(farm.server->port());
  check(busy.send(get("/wait")));
  check(farm.wait_for_waiting(1));
  std::thread stopper([&] { farm.server->stop(); });
  check(idle.ends());
  farm.let_go();
  const Answer answer = busy.answer();
  check_equal(answer.body, "waited");
  check_equal(answer.fields.at("connection"), "close");
  stopper.join();
  check_equal(farm.counters.connections, 0U);
  check(!Wire(farm.server->port()).is_connected());
}

void a_client_that_leaves_harms_nobody() {
  Farm farm;
  for (int i = 0; i < 20; ++i) {
    Wire wire(farm.server->port());
    check(wire.send(
        i % 2 == 0 ? get("/file")
                   : std::string("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nab")));
  }
  check_equal(ask(farm, get("/hello")).status, 200);
}

void a_port_in_use_is_explained() {
  Farm farm;
  Config config;
  config.port = farm.server->port();
  const auto second = Server::start(config, Router());
  check(!second.has_value());
  check_equal(
      second.error().message,
      fmt::format(
          "port {0} on 127.0.0.1 is in use: stop the other program (`ss -ltnp 'sport = :{0}'` names it) "
          "or choose another with --http-port",
          config.port));
  config.address = "203.0.113.9";
  check_contains(Server::start(config, Router()).error().message, "does not have that address");
  config.address = "not an address";
  check(Server::start(config, Router()).error().code == Code::invalid);
}

void a_head_request_is_counted_and_told() {
  Farm farm;
  check_equal(ask(farm, get("/hello")).status, 200);
  check_equal(ask(farm, get("/none")).status, 404);
  farm.server->stop();
  check_equal(farm.counters.answers[2], 1U);
  check_equal(farm.counters.answers[4], 1U);
  check(farm.counters.bytes_out > 0);
}

}  // namespace

int main() {
  return kiln::test::run(
      "server",
      {{"hostile requests are refused", hostile_requests_are_refused},
       {"a refused request smuggles no second one", a_refused_request_smuggles_no_second_one},
       {"two pipelined requests are answered in order", two_pipelined_requests_are_answered_in_order},
       {"an absolute target of ours is served", an_absolute_target_of_ours_is_served},
       {"a slow head meets its deadline", a_slow_head_meets_its_deadline},
       {"an idle connection is ended", an_idle_connection_is_ended},
       {"a body that stalls is given up", a_body_that_stalls_is_given_up},
       {"continue is said only to a request that is taken", continue_is_said_only_to_a_request_that_is_taken},
       {"a body nobody read does not become a request", a_body_nobody_read_does_not_become_a_request},
       {"a big body is streamed", a_big_body_is_streamed},
       {"a file is served in parts", a_file_is_served_in_parts},
       {"HEAD gives the fields without the body", head_gives_the_fields_without_the_body},
       {"every answer carries the safe defaults", every_answer_carries_the_safe_defaults},
       {"a stream ends with its connection", a_stream_ends_with_its_connection},
       {"a stream that falls short is not mistaken for whole",
        a_stream_that_falls_short_is_not_mistaken_for_whole},
       {"a handler that throws is a 500", a_handler_that_throws_is_a_500},
       {"a client that reads a trickle is given up", a_client_that_reads_a_trickle_is_given_up},
       {"connections over the cap are told to come back", connections_over_the_cap_are_told_to_come_back},
       {"stopping ends idle connections at once and lets a request finish",
        stopping_ends_idle_connections_at_once_and_lets_a_request_finish},
       {"a client that leaves harms nobody", a_client_that_leaves_harms_nobody},
       {"a port in use is explained", a_port_in_use_is_explained},
       {"requests are counted", a_head_request_is_counted_and_told}});
}
