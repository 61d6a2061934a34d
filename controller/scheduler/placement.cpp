// Which task goes where. Jobs by priority, then by number; of a job, tasks queued again before fresh ones. Of
// the nodes with room: an idle slot before a place in a queue, then where the scene is open, then the least
// loaded. Every look-up is at an ordered index: O(log jobs + log nodes) a task handed out.
#include "scheduler/farm_data.h"

namespace kiln::scheduler {

namespace {

constexpr int max_victims = 4;  // nodes looked at per step for a task to take back: keeps the step O(1)

using Places = std::set<std::pair<Level, NodeNo>>;

// The first node that the group does not avoid, or nullptr. O(nodes avoided), which max_avoided bounds.
const std::pair<Level, NodeNo>* first_place(const Places& places, const Group& group) {
  for (const auto& place : places) {
    if (!group.has(place.second)) return &place;
  }
  return nullptr;
}

NodeNo choose_node(const FarmState::Data& data, PoolNo pool, const std::string& manifest,
                   const Group& group) {
  const auto* best = first_place(data.pools[pool].open, group);
  if (best == nullptr || manifest.empty()) return best == nullptr ? 0 : best->second;
  const auto warm_nodes = data.warm_open.find(manifest);
  if (warm_nodes == data.warm_open.end()) return best->second;
  const auto* warm = first_place(warm_nodes->second, group);
  if (warm == nullptr || !data.pools[pool].open.contains(*warm)) return best->second;
  const bool is_as_good = warm->first < full_level || warm->first <= best->first;
  return is_as_good ? warm->second : best->second;
}

// Who is the only one that could do it is not avoided: first a task's own last node is not, then the job's.
Group avoidable(const Pool& pool, const Group& group) {
  if (first_place(pool.usable, group) != nullptr) return group;
  if (const Group shunning{group.shuns, {}}; first_place(pool.usable, shunning) != nullptr) return shunning;
  return {};
}

struct Choice {
  JobKey job;
  NodeNo shuns = 0;
  NodeNo node = 0;
};

// The first ready job of the pool that some node may take now. Groups differ in the nodes that they avoid:
// the first one mostly fits, and no more are looked at than there are jobs in trouble with different nodes.
std::optional<Choice> choose(const FarmState::Data& data, PoolNo number) {
  const auto& pool = data.pools[number];
  if (pool.open.empty()) return std::nullopt;
  for (const auto& [job, group] : pool.heads) {
    const auto& manifest = data.jobs.at(job.number).row.spec.manifest;
    if (const auto node = choose_node(data, number, manifest, avoidable(pool, group)); node != 0) {
      return Choice{job, group.shuns, node};
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
    const auto again = job.requeued.find(best->shuns);
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
        const auto* idle = first_place(pool.usable, {0, job.avoids});
        if (idle == nullptr || idle->first >= full_level) continue;  // who is idle is avoided
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
      task.taken_back = static_cast<std::uint8_t>(task.taken_back + 1) & 0x3U;
      recall(last_key, *last);
    }
  }
}

}  // namespace kiln::scheduler
