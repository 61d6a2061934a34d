#include "transfer/delivery.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>

#include "../telemetry/tree.h"
#include "check.h"
#include "runtime/sha256.h"
#include "server.h"
#include "transfer/journal.h"

using namespace kiln;
using kiln::test::Reply;
using kiln::test::Request;
using kiln::test::Server;
using kiln::test::Tree;
using payloads::Verdict;
using transfer::Delivery;
namespace fs = std::filesystem;

namespace {

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
TaskId task(const std::string& text) {
  return TaskId::parse(text).value();
}

// A rendered task: two frames in a folder of their own.
struct Rendered {
  payloads::ResultReport report;
  fs::path folder;
};
Rendered render(const fs::path& folder, const std::string& look) {
  Rendered out{{}, folder};
  out.report.node = NodeId::parse("n1").value();
  out.report.ok = true;
  out.report.seconds = 1.5;
  int frame = 0;
  for (const auto* path : {"frame 1.png", "layers/glow/0002.exr"}) {
    const auto bytes = look + path + std::string(20'000, '.');
    fs::create_directories((folder / path).parent_path());
    std::ofstream(folder / path, std::ios::binary) << bytes;
    out.report.files.push_back({++frame, path, runtime::digest_of(bytes), bytes.size(), 64, 48, 0.5});
  }
  return out;
}
payloads::ResultReport failed() {
  payloads::ResultReport report;
  report.node = NodeId::parse("n1").value();
  report.failure = {"no-camera", "the scene has no camera: add one", payloads::FailureScope::job};
  return report;
}

Reply say(int status, const std::string& body = "") {
  return {status, body, "", std::string::npos, false};
}
Reply accepted() {
  return say(200, R"({"verdict":"accepted"})");
}

struct Rig {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, std::deque<Reply>> script;  // by "METHOD path", before all is well
  std::vector<transfer::Delivered> told;
  Tree box;
  Server server{[this](const Request& request) {
    const std::lock_guard lock(mutex);
    auto& replies = script[request.line()];
    if (!replies.empty()) {
      auto reply = replies.front();
      if (replies.size() > 1 || !repeats_last) replies.pop_front();
      return reply;
    }
    return request.method == "POST" ? accepted() : say(201);
  }};
  bool repeats_last = false;
  std::string farm;
  std::optional<Delivery> delivery;

  Rig() { restart(); }
  void restart() {
    delivery.reset();
    delivery.emplace(
        journal(),
        [this](const transfer::Delivered& one) {
          const std::lock_guard lock(mutex);
          told.push_back(one);
          changed.notify_all();
        },
        farm);
  }
  [[nodiscard]] fs::path journal() const { return box.root() / "journal"; }
  void script_for(const std::string& line, std::deque<Reply> replies) {
    const std::lock_guard lock(mutex);
    script[line] = std::move(replies);
  }
  Status put(const std::string& id, std::uint32_t attempt, const std::string& made_for = "") {
    const auto rendered = render(box.root() / ("render-" + id), id);
    return delivery->put(task(id), attempt, rendered.report, rendered.folder, "log of " + id, made_for);
  }
  // The first verdict on that task; superseded at the deadline fails the test before that.
  Verdict verdict(const std::string& id) {
    std::unique_lock lock(mutex);
    const auto find = [&] {
      return std::find_if(told.begin(), told.end(), [&](const auto& one) { return one.task.str() == id; });
    };
    check(changed.wait_for(lock, kiln::test::deadline, [&] { return find() != told.end(); }));
    return find()->verdict;
  }
  // Why that task's frames are kept, once that is said.
  std::string kept(const std::string& id) {
    std::unique_lock lock(mutex);
    const auto find = [&] {
      return std::find_if(told.begin(), told.end(),
                          [&](const auto& one) { return one.task.str() == id && !one.kept.empty(); });
    };
    check(changed.wait_for(lock, kiln::test::deadline, [&] { return find() != told.end(); }));
    return find()->kept;
  }
  // The verdict that follows.
  Verdict verdict_after_all(const std::string& id) {
    std::unique_lock lock(mutex);
    const auto find = [&] {
      return std::find_if(told.begin(), told.end(),
                          [&](const auto& one) { return one.task.str() == id && one.kept.empty(); });
    };
    check(changed.wait_for(lock, kiln::test::deadline, [&] { return find() != told.end(); }));
    return find()->verdict;
  }
  // Waits until the journal holds no entry: what follows the verdict.
  void wait_empty() const {
    check(kiln::test::eventually([&] { return entries().empty(); }));
  }
  [[nodiscard]] std::vector<std::string> entries() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(journal())) {
      const auto name = entry.path().filename().string();
      if (name != "refused") out.push_back(name);
    }
    return out;
  }
};

