// Fetches what queued tasks will need while the slots work: one thread, one task's files at a time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "base/ids.h"
#include "payloads/messages.h"
#include "session/runner.h"

namespace kiln::session {

class Prefetch {
 public:
  explicit Prefetch(const Config& config);
  ~Prefetch();  // gives up what it is at

  void add(const payloads::RunTask& task);
  // Gives up that attempt's files, in work or in the queue.
  void cancel(const TaskId& task, std::uint32_t attempt);

 private:
  void live();
  void fetch(const payloads::RunTask& task, const std::function<bool()>& cancelled) const;

  const Config& config_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<payloads::RunTask> queue_;  // the front one is in work
  bool stopping_ = false;
  bool cancelled_ = false;  // the front one is not wanted any more
  std::thread thread_;
};

}  // namespace kiln::session
