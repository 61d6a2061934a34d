// What nodes hold, and their slots in the indexes: which lanes may get work, which have room, and how loaded.
#include <algorithm>

#include "scheduler/farm_data.h"
#include "scheduler/matching.h"

namespace kiln::scheduler {

namespace {

void erase_place(std::map<std::string, Places>& index, const std::vector<std::string>& manifests,
                 const std::pair<Level, LaneNo>& place) {
  for (const auto& manifest : manifests) {
    const auto lanes = index.find(manifest);
    lanes->second.erase(place);
    if (lanes->second.empty()) index.erase(lanes);
  }
}

bool is_started(const Lease& lease) {
  return lease.phase == payloads::TaskPhase::fetching || lease.phase == payloads::TaskPhase::rendering;
}

}  // namespace

void FarmState::Data::tally(const Lease& lease, int sign) {
  if (lease.phase == payloads::TaskPhase::delivering) return;  // its slot is free again
  auto& lane = node(lease.node).lanes.at(lease.kind);
  const auto add = [sign](auto& sum, std::uint64_t count) {
    sum = static_cast<std::remove_reference_t<decltype(sum)>>(sign > 0 ? sum + count : sum - count);
  };
  add(is_started(lease) ? lane.started : lane.waiting, 1);
  if (!is_started(lease)) add(lane.waiting_ms, lease.est_ms);
  add(lane.load, lease.weight);
}

void FarmState::Data::hold(const LeaseKey& key, Lease lease) {
  auto& holder = node(lease.node);
  lease.order = ++last_order;
  tally(lease, 1);
  leases.insert_or_assign(key, lease);
  holder.held.insert(key);
  tally_out(key, lease, 1);
  replace(holder);
}

void FarmState::Data::drop(const LeaseKey& key) {
  auto& lease = leases.at(key);
  set_recalled(key, lease, false);
  set_due(key, lease, 0);
  auto& holder = node(lease.node);
  tally(lease, -1);
  holder.held.erase(key);
  const auto dropped = lease;
  leases.erase(key);
  tally_out(key, dropped, -1);
  replace(holder);
}

void FarmState::Data::set_phase(Lease& lease, payloads::TaskPhase phase) {
  if (lease.phase == phase) return;
  tally(lease, -1);
  lease.phase = phase;
  tally(lease, 1);
  replace(node(lease.node));
}

void FarmState::Data::count_slots(Job& job, const Lease& lease, int sign) {
  const auto lane = lane_of(lease.node, lease.kind);
  auto& [count, slots] = job.out_lanes[lane];
  job.slots -= slots;
  count = sign > 0 ? count + 1 : count - 1;
  const auto room = node(lease.node).lanes.at(lease.kind).slots * full_level / lease.weight;
  slots = std::min(count, std::max(room, 1U));
  job.slots += slots;
  if (count == 0) job.out_lanes.erase(lane);
}

// After a restart the kind was guessed.
void FarmState::Data::set_slot(const LeaseKey& key, Lease& lease, int slot) {
  lease.slot = slot;
  auto& holder = node(lease.node);
  if (slot < 0 || holder.slots() == 0) return;
  const auto kind = static_cast<std::uint32_t>(slot) < holder.lanes[gpu_lane].slots ? gpu_lane : cpu_lane;
  if (lease.kind == kind || holder.lanes.at(kind).slots == 0) return;
  auto& job = jobs.at(key.job);
  count_slots(job, lease, -1);
  tally(lease, -1);
  lease.kind = static_cast<std::uint8_t>(kind);
  tally(lease, 1);
  count_slots(job, lease, 1);
  replace(holder);
}

void FarmState::Data::set_recalled(const LeaseKey& key, Lease& lease, bool recalled) {
  if (lease.recalled == recalled) return;
  lease.recalled = recalled;
  auto& in_flight = pools[step_of(jobs.at(key.job), key.index).pool].recalls;
  in_flight = recalled ? in_flight + 1 : in_flight - 1;
}

void FarmState::Data::set_due(const LeaseKey& key, Lease& lease, std::int64_t due_mono_ms) {
  if (lease.due_mono_ms != 0) due.erase({lease.due_mono_ms, key});
  lease.due_mono_ms = due_mono_ms;
  if (due_mono_ms != 0) due.insert({due_mono_ms, key});
}

bool FarmState::Data::suits(const Pool& pool, const Node& node, std::size_t kind) {
  if (node.lanes.at(kind).slots == 0) return false;
  switch (pool.needs.device) {
    case payloads::Device::gpu:
      return kind == gpu_lane;
    case payloads::Device::cpu:
      return kind == cpu_lane || node.lanes[cpu_lane].slots == 0;
    case payloads::Device::any:
      return true;
  }
  return true;
}

std::uint32_t FarmState::Data::weight_on(const Pool& pool, const Node& node, std::size_t kind) {
  const auto memory_mib = node.row.info.memory_mib;
  if (pool.memory_mib == 0 || memory_mib == 0) return full_level;
  const auto share = pool.memory_mib * full_level * node.lanes.at(kind).slots / memory_mib;
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(share, full_level));
}

