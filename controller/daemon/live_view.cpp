#include "daemon/live_view.h"

#include <algorithm>

namespace kiln::controller {

namespace {

constexpr std::size_t history_points = 900;  // half an hour of a GPU's 2 s samples
constexpr std::size_t max_nodes = 4'096;     // topics are named by whoever publishes: bounded

}  // namespace

LiveView::LiveView(std::function<payloads::ControllerSummary()> summary) : summary_(std::move(summary)) {}

LiveView::Entry* LiveView::entry(const NodeId& node) {
  const auto found = nodes_.find(node);
  if (found != nodes_.end()) return &found->second;
  return nodes_.size() < max_nodes ? &nodes_[node] : nullptr;
}

void LiveView::saw(const NodeId& node, const payloads::NodeTasks& tasks) {
  const std::lock_guard lock(mutex_);
  if (auto* known = entry(node)) known->live.tasks = tasks;
}

void LiveView::saw(const NodeId& node, std::uint32_t gpu, const payloads::GpuTelemetry& telemetry) {
  const std::lock_guard lock(mutex_);
  auto* known = entry(node);
  if (known == nullptr || gpu >= payloads::max_gpus) return;
  known->live.gpus[gpu] = telemetry;
  remember(*known, static_cast<int>(gpu), {telemetry.ts, telemetry.temp_c, telemetry.util_pct});
}

void LiveView::saw(const NodeId& node, const payloads::HostTelemetry& telemetry) {
  const std::lock_guard lock(mutex_);
  auto* known = entry(node);
  if (known == nullptr) return;
  known->live.host = telemetry;
  remember(*known, -1, {telemetry.ts, telemetry.cpu_temp_c, telemetry.cpu_pct});
}

void LiveView::saw(const NodeId& node, const payloads::NodeUpdate& update) {
  const std::lock_guard lock(mutex_);
  if (auto* known = entry(node)) known->live.update = update;
}

void LiveView::remember(Entry& entry, int gpu, api::TelemetryPoint point) {
  auto& points = entry.history[gpu];
  if (!points.empty() && points.back().ts == point.ts) return;         // the same one again
  if (!points.empty() && points.back().ts > point.ts) points.clear();  // the node's clock was set back
  points.push_back(point);
  if (points.size() > history_points) points.pop_front();
}

api::LiveNode LiveView::node(const NodeId& id) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  return found == nodes_.end() ? api::LiveNode{} : found->second.live;
}

std::vector<api::TelemetryPoint> LiveView::history(const NodeId& id, int gpu, std::size_t limit) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return {};
  const auto points = found->second.history.find(gpu);
  if (points == found->second.history.end()) return {};
  const auto count = static_cast<std::ptrdiff_t>(std::min(limit, points->second.size()));
  return {points->second.end() - count, points->second.end()};
}

payloads::ControllerSummary LiveView::summary() {
  return summary_();
}

}  // namespace kiln::controller
