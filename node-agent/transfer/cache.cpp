#include "transfer/cache.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "base/ids.h"
#include "runtime/files.h"
#include "runtime/http_client.h"
#include "runtime/log.h"
#include "runtime/sha256.h"
#include "transfer/backoff.h"
#include "transfer/blob_store.h"
#include "transfer/tries.h"

namespace kiln::transfer {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

namespace {

constexpr unsigned max_parallel = 3;  // downloads of one job: small files wait for round trips, not for bytes
constexpr std::uint64_t min_evicted_bytes = 64ULL << 20U;  // a full disk is not freed a kilobyte at a time

// One content that a job needs.
struct Wanted {
  std::string hex;
  std::string path;                   // in the job, for people
  std::optional<std::uint64_t> size;  // not known for the manifest
  std::string url;                    // where the controller has it
};

std::string blob_url(const std::string& hex) {
  return "/api/v1/blobs/sha256:" + hex;
}
using UrlOf = std::function<std::string(const payloads::ManifestFile&)>;

bool never() {
  return false;
}

}  // namespace

struct Cache::State {
  State(const fs::path& folder, std::uint64_t max_bytes) : folder(folder), store(folder, max_bytes) {}

  const fs::path folder;
  BlobStore store;
  std::mutex mutex;
  std::condition_variable changed;  // url, fetching, loading
  std::string url;
  runtime::HttpTrust trust;
  std::uint64_t url_changes = 0;
  std::set<std::string> fetching;  // manifests, by hex
  std::set<std::string> loading;   // blobs, by hex

  // Options with the trust of set_url.
  runtime::HttpOptions trusting() {
    const std::lock_guard lock(mutex);
    runtime::HttpOptions options;
    options.trust = trust;
    return options;
  }

  Result<Tree> fetch(const std::string& manifest, const Cancelled& cancelled);
  Result<Tree> fetch_alone(const std::string& manifest_hex, const Cancelled& cancelled);
  // The tree of a manifest whose blob is pinned.
  Result<Tree> complete(const std::string& manifest_hex, const payloads::Manifest& manifest,
                        const UrlOf& url_of, const Cancelled& cancelled);
  Result<std::string> fetch_blob(const std::string& digest, std::size_t max_bytes,
                                 const Cancelled& cancelled);
  Result<Inputs> fetch_inputs(const TaskId& task, const Cancelled& cancelled);
  Result<Tree> tree_of_inputs(const TaskId& task, const payloads::Manifest& manifest,
                              const Cancelled& cancelled);
  Result<payloads::Manifest> ask_for_inputs(const TaskId& task, const Cancelled& cancelled);
  Status store_text(const std::string& hex, const std::string& text);
  Result<std::string> load_text(const std::string& hex, const std::string& what, std::size_t max_bytes,
                                const Cancelled& cancelled);
  Result<payloads::Manifest> load_manifest(const std::string& manifest_hex, const Cancelled& cancelled);
  Status make_room(std::uint64_t missing);
  Status load_all(const std::vector<Wanted>& missing, const Cancelled& cancelled);
  Status load(const Wanted& wanted, std::optional<runtime::HttpClient>& client, const Cancelled& cancelled);
  Status load_claimed(const Wanted& wanted, std::optional<runtime::HttpClient>& client,
                      const Cancelled& cancelled);
  Status check_and_adopt(const Wanted& wanted, const Cancelled& cancelled);
  Status room_on_disk(const Wanted& wanted);
  Result<std::string> wait_for_url(const Cancelled& cancelled);
  Status wait(std::int64_t wait_ms, const Cancelled& cancelled);

