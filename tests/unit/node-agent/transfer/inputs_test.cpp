// What a task of a template needs beside the job's files: its document, and what earlier steps made.
#include "transfer/cache.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <optional>

#include "../telemetry/tree.h"
#include "check.h"
#include "runtime/http_client.h"
#include "runtime/sha256.h"
#include "server.h"

using namespace kiln;
using kiln::test::Reply;
using kiln::test::Request;
using kiln::test::Server;
using kiln::test::Tree;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t plenty = 1ULL << 30U;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Answers each request line by the next of its replies; the last one stays.
class Script {
 public:
  void on(const std::string& line, std::vector<Reply> replies) {
    const std::lock_guard lock(mutex_);
    replies_[line] = std::move(replies);
  }
  Reply operator()(const Request& request) {
    const std::lock_guard lock(mutex_);
    const auto found = replies_.find(request.line());
    if (found == replies_.end()) return {404, R"({"title":"no such thing"})", "", std::string::npos, false};
    auto& list = found->second;
    auto reply = list.front();
    if (list.size() > 1) list.erase(list.begin());
    return reply;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::vector<Reply>> replies_;
};

Reply whole(std::string body) {
  return {200, std::move(body), "", std::string::npos, false};
}

struct Rig {
  Script script;
  Server server{[this](const Request& request) { return script(request); }};
  Tree box;
  std::optional<transfer::Cache> cache;
  TaskId task = *TaskId::parse("7-abcde-12");

  Rig() { restart(); }
  void restart() {
    cache.reset();
    cache.emplace(box.root() / "cache", plenty);
    cache->set_url(server.url());
  }
  // What earlier steps made.
  void made(std::initializer_list<std::pair<const char*, std::string>> files) {
    payloads::Manifest manifest;
    for (const auto& [path, bytes] : files) {
      manifest.files.push_back({path, runtime::digest_of(bytes), bytes.size()});
      script.on("GET /api/v1/jobs/7-abcde/files/" + runtime::escape_path(path), {whole(bytes)});
    }
    script.on(inputs, {whole(payloads::encode(manifest))});
  }
  static constexpr const char* inputs = "GET /api/v1/tasks/7-abcde-12/inputs";
};

const std::string tile = "tile " + std::string(100'000, 't');

void inputs_come_from_the_jobs_results() {
  Rig rig;
  rig.made({{"tiles/a b.png", tile}, {"tiles/c.png", "c"}});
  const auto got = rig.cache->fetch_inputs(rig.task, {});
  check_ok(got);
  check_equal(got->manifest.files.size(), 2U);
  check_equal(read(got->tree.root / "tiles/a b.png"), tile);
  check_equal(read(got->tree.root / "tiles/c.png"), "c");
  check(got->tree.hold != nullptr);
}

void what_is_here_is_not_fetched_again() {
  Rig rig;
  rig.made({{"a", tile}, {"b", "b"}});
  check_ok(rig.cache->fetch_inputs(rig.task, {}));
  rig.restart();
  rig.made({{"a", tile}, {"b", "b"}, {"c", "c"}});
  check_ok(rig.cache->fetch_inputs(rig.task, {}));
  check_ok(rig.cache->fetch_inputs(rig.task, {}));
  check_equal(rig.server.count("GET /api/v1/jobs/7-abcde/files/a"), 1U);
  check_equal(rig.server.count("GET /api/v1/jobs/7-abcde/files/c"), 1U);
  check_equal(rig.server.count(Rig::inputs), 3U);
}

void a_broken_input_goes_on_where_it_broke() {
  Rig rig;
  rig.made({{"a", tile}});
  Reply cut = whole(tile);
  cut.cut_after = 60'000;
  Reply rest{206, tile.substr(60'000), "Content-Range: bytes 60000-100004/100005\r\n", std::string::npos,
             false};
  rig.script.on("GET /api/v1/jobs/7-abcde/files/a", {cut, rest});
  const auto got = rig.cache->fetch_inputs(rig.task, {});
  check_ok(got);
  check_equal(read(got->tree.root / "a"), tile);
  check_equal(rig.server.count("GET /api/v1/jobs/7-abcde/files/a"), 2U);
}

void passing_trouble_is_waited_out_and_the_rest_is_told() {
  Rig rig;
  rig.made({{"a", "a"}});
  const auto list = rig.script({"GET", "/api/v1/tasks/7-abcde-12/inputs", {}, ""});
  rig.script.on(Rig::inputs, {{503, "", "", std::string::npos, false}, list});
  check_ok(rig.cache->fetch_inputs(rig.task, {}));

  const struct {
    Reply reply;
    Code code;
  } cases[] = {{{404, "", "", std::string::npos, false}, Code::not_found},
               {{400, "", "", std::string::npos, false}, Code::io},
               {whole("nonsense"), Code::invalid},
               {whole(R"({"files":[{"path":"../x","digest":"sha256:0","size":1}]})"), Code::invalid}};
  for (const auto& one : cases) {
    rig.script.on(Rig::inputs, {one.reply});
    const auto got = rig.cache->fetch_inputs(rig.task, {});
    check(!got);
    check(got.error().code == one.code);
  }
}

void wrong_content_is_not_taken() {
  Rig rig;
  rig.made({{"a", "right"}});
  rig.script.on("GET /api/v1/jobs/7-abcde/files/a", {whole("wrong")});
  const auto got = rig.cache->fetch_inputs(rig.task, {});
  check(!got);
  check(got.error().code == Code::io);
  check_equal(rig.server.count("GET /api/v1/jobs/7-abcde/files/a"), 3U);
}

void a_fetch_that_is_not_wanted_any_more_ends() {
  Rig rig;
  rig.script.on(Rig::inputs, {{503, "", "", std::string::npos, false}});
  std::atomic<bool> is_over = false;
  std::thread other([&] {
    check(rig.server.wait([](const auto& seen) { return !seen.empty(); }));
    is_over = true;
  });
  const auto got = rig.cache->fetch_inputs(rig.task, [&] { return is_over.load(); });
  other.join();
  check(!got);
  check(got.error().code == Code::timeout);
}

void a_document_is_fetched_once_and_bounded() {
  Rig rig;
  const std::string document = "a document";
  const auto digest = runtime::digest_of(document);
  rig.script.on("GET /api/v1/blobs/" + digest, {whole(document)});
  for (int i = 0; i < 2; ++i) {
    const auto got = rig.cache->fetch_blob(digest, 1000, {});
    check_ok(got);
    check_equal(*got, document);
  }
  check_equal(rig.server.count("GET /api/v1/blobs/" + digest), 1U);
  check(rig.cache->fetch_blob(digest, 3, {}).error().code == Code::too_large);
  check(rig.cache->fetch_blob("sha256:short", 1000, {}).error().code == Code::invalid);
  check(rig.cache->fetch_blob(runtime::digest_of("absent"), 1000, {}).error().code == Code::not_found);
}

}  // namespace

int main() {
  return kiln::test::run(
      "inputs", {{"inputs come from the job's results", inputs_come_from_the_jobs_results},
                 {"what is here is not fetched again", what_is_here_is_not_fetched_again},
                 {"a broken input goes on where it broke", a_broken_input_goes_on_where_it_broke},
                 {"passing trouble is waited out, and the rest is told",
                  passing_trouble_is_waited_out_and_the_rest_is_told},
                 {"wrong content is not taken", wrong_content_is_not_taken},
                 {"a fetch that is not wanted any more ends", a_fetch_that_is_not_wanted_any_more_ends},
                 {"a document is fetched once, and bounded", a_document_is_fetched_once_and_bounded}});
}