void frames_log_and_report_arrive_in_that_order() {
  Rig rig;
  rig.delivery->set_url(rig.server.url());
  check_ok(rig.put("7-k3fqa-12", 3));
  check(!fs::exists(rig.box.root() / "render-7-k3fqa-12"));  // moved
  check(rig.verdict("7-k3fqa-12") == Verdict::accepted);
  check_equal(rig.told[0].attempt, 3U);
  rig.wait_empty();
  const auto seen = rig.server.requests();
  const std::string base = "/api/v1/tasks/7-k3fqa-12/attempts/3/";
  check_equal(seen.size(), 4U);
  check_equal(seen[0].line(), "PUT " + base + "files/frame%201.png");
  check_equal(seen[0].header("content-digest"), runtime::to_content_digest(runtime::digest_of(seen[0].body)));
  check_equal(seen[1].line(), "PUT " + base + "files/layers/glow/0002.exr");
  check(seen[1].body.starts_with("7-k3fqa-12layers"));
  check_equal(seen[2].line(), "PUT " + base + "log");
  check_equal(seen[2].body, "log of 7-k3fqa-12");
  check_equal(seen[3].line(), "POST " + base + "result");
  const auto report = payloads::decode_result_report(seen[3].body);
  check_ok(report);
  check_equal(report->files.size(), 2U);
}

void a_failure_goes_the_same_way() {
  Rig rig;
  rig.delivery->set_url(rig.server.url());
  check_ok(rig.delivery->put(task("7-k3fqa-1"), 1, failed(), {}, ""));
  check(rig.verdict("7-k3fqa-1") == Verdict::accepted);
  const auto seen = rig.server.requests();
  check_equal(seen.size(), 1U);  // no files, and an empty log is none
  check(payloads::decode_result_report(seen[0].body).value() == failed());
}

void each_answer_has_its_meaning() {
  const std::string base = " /api/v1/tasks/7-k3fqa-1/attempts/1/";
  const auto file = "PUT" + base + "files/frame%201.png";
  const auto log = "PUT" + base + "log";
  const auto result = "POST" + base + "result";
  const struct {
    const char* what;
    std::string line;
    std::deque<Reply> replies;
    Verdict want;
    const char* refused;  // what the kept reason says; null: not refused
  } cases[] = {
      {"accepted again", result, {say(200, R"({"verdict":"duplicate"})")}, Verdict::duplicate, nullptr},
      {"another attempt won",
       result,
       {say(409, R"({"verdict":"superseded"})")},
       Verdict::superseded,
       nullptr},
      {"another attempt won before", file, {say(409)}, Verdict::superseded, nullptr},
      {"a Host that is not ours", file, {say(421)}, Verdict::accepted, nullptr},
      {"trouble that passes", result, {say(500), say(507), say(429)}, Verdict::accepted, nullptr},
      {"an answer that is none", result, {say(200, "<html>"), say(302)}, Verdict::accepted, nullptr},
      {"a disk that is full", file, {say(507)}, Verdict::accepted, nullptr},
      {"broken on the way", file, {say(422), say(422)}, Verdict::accepted, nullptr},
      {"broken at its source",
       file,
       {say(422), say(422), say(422, R"({"detail":"another digest"})")},
       Verdict::superseded,
       "frame 1.png: another digest"},
      {"never to be taken",
       result,
       {say(400, R"({"detail":"no such field"})")},
       Verdict::superseded,
       "no such field"},
      {"a report that was damaged on its way", result, {say(422), say(422)}, Verdict::accepted, nullptr},
      {"a log that is not wanted", log, {say(413)}, Verdict::accepted, nullptr},
      {"a connection that breaks", result, {{200, "{\"verdict\"", "", 3, false}}, Verdict::accepted, nullptr},
  };
  for (const auto& one : cases) {
    Rig rig;
    rig.script_for(one.line, one.replies);
    check_ok(rig.put("7-k3fqa-1", 1));
    rig.delivery->set_url(rig.server.url());
    const auto got = rig.verdict("7-k3fqa-1");
    if (got != one.want) print_error("%s\n", one.what);
    check(got == one.want);
    rig.wait_empty();
    const auto kept = rig.journal() / "refused/7-k3fqa-1-1";
    check_equal(fs::exists(kept), one.refused != nullptr);
    if (one.refused != nullptr) {
      check_contains(read(kept / "reason"), one.refused);
      check(fs::exists(kept / "files/layers/glow/0002.exr"));
    }
  }
}

