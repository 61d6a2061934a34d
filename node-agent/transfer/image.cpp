#include "transfer/image.h"

#include <fmt/format.h>

#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

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

constexpr milliseconds told_every{1'000};
constexpr std::uint64_t spare_bytes = 512ULL << 20U;  // of the disk, for frames that are being rendered

bool wait(std::int64_t wait_ms, const Cancelled& cancelled) {
  const auto until = std::chrono::steady_clock::now() + milliseconds(wait_ms);
  while (std::chrono::steady_clock::now() < until) {
    if (cancelled()) return false;
    std::this_thread::sleep_for(cancel_poll);
  }
  return !cancelled();
}

// The whole of it is there: whether it is what was offered.
Status check(const payloads::UpdateImage& offer, const fs::path& file, const Cancelled& cancelled) {
  const auto digest = runtime::digest_of_file(file, cancelled);
  if (!digest) return fail(digest.error());
  if (*digest == offer.image) return runtime::fsync_file(file);
  std::error_code ignored;
  fs::remove(file, ignored);
  return fail(Code::io, fmt::format("what arrived has the digest {} instead of {}", *digest, offer.image));
}

}  // namespace

void ImageFetcher::set_url(const std::string& url, runtime::HttpTrust trust) {
  const std::lock_guard lock(mutex_);
  url_ = url;
  trust_ = std::move(trust);
}

Status ImageFetcher::deliver_boot_log(const NodeId& node, const std::string& boot, std::string_view log) {
  runtime::HttpOptions options;
  std::string url;
  {
    const std::lock_guard lock(mutex_);
    url = url_;
    options.trust = trust_;
  }
  if (url.empty()) return fail(Code::unavailable, "no controller yet");
  const auto answer = runtime::HttpClient(url, std::move(options))
                          .send("PUT", fmt::format("/api/v1/nodes/{}/boot-logs/{}", node.str(), boot), log);
  if (!answer) return fail(answer.error());
  if (!answer->ok()) return fail(Code::io, answer->problem());
  return {};
}

// One connection's worth. Not ok and not final: the network, or a server that is busy.
ImageFetcher::Try ImageFetcher::try_once(const payloads::UpdateImage& offer, const fs::path& file,
                                         const Cancelled& cancelled,
                                         const std::function<void(std::uint64_t)>& progress) {
  const auto held = size_on_disk(file);
  runtime::HttpOptions options;
  options.cancelled = cancelled;
  options.moved = [&](std::uint64_t, std::uint64_t received) { progress(held + received); };
  std::string url;
  {
    const std::lock_guard lock(mutex_);
    url = url_;
    options.trust = trust_;
  }
  if (url.empty()) return {fail(Code::unavailable, "no controller yet")};
  const auto got = runtime::HttpClient(url, std::move(options))
                       .get_file(fmt::format("/api/v1/images/{}/file", offer.image), file, held, offer.bytes);
  if (!got) {
    const auto& error = got.error();
    const bool is_network =
        error.code == Code::unavailable || error.code == Code::timeout || error.code == Code::denied;
    return {fail(error), !is_network};
  }
  const int status = got->response.status;
  if (status == 404) return {fail(Code::not_found, "the controller has this image no longer"), true};
  if (status == 416) {
    std::error_code ignored;
    fs::remove(file, ignored);
    return {fail(Code::unavailable, "the controller's copy is shorter than what was fetched of it")};
  }
  if (!got->response.ok()) return {fail(Code::io, got->response.problem()), !is_worth_another_try(status)};
  const auto now_held = size_on_disk(file);
  if (now_held < offer.bytes)
    return {
        fail(Code::unavailable, fmt::format("the connection ended {} bytes early", offer.bytes - now_held))};
  return {};
}

Status ImageFetcher::fetch(const payloads::UpdateImage& offer, const fs::path& file,
                           const Cancelled& cancelled,
                           const std::function<void(std::uint64_t, const std::string&)>& progress) {
  auto told = std::chrono::steady_clock::time_point();
  const auto moved = [&](std::uint64_t held) {
    const auto now = std::chrono::steady_clock::now();
    if (now - told < told_every) return;
    told = now;
    progress(held, "");
  };
  if (size_on_disk(file) > offer.bytes) {
    std::error_code ignored;
    fs::remove(file, ignored);
  }
  const auto space = runtime::disk_space(file.parent_path());
  const auto missing = offer.bytes - size_on_disk(file);
  if (space && space->free_bytes < missing + spare_bytes) {
    return fail(Code::full, fmt::format("the image takes {} more and the disk of {} has {} left, of which {} "
                                        "are kept for frames: free some there, or "
                                        "lower cache_gib",
                                        human_bytes(missing), file.parent_path().string(),
                                        human_bytes(space->free_bytes), human_bytes(spare_bytes)));
  }
  Backoff backoff;
  for (int bad_contents = 0;;) {
    if (cancelled()) return not_wanted();
    const auto held = size_on_disk(file);
    Try one;
    if (held < offer.bytes) one = try_once(offer, file, cancelled, moved);
    if (cancelled()) return not_wanted();
    if (one.status) {
      one.status = check(offer, file, cancelled);
      if (one.status) return {};
      one.is_final = one.status.error().code != Code::timeout && ++bad_contents >= max_bad_contents;
    }
    if (one.is_final) return one.status;
    if (size_on_disk(file) > held) backoff.reset();
    if (backoff.failures() == 0)
      log::warn("transfer", "image {}: {}; trying again", offer.version, one.status.error().message);
    progress(size_on_disk(file), one.status.error().message);
    if (!wait(backoff.next_ms(), cancelled)) return not_wanted();
  }
}

}  // namespace kiln::transfer
