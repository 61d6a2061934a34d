#include "transfer/renderers.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <system_error>

#include "base/json.h"
#include "base/text.h"
#include "bundles/archive.h"
#include "runtime/files.h"
#include "runtime/log.h"
#include "runtime/sha256.h"
#include "transfer/backoff.h"
#include "transfer/blob_store.h"
#include "transfer/tries.h"

namespace kiln::transfer {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
namespace {

constexpr std::string_view room = "renderers";
constexpr std::uint64_t mib = 1024UL * 1024;
constexpr std::uint64_t spare_bytes = 512 * mib;  // left on the disk for frames and logs
constexpr auto keep_partials = std::chrono::hours(7 * 24);
constexpr const char* note_name = ".kiln";  // in a renderer's folder: what it is
constexpr std::size_t max_note_bytes = 4096;
constexpr const char* unfinished = ".unpacking-";
constexpr const char* discarded = ".trash-";
constexpr std::string_view program_name = "blender";

std::string key_of(const payloads::Bundle& bundle) {
  return bundle.name + '-' + payloads::short_digest(bundle.digest);
}

// The folder with all below it is on the disk.
Status sync_tree(const fs::path& folder) {
  const auto open = runtime::open_file(folder, O_RDONLY | O_DIRECTORY);
  if (!open) return fail(open.error());
  if (::syncfs(open->get()) == 0) return {};
  return fail(runtime::os_error(errno, "syncing " + folder.string()));
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

struct Renderers::State : std::enable_shared_from_this<State> {
  struct Item {
    payloads::Bundle bundle;
    std::int64_t used_ns = 0;
    std::uint32_t holds = 0;
  };

  State(fs::path where, std::uint64_t most, std::function<void()> change)
      : folder(std::move(where)), max_bytes(most), on_change(std::move(change)) {}

  const fs::path folder;
  const std::uint64_t max_bytes;
  const std::function<void()> on_change;
  mutable std::mutex mutex;
  std::condition_variable changed;  // url, fetching
  std::string url;
  runtime::HttpTrust trust;
  std::uint64_t url_changes = 0;
  Status usable;                      // of the folder
  std::map<std::string, Item> items;  // by key_of()
  std::map<std::string, payloads::Bundle> fetching;
  std::uint64_t reserved = 0;         // bytes that fetches under way will have taken
  std::atomic<unsigned> numbers = 0;  // of names that are used once

  [[nodiscard]] fs::path partial(const payloads::Bundle& bundle) const {
    return folder / "partial" / bundle.digest.substr(bundle.digest.find(':') + 1);
  }
  [[nodiscard]] fs::path once(const char* prefix, const std::string& key) {
    return folder / fmt::format("{}{}-{}", prefix, key, ++numbers);
  }
  void tell() const {
    if (on_change) on_change();
  }

  void load();
  void load_one(const fs::path& path);
  std::optional<Renderer> take(const std::string& key, const payloads::Bundle& bundle);
  Result<Renderer> fetch(const payloads::Bundle& bundle, const Cancelled& cancelled);
  Status fetch_alone(const std::string& key, const payloads::Bundle& bundle, const Cancelled& cancelled);
  Status make_room(const payloads::Bundle& bundle, std::uint64_t needed);
  bool evict_one();
  Status download(const payloads::Bundle& bundle, const Cancelled& cancelled);
  Status download_once(const payloads::Bundle& bundle, std::optional<runtime::HttpClient>& client,
                       const Cancelled& cancelled, bool& is_final);
  Status unpack(const std::string& key, const payloads::Bundle& bundle, const Cancelled& cancelled);
  Status wait(std::int64_t wait_ms, const Cancelled& cancelled);
};

// ---- what is here --------------------------------------------------------------------------------------

void Renderers::State::load() {
  usable = runtime::make_folders(folder / "partial");
  if (!usable)
    return log::error(room, "{}: no renderer can be fetched until that is right", usable.error().message);
  std::error_code error;
  std::vector<fs::path> found;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    found.push_back(at->path());
  for (const auto& one : found) {
    if (one.filename() != "partial") load_one(one);
  }
  const auto oldest = fs::file_time_type::clock::now() - keep_partials;
  for (fs::directory_iterator at(folder / "partial", error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->last_write_time(ignored) < oldest) fs::remove(at->path(), ignored);
  }
}

void Renderers::State::load_one(const fs::path& path) {
  const auto name = path.filename().string();
  const auto note = name.starts_with('.') ? Result<std::string>(fail(Code::invalid, ""))
                                          : runtime::read_file(path / note_name, max_note_bytes);
  Item item;
  const auto is_whole = [&] {
    if (!note) return false;
    const auto json = Json::parse(*note);
    if (!json) return false;
    JsonReader in(*json, note_name);
    payloads::read_bundle(in, "bundle", item.bundle);
    struct stat facts {};
    if (!in.ok() || key_of(item.bundle) != name || ::stat(path.c_str(), &facts) != 0) return false;
    constexpr std::int64_t ns = 1'000'000'000;
    item.used_ns = facts.st_mtim.tv_sec * ns + facts.st_mtim.tv_nsec;
    return true;
  }();
  if (is_whole) {
    items.emplace(name, std::move(item));
    return;
  }
  if (auto removed = bundles::remove_tree(path); !removed) log::warn(room, "{}", removed.error().message);
}

std::optional<Renderer> Renderers::State::take(const std::string& key, const payloads::Bundle& bundle) {
  const auto found = items.find(key);
  if (found == items.end() || found->second.bundle.digest != bundle.digest) return std::nullopt;
  auto& item = found->second;
  item.used_ns = now_ns();
  ++item.holds;
  const auto place = folder / key;
  ::utimensat(AT_FDCWD, place.c_str(), nullptr, 0);  // its last use, for the next start
  auto release = [self = shared_from_this(), key](const void*) {
    const std::lock_guard lock(self->mutex);
    --self->items.at(key).holds;  // held ones are not evicted
  };
  return Renderer{place, place / item.bundle.program, {this, std::move(release)}};
}

// The one that was used longest ago and is not in use. With the lock; false: there is none.
bool Renderers::State::evict_one() {
  auto oldest = items.end();
  for (auto at = items.begin(); at != items.end(); ++at) {
    if (at->second.holds == 0 && (oldest == items.end() || at->second.used_ns < oldest->second.used_ns))
      oldest = at;
  }
  if (oldest == items.end()) return false;
  const auto gone = once(discarded, oldest->first);
  log::info(room, "{} goes, to make room", oldest->first);
  std::error_code error;
  fs::rename(folder / oldest->first, gone, error);
  items.erase(oldest);
  if (auto removed = bundles::remove_tree(gone); !removed) log::warn(room, "{}", removed.error().message);
  return true;
}

// Reserves them. With the lock.
Status Renderers::State::make_room(const payloads::Bundle& bundle, std::uint64_t needed) {
  const auto shown = [](std::uint64_t bytes) { return human_bytes(bytes); };
  if (needed > max_bytes) {
    return fail(Code::full,
                fmt::format("{} takes {} while it is unpacked, and this box keeps {} of renderers: raise "
                            "max_gib of [renderers] in its agent.toml",
                            bundle.name, shown(needed), shown(max_bytes)));
  }
  const auto used = [this] {
    std::uint64_t sum = reserved;
    for (const auto& [key, item] : items) sum += item.bundle.unpacked_bytes;
    return sum;
  };
  while (used() + needed > max_bytes) {
    if (evict_one()) continue;
    return fail(Code::full,
                fmt::format("{} takes {}, and of the {} that this box keeps of renderers {} are in use: "
                            "raise max_gib of [renderers] in its agent.toml",
                            bundle.name, shown(needed), shown(max_bytes), shown(used())));
  }
  for (;;) {
    const auto space = runtime::disk_space(folder);
    if (!space || space->free_bytes >= needed + spare_bytes) break;
    if (evict_one()) continue;
    return fail(Code::full,
                fmt::format("{} takes {}, and the disk of {} has {} left, of which {} are kept for frames: "
                            "free some there",
                            bundle.name, shown(needed), folder.string(), shown(space->free_bytes),
                            shown(spare_bytes)));
  }
  reserved += needed;
  return {};
}

// ---- fetching ------------------------------------------------------------------------------------------

Result<Renderer> Renderers::State::fetch(const payloads::Bundle& bundle, const Cancelled& cancelled) {
  if (!is_digest(bundle.digest) || !payloads::is_bundle_name(bundle.name))
    return fail(Code::invalid, "no renderer of the farm is named");
  const auto key = key_of(bundle);
  {
    std::unique_lock lock(mutex);
    if (!usable) return fail(Error(usable.error()));
    for (;;) {
      if (auto here = take(key, bundle)) return std::move(*here);
      if (!fetching.contains(key)) break;
      if (!doze(changed, lock, cancel_poll, cancelled)) return not_wanted();
    }
    fetching.emplace(key, bundle);
  }
  tell();
  const auto began = std::chrono::steady_clock::now();
  auto done = fetch_alone(key, bundle, cancelled);
  std::unique_lock lock(mutex);
  fetching.erase(key);
  changed.notify_all();
  std::optional<Renderer> here;
  if (done) {
    items[key] = {bundle, now_ns(), 0};
    here = take(key, bundle);
  }
  lock.unlock();
  tell();
  if (!done) return fail(std::move(done.error()).with(fmt::format("while fetching {}", bundle.name)));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  log::info(room, "{} is here: {} fetched, {} unpacked, {:.1f} s", key, human_bytes(bundle.size),
            human_bytes(bundle.unpacked_bytes), took.count());
  KILN_ASSERT(here.has_value());
  return std::move(*here);
}

Status Renderers::State::fetch_alone(const std::string& key, const payloads::Bundle& bundle,
                                     const Cancelled& cancelled) {
  const auto needed = bundle.size + bundle.unpacked_bytes;
  {
    const std::lock_guard lock(mutex);
    // Of the same name and short digest, and not the same: names of folders are short.
    if (const auto other = items.find(key); other != items.end()) {
      if (other->second.holds > 0) return fail(Code::full, "another archive with its name is in use");
      other->second.used_ns = 0;
      evict_one();
    }
    if (auto made = make_room(bundle, needed); !made) return made;
  }
  auto done = download(bundle, cancelled);
  if (done) done = unpack(key, bundle, cancelled);
  const std::lock_guard lock(mutex);
  reserved -= needed;
  return done;
}

// One exchange. is_final: another one would bring nothing else.
Status Renderers::State::download_once(const payloads::Bundle& bundle,
                                       std::optional<runtime::HttpClient>& client, const Cancelled& cancelled,
                                       bool& is_final) {
  std::string base;
  {
    std::unique_lock lock(mutex);
    while (url.empty()) {
      if (!doze(changed, lock, cancel_poll, cancelled)) return not_wanted();
    }
    base = url;
    if (!client) {
      runtime::HttpOptions options;
      options.trust = trust;
      options.cancelled = cancelled;
      client.emplace(base, std::move(options));
    }
  }
  client->set_base_url(base);
  const auto file = partial(bundle);
  const auto got = client->get_file("/api/v1/blobs/" + bundle.digest, file, size_on_disk(file), bundle.size);
  if (cancelled()) return not_wanted();
  if (!got) {
    is_final = got.error().code == Code::full || got.error().code == Code::invalid;
    if (got.error().code != Code::too_large) return fail(Error(got.error()));
    std::error_code ignored;
    fs::remove(file, ignored);
    return fail(Code::unavailable, "what the controller sends is longer than the renderer's archive");
  }
  const auto status = got->response.status;
  if (status == 404) {
    is_final = true;
    return fail(Code::not_found,
                fmt::format("the controller does not have {} any more: put it there again with `kiln "
                            "renderer add`, or submit the job for another one",
                            bundle.name));
  }
  if (status == 416) {
    std::error_code ignored;
    fs::remove(file, ignored);
    return fail(Code::unavailable, "the controller's copy is shorter than what was fetched of it");
  }
  if (got->response.ok()) return {};
  is_final = !is_worth_another_try(status);
  return fail(is_final ? Code::io : Code::unavailable, got->response.problem());
}

Status Renderers::State::download(const payloads::Bundle& bundle, const Cancelled& cancelled) {
  const auto file = partial(bundle);
  std::optional<runtime::HttpClient> client;
  Backoff backoff;
  int bad_contents = 0;
  int io_failures = 0;
  for (;;) {
    if (cancelled()) return not_wanted();
    auto held = size_on_disk(file);
    if (held > bundle.size) {
      std::error_code ignored;
      fs::remove(file, ignored);
      held = 0;
    }
    Status got;
    bool is_final = false;
    if (held < bundle.size) got = download_once(bundle, client, cancelled, is_final);
    const auto now_held = size_on_disk(file);
    if (now_held > held) {
      backoff.reset();
      io_failures = 0;
    }
    if (!got && (is_final || got.error().code == Code::timeout)) {
      if (cancelled() || is_final) return got;
    }
    if (!got && got.error().code == Code::io && ++io_failures >= max_io_failures) return got;
    if (got && now_held < bundle.size) got = fail(Code::unavailable, "the connection ended early");
    if (got) {
      const auto digest = runtime::digest_of_file(file, cancelled);
      if (!digest && cancelled()) return not_wanted();
      if (!digest) return fail(digest.error());
      if (*digest == bundle.digest) return {};
      std::error_code ignored;
      fs::remove(file, ignored);
      got = fail(Code::unavailable,
                 fmt::format("what arrived has the digest {} instead of {}: it was thrown away", *digest,
                             bundle.digest));
      if (++bad_contents >= max_bad_contents) return got;
    }
    if (backoff.failures() == 0) log::warn(room, "{}: {}; trying again", bundle.name, got.error().message);
    if (auto waited = wait(backoff.next_ms(), cancelled); !waited) return waited;
  }
}

Status Renderers::State::unpack(const std::string& key, const payloads::Bundle& bundle,
                                const Cancelled& cancelled) {
  const auto unpacked = once(unfinished, key);
  const auto work = [&]() -> Status {
    if (auto made = runtime::make_folders(unpacked); !made) return made;
    bundles::Bounds bounds;
    bounds.max_bytes = bundle.unpacked_bytes;
    const auto contents = bundles::unpack(partial(bundle), unpacked, program_name, bounds, cancelled);
    if (!contents) return fail(contents.error());
    if (contents->program != bundle.program)
      return fail(Code::invalid,
                  fmt::format("its program is {} and not {}", contents->program, bundle.program));
    const auto note = Json::object({{"bundle", payloads::to_json(bundle)}}).dump();
    if (auto noted = runtime::write_file_atomically(unpacked / note_name, note); !noted) return noted;
    if (auto synced = sync_tree(unpacked); !synced) return synced;
    std::error_code error;
    fs::rename(unpacked, folder / key, error);
    if (error) return fail(runtime::os_error(error.value(), "moving it to its place"));
    return runtime::fsync_dir(folder);
  };
  auto done = work();
  if (done || done.error().code == Code::invalid) {
    std::error_code ignored;
    fs::remove(partial(bundle), ignored);
  }
  if (!done) {
    if (auto removed = bundles::remove_tree(unpacked); !removed)
      log::warn(room, "{}", removed.error().message);
    const bool is_archives = done.error().code == Code::invalid || done.error().code == Code::not_found ||
                             done.error().code == Code::too_large;
    if (is_archives)
      return fail(Code::invalid, fmt::format("it cannot be unpacked: {}", done.error().message));
  }
  return done;
}

Status Renderers::State::wait(std::int64_t wait_ms, const Cancelled& cancelled) {
  return wait_for_next_try(wait_ms, changed, mutex, url_changes, cancelled);
}

// ---- the face -----------------------------------------------------------------------------------------

Renderers::Renderers(fs::path folder, std::uint64_t max_bytes, std::function<void()> on_change)
    : state_(std::make_shared<State>(std::move(folder), max_bytes, std::move(on_change))) {
  state_->load();
}

Renderers::~Renderers() = default;

void Renderers::set_url(const std::string& url, runtime::HttpTrust trust) {
  const std::lock_guard lock(state_->mutex);
  state_->url = url;
  state_->trust = std::move(trust);
  ++state_->url_changes;
  state_->changed.notify_all();
}

Result<Renderer> Renderers::fetch(const payloads::Bundle& bundle, const std::function<bool()>& cancelled) {
  return state_->fetch(
      bundle, cancelled ? cancelled : [] { return false; });
}

std::vector<payloads::HeldBundle> Renderers::held() const {
  const std::lock_guard lock(state_->mutex);
  std::vector<const State::Item*> by_use;
  for (const auto& [key, item] : state_->items) by_use.push_back(&item);
  std::sort(by_use.begin(), by_use.end(),
            [](const auto* a, const auto* b) { return a->used_ns > b->used_ns; });
  std::vector<payloads::HeldBundle> out;
  for (const auto& [key, bundle] : state_->fetching)
    out.push_back({bundle.name, payloads::short_digest(bundle.digest), true});
  for (const auto* item : by_use)
    out.push_back({item->bundle.name, payloads::short_digest(item->bundle.digest), false});
  if (out.size() > payloads::max_bundles) out.resize(payloads::max_bundles);
  return out;
}

std::uint64_t Renderers::room_mib() const {
  const std::lock_guard lock(state_->mutex);
  if (!state_->usable) return 0;
  auto bytes = state_->max_bytes;
  if (const auto space = runtime::disk_space(state_->folder)) {
    auto there = space->free_bytes;
    for (const auto& [key, item] : state_->items) there += item.bundle.unpacked_bytes;
    bytes = std::min(bytes, there - std::min(there, spare_bytes));
  }
  constexpr std::uint64_t coarse_from = 8192;  // MiB
  const auto room_mib = bytes / mib;
  const std::uint64_t step = room_mib >= coarse_from ? 1024 : 64;
  return room_mib - room_mib % step;
}

}  // namespace kiln::transfer