Reply from_farm(const std::string& farm, int status, const std::string& body = "") {
  return {status, body, "Kiln-Farm: " + farm + "\r\n", std::string::npos, false};
}
const std::string first_file = "PUT /api/v1/tasks/7-k3fqa-1/attempts/1/files/frame%201.png";

void another_farms_controller_judges_nothing() {
  // Whatever it says: it may be of a version that does not know the question.
  for (const int status : {421, 404, 409, 400, 200}) {
    Rig rig;
    rig.repeats_last = true;
    rig.script_for(first_file, {from_farm("farm-b", status, R"({"verdict":"superseded"})")});
    check_ok(rig.put("7-k3fqa-1", 1, "farm-a"));
    rig.delivery->set_farm("farm-b");
    rig.delivery->set_url(rig.server.url());
    if (status == 200) {  // took the bytes, but has no such task
      rig.script_for("POST /api/v1/tasks/7-k3fqa-1/attempts/1/result", {from_farm("farm-b", 404)});
    }
    check_contains(rig.kept("7-k3fqa-1"), "farm farm-b answers");
    check_equal(rig.server.requests()[0].header("kiln-farm"), "farm-a");
    check_equal(rig.entries().size(), 1U);
    // The right one is back.
    rig.script_for(first_file, {from_farm("farm-a", 201)});
    rig.script_for("POST /api/v1/tasks/7-k3fqa-1/attempts/1/result", {accepted()});
    rig.delivery->set_farm("farm-a");
    check(rig.verdict_after_all("7-k3fqa-1") == Verdict::accepted);
    rig.wait_empty();
  }
}

void a_job_that_nobody_knows_is_kept_for_a_day() {
  for (const char* farm : {"farm-a", ""}) {
    Rig rig;
    rig.repeats_last = true;
    rig.script_for(first_file, {from_farm("farm-a", 404, R"({"detail":"no job 7-k3fqa"})")});
    check_ok(rig.put("7-k3fqa-1", 1, farm));
    check_ok(rig.put("7-k3fqa-2", 1, farm));
    rig.delivery->set_url(rig.server.url());
    check_equal(rig.kept("7-k3fqa-1"), "frame 1.png: no job 7-k3fqa");
    check(rig.verdict("7-k3fqa-2") == Verdict::accepted);  // holds nobody up
    check(kiln::test::eventually([&] { return rig.entries().size() == 1; }));
    rig.script_for(first_file, {say(201)});
    rig.delivery->poke();
    check(rig.verdict_after_all("7-k3fqa-1") == Verdict::accepted);
  }
}

void a_stranger_that_says_no_is_not_believed() {
  for (const int status : {404, 409}) {
    Rig rig;
    rig.script_for(first_file, {say(status, "<html>not here")});
    check_ok(rig.put("7-k3fqa-1", 1, "farm-a"));
    rig.delivery->set_url(rig.server.url());
    check(rig.verdict("7-k3fqa-1") == Verdict::accepted);
  }
}