void FarmState::Data::give_lane(Lease& lease, const Pool& pool) const {
  const auto& holder = node(lease.node);
  const auto load = [&](std::size_t kind) {
    const auto& lane = holder.lanes.at(kind);
    return lane.slots == 0 ? 0 : lane.load / lane.slots;
  };
  const bool fits_cpu = suits(pool, holder, cpu_lane);
  const bool fits_gpu = suits(pool, holder, gpu_lane);
  const bool is_gpu = fits_gpu && (!fits_cpu || load(gpu_lane) < load(cpu_lane));
  lease.kind = is_gpu ? gpu_lane : cpu_lane;
  lease.weight = weight_on(pool, holder, lease.kind);
}

void FarmState::Data::replace(Node& node) {
  unplace(node);
  place(node);
}

void FarmState::Data::unplace(Node& node) {
  const auto was = node.placed;
  if (was.present) {
    --totals.nodes_online;
    totals.slots -= was.slots;
    totals.slots_busy -= was.busy;
  }
  if (was.quarantined) --quarantined;
  node.placed = {};
  for (const std::size_t kind : {cpu_lane, gpu_lane}) {
    auto& lane = node.lanes.at(kind);
    if (!lane.usable) continue;
    const std::pair<Level, LaneNo> place{lane.level, lane_of(node.no, kind)};
    for (const auto number : node.pools) {
      auto& pool = pools[number];
      if (!suits(pool, node, kind)) continue;
      pool.usable.erase(place);
      pool.idle_slots -= lane.idle;
      if (lane.open) pool.open.erase(place);
      if (lane.open) pool.having_open.erase(place);
    }
    if (lane.open) {
      for (const auto& [number, key] : node.pinned) pools[number].pinned_open.erase({key, place.second});
      erase_place(warm_open, node.warm, place);
      erase_place(files_open, node.files, place);
    }
    lane.usable = lane.open = false;
    lane.level = 0;
    lane.idle = 0;
  }
}

void FarmState::Data::place(Node& node) {
  auto& is = node.placed;
  const auto& settings_of = node.row.settings;
  is.present = node.is_present() && settings_of.enabled;
  is.slots = node.slots();
  for (const auto& lane : node.lanes) is.busy += std::min(lane.started, lane.slots);
  is.quarantined = is.present && !node.row.quarantine.empty();
  if (is.quarantined) ++quarantined;
  if (is.present) {
    ++totals.nodes_online;
    totals.slots += is.slots;
    totals.slots_busy += is.busy;
  }
  if (!may_get_work(node)) return;
  place_lane(node, cpu_lane);
  if (node.hot_gpus.empty()) place_lane(node, gpu_lane);
}

bool FarmState::Data::may_get_work(const Node& node) const {
  const auto& settings_of = node.row.settings;
  return connected && node.slots() > 0 && node.row.presence == NodePresence::online && !node.row.drained &&
         settings_of.enabled && !settings_of.reboot && node.in_window && !node.row.asleep &&
         node.row.quarantine.empty() && node.has_reported && node.rests_until_mono_ms == 0;
}

