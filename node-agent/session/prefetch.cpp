#include "session/prefetch.h"

#include <algorithm>

namespace kiln::session {

namespace {

// More than a node is ever sent ahead; beyond, the newest wish is dropped, and fetched when its task starts.
constexpr std::size_t max_wishes = 64;

}  // namespace

Prefetch::Prefetch(const Config& config) : config_(config), thread_([this] { live(); }) {}

Prefetch::~Prefetch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Prefetch::add(const payloads::RunTask& task) {
  if (task.manifest.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= max_wishes) return;
    queue_.push_back({task.task, task.attempt, task.manifest});
  }
  changed_.notify_one();
}

void Prefetch::cancel(const TaskId& task, std::uint32_t attempt) {
  const std::lock_guard lock(mutex_);
  if (queue_.empty()) return;
  const auto is_it = [&](const Wish& one) { return one.task == task && one.attempt == attempt; };
  if (is_it(queue_.front())) cancelled_ = true;
  queue_.erase(std::remove_if(queue_.begin() + 1, queue_.end(), is_it), queue_.end());
}

void Prefetch::live() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const auto manifest = queue_.front().manifest;
    cancelled_ = false;
    lock.unlock();
    // A failure is the task's to report, when it starts. The tree is let go of at once: it stays in the
    // cache, as the newest.
    static_cast<void>(config_.fetch(manifest, [&] {
      const std::lock_guard guard(mutex_);
      return stopping_ || cancelled_;
    }));
    lock.lock();
    queue_.pop_front();
  }
}

}  // namespace kiln::session
