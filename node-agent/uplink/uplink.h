// The node's line to the broker: turns messages into facts and the planner's words into messages.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "payloads/messages.h"
#include "planner/effects.h"
#include "planner/facts.h"

namespace kiln::uplink {

struct Config {
  NodeId node;
  std::string host;
  std::uint16_t port = 0;
  std::string username = {};  // "" = none
  std::string password = {};
  std::string ca_file = {};                          // "" = no TLS
  std::string certificate_file = {}, key_file = {};  // who we are, to a broker that knows certificates
};

// Called on the MQTT thread: they must not block for longer than a disk write.
struct Handlers {
  // The sid of the next connection: raised and on disk when this returns. Asked before each connection that
  // follows one that was made; an attempt that failed keeps its sid, so that a long outage wears no disk.
  std::function<std::uint64_t()> raise_sid;
  std::function<void(planner::Fact)> on_fact;
  // Why there is no connection; once for each new reason.
  std::function<void(const std::string& reason)> on_trouble;
};

class Uplink {
 public:
  Uplink(Config config, Handlers handlers);  // starts connecting
  ~Uplink();                                 // leaves in good order: no last will is sent
  Uplink(const Uplink&) = delete;
  Uplink& operator=(const Uplink&) = delete;

  // From the owner's thread. What cannot be sent is dropped: it is said again at the next connect.
  void publish(const planner::PublishStatus& effect);
  void publish(const planner::PublishInfo& effect);
  void publish(const planner::PublishTasks& effect);
  void publish(const planner::PublishProgress& effect);
  void publish(const planner::PublishEvent& effect);
  void publish(const planner::PublishAck& effect);
  void publish(const std::vector<std::pair<std::uint32_t, payloads::GpuTelemetry>>& gpus);
  void publish(const payloads::HostTelemetry& host);

  // Leaves and comes back at once, with a new sid.
  void reconnect();
  // Waits until the broker has everything. False: it does not within that time.
  [[nodiscard]] bool flush(std::chrono::milliseconds timeout);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::uplink