void FarmState::Data::place_lane(Node& node, std::size_t kind) {
  auto& lane = node.lanes.at(kind);
  if (lane.slots == 0) return;
  // One task a slot is always queued ahead; more only while they are so short that together they would not
  // hide a round trip.
  const auto slots = std::uint64_t{lane.slots} * full_level;
  const auto most = slots * (1 + policy.max_queue_ahead);
  const auto always = slots * (1 + std::min(policy.max_queue_ahead, 1U));
  const auto ahead = lane.load > slots ? (lane.load - slots) / full_level : 0;
  const auto ahead_ms = lane.waiting == 0 ? 0 : lane.waiting_ms * ahead / lane.waiting;
  lane.usable = true;
  lane.level = static_cast<Level>(lane.load / lane.slots);
  lane.open =
      node.held.size() < max_held &&
      (lane.load < always ||
       (lane.load < most && ahead_ms < static_cast<std::uint64_t>(policy.queue_ahead_ms) * lane.slots));
  lane.idle =
      lane.open && lane.load < slots ? static_cast<std::uint32_t>((slots - lane.load) / full_level) : 0;
  const std::pair<Level, LaneNo> place{lane.level, lane_of(node.no, kind)};
  for (const auto number : node.pools) {
    auto& pool = pools[number];
    if (!suits(pool, node, kind)) continue;
    pool.usable.insert(place);
    pool.idle_slots += lane.idle;
    if (lane.open) pool.open.insert(place);
  }
  if (!lane.open) return;
  for (const auto number : node.having) {
    if (suits(pools[number], node, kind)) pools[number].having_open.insert(place);
  }
  for (const auto& [number, key] : node.pinned) {
    if (suits(pools[number], node, kind)) pools[number].pinned_open.insert({key, place.second});
  }
  for (const auto& manifest : node.warm) warm_open[manifest].insert(place);
  for (const auto& manifest : node.files) files_open[manifest].insert(place);
}

void FarmState::Data::set_info(Node& node, payloads::NodeInfo info) {
  unplace(node);
  node.row.info = std::move(info);
  node.has_info = true;
  const auto slots = std::min<std::uint32_t>(node.row.info.slots, payloads::max_slots);
  node.lanes[gpu_lane].slots = std::min(node.row.info.gpu_slots, slots);
  node.lanes[cpu_lane].slots = slots - node.lanes[gpu_lane].slots;
  refresh_pools(node);
}

void FarmState::Data::refresh_pools(Node& node) {
  unplace(node);
  node.pools.clear();
  node.having.clear();
  for (const auto number : job_pools) {
    const auto& pool = pools[number];
    if (lacking(pool.needs, pool.tags, node.row)) continue;
    node.pools.push_back(number);
    const auto& bundle = pool.needs.bundle;
    if (!bundle.name.empty() && has_bundle(node.row, bundle)) node.having.push_back(number);
  }
  place(node);
}

void FarmState::Data::note_files(Node& node, const std::string& manifest) {
  if (manifest.empty() || (!node.files.empty() && node.files.back() == manifest)) return;
  unplace(node);
  std::erase(node.files, manifest);
  if (node.files.size() >= max_files) node.files.erase(node.files.begin());
  node.files.push_back(manifest);
  place(node);
}

void FarmState::Data::forget(Node& node) {
  unplace(node);
  const auto no = node.no;
  node_numbers.erase(node.row.id);
  for (auto& [number, job] : jobs) {
    job.failed_on.erase(no);
    job.speed.erase(no);
  }
  node = {};
  node.no = no;
}

void FarmState::Data::set_warm(Node& node, const std::vector<std::string>& warm) {
  auto distinct = warm;
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  std::erase(distinct, std::string());
  if (distinct == node.warm) return;
  unplace(node);
  node.warm = std::move(distinct);
  place(node);
}

}  // namespace kiln::scheduler