void what_is_kept_outlives_a_restart_and_makes_room_when_it_must() {
  Rig rig;
  rig.repeats_last = true;
  for (const char* id : {"7-k3fqa-1", "7-k3fqa-2"}) {
    rig.script_for(std::string("PUT /api/v1/tasks/") + id + "/attempts/1/files/frame%201.png",
                   {from_farm("farm-b", 421)});
    check_ok(rig.put(id, 1, "farm-a"));
  }
  check(!rig.delivery->drop_oldest_kept());  // nobody said yet that they are not wanted
  rig.farm = "farm-b";
  rig.restart();
  check(rig.delivery->pending().empty());  // nothing of this farm's
  rig.delivery->set_url(rig.server.url());
  for (const char* id : {"7-k3fqa-1", "7-k3fqa-2"}) check_contains(rig.kept(id), "farm-a");
  check(kiln::test::eventually([&] { return rig.delivery->drop_oldest_kept(); }));
  check_equal(rig.entries().size(), 1U);
  check_equal(rig.entries()[0], "7-k3fqa-2-1");
  rig.farm = "farm-a";
  rig.restart();
  check_equal(rig.delivery->pending().size(), 1U);
}

void what_was_sent_is_not_sent_again() {
  Rig rig;
  const std::string base = " /api/v1/tasks/7-k3fqa-1/attempts/1/";
  rig.script_for("POST" + base + "result", {say(503), say(503)});
  check_ok(rig.put("7-k3fqa-1", 1));
  rig.delivery->set_url(rig.server.url());
  check(rig.verdict("7-k3fqa-1") == Verdict::accepted);
  check_equal(rig.server.count("PUT" + base + "files/frame%201.png"), 1U);
  check_equal(rig.server.count("PUT" + base + "log"), 1U);
  check_equal(rig.server.count("POST" + base + "result"), 3U);
}

void a_refusal_for_what_an_earlier_try_sent_is_checked_once() {
  // The controller lost the files that it had taken, and says so.
  Rig rig;
  const std::string base = " /api/v1/tasks/7-k3fqa-1/attempts/1/";
  rig.script_for("POST" + base + "result",
                 {say(503), say(422, R"({"detail":"frame 1.png was not uploaded"})")});
  check_ok(rig.put("7-k3fqa-1", 1));
  rig.delivery->set_url(rig.server.url());
  check(rig.verdict("7-k3fqa-1") == Verdict::accepted);
  check_equal(rig.server.count("PUT" + base + "files/frame%201.png"), 2U);
}

void a_stuck_attempt_does_not_hold_up_the_others() {
  Rig rig;
  rig.repeats_last = true;
  const auto stuck = [&](const std::string& id, Reply reply) {
    rig.script_for("PUT /api/v1/tasks/" + id + "/attempts/1/files/frame%201.png", {std::move(reply)});
    check_ok(rig.put(id, 1));
  };
  stuck("7-k3fqa-1", say(507));
  stuck("7-k3fqa-2", say(500));
  stuck("7-k3fqa-3", {201, "x", "", 0, false});  // breaks its connection every time
  for (int i = 10; i < 16; ++i) check_ok(rig.put("7-k3fqa-" + std::to_string(i), 1));
  rig.delivery->set_url(rig.server.url());
  for (int i = 10; i < 16; ++i) check(rig.verdict("7-k3fqa-" + std::to_string(i)) == Verdict::accepted);
  check_equal(rig.told.size(), 6U);
}

void an_absent_controller_is_waited_for() {
  Rig rig;
  rig.delivery->set_url("http://127.0.0.1:1");
  check_ok(rig.put("7-k3fqa-1", 1));
  check_ok(rig.put("7-k3fqa-2", 1));
  rig.delivery->poke();
  rig.delivery->set_url(rig.server.url());
  check(rig.verdict("7-k3fqa-1") == Verdict::accepted);
  check(rig.verdict("7-k3fqa-2") == Verdict::accepted);
}

void a_new_address_ends_an_upload_to_the_old_one() {
  Rig rig;
  Server silent([](const Request&) { return Reply{200, "x", "", 0, true}; });
  check_ok(rig.put("7-k3fqa-1", 1));
  rig.delivery->set_url(silent.url());
  check(silent.wait([](const auto& seen) { return !seen.empty(); }));
  rig.delivery->set_url(rig.server.url());
  check(rig.verdict("7-k3fqa-1") == Verdict::accepted);
}

