// Finished attempts on their way to the controller: journalled on disk before anything is said about them,
// uploaded and committed until the controller has given its verdict, across restarts of this box.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "payloads/http_bodies.h"

namespace kiln::transfer {

struct Delivered {
  TaskId task;
  std::uint32_t attempt = 0;
  payloads::Verdict verdict = payloads::Verdict::accepted;
};

class Delivery {
 public:
  // folder: the journal; entries found there are taken up again. on_delivered: from the delivery thread.
  Delivery(std::filesystem::path folder, std::function<void(const Delivered&)> on_delivered);
  ~Delivery();  // stops uploading; what is undelivered stays in the journal
  void set_url(const std::string& url);

  struct Item {
    TaskId task;
    std::uint32_t attempt = 0;
  };
  // What was journalled by an earlier run: the planner lists these as delivering.
  [[nodiscard]] std::vector<Item> pending() const;

  // Journals the attempt (report, log, and the files by moving `folder`), synced, then queues its upload.
  // Returns when it is safe on disk. Errors: io, full. Any thread.
  Status put(const TaskId& task, std::uint32_t attempt, const payloads::ResultReport& report,
             const std::filesystem::path& folder, const std::string& log);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::transfer
