// Whole requests, head and body, one after another on one connection, through the real exchange, router and
// handlers; the rest of the controller is the API tests' fakes.
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "controller/api/fakes.h"
#include "fuzz.h"
#include "http/exchange.h"

using namespace kiln;  // NOLINT(google-build-using-namespace)

namespace {

// The client's bytes in pieces of one size, and what it got.
class Memory final : public http::Connection {
 public:
  Memory(std::string_view in, std::size_t piece, std::string& out) : in_(in), piece_(piece), out_(out) {}
  Result<std::size_t> read_some(std::span<char> out, http::Milliseconds) override {
    const auto count = std::min({in_.size(), out.size(), piece_});
    std::copy_n(in_.begin(), count, out.begin());
    in_.remove_prefix(count);
    return count;
  }
  Status write(std::string_view bytes, http::Milliseconds, bool) override {
    out_ += bytes;
    return {};
  }
  Status send_file(int fd, std::uint64_t offset, std::uint64_t length, http::Milliseconds) override {
    std::string bytes(length, '\0');
    KILN_ASSERT(::pread(fd, bytes.data(), length, static_cast<off_t>(offset)) ==
                static_cast<ssize_t>(length));
    out_ += bytes;
    return {};
  }
  void finish_writing() override {}
  void cut() override {}

 private:
  std::string_view in_;
  std::size_t piece_;
  std::string& out_;
};

struct Controller : test::Backing {
  Controller() {
    scheduler::TaskRow task;
    task.id = *TaskId::parse("1-aaaaa-0");
    task.attempt = 2;
    reader.task_rows[task.id] = task;
    storage.blobs[test::digest_of_letter('a')] = "a blob";
    storage.outputs["f.png"] = "a frame of some length";
    storage.incoming[test::FakeStorage::key_of(task.id, 1, "f.png" + test::digest_of_letter('a'))] = "a";
    events.close();  // a watcher's stream ends at once
  }
};

void check_refusal(std::string_view body) {
  const auto json = Json::parse(body);
  KILN_ASSERT(json.has_value());
  for (const char* key : {"title", "detail", "code"}) {
    const auto* text = json->find(key);
    KILN_ASSERT(text != nullptr && text->as_string() != nullptr && !text->as_string()->empty());
  }
  fuzz::notice(*json->find("detail")->as_string());
}

struct Served {
  std::string method;
  int status = 0;
  friend bool operator==(const Served&, const Served&) = default;
};

// Every answer is whole, in the order of the requests.
void check_answers(std::string_view out, const std::vector<Served>& served) {
  for (const auto& one : served) {
    while (out.starts_with("HTTP/1.1 100 ")) out.remove_prefix(out.find("\r\n\r\n") + 4);
    const auto end = out.find("\r\n\r\n");
    KILN_ASSERT(out.starts_with("HTTP/1.1 ") && end != std::string_view::npos);
    const auto head = out.substr(0, end + 2);
    out.remove_prefix(end + 4);
    KILN_ASSERT(head.substr(9, 3) == std::to_string(one.status));
    const auto field = head.find("\r\nContent-Length: ");
    const bool has_body = one.method != "HEAD" && one.status != 204 && one.status != 304;
    if (!has_body) continue;
    std::size_t length = out.size();  // a stream: to the end
    if (field != std::string_view::npos) {
      const auto digits = head.substr(field + 18);
      std::from_chars(digits.data(), digits.data() + digits.size(), length);
    }
    KILN_ASSERT(length <= out.size());
    if (one.status >= 400) check_refusal(out.substr(0, length));
    out.remove_prefix(length);
  }
  KILN_ASSERT(out.empty() || out.starts_with("HTTP/1.1 100 "));
}

std::vector<Served> serve(std::string_view input, std::size_t piece) {
  Controller controller;
  const auto router = api::make_router(controller.api);
  std::string out;
  Memory connection(input, piece, out);
  std::vector<Served> served;
  http::Config config;
  config.on_served = [&](const http::Served& one) { served.push_back({one.method, one.status}); };
  // A handler that throws, or a stream that breaks its word.
  config.on_complaint = [](const std::string& complaint) {
    std::fprintf(stderr, "%s\n", complaint.c_str());
    KILN_ASSERT(complaint.empty());
  };
  const std::atomic<bool> is_stopping = false;
  http::serve({config, router, connection, "127.0.0.1", is_stopping, [](bool) { return true; }});
  check_answers(out, served);
  return served;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = fuzz::text_of(data, size);
  const auto at_once = serve(input, size + 1);
  for (const auto& one : at_once) fuzz::notice(one.method + static_cast<char>('a' + one.status % 97));
  // However it arrives, it is answered the same.
  KILN_ASSERT(serve(input, 1 + size % 7) == at_once);
  return 0;
}