void a_restart_takes_up_what_was_left() {
  Rig rig;
  check_ok(rig.put("7-k3fqa-1", 1));
  check_ok(rig.put("7-k3fqa-2", 4));
  check_ok(rig.delivery->put(task("8-aaaaa-0"), 1, failed(), {}, "log"));
  check(rig.delivery->pending().empty());  // of an earlier run
  rig.restart();
  const auto pending = rig.delivery->pending();
  check_equal(pending.size(), 3U);
  check_equal(pending[0].task.str(), "7-k3fqa-1");
  check_equal(pending[1].attempt, 4U);
  rig.delivery->set_url(rig.server.url());
  for (const char* id : {"7-k3fqa-1", "7-k3fqa-2", "8-aaaaa-0"}) check(rig.verdict(id) == Verdict::accepted);
  rig.wait_empty();
  check(rig.delivery->pending().empty());
  rig.restart();
  check(rig.delivery->pending().empty());
}

void an_attempt_is_journalled_whole_or_refused() {
  Rig rig;
  auto rendered = render(rig.box.root() / "r", "x");
  const auto put = [&] {
    return rig.delivery->put(task("7-k3fqa-1"), 1, rendered.report, rendered.folder, "log");
  };
  fs::rename(rendered.folder / "frame 1.png", rendered.folder / "kept.png");
  auto status = put();
  check(!status && status.error().code == Code::invalid);
  check_contains(status.error().message,
                 "while journalling task 7-k3fqa-1 attempt 1: the result names 'frame 1.png'");
  fs::rename(rendered.folder / "kept.png", rendered.folder / "frame 1.png");
  rendered.report.files[0].size -= 1;
  check(!put());
  check(fs::exists(rendered.folder / "frame 1.png"));
  check(rig.entries().empty());
  rendered.report.files[0].size += 1;
  check_ok(put());
  // The same attempt once more changes nothing.
  const auto again = render(rig.box.root() / "r2", "y");
  check_ok(rig.delivery->put(task("7-k3fqa-1"), 1, again.report, again.folder, "other"));
  check(!fs::exists(again.folder));
  check_equal(read(rig.journal() / "7-k3fqa-1-1/log"), "log");
  check_equal(rig.entries().size(), 1U);
}

void a_journal_on_another_disk_copies() {
  struct stat here {};
  struct stat there {};
  Rig rig;
  if (::stat("/dev/shm", &there) != 0 || ::stat(rig.box.root().c_str(), &here) != 0 ||
      here.st_dev == there.st_dev || ::access("/dev/shm", W_OK) != 0) {
    print_message("no second disk: not checked\n");
    return;
  }
  const auto rendered = render("/dev/shm/kiln-delivery-" + std::to_string(::getpid()), "x");
  check_ok(rig.delivery->put(task("7-k3fqa-1"), 1, rendered.report, rendered.folder, "log"));
  check(!fs::exists(rendered.folder));
  rig.delivery->set_url(rig.server.url());
  check(rig.verdict("7-k3fqa-1") == Verdict::accepted);
  check(rig.server.requests()[1].body.starts_with("xlayers"));
}

void only_the_newest_refused_are_kept() {
  Rig rig;
  rig.delivery.reset();
  transfer::Journal journal(rig.journal());
  for (std::uint32_t i = 0; i < 25; ++i) {
    const transfer::Entry entry{task("7-k3fqa-1"), i};
    check_ok(journal.put(entry, failed(), {}, ""));
    journal.refuse(entry, "no");
  }
  std::size_t kept = 0;
  for (const auto& one : fs::directory_iterator(rig.journal() / "refused")) {
    check(std::stoi(one.path().filename().string().substr(10)) >= 5);
    ++kept;
  }
  check_equal(kept, 20U);
  check(journal.recover()->empty());
}

void damage_in_the_journal_blocks_nothing() {
  Rig rig;
  check_ok(rig.put("7-k3fqa-1", 1));
  check_ok(rig.put("7-k3fqa-2", 1));
  check_ok(rig.put("7-k3fqa-3", 1));
  fs::resize_file(rig.journal() / "7-k3fqa-1-1/files/frame 1.png", 3);
  std::ofstream(rig.journal() / "7-k3fqa-2-1/report.json") << "{";
  fs::create_directories(rig.journal() / "what is this");
  fs::create_directories(rig.journal() / "7-k3fqa-4-01");
  rig.restart();
  check_equal(rig.delivery->pending().size(), 3U);
  rig.delivery->set_url(rig.server.url());
  check(rig.verdict("7-k3fqa-3") == Verdict::accepted);
  check(rig.verdict("7-k3fqa-1") == Verdict::superseded);
  check(rig.verdict("7-k3fqa-2") == Verdict::superseded);
}

