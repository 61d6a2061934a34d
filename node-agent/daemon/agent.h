// Wires the agent: who is started, in which order, and who hears whom.
#pragma once

#include <memory>

#include "base/ids.h"
#include "base/result.h"
#include "daemon/config.h"
#include "daemon/identity.h"

namespace kiln::agent {

// The signals that stop the agent, blocked in every thread and readable from one descriptor. Call it before
// the first thread starts.
int block_stop_signals();

class Agent {
 public:
  // The data folder exists and is locked by us.
  Agent(Config config, NodeId node, identity::Key key, StateFile state);
  ~Agent();

  // Until it is told to stop. signal_fd: of block_stop_signals().
  void run(int signal_fd);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace kiln::agent
