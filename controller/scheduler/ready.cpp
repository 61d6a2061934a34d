// Which steps wait for a node, by what they need: the index that placement reads. Every change is O(log n).
#include <fmt/core.h>

#include "scheduler/farm_data.h"

namespace kiln::scheduler {

namespace {

// Two needs are one pool when this is the same.
std::string pool_name(const Needs& needs, const std::vector<std::string>& tags) {
  std::string name = fmt::format("{}|{}", needs.renderer, static_cast<int>(needs.device));
  for (const auto& one : needs.attributes) {
    name += fmt::format("|{}", one.name);
    for (const auto& value : one.any_of) name += fmt::format(" any {}", value);
    for (const auto& value : one.all_of) name += fmt::format(" all {}", value);
  }
  for (const auto& one : needs.amounts)
    name += fmt::format("|{} {} {}", one.name, one.min, one.max.value_or(-1));
  for (const auto& one : needs.limits) name += fmt::format("|limit {} {}", one.name, one.count);
  for (const auto& tag : tags) name += fmt::format("|tag {}", tag);
  if (!needs.bundle.name.empty())
    name += fmt::format("|bundle {} {}", needs.bundle.name, needs.bundle.digest);
  return name;
}

}  // namespace

PoolNo FarmState::Data::pool_of(const Needs& needs, const std::vector<std::string>& tags) {
  auto name = pool_name(needs, tags);
  if (const auto found = pool_numbers.find(name); found != pool_numbers.end()) return found->second;
  const auto number = static_cast<PoolNo>(pools.size());
  auto& pool = pools.emplace_back();
  pool.needs = needs;
  pool.tags = tags;
  for (const auto& one : needs.amounts) {
    if (one.name == memory_amount) pool.memory_mib = static_cast<std::uint64_t>(std::max(one.min, 0.0));
  }
  pool_numbers.emplace(std::move(name), number);
  return number;
}

// Only pools that a live job waits in are indexed. O(nodes) when one comes into use.
void FarmState::Data::hold_pools(Job& job, bool hold) {
  if (job.holds_pools == hold) return;
  job.holds_pools = hold;
  for (auto& step : job.steps) {
    if (hold) step.pool = pool_of(step.spec.needs, job.row.wishes.tags);
    auto& pool = pools[step.pool];
    pool.users = hold ? pool.users + 1 : pool.users - 1;
    if (pool.users == (hold ? 1U : 0U)) {
      if (hold) {
        job_pools.insert(step.pool);
      } else {
        job_pools.erase(step.pool);
      }
      for (auto& node : nodes) {
        if (node.has_info) refresh_pools(node);
      }
    }
  }
}

JobKey FarmState::Data::key_of(const Job& job, StepNo step) const {
  return {job.row.priority, 0, job.row.number, step};
}

Group FarmState::Data::group_of(const Job& job, NodeNo shuns) const {
  return {settings.fair_share ? job.user : 0, shuns, job.avoids};
}

void FarmState::Data::set_ready(PoolNo number, const Group& group, const JobKey& key, bool ready) {
  auto& pool = pools[number];
  auto& steps = pool.ready[group];
  User* user = group.user == 0 ? nullptr : &users[group.user - 1];
  const auto head = [&]() -> std::optional<JobKey> {
    if (steps.empty()) return std::nullopt;
    auto first = *steps.begin();
    first.share = user == nullptr ? 0 : user->out;
    return first;
  };
  const auto before = head();
  if (ready) {
    steps.insert(key);
  } else {
    steps.erase(key);
  }
  if (const auto after = head(); !(before == after)) {
    if (before) pool.heads.erase({*before, group});
    if (after) pool.heads.insert({*after, group});
  }
  const bool is_empty = steps.empty();
  if (user != nullptr) {
    if (is_empty) {
      user->groups.erase({number, group});
    } else {
      user->groups.insert({number, group});
    }
  }
  if (is_empty) pool.ready.erase(group);
}

void FarmState::Data::unready_all(const Job& job) {
  if (!job.holds_pools) return;
  set_pins(job, false);
  for (const auto& step : job.steps) {
    const auto key = key_of(job, step_no(job, step));
    set_ready(step.pool, group_of(job, 0), key, false);
    for (const auto& [shuns, tasks] : step.requeued) set_ready(step.pool, group_of(job, shuns), key, false);
  }
}

void FarmState::Data::refresh_ready(const Job& job, const Step& step, NodeNo shuns) {
  if (!job.holds_pools) return;
  const auto waiting = step.requeued.find(shuns);
  const bool has_task =
      (shuns == 0 && step.has_fresh()) || (waiting != step.requeued.end() && !waiting->second.empty());
  const bool is_ready = has_task && step.waits == 0 && job.may_run() && !job.is_pinned();
  set_ready(step.pool, group_of(job, shuns), key_of(job, step_no(job, step)), is_ready);
  if (job.row.wishes.node_limit != 0) set_pins(job, job.is_pinned());
}

void FarmState::Data::refresh_ready_all(const Job& job) {
  for (const auto& step : job.steps) {
    refresh_ready(job, step, 0);
    for (const auto& [group, tasks] : step.requeued) refresh_ready(job, step, group);
  }
}

// On each node that a job with a node limit is on: whether its steps get more there. O(nodes of the job).
void FarmState::Data::set_pins(const Job& job, bool pinned) {
  if (job.row.wishes.node_limit == 0 && job.out_on.empty()) return;
  for (const auto& [number, count] : job.out_on) {
    auto& holder = node(number);
    for (const auto& step : job.steps) {
      const auto key = key_of(job, step_no(job, step));
      const bool has_task = step.has_fresh() || !step.requeued.empty();
      auto& pool = pools[step.pool];
      const bool is_ready = pinned && has_task && step.waits == 0 && job.may_run();
      if (!is_ready && holder.pinned.erase({step.pool, key}) > 0) {
        for (const std::size_t kind : {cpu_lane, gpu_lane})
          pool.pinned_open.erase({key, lane_of(number, kind)});
      }
      if (!is_ready || !std::binary_search(holder.pools.begin(), holder.pools.end(), step.pool)) continue;
      holder.pinned.insert({step.pool, key});
      for (const std::size_t kind : {cpu_lane, gpu_lane}) {
        if (holder.lanes.at(kind).open && suits(pool, holder, kind))
          pool.pinned_open.insert({key, lane_of(number, kind)});
      }
    }
  }
}

void FarmState::Data::requeue(Job& job, std::uint32_t index, Task& task) {
  auto& step = step_of(job, index);
  if (!pair_is_ready(job, step, index)) return;
  const NodeNo group = task.shuns ? task.node : 0;
  step.requeued[group].insert(index);
  refresh_ready(job, step, group);
}

void FarmState::Data::unqueue(Job& job, std::uint32_t index, const Task& task) {
  auto& step = step_of(job, index);
  const NodeNo group = task.shuns ? task.node : 0;
  const auto tasks = step.requeued.find(group);
  if (tasks == step.requeued.end()) return;
  tasks->second.erase(index);
  if (tasks->second.empty()) step.requeued.erase(tasks);
  refresh_ready(job, step, group);
}

void FarmState::Data::set_fair_share(bool on) {
  if (settings.fair_share == on) return;
  for (const auto& [number, job] : jobs) unready_all(job);
  settings.fair_share = on;
  for (const auto& [number, job] : jobs) refresh_ready_all(job);
}

// A lease of the job came or went: its limits, its user's share, the counted limits of its step.
void FarmState::Data::tally_out(const LeaseKey& key, const Lease& lease, int sign) {
  auto& job = jobs.at(key.job);
  const auto& step = step_of(job, key.index);
  const auto add = [sign](auto& sum, std::uint64_t count) {
    sum = static_cast<std::remove_reference_t<decltype(sum)>>(sign > 0 ? sum + count : sum - count);
  };
  for (const auto& use : step.spec.needs.limits) {
    auto& limit = limits[use.name];
    add(limit.used, use.count);
    if (limit.used == 0 && !settings.limits.contains(use.name)) limits.erase(use.name);
  }
  const bool is_limited = job.row.wishes.slot_limit != 0 || job.row.wishes.node_limit != 0;
  if (is_limited) unready_all(job);
  add(job.out, 1);
  auto& here = job.out_on[lease.node];
  add(here, 1);
  if (here == 0) job.out_on.erase(lease.node);
  count_slots(job, lease, sign);
  if (is_limited) refresh_ready_all(job);

  auto& user = users[job.user - 1];
  if (settings.fair_share) {
    for (const auto& [number, group] : user.groups) {
      auto head = *pools[number].ready.at(group).begin();
      head.share = user.out;
      pools[number].heads.erase({head, group});
      head.share = sign > 0 ? user.out + 1 : user.out - 1;
      pools[number].heads.insert({head, group});
    }
  }
  add(user.out, 1);
}

bool FarmState::Data::limits_allow(const Pool& pool) const {
  return std::all_of(pool.needs.limits.begin(), pool.needs.limits.end(), [&](const auto& use) {
    const auto set = settings.limits.find(use.name);
    if (set == settings.limits.end()) return true;  // nobody counts it
    const auto limit = limits.find(use.name);
    return (limit == limits.end() ? 0 : limit->second.used) + use.count <= set->second;
  });
}

}  // namespace kiln::scheduler