  // Inserts `key`, once nobody else's is in the set. False: cancelled before that.
  bool claim(std::set<std::string>& set, const std::string& key, const Cancelled& cancelled) {
    std::unique_lock lock(mutex);
    while (set.contains(key)) {
      if (!doze(changed, lock, cancel_poll, cancelled)) return false;
    }
    set.insert(key);
    return true;
  }
  void unclaim(std::set<std::string>& set, const std::string& key) {
    const std::lock_guard lock(mutex);
    set.erase(key);
    changed.notify_all();
  }
};

// ---- one job ------------------------------------------------------------------------------------------

Result<Tree> Cache::State::fetch(const std::string& manifest, const Cancelled& cancelled) {
  if (!is_digest(manifest)) {
    return fail(Code::invalid, fmt::format("'{}' is no manifest: sha256: and 64 hex digits are expected",
                                           manifest.substr(0, 80)));
  }
  if (!store.ready()) return fail(store.ready().error());
  const auto hex = hex_of(manifest);
  if (auto tree = store.held(hex)) return std::move(*tree);
  if (!claim(fetching, hex, cancelled)) return not_wanted();
  auto tree = store.held(hex);  // by whoever fetched it while this one waited
  auto result = tree ? Result<Tree>(std::move(*tree)) : fetch_alone(hex, cancelled);
  unclaim(fetching, hex);
  if (!result) return fail(std::move(result.error()).with("while fetching the job's files"));
  return result;
}

Result<Tree> Cache::State::fetch_alone(const std::string& manifest_hex, const Cancelled& cancelled) {
  const BlobStore::Pins manifest_pin(store, {manifest_hex});
  const auto manifest = load_manifest(manifest_hex, cancelled);
  if (!manifest) return fail(manifest.error());
  return complete(
      manifest_hex, *manifest, [](const auto& file) { return blob_url(hex_of(file.digest)); }, cancelled);
}

Result<Tree> Cache::State::complete(const std::string& manifest_hex, const payloads::Manifest& manifest,
                                    const UrlOf& url_of, const Cancelled& cancelled) {
  if (auto tree = store.find_tree(manifest_hex, manifest)) return std::move(*tree);

  std::set<std::string> blobs;
  std::vector<Wanted> missing;
  std::uint64_t total = size_on_disk(store.blob(manifest_hex));
  std::uint64_t missing_bytes = 0;
  for (const auto& file : manifest.files) {
    if (blobs.insert(hex_of(file.digest)).second) total += file.size;
  }
  if (total > store.max_bytes()) {
    return fail(Code::full,
                fmt::format("the job's files take {} and this box's cache may take {}: raise --cache-size "
                            "to more than {}",
                            human_bytes(total), human_bytes(store.max_bytes()), human_bytes(total)));
  }
  const BlobStore::Pins pins(store, blobs);
  for (const auto& file : manifest.files) {
    const auto hex = hex_of(file.digest);
    if (blobs.erase(hex) == 0 || store.has(hex, file.size)) continue;  // each content once
    missing.push_back({hex, file.path, file.size, url_of(file)});
    const auto held = std::min(size_on_disk(store.partial(hex)), file.size);
    missing_bytes += file.size - held;
  }
  if (auto room = make_room(missing_bytes); !room) return fail(room.error());
  if (auto loaded = load_all(missing, cancelled); !loaded) return fail(loaded.error());
  return store.build_tree(manifest_hex, manifest);
}

Result<std::string> Cache::State::load_text(const std::string& hex, const std::string& what,
                                            std::size_t max_bytes, const Cancelled& cancelled) {
  std::optional<runtime::HttpClient> client;
  if (!store.has(hex, std::nullopt)) {
    const Wanted wanted{hex, what, std::nullopt, blob_url(hex)};
    if (auto loaded = load(wanted, client, cancelled); !loaded) return fail(loaded.error());
  }
  return runtime::read_file(store.blob(hex), max_bytes);
}

Result<payloads::Manifest> Cache::State::load_manifest(const std::string& manifest_hex,
                                                       const Cancelled& cancelled) {
  const auto text =
      load_text(manifest_hex, "the list of the job's files", payloads::max_manifest_bytes, cancelled);
  if (!text) return fail(text.error());
  auto manifest = payloads::decode_manifest(*text);
  if (!manifest)
    return fail(std::move(manifest.error()).with(fmt::format("manifest sha256:{}", manifest_hex)));
  return manifest;
}

Result<std::string> Cache::State::fetch_blob(const std::string& digest, std::size_t max_bytes,
                                             const Cancelled& cancelled) {
  if (!is_digest(digest)) {
    return fail(Code::invalid,
                fmt::format("'{}' is no blob: sha256: and 64 hex digits are expected", digest.substr(0, 80)));
  }
  if (!store.ready()) return fail(store.ready().error());
  const auto hex = hex_of(digest);
  const BlobStore::Pins pin(store, {hex});
  return load_text(hex, digest, max_bytes, cancelled);
}

// ---- what earlier steps made ----------------------------------------------------------------------------

Result<Inputs> Cache::State::fetch_inputs(const TaskId& task, const Cancelled& cancelled) {
  if (!store.ready()) return fail(store.ready().error());
  const auto doing = [&](Error error) {
    return fail(std::move(error).with("while fetching what earlier steps made"));
  };
  auto manifest = ask_for_inputs(task, cancelled);
  if (!manifest) return doing(std::move(manifest.error()));
  auto tree = tree_of_inputs(task, *manifest, cancelled);
  if (!tree) return doing(std::move(tree.error()));
  return Inputs{std::move(*manifest), std::move(*tree)};
}

// Files of several tasks' inputs are the same ones as a rule: the tree's name is its content, as a job's.
Result<Tree> Cache::State::tree_of_inputs(const TaskId& task, const payloads::Manifest& manifest,
                                          const Cancelled& cancelled) {
  const auto text = payloads::encode(manifest);
  const auto hex = hex_of(runtime::digest_of(text));
  if (auto tree = store.held(hex)) return std::move(*tree);
  if (!claim(fetching, hex, cancelled)) return not_wanted();
  const BlobStore::Pins pin(store, {hex});
  auto result = [&]() -> Result<Tree> {
    if (auto tree = store.held(hex)) return std::move(*tree);
    // Its list lies among the blobs, as every tree's: eviction finds the tree's files by it.
    if (auto stored = store_text(hex, text); !stored) return fail(std::move(stored.error()));
    const auto url_of = [&](const payloads::ManifestFile& file) {
      return fmt::format("/api/v1/jobs/{}/files/{}", task.job.str(), runtime::escape_path(file.path));
    };
    return complete(hex, manifest, url_of, cancelled);
  }();
  unclaim(fetching, hex);
  return result;
}

Status Cache::State::store_text(const std::string& hex, const std::string& text) {
  if (store.has(hex, text.size())) return {};
  if (auto reserved = store.reserve(text.size()); !reserved) return reserved;
  auto written = runtime::write_file_atomically(store.partial(hex), text);
  if (written) written = store.adopt(hex);
  if (!written) store.settle(text.size(), size_on_disk(store.partial(hex)));
  return written;
}

Result<payloads::Manifest> Cache::State::ask_for_inputs(const TaskId& task, const Cancelled& cancelled) {
  Backoff backoff;
  for (;;) {
    if (cancelled()) return not_wanted();
    const auto base = wait_for_url(cancelled);
    if (!base) return fail(base.error());
    runtime::HttpOptions options = trusting();
    options.cancelled = cancelled;
    options.max_body_bytes = payloads::max_manifest_bytes;
    const auto got = runtime::HttpClient(*base, std::move(options))
                         .get(fmt::format("/api/v1/tasks/{}/inputs", task.str()));
    if (cancelled()) return not_wanted();
    Error trouble;
    if (!got) {
      trouble = got.error();
      const bool is_network = trouble.code == Code::unavailable || trouble.code == Code::timeout;
      if (!is_network) return fail(trouble);
    } else if (got->ok()) {
      return payloads::decode_manifest(got->body);
    } else if (got->status == 404) {
      return fail(Code::not_found, "the controller knows no such task: " + got->problem());
    } else {
      trouble = {Code::unavailable, got->problem()};
      if (!is_worth_another_try(got->status)) return fail(Code::io, trouble.message);
    }
    if (backoff.failures() == 0)
      log::warn("transfer", "inputs of {}: {}; trying again", task.str(), trouble.message);
    if (auto waited = wait(backoff.next_ms(), cancelled); !waited) return fail(waited.error());
  }
}

// Fails before the first byte is fetched rather than after the last that fits.
Status Cache::State::make_room(std::uint64_t missing) {
  if (missing == 0) return {};
  if (auto reserved = store.reserve(missing); !reserved) return reserved;
  store.settle(missing, 0);  // each download reserves its own
  const auto space = runtime::disk_space(folder);
  if (!space || space->free_bytes >= missing) return {};
  store.evict(missing - space->free_bytes);
  const auto after = runtime::disk_space(folder);
  if (!after || after->free_bytes >= missing) return {};
  return fail(Code::full,
              fmt::format("{} more are needed and the disk of {} has {} left: free some there, or set "
                          "--cache-size lower than what the disk can hold",
                          human_bytes(missing), folder.string(), human_bytes(after->free_bytes)));
}

Status Cache::State::load_all(const std::vector<Wanted>& missing, const Cancelled& cancelled) {
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> has_failed = false;
  std::mutex result_mutex;
  Status result;
  const auto work = [&] {
    std::optional<runtime::HttpClient> client;
    const Cancelled is_over = [&] { return has_failed || cancelled(); };
    for (std::size_t i = next++; i < missing.size() && !has_failed; i = next++) {
      if (auto loaded = load(missing[i], client, is_over); !loaded) {
        const std::lock_guard lock(result_mutex);
        if (!has_failed.exchange(true)) result = std::move(loaded);
      }
    }
  };
  std::vector<std::thread> others;
  for (std::size_t i = 1; i < std::min<std::size_t>(max_parallel, missing.size()); ++i)
    others.emplace_back(work);
  work();
  for (auto& thread : others) thread.join();
  return result;
}

// ---- one blob -----------------------------------------------------------------------------------------

Status Cache::State::load(const Wanted& wanted, std::optional<runtime::HttpClient>& client,
                          const Cancelled& cancelled) {
  if (!claim(loading, wanted.hex, cancelled)) return not_wanted();
  const auto status = store.has(wanted.hex, wanted.size) ? Status() : load_claimed(wanted, client, cancelled);
  unclaim(loading, wanted.hex);
  return status;
}

Status Cache::State::load_claimed(const Wanted& wanted, std::optional<runtime::HttpClient>& client,
                                  const Cancelled& cancelled) {
  const auto partial = store.partial(wanted.hex);
  auto before = size_on_disk(partial);
  if (wanted.size && before > *wanted.size) {
    std::error_code error;
    fs::remove(partial, error);
    store.settle(before, 0);
    before = 0;
  }
  std::uint64_t counted = before;
  if (wanted.size) {
    if (auto reserved = store.reserve(*wanted.size - before); !reserved) return reserved;
    counted = *wanted.size;
  }
  const auto max_bytes = wanted.size.value_or(payloads::max_manifest_bytes);
  const auto give_up = [&](Error error) {
    store.settle(counted, size_on_disk(partial));
    return fail(std::move(error).with(wanted.path));
  };

  Backoff backoff;
  int bad_contents = 0;
  int io_failures = 0;
  for (;;) {
    if (cancelled()) return give_up(not_wanted().value());
    // What an earlier run left may be whole already.
    const auto held = size_on_disk(partial);
    Error trouble;
    if (wanted.size == 0U) {
      if (auto made = runtime::write_file_atomically(partial, ""); !made) return give_up(made.error());
    } else if (!wanted.size || held < *wanted.size) {
      const auto base = wait_for_url(cancelled);
      if (!base) return give_up(base.error());
      if (client) {
        client->set_base_url(*base);
      } else {
        runtime::HttpOptions options = trusting();
        options.cancelled = cancelled;
        client.emplace(*base, std::move(options));
      }
      const auto got = client->get_file(wanted.url, partial, held, max_bytes);
      const auto now_held = size_on_disk(partial);
      if (now_held > held) {
        backoff.reset();
        io_failures = 0;
      }
      if (!got) {
        trouble = got.error();
        if (cancelled()) return give_up(not_wanted().value());
        if (trouble.code == Code::too_large) {
          return give_up(
              {Code::io, fmt::format("the controller's copy is larger than the {} bytes that the job "
                                     "says: submit the job again",
                                     max_bytes)});
        }
        if (trouble.code == Code::invalid) return give_up(trouble);
        if (trouble.code == Code::full) {
          if (auto room = room_on_disk(wanted); !room) return give_up(room.error());
          continue;
        }
        const bool is_network = trouble.code == Code::unavailable || trouble.code == Code::timeout;
        if (!is_network && ++io_failures >= max_io_failures) return give_up(trouble);
      } else if (got->response.status == 404) {
        return give_up(
            {Code::not_found,
             fmt::format("the controller no longer has sha256:{}: submit the job again", wanted.hex)});
      } else if (got->response.status == 416) {  // what is held goes beyond the blob's end
        std::error_code error;
        fs::remove(partial, error);
        trouble = {Code::io, "the controller's copy is shorter than what was fetched of it"};
        if (++bad_contents >= max_bad_contents) return give_up(trouble);
      } else if (!got->response.ok()) {
        trouble = {Code::unavailable, got->response.problem()};
        if (!is_worth_another_try(got->response.status)) return give_up({Code::io, trouble.message});
      } else if (wanted.size && now_held < *wanted.size) {
        trouble = {Code::unavailable,
                   fmt::format("the connection ended {} bytes early", *wanted.size - now_held)};
        if (now_held <= held && ++io_failures >= max_io_failures) {
          return give_up(
              {Code::io, fmt::format("the controller's copy has {} bytes, the job says {}: submit the "
                                     "job again",
                                     now_held, *wanted.size)});
        }
      }
    }
    if (trouble.message.empty()) {
      if (!wanted.size) {
        store.settle(counted, size_on_disk(partial));
        counted = size_on_disk(partial);
      }
      auto adopted = check_and_adopt(wanted, cancelled);
      if (adopted) return {};
      trouble = adopted.error();
      if (cancelled()) return give_up(not_wanted().value());
      if (trouble.code == Code::full) {
        if (auto room = room_on_disk(wanted); !room) return give_up(room.error());
        continue;
      }
      if (++bad_contents >= max_bad_contents) return give_up(trouble);
    }
    if (backoff.failures() == 0) log::warn("transfer", "{}: {}; trying again", wanted.path, trouble.message);
    if (auto waited = wait(backoff.next_ms(), cancelled); !waited) return give_up(waited.error());
  }
}

// The whole blob lies in its partial file: makes it a blob, or throws it away when its content is another.
Status Cache::State::check_and_adopt(const Wanted& wanted, const Cancelled& cancelled) {
  const auto partial = store.partial(wanted.hex);
  const auto digest = runtime::digest_of_file(partial, cancelled);
  if (!digest) return fail(digest.error());
  if (hex_of(*digest) == wanted.hex) return store.adopt(wanted.hex);
  std::error_code error;
  fs::remove(partial, error);
  return fail(Code::io,
              fmt::format("what arrived has the digest {} instead of sha256:{}", *digest, wanted.hex));
}

// The disk is full although the bound is not reached: something else fills it. Makes room, if it can.
Status Cache::State::room_on_disk(const Wanted& wanted) {
  const auto held = size_on_disk(store.partial(wanted.hex));
  const auto missing = wanted.size.value_or(held) - std::min(held, wanted.size.value_or(held));
  if (store.evict(std::max(missing, min_evicted_bytes)) > 0) return {};
  return fail(Code::full, fmt::format("the disk of {} is full and {} more are needed: free some there",
                                      folder.string(), human_bytes(missing)));
}

Result<std::string> Cache::State::wait_for_url(const Cancelled& cancelled) {
  std::unique_lock lock(mutex);
  while (url.empty()) {
    if (!doze(changed, lock, cancel_poll, cancelled)) return not_wanted();
  }
  return url;
}

Status Cache::State::wait(std::int64_t wait_ms, const Cancelled& cancelled) {
  return wait_for_next_try(wait_ms, changed, mutex, url_changes, cancelled);
}

// ---- the face -----------------------------------------------------------------------------------------

Cache::Cache(fs::path folder, std::uint64_t max_bytes)
    : state_(std::make_unique<State>(std::move(folder), max_bytes)) {}

Cache::~Cache() = default;

void Cache::set_url(const std::string& url, runtime::HttpTrust trust) {
  const std::lock_guard lock(state_->mutex);
  state_->url = url;
  state_->trust = std::move(trust);
  ++state_->url_changes;
  state_->changed.notify_all();
}

Result<Tree> Cache::fetch(const std::string& manifest, const std::function<bool()>& cancelled) {
  return state_->fetch(manifest, cancelled ? cancelled : never);
}

Result<std::string> Cache::fetch_blob(const std::string& digest, std::size_t max_bytes,
                                      const std::function<bool()>& cancelled) {
  return state_->fetch_blob(digest, max_bytes, cancelled ? cancelled : never);
}

Result<Inputs> Cache::fetch_inputs(const TaskId& task, const std::function<bool()>& cancelled) {
  return state_->fetch_inputs(task, cancelled ? cancelled : never);
}

std::uint64_t Cache::bytes() const {
  return state_->store.bytes();
}

}  // namespace kiln::transfer
