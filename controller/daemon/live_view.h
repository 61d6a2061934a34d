// What nodes said last: telemetry and running tasks. In memory only; a node says it all again within seconds.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <mutex>

#include "api/farm.h"

namespace kiln::controller {

class LiveView final : public api::Live {
 public:
  explicit LiveView(std::function<payloads::ControllerSummary()> summary);

  void saw(const NodeId& node, const payloads::NodeTasks& tasks);
  void saw(const NodeId& node, std::uint32_t gpu, const payloads::GpuTelemetry& telemetry);
  void saw(const NodeId& node, const payloads::HostTelemetry& telemetry);
  void saw(const NodeId& node, const payloads::NodeUpdate& update);

  api::LiveNode node(const NodeId& id) override;
  std::vector<api::TelemetryPoint> history(const NodeId& id, int gpu, std::size_t limit) override;
  payloads::ControllerSummary summary() override;

 private:
  struct Entry {
    api::LiveNode live;
    std::map<int, std::deque<api::TelemetryPoint>> history;  // by GPU; -1: the CPU
  };
  void remember(Entry& entry, int gpu, api::TelemetryPoint point);
  Entry* entry(const NodeId& node);

  std::function<payloads::ControllerSummary()> summary_;
  std::mutex mutex_;
  std::map<NodeId, Entry> nodes_;
};

}  // namespace kiln::controller
