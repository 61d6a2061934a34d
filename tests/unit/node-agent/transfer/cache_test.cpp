#include "transfer/cache.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "../telemetry/tree.h"
#include "check.h"
#include "runtime/sha256.h"
#include "server.h"

using namespace kiln;
using kiln::test::Reply;
using kiln::test::Request;
using kiln::test::Server;
using kiln::test::Tree;
using transfer::Cache;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t plenty = 1ULL << 30U;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The controller's blobs, and what goes wrong with them first.
class Farm {
 public:
  std::string add(const std::string& bytes) {
    const auto digest = runtime::digest_of(bytes);
    blobs_[digest] = bytes;
    return digest;
  }
  // A job of these files; its manifest's digest.
  std::string job(std::initializer_list<std::pair<const char*, std::string>> files) {
    payloads::Manifest manifest;
    for (const auto& [path, bytes] : files) manifest.files.push_back({path, add(bytes), bytes.size()});
    return add(payloads::encode(manifest));
  }
  void remove(const std::string& bytes) { blobs_.erase(runtime::digest_of(bytes)); }
  // The next answers for that content, before it is served as it should be.
  void first(const std::string& bytes, std::deque<Reply> replies) {
    const std::lock_guard lock(mutex_);
    script_[runtime::digest_of(bytes)] = std::move(replies);
  }
  static std::string line(const std::string& bytes) {
    return "GET /api/v1/blobs/" + runtime::digest_of(bytes);
  }

  Reply operator()(const Request& request) {
    const std::lock_guard lock(mutex_);
    const auto digest = request.path.substr(std::string("/api/v1/blobs/").size());
    const auto found = blobs_.find(digest);
    auto& script = script_[digest];
    if (!script.empty()) {
      auto reply = script.front();
      script.pop_front();
      return reply;
    }
    if (found == blobs_.end()) return {404, R"({"title":"no such blob"})", "", std::string::npos, false};
    const auto range = request.header("range");
    if (range.empty()) return {200, found->second, "", std::string::npos, false};
    const auto from = std::stoul(range.substr(std::string("bytes=").size()));
    const auto size = found->second.size();
    if (from >= size)
      return {416, "", "Content-Range: bytes */" + std::to_string(size) + "\r\n", std::string::npos, false};
    return {206, found->second.substr(from),
            "Content-Range: bytes " + std::to_string(from) + "-" + std::to_string(size - 1) + "/" +
                std::to_string(size) + "\r\n",
            std::string::npos, false};
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> blobs_;
  std::map<std::string, std::deque<Reply>> script_;
};

struct Rig {
  Farm farm;
  Server server{[this](const Request& request) { return farm(request); }};
  Tree box;
  std::optional<Cache> cache;

