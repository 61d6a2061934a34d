// Which task goes where. Jobs by priority, then by number; of a job, tasks queued again before fresh ones. Of
// the nodes with room: an idle slot before a place in a queue, then where the scene is open, then where its
// files are, then where its renderer is, then the least loaded. A renderer that must be fetched first costs
// time: while those who have it are done sooner, nobody else fetches it. Every look-up is at an ordered
// index: O(log jobs + log nodes) a task handed out.
#include "scheduler/farm_data.h"

namespace kiln::scheduler {

namespace {

constexpr int max_victims = 4;  // nodes looked at per step for a task to take back: keeps the step O(1)

// The first lane of a node that the group does not avoid, or nullptr. O(nodes avoided), which max_avoided
// bounds.
const std::pair<Level, LaneNo>* first_place(const Places& places, const Group& group) {
  for (const auto& place : places) {
    if (!group.has(node_of(place.second))) return &place;
  }
  return nullptr;
}

// The best place for the step's next task; 0: none, or none that is worth fetching a renderer for.
LaneNo choose_lane(const FarmState::Data& data, const Pool& pool, const Job& job, const Step& step,
                   const Group& group) {
  const auto* best = first_place(pool.open, group);
  if (best == nullptr) return 0;
  const auto& manifest = job.row.spec.manifest;
  const bool is_fetched = !pool.needs.bundle.name.empty();
  const auto* having = is_fetched ? first_place(pool.having_open, group) : nullptr;
  const auto is_worth_it = [&](const std::pair<Level, LaneNo>& place) {
    if (!is_fetched || data.has_renderer(step.pool, node_of(place.second))) return true;
    if (step.counts.done == 0) return true;  // nobody knows what waiting costs
    const auto mean_ms = 1000 * step.done_s / step.counts.done;
    const bool starts_sooner =
        having != nullptr && mean_ms * having->first / full_level < data.fetch_ms(pool);
    return !starts_sooner && !data.outruns_fetch(job, step);
  };
  // A cold node that is idle still comes before a warm one that is busy: warmth is not worth waiting.
  for (const auto* index : {&data.warm_open, &data.files_open}) {
    const auto lanes = manifest.empty() ? index->end() : index->find(manifest);
    if (lanes == index->end()) continue;
    const auto* near = first_place(lanes->second, group);
    if (near == nullptr || !pool.open.contains(*near)) continue;
    if (!is_worth_it(*near)) continue;
    if (near->first < full_level || near->first <= best->first) return near->second;
  }
  if (having != nullptr &&
      (having->first < full_level || having->first <= best->first || !is_worth_it(*best)))
    return having->second;
  return is_worth_it(*best) ? best->second : 0;
}

// Who is the only one that could do it is not avoided: first a task's own last node is not, then the job's.
Group avoidable(const Pool& pool, const Group& group) {
  if (first_place(pool.usable, group) != nullptr) return group;
  if (const Group shunning{group.user, group.shuns, {}}; first_place(pool.usable, shunning) != nullptr)
    return shunning;
  return {};
}

struct Choice {
  JobKey step;
  std::optional<NodeNo> shuns;  // of whom the task is; absent: whichever
  LaneNo lane = 0;
};

// The first ready step of the pool that some node may take now. Groups differ in the nodes that they avoid:
// the first one mostly fits, and no more are looked at than there are jobs in trouble with different nodes
// (and, with a fair share, users).
std::optional<Choice> choose(const FarmState::Data& data, PoolNo number) {
  const auto& pool = data.pools[number];
  if (pool.open.empty() || !data.limits_allow(pool)) return std::nullopt;
  std::optional<Choice> best;
  for (const auto& [step, group] : pool.heads) {
    const auto& job = data.jobs.at(step.number);
    const auto lane = choose_lane(data, pool, job, job.steps[step.step], avoidable(pool, group));
    if (lane != 0) {
      best = Choice{step, group.shuns, lane};
      break;
    }
  }
  if (!pool.pinned_open.empty()) {
    auto [step, lane] = *pool.pinned_open.begin();
    if (data.settings.fair_share) step.share = data.users[data.jobs.at(step.number).user - 1].out;
    if (!best || step < best->step) best = Choice{step, std::nullopt, lane};
  }
  return best;
}

}  // namespace

void Turn::place_tasks() {
  if (!data_.connected || data_.disk_full) return;
  for (;;) {
    std::optional<Choice> best;
    for (const auto pool : data_.job_pools) {
      const auto one = choose(data_, pool);
      if (one && (!best || one->step < best->step)) best = one;
    }
    if (!best) break;
    auto& job = data_.jobs.at(best->step.number);
    auto& step = job.steps[best->step.step];
    const auto again = best->shuns ? step.requeued.find(*best->shuns) : step.requeued.begin();
    const auto index = again != step.requeued.end() ? *again->second.begin() : data_.take_fresh(job, step);
    assign(job, index, best->lane);
  }
  take_back_for_idle();
  start_again();
}

// At a job's tail: a slot is idle, nothing is ready, and elsewhere tasks wait behind others.
void Turn::take_back_for_idle() {
  for (const auto number : data_.job_pools) {
    const auto& pool = data_.pools[number];
    if (!pool.heads.empty() || pool.idle_slots == 0) continue;
    int looked_at = 0;
    for (auto place = pool.usable.rbegin(); place != pool.usable.rend(); ++place) {
      if (pool.recalls >= pool.idle_slots || place->first <= full_level || ++looked_at > max_victims) break;
      const auto& victim = data_.node(node_of(place->second));
      const auto kind = kind_of(place->second);
      const auto& lane = victim.lanes.at(kind);
      const std::uint64_t ahead = (lane.load - std::uint64_t{lane.slots} * full_level) / full_level;
      Lease* last = nullptr;
      LeaseKey last_key;
      for (const auto& key : victim.held) {
        auto& lease = *data_.find_lease(key);
        auto& job = data_.jobs.at(key.job);
        if (lease.running || !lease.seen || lease.recalled || lease.kind != kind || key.twin) continue;
        if (data_.step_of(job, key.index).pool != number || job.is_pinned()) continue;
        if (lease.phase != payloads::TaskPhase::queued || job.row.state != JobState::active) continue;
        if (data_.touched(job, key.index)->taken_back >= max_taken_back) continue;
        const auto* idle = first_place(pool.usable, {0, 0, job.avoids});
        if (idle == nullptr || idle->first >= full_level) continue;  // who is idle is avoided
        // What starts soon anyway is not worth two round trips.
        const auto waits_ms = lease.est_ms * std::max<std::uint64_t>(1, ahead / lane.slots);
        if (waits_ms < static_cast<std::uint64_t>(data_.policy.queue_ahead_ms) / 2) continue;
        const auto& step = data_.step_of(job, key.index);
        const bool would_fetch = !pool.needs.bundle.name.empty() &&
                                 !data_.has_renderer(number, node_of(idle->second)) &&
                                 data_.has_renderer(number, victim.no);
        if (would_fetch && step.counts.done > 0 &&
            1000 * step.done_s / step.counts.done * static_cast<double>(ahead) / lane.slots <
                data_.fetch_ms(pool))
          continue;
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
