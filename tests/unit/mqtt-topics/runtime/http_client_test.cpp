#include "runtime/http_client.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "loopback.h"

// After everything else: cmocka's macros.
#include "check.h"

using namespace kiln;
using namespace kiln::runtime;
using namespace std::chrono_literals;
using kiln::test::Folder;

namespace {

// What came in: the head as sent (names lowered by the test's helper) and the body.
struct Request {
  std::string line;
  std::string head;
  std::string body;
};

// A server of one answer a connection.
class Site {
 public:
  using Answer = std::function<std::string(const Request&)>;
  explicit Site(Answer answer)
      : answer_(std::move(answer)), server_([this](const test::Fd& socket) { serve(socket); }) {}

  [[nodiscard]] std::string url() const { return fmt::format("http://127.0.0.1:{}", server_.port()); }
  [[nodiscard]] std::uint16_t port() const { return server_.port(); }
  Request last() {
    const std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  void serve(const test::Fd& socket) {
    std::string text;
    std::array<char, 4096> chunk{};
    std::size_t end = std::string::npos;
    while (end == std::string::npos) {
      const auto got = ::recv(socket.get(), chunk.data(), chunk.size(), 0);
      if (got <= 0) return;
      text.append(chunk.data(), static_cast<std::size_t>(got));
      end = text.find("\r\n\r\n");
    }
    Request request;
    request.line = text.substr(0, text.find("\r\n"));
    request.head = text.substr(request.line.size() + 2, end - request.line.size());
    request.body = text.substr(end + 4);
    std::size_t length = 0;
    if (const auto at = request.head.find("Content-Length: "); at != std::string::npos) {
      length = std::stoul(request.head.substr(at + 16));
    }
    if (request.head.find("Expect: 100-continue") != std::string::npos)
      test::say(socket, "HTTP/1.1 100 Continue\r\n\r\n");
    while (request.body.size() < length) {
      const auto got = ::recv(socket.get(), chunk.data(), chunk.size(), 0);
      if (got <= 0) return;
      request.body.append(chunk.data(), static_cast<std::size_t>(got));
    }
    {
      const std::lock_guard lock(mutex_);
      last_ = request;
    }
    test::say(socket, answer_(request));
  }

  Answer answer_;
  std::mutex mutex_;
  Request last_;
  test::Server server_;
};

std::string answer(int status, std::string_view body, std::string_view headers = "") {
  return fmt::format("HTTP/1.1 {} Whatever\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n{}", status,
                     body.size(), headers, body);
}

void an_answer_comes_back_with_status_headers_and_body() {
  Site site([](const Request&) { return answer(201, "hello", "ETag:  \"x\" \r\nX-EMPTY:\r\n"); });
  HttpClient http(site.url() + "/");
  const auto got = http.get("/a?b=c");
  check_ok(got);
  check_equal(got->status, 201);
  check(got->ok());
  check_equal(got->body, "hello");
  check_equal(got->headers.at("etag"), "\"x\"");
  check_equal(got->headers.at("x-empty"), "");
  check_equal(site.last().line, "GET /a?b=c HTTP/1.1");
  check_contains(site.last().head, "User-Agent: kiln\r\n");
}

void every_method_sends_what_it_should() {
  Site site([](const Request& request) {
    return request.line.starts_with("HEAD")
               ? std::string(
                     "HTTP/1.1 404 No\r\nUpload-Offset: 17\r\nContent-Length: 5\r\n"
                     "Connection: close\r\n\r\n")
               : answer(200, "{}");
  });
  HttpOptions options;
  options.headers = {{"X-Kiln-User", "ada"}};
  HttpClient http(site.url(), options);
  check_ok(http.post("/jobs", R"({"a":1})", {{"Idempotency-Key", "c1"}}));
  check_equal(site.last().line, "POST /jobs HTTP/1.1");
  check_equal(site.last().body, R"({"a":1})");
  check_contains(site.last().head, "Content-Type: application/json\r\n");
  check_contains(site.last().head, "Idempotency-Key: c1\r\n");
  check_contains(site.last().head, "X-Kiln-User: ada\r\n");
  check_ok(http.post("/jobs/7/cancel", ""));
  check_contains(site.last().head, "Content-Length: 0\r\n");
  check_ok(http.patch("/jobs/7", "{}"));
  check_equal(site.last().line, "PATCH /jobs/7 HTTP/1.1");
  check_ok(http.remove("/jobs/7"));
  check_equal(site.last().line, "DELETE /jobs/7 HTTP/1.1");
  check_ok(http.send("PUT", "/log", "text", {{"content-type", "text/plain"}}));
  check_equal(site.last().line, "PUT /log HTTP/1.1");
  check_contains(site.last().head, "content-type: text/plain\r\n");
  check(site.last().head.find("application/json") == std::string::npos);
  const auto head = http.head("/blob");
  check_ok(head);
  check_equal(head->status, 404);
  check_equal(head->headers.at("upload-offset"), "17");
  check_ok(http.get("/after"));  // nothing of the requests before is left over
  check_equal(site.last().line, "GET /after HTTP/1.1");
  check_equal(site.last().body, "");
}

void a_large_body_waits_for_100_continue() {
  const std::string large(3'000'000, 'x');
  Site site([](const Request&) { return answer(200, "{}"); });
  HttpClient http(site.url());
  check_ok(http.post("/jobs", large));
  check(site.last().body == large);
}

void an_error_is_a_status_with_the_servers_words() {
  Site site([](const Request&) {
    return answer(422, R"({"title":"Unprocessable","status":422,"detail":"frames: 10-1 runs backwards"})");
  });
  HttpClient http(site.url());
  const auto got = http.post("/jobs", "{}");
  check_ok(got);
  check(!got->ok());
  check_equal(got->problem(), "frames: 10-1 runs backwards");
  check_equal(HttpResponse({502, {}, "<html>"}).problem(), "the answer was HTTP 502");
  check_equal(HttpResponse({400, {}, R"({"title":"Bad"})"}).problem(), "Bad");
}

void a_body_beyond_the_bound_is_refused() {
  Site site([](const Request&) { return answer(200, std::string(2'000, 'x')); });
  HttpOptions options;
  options.max_body_bytes = 1'000;
  HttpClient http(site.url(), options);
  const auto got = http.get("/");
  check(got.error().code == Code::too_large);
  check_equal(got.error().message, "an answer of more than 1000 bytes");
  Site heads([](const Request&) { return answer(200, "", "X: " + std::string(70'000, 'h') + "\r\n"); });
  http.set_base_url(heads.url());
  check(http.get("/").error().code == Code::too_large);
}

void a_redirect_is_not_followed() {
  Site site([](const Request&) { return answer(302, "", "Location: http://127.0.0.1:1/\r\n"); });
  HttpClient http(site.url());
  check_equal(http.get("/")->status, 302);
}

void a_peer_that_does_not_answer_is_named_with_what_to_do() {
  const auto port = test::free_port();
  HttpClient http(fmt::format("http://127.0.0.1:{}", port));
  const auto refused = http.get("/");
  check(refused.error().code == Code::unavailable);
  check_equal(
      refused.error().message,
      fmt::format("nothing answers at 127.0.0.1:{} (Connection refused): is kiln-controller running there?",
                  port));
  Site rude([](const Request&) { return std::string(); });
  http.set_base_url(rude.url());
  const auto empty = http.get("/");
  check(empty.error().code == Code::unavailable);
  check_contains(empty.error().message, fmt::format("the connection to 127.0.0.1:{} broke: ", rude.port()));
  Site cut([](const Request&) { return std::string("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"); });
  http.set_base_url(cut.url());
  check(http.get("/").error().code == Code::unavailable);
}

void an_address_that_is_none_is_refused() {
  for (const char* bad : {"", "farm", "ftp://farm", "http://", "file:///etc/passwd", "http://a b"}) {
    const auto got = HttpClient(bad).get("/");
    if (got || got.error().code != Code::invalid) print_error("'%s'\n", bad);
    check(!got && got.error().code == Code::invalid);
    check_contains(got.error().message, "http://host:8780 is expected");
  }
  Site site([](const Request&) { return answer(200, ""); });
  HttpClient http(site.url());
  check(http.remove("/", {{"X", "a\r\nEvil: yes"}}).error().code == Code::invalid);
  check_ok(http.get("/"));  // the refused one left nothing behind
  check_equal(site.last().line, "GET / HTTP/1.1");
}

void an_exchange_ends_when_it_is_cancelled_or_takes_too_long() {
  EventFd over;
  Site slow([&](const Request&) {
    [[maybe_unused]] const bool set = over.wait(60s);
    return answer(200, "");
  });
  std::atomic<bool> cancelled = false;
  HttpOptions options;
  options.cancelled = [&] { return cancelled.load(); };
  HttpClient http(slow.url(), options);
  cancelled = true;
  const auto given_up = http.get("/");
  check(given_up.error().code == Code::timeout);
  check_equal(given_up.error().message, "cancelled");
  over.set();
  over.clear();
  HttpOptions hasty;
  hasty.overall = 50ms;
  const auto late = HttpClient(slow.url(), hasty).get("/");
  check(late.error().code == Code::timeout);
  check_contains(late.error().message, fmt::format("127.0.0.1:{} does not answer in time", slow.port()));
  over.set();
}

// Serves `content` and honours Range.
Site::Answer ranged(std::string content, bool honours = true) {
  return [=](const Request& request) {
    const auto at = request.head.find("Range: bytes=");
    if (at == std::string::npos || !honours) return answer(200, content);
    const auto from = std::stoul(request.head.substr(at + 13));
    if (from >= content.size()) return answer(416, "{}");
    return answer(206, content.substr(from),
                  fmt::format("Content-Range: bytes {}-{}/{}\r\n", from, content.size() - 1, content.size()));
  };
}

void a_file_is_fetched_and_resumed() {
  const Folder folder;
  const auto file = folder.path / "blob";
  std::string content;
  for (int i = 0; i < 100'000; ++i) content += std::to_string(i);
  Site site(ranged(content));
  HttpClient http(site.url());
  const auto whole = http.get_file("/blob", file, 0, 10'000'000);
  check_ok(whole);
  check_equal(whole->offset, 0U);
  check_equal(whole->size, content.size());
  check(whole->response.body.empty());
  check(*read_file(file, 10'000'000) == content);
  check(site.last().head.find("Range") == std::string::npos);

  check_ok(write_file_atomically(file, content.substr(0, 1'000)));
  const auto resumed = http.get_file("/blob", file, 1'000, 10'000'000);
  check_ok(resumed);
  check_equal(resumed->response.status, 206);
  check_equal(resumed->offset, 1'000U);
  check_equal(resumed->size, content.size());
  check(*read_file(file, 10'000'000) == content);

  // What lies beyond the offset is not to be trusted, and what is not there cannot be gone on from.
  check_ok(write_file_atomically(file, content.substr(0, 1'000) + "garbage"));
  check_ok(http.get_file("/blob", file, 1'000, 10'000'000));
  check(*read_file(file, 10'000'000) == content);
  const auto missing = http.get_file("/blob", folder.path / "new", 1'000, 10'000'000);
  check_ok(missing);
  check_equal(missing->offset, 0U);
  check(*read_file(folder.path / "new", 10'000'000) == content);
}

void a_server_without_ranges_makes_the_file_start_anew() {
  const Folder folder;
  const auto file = folder.path / "blob";
  check_ok(write_file_atomically(file, "0123456789 which is longer than the new one"));
  Site site(ranged("new content", false));
  const auto got = HttpClient(site.url()).get_file("/blob", file, 10, 1'000);
  check_ok(got);
  check_equal(got->offset, 0U);
  check_equal(*read_file(file, 1'000), "new content");
}

void an_answer_that_is_no_success_leaves_the_file_alone() {
  const Folder folder;
  const auto file = folder.path / "blob";
  check_ok(write_file_atomically(file, "half"));
  Site gone([](const Request&) { return answer(404, R"({"detail":"no such blob"})"); });
  const auto missing = HttpClient(gone.url()).get_file("/blob", file, 4, 1'000);
  check_ok(missing);
  check_equal(missing->response.status, 404);
  check_equal(missing->response.problem(), "no such blob");
  check_equal(*read_file(file, 1'000), "half");
  check_ok(HttpClient(gone.url()).get_file("/blob", folder.path / "none", 0, 1'000));
  check(!std::filesystem::exists(folder.path / "none"));
  Site odd([](const Request&) { return answer(206, "abc", "Content-Range: bytes 2-4/5\r\n"); });
  const auto wrong = HttpClient(odd.url()).get_file("/blob", file, 4, 1'000);
  check(wrong.error().code == Code::io);
  check_equal(*read_file(file, 1'000), "half");
}

void an_empty_file_is_fetched() {
  const Folder folder;
  Site site([](const Request&) { return answer(200, ""); });
  check_ok(HttpClient(site.url()).get_file("/blob", folder.path / "empty", 0, 10));
  check_equal(*read_file(folder.path / "empty", 10), "");
}

void a_file_beyond_its_bound_or_the_disks_is_refused() {
  const Folder folder;
  Site site([](const Request&) { return answer(200, std::string(2'000, 'x')); });
  HttpClient http(site.url());
  const auto large = http.get_file("/blob", folder.path / "f", 0, 1'000);
  check(large.error().code == Code::too_large);
  const auto nowhere = http.get_file("/blob", folder.path / "no" / "f", 0, 10'000);
  check(nowhere.error().code == Code::not_found);
}

void a_file_is_put_whole_or_from_an_offset() {
  const Folder folder;
  const auto file = folder.path / "frame.png";
  std::string content;
  for (int i = 0; i < 300'000; ++i) content += static_cast<char>('a' + i % 26);
  check_ok(write_file_atomically(file, content));
  Site site([](const Request&) { return answer(201, "{}"); });
  HttpClient http(site.url());
  const auto put = http.put_file("/files/a%20b.png", file, 0, {{"Content-Digest", "sha-256=:x:"}});
  check_ok(put);
  check_equal(put->status, 201);
  check_equal(site.last().line, "PUT /files/a%20b.png HTTP/1.1");
  check(site.last().body == content);
  check_contains(site.last().head, "Content-Digest: sha-256=:x:\r\n");
  check(site.last().head.find("Content-Range") == std::string::npos);
  check(site.last().head.find("Transfer-Encoding") == std::string::npos);
  check_ok(http.put_file("/blob", file, 100));
  check(site.last().body == content.substr(100));
  check_contains(site.last().head, "Content-Range: bytes 100-299999/300000\r\n");
  check(http.put_file("/blob", file, 300'000).error().code == Code::invalid);
  check(http.put_file("/blob", folder.path / "none").error().code == Code::not_found);
  check_ok(write_file_atomically(file, ""));
  check_ok(http.put_file("/blob", file));
  check_contains(site.last().head, "Content-Length: 0\r\n");
}

void a_stream_is_handed_over_line_by_line() {
  Site site([](const Request&) {
    return answer(
        200,
        ": hello\n\nid: 7\nevent: job\r\ndata: {\"a\":\ndata:1}\n\nretry: 5\ndata: plain\n\nevent: lost\n\n"
        "id: 8\nevent: node\ndata: x\n\n");
  });
  HttpClient http(site.url());
  std::vector<std::string> seen;
  ServerEvents events([&](const ServerEvent& event) {
    seen.push_back(fmt::format("{}/{}/{}", event.id, event.event, event.data));
    return true;
  });
  const auto ended = http.stream("/events", [&](std::string_view line) { return events.line(line); },
                                 {{"Last-Event-ID", "6"}});
  check_ok(ended);
  check_contains(site.last().head, "Last-Event-ID: 6\r\n");
  check(seen == std::vector<std::string>({"7/job/{\"a\":\n1}", "7/message/plain", "8/node/x"}));

  int lines = 0;
  const auto stopped = http.stream("/events", [&](std::string_view) { return ++lines < 2; });
  check_ok(stopped);
  check_equal(lines, 2);
  Site sick([](const Request&) { return answer(503, R"({"detail":"the controller is stopping"})"); });
  http.set_base_url(sick.url());
  const auto refused = http.stream("/events", [](std::string_view) { return true; });
  check_ok(refused);
  check_equal(refused->problem(), "the controller is stopping");
  Site endless([](const Request&) { return answer(200, std::string(2'000'000, 'x')); });
  http.set_base_url(endless.url());
  check(http.stream("/", [](std::string_view) { return true; }).error().code == Code::too_large);
}

void file_names_are_escaped_for_urls() {
  check_equal(escape_path("maps/wood 1.png"), "maps/wood%201.png");
  check_equal(escape_path("a/ö?#%/~b"), "a/%C3%B6%3F%23%25/~b");
  check_equal(escape_path(""), "");
  check_equal(escape_segment("sha256:a/b"), "sha256%3Aa%2Fb");
}

}  // namespace

int main() {
  return kiln::test::run(
      "http_client",
      {{"an answer comes back with status, headers and body",
        an_answer_comes_back_with_status_headers_and_body},
       {"every method sends what it should", every_method_sends_what_it_should},
       {"a large body waits for 100 Continue", a_large_body_waits_for_100_continue},
       {"an error is a status with the server's words", an_error_is_a_status_with_the_servers_words},
       {"a body beyond the bound is refused", a_body_beyond_the_bound_is_refused},
       {"a redirect is not followed", a_redirect_is_not_followed},
       {"a peer that does not answer is named with what to do",
        a_peer_that_does_not_answer_is_named_with_what_to_do},
       {"an address that is none is refused", an_address_that_is_none_is_refused},
       {"an exchange ends when cancelled or too long",
        an_exchange_ends_when_it_is_cancelled_or_takes_too_long},
       {"a file is fetched and resumed", a_file_is_fetched_and_resumed},
       {"a server without ranges makes the file start anew",
        a_server_without_ranges_makes_the_file_start_anew},
       {"an answer that is no success leaves the file alone",
        an_answer_that_is_no_success_leaves_the_file_alone},
       {"an empty file is fetched", an_empty_file_is_fetched},
       {"a file beyond its bound or the disk's is refused", a_file_beyond_its_bound_or_the_disks_is_refused},
       {"a file is put whole or from an offset", a_file_is_put_whole_or_from_an_offset},
       {"a stream is handed over line by line", a_stream_is_handed_over_line_by_line},
       {"file names are escaped for URLs", file_names_are_escaped_for_urls}});
}
