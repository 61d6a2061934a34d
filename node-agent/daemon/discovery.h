// Finds the farm: asks the controller who it is and where its broker listens.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "base/result.h"
#include "daemon/config.h"
#include "runtime/event_fd.h"

namespace kiln::agent {

struct Farm {
  std::string id;
  std::string version;
  Endpoint broker;
};

// GET <controller>/api/v1/farm, once. Errors: unavailable, timeout; invalid when something else answers
// there.
Result<Farm> ask_farm(const std::string& controller, const std::function<bool()>& cancelled = {});

// Asks until there is an answer, and again whenever it is told to. One log line for each new reason why there
// is none.
class Discovery {
 public:
  // on_found: from its thread.
  Discovery(std::string controller, std::function<void(const Farm&)> on_found);
  ~Discovery();
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;

  // Nothing happens when it is asking already.
  void again() { wanted_.set(); }

 private:
  void run();

  const std::string controller_;
  const std::function<void(const Farm&)> on_found_;
  runtime::EventFd wanted_;
  runtime::EventFd stop_;
  std::thread thread_;
};

}  // namespace kiln::agent
