// Whose fault a failure is, and what follows for the node. A job goes elsewhere after repeated failures on a
// node; a node on which several jobs fail gets no more work until it is forgiven.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "scheduler/farm_data.h"

namespace kiln::scheduler {

namespace {

enum class Whose : std::uint8_t {
  scene,   // no node does better
  limit,   // the job's own limit: a slow node, or a heavy frame
  lack,    // the node lacks what the job needs: there is nothing to try again
  either,  // the node, or a scene that kills its renderer: other jobs and other nodes tell
};

struct Fault {
  std::string_view code;
  Whose whose;
};
// node-agent/session/README.md has the codes; one that is not here is either's.
constexpr std::array faults = {
    Fault{"no-camera", Whose::scene},       Fault{"missing-scene", Whose::scene},
    Fault{"bad-scene", Whose::scene},       Fault{"bad-format", Whose::scene},
    Fault{"missing-library", Whose::scene}, Fault{"missing-file", Whose::scene},
    Fault{"newer-blender", Whose::scene},   Fault{"timeout", Whose::limit},
    Fault{"no-gpu", Whose::lack},           Fault{"renderer-missing", Whose::lack},
    Fault{"renderer-broken", Whose::lack},  Fault{"renderer-no-room", Whose::lack},
    Fault{"renderer-gone", Whose::scene},
};

Whose whose_fault(std::string_view code) {
  const auto* found =
      std::find_if(faults.begin(), faults.end(), [&](const auto& fault) { return fault.code == code; });
  return found == faults.end() ? Whose::either : found->whose;
}

constexpr std::size_t max_reason_bytes = 400;

}  // namespace

void Turn::blame(Job& job, std::uint32_t index, Node& node, const TaskError& error) {
  const auto whose = whose_fault(error.code);
  if (whose == Whose::scene) return;
  auto& failures = job.failed_on[node.no];
  failures = whose == Whose::lack ? std::max(failures + 1, data_.policy.avoid_after) : failures + 1;
  const auto place = std::lower_bound(job.avoids.begin(), job.avoids.end(), node.no);
  const bool is_avoided = place != job.avoids.end() && *place == node.no;
  if (failures >= data_.policy.avoid_after && !is_avoided && job.avoids.size() < max_avoided) {
    auto avoids = job.avoids;
    avoids.insert(avoids.begin() + (place - job.avoids.begin()), node.no);
    data_.change_job(job, [&] { job.avoids = std::move(avoids); });
    remark(fmt::format("job {} goes elsewhere than to {} from now on, where it can: {} failures there",
                       job.row.number, node.row.id.str(), failures));
  }
  if (whose == Whose::limit) return;

  node.blamed[job.row.number] = now_.mono_ms;
  if (node.blamed.size() > max_blamed) node.blamed.erase(node.blamed.begin());
  std::string jobs;
  std::uint32_t guilty = 0;
  for (auto it = node.blamed.begin(); it != node.blamed.end();) {
    const auto found = data_.jobs.find(it->first);
    if (found == data_.jobs.end() || now_.mono_ms - it->second >= data_.policy.blame_ms) {
      it = node.blamed.erase(it);
      continue;
    }
    // A job that fails elsewhere too and does well nowhere says nothing about this node.
    const auto& other = found->second;
    if (other.row.counts.done > 0 || other.failed_on.size() <= 1) {
      ++guilty;
      jobs += fmt::format("{}{}", jobs.empty() ? "" : ", ", it->first);
    }
    ++it;
  }
  if (guilty < data_.policy.quarantine_jobs || !node.row.quarantine.empty()) return;
  // Trouble that half of the farm has is not the node's; and the last one that can do a job goes on trying.
  const bool is_common = 2 * (data_.quarantined + 1) > data_.totals.nodes_online;
  const auto& usable = data_.pools[data_.step_of(job, index).pool].usable;
  const bool is_last = std::all_of(usable.begin(), usable.end(),
                                   [&](const auto& one) { return node_of(one.second) == node.no; });
  if (is_common || is_last) return;
  quarantine(
      node, fmt::format("tasks of {} jobs failed here ({}), the last with: {}", guilty, jobs, error.message));
}

void Turn::praise(Job& job, Node& node) {
  node.blamed.erase(job.row.number);
  if (job.failed_on.erase(node.no) == 0) return;
  auto avoids = job.avoids;
  if (std::erase(avoids, node.no) > 0) data_.change_job(job, [&] { job.avoids = std::move(avoids); });
}

void Turn::quarantine(Node& node, const std::string& reason) {
  node.row.quarantine = std::string(clip(reason, max_reason_bytes));
  node.row.quarantine_until_ms = now_.unix_ms + data_.policy.quarantine_ms;
  node.forgiven_mono_ms = now_.mono_ms + data_.policy.quarantine_ms;
  data_.replace(node);
  touch(node);
  remark(fmt::format("{} is quarantined for {} min: {}", node.row.id.str(),
                     data_.policy.quarantine_ms / 60'000, node.row.quarantine));
  recall_waiting(node);
}

void Turn::forgive(Node& node) {
  node.blamed.clear();
  node.forgiven_mono_ms = 0;
  if (node.row.quarantine.empty()) return;
  node.row.quarantine.clear();
  node.row.quarantine_until_ms = 0;
  data_.replace(node);
  touch(node);
  remark(fmt::format("{} is forgiven: it gets work again", node.row.id.str()));
}

// O(jobs): only when a person asks for it.
void Turn::on(const ForgiveNode& event) {
  auto* node = data_.find_node(event.node);
  if (node == nullptr) {
    return answer(event.request, fail(Code::not_found, fmt::format("there is no node {}", event.node.str())));
  }
  for (auto& [number, job] : data_.jobs) {
    if (job.failed_on.contains(node->no)) praise(job, *node);
  }
  forgive(*node);
  answer(event.request, Done{});
}

}  // namespace kiln::scheduler
