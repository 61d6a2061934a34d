#include "transfer/renderers.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <atomic>
#include <deque>
#include <optional>

#include "../../mqtt-topics/bundles/archives.h"
#include "../telemetry/tree.h"
#include "runtime/sha256.h"
#include "server.h"
// check.h last
#include "check.h"

using namespace kiln;
using namespace kiln::test;
using transfer::Renderers;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t plenty = 1ULL << 30U;

// A controller with archives, and what goes wrong with them first.
class Farm {
 public:
  // A renderer of about so many bytes, unpacked.
  payloads::Bundle add(const std::string& name, std::size_t bytes, std::vector<Packed> more = {}) {
    const Tree box;
    std::vector<Packed> entries{{"b/blender", "#!/bin/sh\n# " + name + "\n"}};
    std::string noise(bytes, '\0');  // so that the archive is not much smaller
    std::uint64_t state = 88172645463325252ULL + bytes;
    for (auto& c : noise) {
      state ^= state << 13U;
      state ^= state >> 7U;
      state ^= state << 17U;
      c = static_cast<char>(state);
    }
    entries.push_back({"b/lib", noise, AE_IFREG, 0644});
    entries.insert(entries.end(), more.begin(), more.end());
    write_archive(box.root() / "a", entries);
    const auto archive = content_of(box.root() / "a");
    payloads::Bundle bundle{name, "1.0", runtime::digest_of(archive), archive.size(), 0, "b/blender"};
    for (const auto& one : entries) bundle.unpacked_bytes += one.bytes.size();
    const std::lock_guard lock(mutex_);
    blobs_[bundle.digest] = archive;
    return bundle;
  }
  void remove(const payloads::Bundle& bundle) { blobs_.erase(bundle.digest); }
  void first(const payloads::Bundle& bundle, std::deque<Reply> replies) {
    const std::lock_guard lock(mutex_);
    script_[bundle.digest] = std::move(replies);
  }
  [[nodiscard]] std::string bytes(const payloads::Bundle& bundle) const { return blobs_.at(bundle.digest); }

  Reply operator()(const Request& request) {
    const std::lock_guard lock(mutex_);
    const auto digest = request.path.substr(std::string("/api/v1/blobs/").size());
    ranges.push_back(request.header("range"));
    auto& script = script_[digest];
    if (!script.empty()) {
      auto reply = script.front();
      script.pop_front();
      return reply;
    }
    const auto found = blobs_.find(digest);
    if (found == blobs_.end()) return {404, R"({"title":"no such blob"})", "", std::string::npos, false};
    const auto range = request.header("range");
    if (range.empty()) return {200, found->second, "", std::string::npos, false};
    const auto from = std::stoul(range.substr(std::string("bytes=").size()));
    const auto size = found->second.size();
    return {206, found->second.substr(from),
            "Content-Range: bytes " + std::to_string(from) + "-" + std::to_string(size - 1) + "/" +
                std::to_string(size) + "\r\n",
            std::string::npos, false};
  }
  std::vector<std::string> ranges;  // as they were asked for

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> blobs_;
  std::map<std::string, std::deque<Reply>> script_;
};

struct Rig {
  Farm farm;
  Server server{[this](const Request& request) { return farm(request); }};
  Tree box;
  std::atomic<int> changes = 0;
  std::optional<Renderers> renderers;

  explicit Rig(std::uint64_t max_bytes = plenty) { restart(max_bytes); }
  ~Rig() {
    renderers.reset();
    static_cast<void>(bundles_gone());
  }
  void restart(std::uint64_t max_bytes = plenty) {
    renderers.reset();
    renderers.emplace(folder(), max_bytes, [this] { ++changes; });
    renderers->set_url(server.url());
  }
  [[nodiscard]] fs::path folder() const { return box.root() / "renderers"; }
  Result<transfer::Renderer> fetch(const payloads::Bundle& bundle) { return renderers->fetch(bundle, {}); }
  [[nodiscard]] std::string names() const {
    std::string text;
    for (const auto& one : renderers->held())
      text += (text.empty() ? "" : " ") + one.name + (one.fetching ? "…" : "");
    return text;
  }
  // Everything there but the downloads that may go on.
  [[nodiscard]] std::size_t entries() const {
    std::size_t count = 0;
    for (const auto& one : fs::directory_iterator(folder()))
      count += one.path().filename() != "partial" ? 1 : 0;
    return count;
  }
  [[nodiscard]] bool bundles_gone() const {
    for (const auto& one : fs::recursive_directory_iterator(box.root())) {
      if (one.is_directory() && !one.is_symlink()) ::chmod(one.path().c_str(), 0700);
    }
    return true;
  }
};

