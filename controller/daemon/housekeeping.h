// Slow disk work, off every deciding thread: syncing folders, removing what is thrown away, watching the
// space.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "files/blobs.h"
#include "files/layout.h"
#include "files/results.h"

namespace kiln::controller {

struct HousekeepingPorts {
  // The disk ran short, or there is room again; from the housekeeping thread, when it changes.
  std::function<void(bool full, const std::string& message)> on_space;
  // Once, on the housekeeping thread: what takes long and is needed by nobody's start. Ends when asked to.
  std::function<void(const std::function<bool()>& is_stopping)> at_start;
};

class Housekeeping {
 public:
  Housekeeping(files::Layout layout, files::Results& results, files::Blobs& blobs,
               std::uint64_t min_free_bytes, HousekeepingPorts ports);
  ~Housekeeping();
  // Looks at the space once, so that a full disk is known before the first task goes out; then goes on by
  // itself.
  void start();

  // Attempts whose files are durable in the output: for the farm thread, to be marked in the database.
  std::vector<files::Accepted> take_settled();

 private:
  void run();
  void look_at_space();

  files::Layout layout_;
  files::Results& results_;
  files::Blobs& blobs_;
  std::uint64_t min_free_bytes_;
  HousekeepingPorts ports_;
  bool is_full_ = false;

  std::mutex mutex_;
  std::condition_variable stopping_changed_;
  bool stopping_ = false;
  std::vector<files::Accepted> settled_;
  std::thread thread_;
};

}  // namespace kiln::controller
