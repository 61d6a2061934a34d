#include "daemon/housekeeping.h"

#include <fmt/core.h>

#include <chrono>

#include "runtime/clock.h"
#include "runtime/files.h"
#include "runtime/log.h"

namespace kiln::controller {

namespace {

constexpr std::chrono::seconds round_every{2};
constexpr std::int64_t sweep_every_ms = 3'600'000;
constexpr std::int64_t keep_partials_s =
    7 * 86'400;  // an artist comes back after the weekend and goes on uploading
constexpr std::uint64_t mib = 1024 * 1024;

}  // namespace

Housekeeping::Housekeeping(files::Layout layout, files::Results& results, files::Blobs& blobs,
                           std::uint64_t min_free_bytes, HousekeepingPorts ports)
    : layout_(std::move(layout)),
      results_(results),
      blobs_(blobs),
      min_free_bytes_(min_free_bytes),
      ports_(std::move(ports)) {}

Housekeeping::~Housekeeping() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopping_changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Housekeeping::start() {
  look_at_space();
  thread_ = std::thread([this] { run(); });
}

std::vector<files::Accepted> Housekeeping::take_settled() {
  const std::lock_guard lock(mutex_);
  return std::exchange(settled_, {});
}

void Housekeeping::look_at_space() {
  const auto space = runtime::disk_space(layout_.data());
  if (!space) {
    log::error("disk", "{}", space.error().message);
    return;
  }
  // Twice as much as made it full: or it would flutter with every frame.
  const auto needed = is_full_ ? 2 * min_free_bytes_ : min_free_bytes_;
  const bool full = space->free_bytes < needed;
  if (full == is_full_) return;
  is_full_ = full;
  const auto message =
      fmt::format("the disk of {} is nearly full ({} MiB left): no frame is started until {} MiB are free",
                  layout_.data().string(), space->free_bytes / mib, 2 * min_free_bytes_ / mib);
  if (full) {
    log::error("disk", "{}", message);
  } else {
    log::info("disk", "there is room again on the disk of {}", layout_.data().string());
  }
  ports_.on_space(full, full ? message : "");
}

void Housekeeping::run() {
  ports_.at_start([this] {
    const std::lock_guard lock(mutex_);
    return stopping_;
  });
  std::int64_t swept_ms = 0;
  std::unique_lock lock(mutex_);
  while (!stopping_changed_.wait_for(lock, round_every, [this] { return stopping_; })) {
    lock.unlock();
    look_at_space();
    auto settled = results_.settle();
    if (!settled) log::error("files", "{}", settled.error().message);
    if (auto emptied = files::empty_trash(layout_); !emptied)
      log::error("files", "{}", emptied.error().message);
    const Instant now = runtime::now();
    if (swept_ms == 0 || now.mono_ms - swept_ms >= sweep_every_ms) {
      swept_ms = now.mono_ms;
      const auto swept = blobs_.sweep_partials(now.unix_ms / 1000, keep_partials_s);
      if (!swept) log::error("files", "{}", swept.error().message);
    }
    lock.lock();
    if (settled) settled_.insert(settled_.end(), settled->begin(), settled->end());
  }
}

}  // namespace kiln::controller