void it_comes_whole_read_only_and_once() {
  Rig rig;
  const auto bundle = rig.farm.add("blender-1.0", 50'000);
  const auto here = rig.fetch(bundle);
  check_ok(here);
  check_equal(here->folder.filename().string(), "blender-1.0-" + payloads::short_digest(bundle.digest));
  check_equal(content_of(here->program), "#!/bin/sh\n# blender-1.0\n");
  struct stat facts {};
  check(::stat(here->program.c_str(), &facts) == 0);
  check_equal(facts.st_mode & 07777U, 0555U);
  check_ok(rig.fetch(bundle));
  rig.restart();  // the agent's
  check_equal(rig.names(), "blender-1.0");
  check_ok(rig.fetch(bundle));
  check_equal(rig.farm.ranges.size(), 1U);
  check(rig.changes > 0);
}

void a_download_that_broke_goes_on_where_it_stopped() {
  Rig rig;
  const auto bundle = rig.farm.add("blender-1.0", 200'000);
  rig.farm.first(bundle, {{200, rig.farm.bytes(bundle), "", 70'000, false}});
  check_ok(rig.fetch(bundle));
  check_equal(rig.farm.ranges.size(), 2U);
  check_equal(rig.farm.ranges.back(), "bytes=70000-");
}

void another_content_is_thrown_away_and_fetched_again() {
  Rig rig;
  const auto bundle = rig.farm.add("blender-1.0", 20'000);
  auto wrong = rig.farm.bytes(bundle);
  wrong[wrong.size() / 2] = static_cast<char>(wrong[wrong.size() / 2] ^ 1);
  rig.farm.first(bundle, {{200, wrong, "", std::string::npos, false}});
  check_ok(rig.fetch(bundle));
  check_equal(rig.farm.ranges.size(), 2U);
  check_equal(rig.farm.ranges.back(), "");  // from its beginning

  const auto never = rig.farm.add("blender-2.0", 20'001);
  auto bad = rig.farm.bytes(never);
  bad[100] = static_cast<char>(bad[100] ^ 1);
  const Reply reply{200, bad, "", std::string::npos, false};
  rig.farm.first(never, {reply, reply, reply});
  const auto failed = rig.fetch(never);
  check(!failed.has_value());
  check(failed.error().code == Code::unavailable);
  check_contains(failed.error().message, "instead of " + never.digest);
  check_equal(rig.entries(), 1U);
}

void what_cannot_be_unpacked_or_is_gone_says_so() {
  Rig rig;
  const auto hostile = rig.farm.add("blender-1.0", 1000, {{"../evil", "x"}});
  auto failed = rig.fetch(hostile);
  check(failed.error().code == Code::invalid);
  check_contains(failed.error().message, "cannot be unpacked");
  check(!fs::exists(rig.box.root() / "evil"));
  auto larger = rig.farm.add("blender-2.0", 5000);
  larger.unpacked_bytes = 100;  // as somebody lied
  check(rig.fetch(larger).error().code == Code::invalid);
  const auto gone = rig.farm.add("blender-3.0", 5000);
  rig.farm.remove(gone);
  failed = rig.fetch(gone);
  check(failed.error().code == Code::not_found);
  check_contains(failed.error().message, "kiln renderer add");
  check_equal(rig.entries(), 0U);
}

void the_bound_holds_and_what_was_used_longest_ago_goes() {
  Rig rig(1'000'000);
  const auto a = rig.farm.add("blender-1.0", 200'000);
  const auto b = rig.farm.add("blender-2.0", 200'001);
  const auto c = rig.farm.add("blender-3.0", 300'000);
  check_ok(rig.fetch(a));
  check_ok(rig.fetch(b));
  check_ok(rig.fetch(a));  // b is the older one now
  check_ok(rig.fetch(c));  // takes 600 KB while it is unpacked
  check_equal(rig.names(), "blender-3.0 blender-1.0");
  check_equal(rig.entries(), 2U);
  rig.restart(800'000);  // it remembers
  check_ok(rig.fetch(b));
  check_equal(rig.names(), "blender-2.0 blender-3.0");
}

void what_is_in_use_is_never_evicted() {
  Rig rig(1'000'000);
  const auto a = rig.farm.add("blender-1.0", 300'000);
  const auto b = rig.farm.add("blender-2.0", 350'001);
  auto held = rig.fetch(a);
  check_ok(held);
  const auto refused = rig.fetch(b);
  check(refused.error().code == Code::full);
  check_contains(refused.error().message, "in use");
  check_contains(refused.error().message, "max_gib");
  check(fs::exists(held->program));
  held = fail(Code::internal, "released");
  check_ok(rig.fetch(b));
  check_equal(rig.names(), "blender-2.0");
  const auto huge = rig.farm.add("blender-3.0", 600'000);
  check_contains(rig.fetch(huge).error().message, "max_gib of [renderers]");
  check_equal(rig.names(), "blender-2.0");  // nothing goes for what never fits
}

void two_who_want_one_share_the_download() {
  Rig rig;
  const auto bundle = rig.farm.add("blender-1.0", 100'000);
  std::vector<std::thread> threads;
  std::atomic<int> fine = 0;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { fine += rig.fetch(bundle).has_value() ? 1 : 0; });
  for (auto& one : threads) one.join();
  check_equal(fine.load(), 4);
  check_equal(rig.farm.ranges.size(), 1U);
}

void a_fetch_that_is_cancelled_ends_and_shows_meanwhile() {
  Rig rig;
  const auto bundle = rig.farm.add("blender-1.0", 100'000);
  rig.farm.first(bundle, {{200, rig.farm.bytes(bundle), "", 50'000, true}});
  std::atomic<bool> over = false;
  std::thread thread([&] {
    check(rig.renderers->fetch(bundle, [&] { return over.load(); }).error().code == Code::timeout);
  });
  check(eventually([&] { return rig.names() == "blender-1.0…"; }));
  over = true;
  thread.join();
  check_equal(rig.names(), "");
}

// Killed at any moment: the next start finds a whole renderer or none, and fetches it.
void a_kill_at_any_moment_leaves_it_whole_or_absent() {
  Rig rig;
  const auto bundle = rig.farm.add("blender-1.0", 3'000'000);
  rig.renderers.reset();
  for (int round = 0; round < 12; ++round) {
    const auto child = ::fork();
    if (child == 0) {
      Renderers mine(rig.folder(), plenty);
      mine.set_url(rig.server.url());
      const auto here = mine.fetch(bundle, {});
      ::_exit(here ? 0 : 1);
    }
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(3 * round);
    while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    Renderers after(rig.folder(), plenty);
    for (const auto& one : fs::directory_iterator(rig.folder())) {
      const auto name = one.path().filename().string();
      check(name == "partial" || name == "blender-1.0-" + payloads::short_digest(bundle.digest));
      if (name == "partial") continue;
      check_equal(fs::file_size(one.path() / "b/lib"), 3'000'000U);
      check(fs::exists(one.path() / "b/blender"));
    }
    check_equal(after.held().size(), rig.entries());
  }
  rig.restart();
  check_ok(rig.fetch(bundle));
}

void room_is_said_in_steps_and_none_when_it_is_switched_off() {
  Rig rig(10ULL << 30U);
  check_equal(rig.renderers->room_mib() % 64, 0U);
  rig.restart(0);
  check_equal(rig.renderers->room_mib(), 0U);
}

}  // namespace

int main() {
  return kiln::test::run(
      "renderers",
      {{"it comes whole, read-only and once", it_comes_whole_read_only_and_once},
       {"a download that broke goes on where it stopped", a_download_that_broke_goes_on_where_it_stopped},
       {"another content is thrown away and fetched again", another_content_is_thrown_away_and_fetched_again},
       {"what cannot be unpacked or is gone says so", what_cannot_be_unpacked_or_is_gone_says_so},
       {"the bound holds, and what was used longest ago goes",
        the_bound_holds_and_what_was_used_longest_ago_goes},
       {"what is in use is never evicted", what_is_in_use_is_never_evicted},
       {"two who want one share the download", two_who_want_one_share_the_download},
       {"a fetch that is cancelled ends, and shows meanwhile",
        a_fetch_that_is_cancelled_ends_and_shows_meanwhile},
       {"a kill at any moment leaves it whole or absent", a_kill_at_any_moment_leaves_it_whole_or_absent},
       {"room is said in steps, and none when it is switched off",
        room_is_said_in_steps_and_none_when_it_is_switched_off}});
}
