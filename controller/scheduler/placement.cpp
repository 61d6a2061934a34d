// Which task goes where. Jobs by priority, then by number; of a job, tasks queued again before fresh ones. Of
// the nodes with room: an idle slot before a place in a queue, then where the scene is open, then the least
// loaded. Every look-up is at an ordered index: O(log jobs + log nodes) a task handed out.
#include "scheduler/farm_data.h"

namespace kiln::scheduler {

namespace {

constexpr int max_victims = 4;  // nodes looked at per step for a task to take back: keeps the step O(1)

using Places = std::set<std::pair<Level, NodeNo>>;

// The first node that is not `avoid` (0: any), lacks nothing, or nullptr.
const std::pair<Level, NodeNo>* first_place(const Places& places, NodeNo avoid) {
  auto place = places.begin();
  if (place != places.end() && place->second == avoid) ++place;
  return place == places.end() ? nullptr : &*place;
}

NodeNo choose_node(const FarmState::Data& data, PoolNo pool, const std::string& manifest, NodeNo avoid) {
  const auto* best = first_place(data.pools[pool].open, avoid);
  if (best == nullptr || manifest.empty()) return best == nullptr ? 0 : best->second;
  const auto warm_nodes = data.warm_open.find(manifest);
  if (warm_nodes == data.warm_open.end()) return best->second;
  const auto* warm = first_place(warm_nodes->second, avoid);
  if (warm == nullptr || !data.pools[pool].open.contains(*warm)) return best->second;
  const bool is_as_good = warm->first < full_level || warm->first <= best->first;
  return is_as_good ? warm->second : best->second;
}

struct Choice {
  JobKey job;
  NodeNo group = 0;
  NodeNo node = 0;
};

// The first ready job of the pool that some node may take now.
std::optional<Choice> choose(const FarmState::Data& data, PoolNo number) {
  const auto& pool = data.pools[number];
  // The heads differ in the node that they avoid, so a lone open node is avoided by one of them at most. Who
  // is the only one that could do it is not avoided.
  int looked_at = 0;
  for (const auto& [job, group] : pool.heads) {
    if (++looked_at > 2) break;
    const NodeNo avoid = pool.usable.size() > 1 ? group : 0;
    const auto& manifest = data.jobs.at(job.number).row.spec.manifest;
    if (const auto node = choose_node(data, number, manifest, avoid); node != 0) {
      return Choice{job, group, node};
    }
  }
  return std::nullopt;
}

}  // namespace

void Turn::place_tasks() {
  if (!data_.connected || data_.disk_full) return;
  for (;;) {
    std::optional<Choice> best;
    for (const auto pool : data_.job_pools) {
      const auto one = choose(data_, pool);
      if (one && (!best || one->job < best->job)) best = one;
    }
    if (!best) break;
    auto& job = data_.jobs.at(best->job.number);
    const auto again = job.requeued.find(best->group);
    const auto index =
        again != job.requeued.end() ? *again->second.begin() : static_cast<std::uint32_t>(job.tasks.size());
    assign(job, index, data_.node(best->node));
  }
  take_back_for_idle();
}

// At a job's tail: a slot is idle, nothing is ready, and elsewhere tasks wait behind others.
void Turn::take_back_for_idle() {
  for (const auto number : data_.job_pools) {
    const auto& pool = data_.pools[number];
    if (!pool.heads.empty()) continue;
    int looked_at = 0;
    for (auto place = pool.usable.rbegin(); place != pool.usable.rend(); ++place) {
      if (pool.recalls >= pool.idle_slots || place->first <= full_level || ++looked_at > max_victims) break;
      const auto& victim = data_.node(place->second);
      const std::uint64_t ahead = victim.load() - victim.placed.slots;
      Lease* last = nullptr;
      LeaseKey last_key;
      for (const auto& key : victim.held) {
        auto& lease = *data_.find_lease(key);
        const auto& job = data_.jobs.at(key.job);
        if (lease.running || !lease.seen || lease.recalled || job.pool != number) continue;
        if (lease.phase != payloads::TaskPhase::queued || job.row.state != JobState::active) continue;
        if (data_.touched(job, key.index)->taken_back >= max_taken_back) continue;
        // What starts soon anyway is not worth two round trips.
        const auto waits_ms = lease.est_ms * std::max<std::uint64_t>(1, ahead / victim.placed.slots);
        if (waits_ms < static_cast<std::uint64_t>(data_.policy.queue_ahead_ms) / 2) continue;
        if (last == nullptr || lease.order > last->order) {
          last = &lease;
          last_key = key;
        }
      }
      if (last == nullptr) continue;
      auto& task = *data_.touched(data_.jobs.at(last_key.job), last_key.index);
      task.taken_back = static_cast<std::uint8_t>(task.taken_back + 1) & 0x3fU;
      recall(last_key, *last);
    }
  }
}

}  // namespace kiln::scheduler
