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
  if (task.manifest.empty() && task.of_template.document.empty() && task.bundle.name.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= max_wishes) return;
    queue_.push_back(task);
  }
  changed_.notify_one();
}

void Prefetch::cancel(const TaskId& task, std::uint32_t attempt) {
  const std::lock_guard lock(mutex_);
  if (queue_.empty()) return;
  const auto is_it = [&](const payloads::RunTask& one) { return one.task == task && one.attempt == attempt; };
  if (is_it(queue_.front())) cancelled_ = true;
  queue_.erase(std::remove_if(queue_.begin() + 1, queue_.end(), is_it), queue_.end());
}

void Prefetch::live() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const auto task = queue_.front();
    cancelled_ = false;
    lock.unlock();
    fetch(task, [this] {
      const std::lock_guard guard(mutex_);
      return stopping_ || cancelled_;
    });
    lock.lock();
    queue_.pop_front();
  }
}

// A failure is the task's to report, when it starts. Trees are let go of at once: they stay in the cache, as
// the newest.
void Prefetch::fetch(const payloads::RunTask& task, const std::function<bool()>& cancelled) const {
  const auto& wanted = task.of_template;
  if (!task.bundle.name.empty() && config_.fetch_renderer && !cancelled())
    static_cast<void>(config_.fetch_renderer(task.bundle, cancelled));
  if (!wanted.document.empty() && config_.fetch_blob && !cancelled())
    static_cast<void>(config_.fetch_blob(wanted.document, cancelled));
  if (!task.manifest.empty() && !cancelled()) static_cast<void>(config_.fetch(task.manifest, cancelled));
  if (wanted.inputs && config_.fetch_inputs && !cancelled())
    static_cast<void>(config_.fetch_inputs(task.task, cancelled));
}

}  // namespace kiln::session