// This test as another program: journals attempts until it is killed.
int put_for_ever(char** argv) {
  const fs::path root = argv[2];
  Delivery delivery(root / "journal", [](const auto&) {});
  for (std::uint32_t attempt = 1;; ++attempt) {
    const auto rendered = render(root / "scratch", std::to_string(attempt));
    if (!delivery.put(task("7-k3fqa-1"), attempt, rendered.report, rendered.folder, "a log")) return 1;
  }
}

void a_kill_at_any_moment_leaves_whole_entries() {
  const Tree box;
  std::string flag = "--put";
  std::string root = box.root().string();
  const auto seed = std::random_device{}();
  print_message("seed %u\n", seed);
  std::minstd_rand random(seed);
  std::size_t found = 0;
  for (int round = 0; round < 30; ++round) {
    std::error_code error;
    fs::remove_all(box.root() / "journal", error);
    fs::remove_all(box.root() / "scratch", error);
    std::array<char*, 4> argv{flag.data(), flag.data(), root.data(), nullptr};
    pid_t child = -1;
    check_equal(::posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, argv.data(), environ), 0);
    // At a random moment while the first, second or third entry is being written: that is what the sleep is
    // for.
    const auto before = random() % 3;
    const auto begun =
        box.root() / (before == 0 ? "journal/refused" : fmt::format("journal/7-k3fqa-1-{}", before));
    check(kiln::test::eventually([&] { return fs::exists(begun); }));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    check(WIFSIGNALED(status));
    transfer::Journal journal(box.root() / "journal");
    const auto entries = journal.recover();
    check_ok(entries);
    for (const auto& entry : *entries) {
      const auto report = journal.report(entry);
      check_ok(report);
      check_equal(report->files.size(), 2U);
      for (const auto& file : report->files) {
        check_equal(runtime::digest_of(read(journal.file(entry, file.path))), file.digest);
      }
      check_equal(read(journal.log(entry)), "a log");
      ++found;
    }
    for (const auto& one : fs::directory_iterator(box.root() / "journal")) {
      check(!one.path().filename().string().starts_with("."));
    }
  }
  print_message("%zu entries in 30 rounds\n", found);
  check(found > 0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--put") return put_for_ever(argv);
  return kiln::test::run(
      "delivery",
      {{"frames, log and report arrive in that order", frames_log_and_report_arrive_in_that_order},
       {"a failure goes the same way", a_failure_goes_the_same_way},
       {"another farm's controller judges nothing", another_farms_controller_judges_nothing},
       {"a job that nobody knows is kept for a day", a_job_that_nobody_knows_is_kept_for_a_day},
       {"a stranger that says no is not believed", a_stranger_that_says_no_is_not_believed},
       {"what is kept outlives a restart and makes room when it must",
        what_is_kept_outlives_a_restart_and_makes_room_when_it_must},
       {"each answer has its meaning", each_answer_has_its_meaning},
       {"what was sent is not sent again", what_was_sent_is_not_sent_again},
       {"a refusal for what an earlier try sent is checked once",
        a_refusal_for_what_an_earlier_try_sent_is_checked_once},
       {"a stuck attempt does not hold up the others", a_stuck_attempt_does_not_hold_up_the_others},
       {"an absent controller is waited for", an_absent_controller_is_waited_for},
       {"a new address ends an upload to the old one", a_new_address_ends_an_upload_to_the_old_one},
       {"a restart takes up what was left", a_restart_takes_up_what_was_left},
       {"an attempt is journalled whole or refused", an_attempt_is_journalled_whole_or_refused},
       {"a journal on another disk copies", a_journal_on_another_disk_copies},
       {"only the newest refused are kept", only_the_newest_refused_are_kept},
       {"damage in the journal blocks nothing", damage_in_the_journal_blocks_nothing},
       {"a kill at any moment leaves whole entries", a_kill_at_any_moment_leaves_whole_entries}});
}