  explicit Rig(std::uint64_t max_bytes = plenty) { restart(max_bytes); }
  void restart(std::uint64_t max_bytes = plenty) {
    cache.reset();
    cache.emplace(folder(), max_bytes);
    cache->set_url(server.url());
  }
  [[nodiscard]] fs::path folder() const { return box.root() / "cache"; }
  Result<transfer::Tree> fetch(const std::string& manifest) { return cache->fetch(manifest, {}); }
  [[nodiscard]] fs::path blob(const std::string& bytes) const { return folder() / "blobs" / hex(bytes); }
  [[nodiscard]] fs::path partial(const std::string& bytes) const { return folder() / "partial" / hex(bytes); }
  static std::string hex(const std::string& bytes) { return runtime::digest_of(bytes).substr(7); }
};

const std::string scene = "a scene " + std::string(300'000, 's');
const std::string wood = "wood " + std::string(50'000, 'w');

void a_job_comes_whole_and_read_only() {
  Rig rig;
  payloads::Manifest manifest;
  manifest.files = {{"scene.blend", rig.farm.add(scene), scene.size()},
                    {"textures/deep/holz und öl.png", rig.farm.add(wood), wood.size()},
                    {"textures/again.png", rig.farm.add(wood), wood.size()},
                    {"empty", rig.farm.add(""), 0}};
  manifest.mappings = {{"/studio/wood.png", "textures/again.png"}};
  const auto tree = rig.fetch(rig.farm.add(payloads::encode(manifest)));
  check_ok(tree);
  check_equal(read(tree->root / "scene.blend"), scene);
  check_equal(read(tree->root / "textures/deep/holz und öl.png"), wood);
  check_equal(read(tree->root / "textures/again.png"), wood);
  check(fs::exists(tree->root / "empty") && fs::file_size(tree->root / "empty") == 0);
  check(tree->mappings == manifest.mappings);
  check(tree->hold != nullptr);
  struct stat info {};
  check(::stat((tree->root / "scene.blend").c_str(), &info) == 0);
  check_equal(info.st_mode & 07777U, 0444U);
  check_equal(rig.server.count(Farm::line(wood)), 1U);  // one content, one download
}

void what_is_here_is_not_fetched_again() {
  Rig rig;
  const auto job = rig.farm.job({{"a", scene}, {"b", wood}});
  {
    const auto tree = rig.fetch(job);
    check_ok(tree);
    const auto again = rig.fetch(job);
    check_ok(again);
    check(again->root == tree->root);
  }
  const auto asked = rig.server.requests().size();
  check_equal(asked, 3U);
  check_ok(rig.fetch(job));
  rig.restart();
  const auto bytes = rig.cache->bytes();
  check(bytes > scene.size() + wood.size());
  check_ok(rig.fetch(job));
  check_equal(rig.cache->bytes(), bytes);
  check_equal(rig.server.requests().size(), asked);
  // Another job with a file in common fetches only what is new to it.
  check_ok(rig.fetch(rig.farm.job({{"a", scene}, {"c", "new"}})));
  check_equal(rig.server.count(Farm::line(scene)), 1U);
}

void a_broken_download_goes_on_where_it_broke() {
  Rig rig;
  rig.farm.first(scene, {{200, scene, "", 100'000, false}});
  const auto tree = rig.fetch(rig.farm.job({{"a", scene}}));
  check_ok(tree);
  check_equal(read(tree->root / "a"), scene);
  std::vector<std::string> ranges;
  for (const auto& request : rig.server.requests()) {
    if (request.line() == Farm::line(scene)) ranges.push_back(request.header("range"));
  }
  check_equal(ranges.size(), 2U);
  check_equal(ranges[0], "");
  check_equal(ranges[1], "bytes=100000-");
}

void passing_trouble_is_waited_out() {
  Rig rig;
  std::string other = scene;
  other[7] = '!';
  rig.farm.first(scene,
                 {{503, "", "", std::string::npos, false}, {200, other, "", std::string::npos, false}});
  const auto tree = rig.fetch(rig.farm.job({{"a", scene}}));
  check_ok(tree);
  check_equal(read(tree->root / "a"), scene);
}

void what_is_wrong_at_its_source_is_told() {
  const auto wrong = [](const std::string& bytes) { return Reply{200, bytes, "", std::string::npos, false}; };
  std::string other = scene;
  other.back() = '!';
  {
    Rig rig;
    rig.farm.first(scene, {wrong(other), wrong(other), wrong(other)});
    const auto tree = rig.fetch(rig.farm.job({{"a.blend", scene}}));
    check(!tree && tree.error().code == Code::io);
    check_contains(tree.error().message, "a.blend: what arrived has the digest sha256:");
    check(!fs::exists(rig.partial(scene)));
    check_ok(rig.fetch(rig.farm.job({{"a.blend", scene}})));  // nothing bad was kept
  }
  {
    Rig rig;
    rig.farm.first(scene, {wrong(scene + "more")});
    const auto tree = rig.fetch(rig.farm.job({{"a.blend", scene}}));
    check(!tree && tree.error().code == Code::io);
    check_contains(tree.error().message, "submit the job again");
  }
  {
    Rig rig;
    const auto job = rig.farm.job({{"textures/wood.png", wood}});
    rig.farm.remove(wood);
    const auto tree = rig.fetch(job);
    check(!tree && tree.error().code == Code::not_found);
    check_contains(tree.error().message, "textures/wood.png: the controller no longer has sha256:");
    check_equal(rig.server.count(Farm::line(wood)), 1U);  // not asked twice
  }
  {
    Rig rig;
    rig.farm.first(scene, {{403, R"({"detail":"this box is not approved"})", "", std::string::npos, false}});
    const auto tree = rig.fetch(rig.farm.job({{"a.blend", scene}}));
    check(!tree);
    check_contains(tree.error().message, "this box is not approved");
  }
}

void a_manifest_that_is_none_is_refused() {
  Rig rig;
  check(rig.fetch("no digest").error().code == Code::invalid);
  check(rig.fetch(rig.farm.add("{}")).error().code == Code::invalid);
  check(rig.fetch(runtime::digest_of("unknown")).error().code == Code::not_found);
  payloads::Manifest evil;
  evil.files = {{"../../etc/passwd", rig.farm.add("x"), 1}};
  const auto tree = rig.fetch(rig.farm.add(payloads::encode(evil)));
  check(!tree && tree.error().code == Code::invalid);
  check_equal(rig.server.count(Farm::line("x")), 0U);
}

void a_fetch_that_is_not_wanted_any_more_ends() {
  Rig rig;
  rig.farm.first(scene, {{200, scene, "", 10, true}});
  const auto job = rig.farm.job({{"a", scene}, {"b", wood}});
  const auto tree = rig.cache->fetch(job, [&] { return rig.server.count(Farm::line(scene)) > 0; });
  check(!tree && tree.error().code == Code::timeout);
  // Nothing answers, or nobody is known to ask.
  const auto other = rig.farm.job({{"c", "new"}});
  std::atomic<int> asked = 0;
  rig.cache->set_url("http://127.0.0.1:1");
  check(rig.cache->fetch(other, [&] { return ++asked > 3; }).error().code == Code::timeout);
  rig.cache->set_url("");
  asked = 0;
  check(rig.cache->fetch(other, [&] { return ++asked > 3; }).error().code == Code::timeout);
}

void a_new_address_is_taken_at_once() {
  Rig rig;
  rig.cache->set_url("");
  const auto job = rig.farm.job({{"a", scene}});
  std::atomic<int> asked = 0;
  Result<transfer::Tree> tree = fail(Code::internal, "");
  std::thread fetcher([&] {
    tree = rig.cache->fetch(job, [&] {
      if (++asked == 3) rig.cache->set_url("http://127.0.0.1:1");
      return false;
    });
  });
  check(kiln::test::eventually([&] { return asked >= 3; }));
  rig.cache->set_url(rig.server.url());
  fetcher.join();
  check_ok(tree);
}

void callers_of_one_job_share_the_work() {
  Rig rig;
  const auto job = rig.farm.job({{"a", scene}, {"b", wood}, {"c", "three"}, {"d", "four"}});
  std::array<Result<transfer::Tree>, 4> trees;
  std::vector<std::thread> callers;
  callers.reserve(trees.size());
  for (auto& tree : trees) callers.emplace_back([&] { tree = rig.fetch(job); });
  for (auto& caller : callers) caller.join();
  for (const auto& tree : trees) {
    check_ok(tree);
    check(tree->hold == trees[0]->hold);
  }
  check_equal(rig.server.requests().size(), 5U);
}

void a_caller_goes_on_when_the_one_it_waits_for_leaves() {
  Rig rig;
  rig.farm.first(scene, {{200, scene, "", 10, true}});
  const auto job = rig.farm.job({{"a", scene}});
  std::atomic<bool> has_left = false;
  std::thread first([&] { check(!rig.cache->fetch(job, [&] { return has_left.load(); })); });
  check(rig.server.wait([](const auto& seen) { return seen.size() == 2; }));
  std::atomic<int> asked = 0;
  const auto tree = rig.cache->fetch(job, [&] {
    if (++asked == 2) has_left = true;  // waited, and asked whether to wait on
    return false;
  });
  first.join();
  check_ok(tree);
}

void a_job_larger_than_the_cache_says_both_sizes() {
  Rig rig(100'000);
  const auto tree = rig.fetch(rig.farm.job({{"a", scene}}));
  check(!tree && tree.error().code == Code::full);
  check_contains(tree.error().message, "the job's files take 293.");
  check_contains(tree.error().message, "this box's cache may take 97.7 KiB: raise --cache-size");
  check_equal(rig.server.count(Farm::line(scene)), 0U);
}

void the_bound_is_kept_and_the_oldest_goes_first() {
  constexpr std::uint64_t bound = 100'000;
  Rig rig(bound);
  const std::string one(30'000, '1');
  const std::string two(30'000, '2');
  const std::string three(30'000, '3');
  const std::string four(30'000, '4');
  const auto job1 = rig.farm.job({{"a", one}});
  const auto job2 = rig.farm.job({{"a", two}});
  const auto job3 = rig.farm.job({{"a", three}});
  const auto job4 = rig.farm.job({{"a", four}});
  check_ok(rig.fetch(job1));
  check_ok(rig.fetch(job2));
  check_ok(rig.fetch(job3));
  check_ok(rig.fetch(job1));  // used again: job2 is the oldest now
  check_ok(rig.fetch(job4));
  check(rig.cache->bytes() <= bound);
  check(fs::exists(rig.blob(one)) && !fs::exists(rig.blob(two)) && fs::exists(rig.blob(three)));
  // Held trees stay, however old.
  const auto held = rig.fetch(job3);
  check_ok(rig.fetch(job1));
  check_ok(rig.fetch(job4));
  check_ok(rig.fetch(job2));
  check_ok(held);
  check_equal(read(held->root / "a"), three);
  check(!fs::exists(rig.blob(one)));
  // All held: no room, and the reason.
  const auto held2 = rig.fetch(job2);
  const auto held4 = rig.fetch(job4);
  check_ok(held2);
  check_ok(held4);
  const auto none = rig.fetch(job1);
  check(!none && none.error().code == Code::full);
  check_contains(none.error().message, "running jobs hold");
  check(rig.cache->bytes() <= bound);
  // A bound lowered at a restart holds at once. (The holds outlive the cache that gave them.)
  rig.restart(40'000);
  check(rig.cache->bytes() <= 40'000);
}

void a_shared_file_stays_while_one_job_has_it() {
  Rig rig(100'000);
  const std::string shared(40'000, 's');
  const auto job1 = rig.farm.job({{"shared", shared}, {"own", std::string(20'000, '1')}});
  const auto job2 = rig.farm.job({{"shared", shared}});
  check_ok(rig.fetch(job1));
  const auto held = rig.fetch(job2);
  check_ok(held);
  check_ok(rig.fetch(rig.farm.job({{"big", std::string(50'000, 'b')}})));
  check(!fs::exists(rig.blob(std::string(20'000, '1'))));
  check(fs::exists(rig.blob(shared)));
  check_equal(rig.server.count(Farm::line(shared)), 1U);
}

void damage_is_noticed_and_mended() {
  const struct {
    const char* what;
    void (*damage)(const fs::path& file);
  } cases[] = {
      {"cut short", [](const fs::path& file) { fs::resize_file(file, 10); }},
      {"written to", [](const fs::path& file) { std::fstream(file, std::ios::in | std::ios::out) << "X"; }},
      {"removed", [](const fs::path& file) { fs::remove(file); }},
      {"replaced by a folder",
       [](const fs::path& file) {
         fs::remove(file);
         fs::create_directory(file);
       }},
  };
  for (const auto& one : cases) {
    for (const bool in_tree : {false, true}) {
      Rig rig;
      const auto job = rig.farm.job({{"a", scene}, {"b", wood}});
      fs::path file;
      {
        const auto tree = rig.fetch(job);
        check_ok(tree);
        file = in_tree ? tree->root / "a" : rig.blob(scene);
      }
      fs::permissions(file, fs::perms::owner_write, fs::perm_options::add);
      one.damage(file);
      const auto tree = rig.fetch(job);
      check_ok(tree);
      check_equal(read(tree->root / "a"), scene);
      check_equal(read(tree->root / "b"), wood);
    }
  }
}

void what_a_crash_leaves_is_cleared_or_used() {
  Rig rig;
  const auto job = rig.farm.job({{"a", scene}, {"b", wood}});
  check_ok(rig.fetch(job));
  const auto bytes = rig.cache->bytes();
  rig.cache.reset();
  fs::create_directories(rig.folder() / "trees/.new-1/sub");
  fs::create_directories(rig.folder() / "trees/.old-1");
  std::ofstream(rig.partial("other job")) << "oth";
  rig.restart();
  check_equal(rig.cache->bytes(), bytes + 3);
  for (const auto& entry : fs::directory_iterator(rig.folder() / "trees")) {
    check(entry.path().filename().string().size() == 64);
  }
  check_ok(rig.fetch(rig.farm.job({{"x", "other job"}})));
  check_equal(rig.server.requests().back().header("range"), "bytes=3-");
  // A download that was complete when the box died needs no byte more.
  std::ofstream(rig.partial("whole")) << "whole";
  rig.restart();
  check_ok(rig.fetch(rig.farm.job({{"x", "whole"}})));
  check_equal(rig.server.count(Farm::line("whole")), 0U);
}

// This test as another program: fetches until it is killed.
int fetch_for_ever(char** argv) {
  Cache cache(argv[3], plenty);
  cache.set_url(argv[2]);
  const auto tree = cache.fetch(argv[4], {});
  return tree ? 0 : 1;
}

void a_kill_in_the_middle_costs_only_what_was_not_written() {
  Rig rig;
  const auto job = rig.farm.job({{"a", scene}, {"b", wood}});
  rig.farm.first(scene, {{200, scene, "", 200'000, true}});
  rig.cache.reset();
  std::string url = rig.server.url();
  std::string folder = rig.folder().string();
  std::string manifest = job;
  std::string flag = "--fetch";
  std::array<char*, 6> argv{flag.data(), flag.data(), url.data(), folder.data(), manifest.data(), nullptr};
  pid_t child = -1;
  check_equal(::posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, argv.data(), environ), 0);
  check(kiln::test::eventually([&] {
    std::error_code error;
    return fs::exists(rig.blob(wood)) && fs::file_size(rig.partial(scene), error) >= 200'000 && !error;
  }));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  rig.restart();
  const auto tree = rig.fetch(job);
  check_ok(tree);
  check_equal(read(tree->root / "a"), scene);
  check_equal(rig.server.requests().back().header("range"), "bytes=200000-");
  check_equal(rig.server.count(Farm::line(wood)), 1U);
}

// Fills what it takes to leave about `left` bytes on the disk.
void a_full_disk_is_named() {
  Rig rig;
  rig.cache.reset();
  fs::create_directories(rig.folder());
  if (::mount("tmpfs", rig.folder().c_str(), "tmpfs", 0, "size=1m") != 0) {
    print_message("no right to mount a small disk: not checked\n");
    return;
  }
  rig.restart();
  const std::string old(400'000, 'o');
  check_ok(rig.fetch(rig.farm.job({{"a", old}})));
  // What the cache itself holds makes room, ...
  check_ok(rig.fetch(rig.farm.job({{"a", std::string(700'000, 'n')}})));
  check(!fs::exists(rig.blob(old)));
  // ... and when that is not enough, the missing bytes are named.
  const auto tree = rig.fetch(rig.farm.job({{"a", std::string(3'000'000, 'x')}}));
  check(!tree && tree.error().code == Code::full);
  check_contains(tree.error().message, "2.9 MiB more are needed and the disk of " + rig.folder().string());
  // The same when something else takes the disk meanwhile, and the manifest is what finds no room.
  std::ofstream(rig.folder() / "other") << std::string(2'000'000, 'f');
  const auto none =
      rig.fetch(rig.farm.job({{"a", std::string(90'000, 'y')}, {"b", std::string(90'000, 'z')}}));
  check(!none.has_value() || none->hold);
  if (!none) check(none.error().code == Code::full);
  rig.cache.reset();
  check_equal(::umount(rig.folder().c_str()), 0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 5 && std::string(argv[1]) == "--fetch") return fetch_for_ever(argv);
  return kiln::test::run(
      "cache", {{"a job comes whole and read-only", a_job_comes_whole_and_read_only},
                {"what is here is not fetched again", what_is_here_is_not_fetched_again},
                {"a broken download goes on where it broke", a_broken_download_goes_on_where_it_broke},
                {"passing trouble is waited out", passing_trouble_is_waited_out},
                {"what is wrong at its source is told", what_is_wrong_at_its_source_is_told},
                {"a manifest that is none is refused", a_manifest_that_is_none_is_refused},
                {"a fetch that is not wanted any more ends", a_fetch_that_is_not_wanted_any_more_ends},
                {"a new address is taken at once", a_new_address_is_taken_at_once},
                {"callers of one job share the work", callers_of_one_job_share_the_work},
                {"a caller goes on when the one it waits for leaves",
                 a_caller_goes_on_when_the_one_it_waits_for_leaves},
                {"a job larger than the cache says both sizes", a_job_larger_than_the_cache_says_both_sizes},
                {"the bound is kept and the oldest goes first", the_bound_is_kept_and_the_oldest_goes_first},
                {"a shared file stays while one job has it", a_shared_file_stays_while_one_job_has_it},
                {"damage is noticed and mended", damage_is_noticed_and_mended},
                {"what a crash leaves is cleared or used", what_a_crash_leaves_is_cleared_or_used},
                {"a kill in the middle costs only what was not written",
                 a_kill_in_the_middle_costs_only_what_was_not_written},
                {"a full disk is named", a_full_disk_is_named}});
}
