#include "scheduler/farm_data.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace kiln::scheduler {

namespace {

constexpr std::string_view noop = "noop";  // proves the plumbing: needs no renderer and takes no time

std::uint32_t& bucket(payloads::TaskCounts& counts, TaskState state) {
  switch (state) {
    case TaskState::queued:
      return counts.queued;
    case TaskState::assigned:
    case TaskState::running:
      return counts.running;
    case TaskState::done:
      return counts.done;
    case TaskState::failed:
      return counts.failed;
    case TaskState::cancelled:
      return counts.cancelled;
  }
  return counts.queued;
}

std::uint8_t saturated(std::uint32_t count) {
  return static_cast<std::uint8_t>(std::min<std::uint32_t>(count, std::numeric_limits<std::uint8_t>::max()));
}

JobKey key_of(const Job& job) {
  return {job.row.priority, job.row.number};
}

// The pool of a job's renderer; a GPU asked for makes it another one, with fewer nodes.
std::string pool_name(std::string_view renderer, bool needs_gpu) {
  return std::string(renderer) + (needs_gpu && renderer != noop ? " with a GPU" : "");
}

bool is_started(const Lease& lease) {
  return lease.phase == payloads::TaskPhase::fetching || lease.phase == payloads::TaskPhase::rendering;
}

}  // namespace

// ---- looking up
// ---------------------------------------------------------------------------------------------

Job* FarmState::Data::find_job(const JobId& id) {
  const auto found = job_numbers.find(id);
  return found == job_numbers.end() ? nullptr : &jobs.at(found->second);
}
const Job* FarmState::Data::find_job(const JobId& id) const {
  const auto found = job_numbers.find(id);
  return found == job_numbers.end() ? nullptr : &jobs.at(found->second);
}
Node* FarmState::Data::find_node(const NodeId& id) {
  const auto found = node_numbers.find(id);
  return found == node_numbers.end() ? nullptr : &node(found->second);
}
const Node* FarmState::Data::find_node(const NodeId& id) const {
  const auto found = node_numbers.find(id);
  return found == node_numbers.end() ? nullptr : &node(found->second);
}
Lease* FarmState::Data::find_lease(const LeaseKey& key) {
  const auto found = leases.find(key);
  return found == leases.end() ? nullptr : &found->second;
}
const Task* FarmState::Data::touched(const Job& job, std::uint32_t index) const {
  ++task_visits;
  return index < job.tasks.size() ? &job.tasks[index] : nullptr;
}
Task* FarmState::Data::touched(Job& job, std::uint32_t index) const {
  ++task_visits;
  return index < job.tasks.size() ? &job.tasks[index] : nullptr;
}

Task& FarmState::Data::touch(Job& job, std::uint32_t index) {
  while (job.tasks.size() <= index) {
    job.requeued[0].insert(static_cast<std::uint32_t>(job.tasks.size()));
    job.tasks.emplace_back();
  }
  refresh_ready(job, 0);
  return job.tasks[index];
}

TaskRow FarmState::Data::task_row(const Job& job, std::uint32_t index) const {
  TaskRow row;
  row.id = {job.row.id, index};
  const Task* task = touched(job, index);
  if (task == nullptr) {
    if (job.row.state == JobState::done) {
      row.state = TaskState::done;
      const auto winner = job.winners.find(index);
      if (job.winners_kept) row.attempt = winner == job.winners.end() ? 1 : winner->second;
    } else if (!job.is_live()) {
      row.state = TaskState::cancelled;
    }
    return row;
  }
  row.state = task->state;
  row.attempt = task->attempt;
  row.failures = std::uint32_t{task->failed} + task->lost;
  if (task->node != 0) row.node = node(task->node).row.id;
  row.seconds = static_cast<double>(task->seconds);
  row.started_ms = task->started_ms;
  row.finished_ms = task->finished_ms;
  if (const auto error = job.errors.find(index); error != job.errors.end()) {
    row.error_code = error->second.code;
    row.error_message = error->second.message;
  }
  row.blank = static_cast<payloads::Blank>(task->blank);
  row.review = static_cast<Review>(task->review);
  if (const auto floor = job.void_up_to.find(index); floor != job.void_up_to.end()) {
    row.void_up_to = floor->second;
  }
  return row;
}

PoolNo FarmState::Data::pool_of(const std::string& renderer) {
  if (const auto found = pool_numbers.find(renderer); found != pool_numbers.end()) return found->second;
  const auto number = static_cast<PoolNo>(pools.size());
  pools.push_back({});
  pools.back().renderer = renderer;
  pool_numbers.emplace(renderer, number);
  return number;
}

Node& FarmState::Data::add_node(const NodeId& id, Instant now) {
  auto& node = nodes.emplace_back();
  node.no = static_cast<NodeNo>(nodes.size());
  node.row.id = id;
  node.row.first_seen_ms = now.unix_ms;
  node.away_mono_ms = now.mono_ms;
  node.saved_mono_ms = now.mono_ms;
  node_numbers.emplace(id, node.no);
  return node;
}

std::uint32_t FarmState::Data::estimate_ms(const Job& job) const {
  if (job.row.spec.renderer == noop) return 0;
  const auto most = static_cast<double>(policy.queue_ahead_ms);
  if (job.row.counts.done == 0) return static_cast<std::uint32_t>(most);
  return static_cast<std::uint32_t>(std::clamp(1000 * job.row.render_s / job.row.counts.done, 0.0, most));
}

// ---- jobs
// ---------------------------------------------------------------------------------------------------

void FarmState::Data::insert_job(JobRow row) {
  Job job;
  job.pool = pool_of(pool_name(row.spec.renderer, row.spec.options.device == payloads::Device::gpu));
  job_pools.insert(job.pool);
  job.total = row.spec.task_count();
  job.row = std::move(row);
  const auto number = job.row.number;
  job_numbers.emplace(job.row.id, number);
  if (!job.row.cid.empty()) by_cid.insert_or_assign({job.row.user, job.row.cid}, number);
  add_totals(jobs.emplace(number, std::move(job)).first->second, 1);
}

void FarmState::Data::erase_job(Job& job) {
  const auto number = job.row.number;
  add_totals(job, -1);
  lost.erase(lost.lower_bound({{number, 0}, 0}), lost.lower_bound({{number + 1, 0}, 0}));
  if (const auto cid = by_cid.find({job.row.user, job.row.cid});
      cid != by_cid.end() && cid->second == number) {
    by_cid.erase(cid);
  }
  job_numbers.erase(job.row.id);
  jobs.erase(number);
}

void FarmState::Data::add_totals(const Job& job, int sign) {
  const auto& counts = job.row.counts;
  const auto add = [sign](auto& total, std::uint64_t count) {
    total = static_cast<std::remove_reference_t<decltype(total)>>(sign > 0 ? total + count : total - count);
  };
  if (job.is_live()) {
    add(totals.tasks_queued, counts.queued);
    add(totals.jobs_active, 1);
  }
  add(totals.tasks_running, counts.running);
  add(totals.tasks_failed, counts.failed);
}

void FarmState::Data::count(Job& job, TaskState from, TaskState to, std::uint32_t tasks) {
  add_totals(job, -1);
  KILN_ASSERT(bucket(job.row.counts, from) >= tasks);
  bucket(job.row.counts, from) -= tasks;
  bucket(job.row.counts, to) += tasks;
  add_totals(job, 1);
}

void FarmState::Data::set_job_state(Job& job, JobState state) {
  add_totals(job, -1);
  job.row.state = state;
  add_totals(job, 1);
  refresh_ready_all(job);
}

void FarmState::Data::set_priority(Job& job, int priority) {
  unready_all(job);
  job.row.priority = priority;
  refresh_ready_all(job);
}

void FarmState::Data::set_avoids(Job& job, std::vector<NodeNo> avoids) {
  unready_all(job);
  job.avoids = std::move(avoids);
  refresh_ready_all(job);
}

void FarmState::Data::unready_all(const Job& job) {
  auto& pool = pools[job.pool];
  set_ready(pool, {0, job.avoids}, key_of(job), false);
  for (const auto& [shuns, tasks] : job.requeued) set_ready(pool, {shuns, job.avoids}, key_of(job), false);
}

void FarmState::Data::set_ready(Pool& pool, const Group& group, const JobKey& key, bool ready) {
  auto& jobs_of_group = pool.ready[group];
  const auto head = [&]() -> std::optional<JobKey> {
    return jobs_of_group.empty() ? std::nullopt : std::optional(*jobs_of_group.begin());
  };
  const auto before = head();
  if (ready) {
    jobs_of_group.insert(key);
  } else {
    jobs_of_group.erase(key);
  }
  if (const auto after = head(); !(before == after)) {
    if (before) pool.heads.erase({*before, group});
    if (after) pool.heads.insert({*after, group});
  }
  if (jobs_of_group.empty()) pool.ready.erase(group);
}

void FarmState::Data::refresh_ready(const Job& job, NodeNo shuns) {
  const auto waiting = job.requeued.find(shuns);
  const bool has_task =
      (shuns == 0 && job.has_fresh()) || (waiting != job.requeued.end() && !waiting->second.empty());
  set_ready(pools[job.pool], {shuns, job.avoids}, key_of(job), has_task && job.row.state == JobState::active);
}

void FarmState::Data::refresh_ready_all(const Job& job) {
  refresh_ready(job, 0);
  for (const auto& [group, tasks] : job.requeued) refresh_ready(job, group);
}

void FarmState::Data::requeue(Job& job, std::uint32_t index, Task& task) {
  const NodeNo group = task.shuns ? task.node : 0;
  job.requeued[group].insert(index);
  refresh_ready(job, group);
}

void FarmState::Data::unqueue(Job& job, std::uint32_t index, const Task& task) {
  const NodeNo group = task.shuns ? task.node : 0;
  const auto tasks = job.requeued.find(group);
  if (tasks == job.requeued.end()) return;
  tasks->second.erase(index);
  if (tasks->second.empty()) job.requeued.erase(tasks);
  refresh_ready(job, group);
}

// ---- nodes and what they hold
// ------------------------------------------------------------------------------

void FarmState::Data::tally(const Lease& lease, int sign) {
  if (lease.phase == payloads::TaskPhase::delivering) return;  // its slot is free again
  auto& holder = node(lease.node);
  auto& tasks = is_started(lease) ? holder.started : holder.waiting;
  tasks = sign > 0 ? tasks + 1 : tasks - 1;
  if (!is_started(lease)) {
    holder.waiting_ms = sign > 0 ? holder.waiting_ms + lease.est_ms : holder.waiting_ms - lease.est_ms;
  }
}

void FarmState::Data::hold(const LeaseKey& key, Lease lease) {
  auto& holder = node(lease.node);
  lease.order = ++last_order;
  tally(lease, 1);
  leases.insert_or_assign(key, lease);
  holder.held.insert(key);
  replace(holder);
}

void FarmState::Data::drop(const LeaseKey& key) {
  auto& lease = leases.at(key);
  set_recalled(key, lease, false);
  set_due(key, lease, 0);
  auto& holder = node(lease.node);
  tally(lease, -1);
  holder.held.erase(key);
  leases.erase(key);
  replace(holder);
}

void FarmState::Data::set_phase(Lease& lease, payloads::TaskPhase phase) {
  if (lease.phase == phase) return;
  tally(lease, -1);
  lease.phase = phase;
  tally(lease, 1);
  replace(node(lease.node));
}

void FarmState::Data::set_recalled(const LeaseKey& key, Lease& lease, bool recalled) {
  if (lease.recalled == recalled) return;
  lease.recalled = recalled;
  auto& in_flight = pools[jobs.at(key.job).pool].recalls;
  in_flight = recalled ? in_flight + 1 : in_flight - 1;
}

void FarmState::Data::set_due(const LeaseKey& key, Lease& lease, std::int64_t due_mono_ms) {
  if (lease.due_mono_ms != 0) due.erase({lease.due_mono_ms, key});
  lease.due_mono_ms = due_mono_ms;
  if (due_mono_ms != 0) due.insert({due_mono_ms, key});
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
  if (was.usable) {
    for (const auto pool : node.pools) {
      pools[pool].usable.erase({was.level, node.no});
      pools[pool].idle_slots -= was.idle;
      if (was.open) pools[pool].open.erase({was.level, node.no});
    }
  }
  if (was.open) {
    for (const auto& manifest : node.warm) {
      const auto warm_nodes = warm_open.find(manifest);
      warm_nodes->second.erase({was.level, node.no});
      if (warm_nodes->second.empty()) warm_open.erase(warm_nodes);
    }
  }
  node.placed = {};
}

void FarmState::Data::place(Node& node) {
  auto& is = node.placed;
  is.present = node.is_present();
  is.slots = node.has_info ? std::min<std::uint32_t>(node.row.info.slots, payloads::max_slots) : 0;
  is.busy = std::min(node.started, is.slots);
  is.usable = connected && is.slots > 0 && node.row.presence == NodePresence::online && !node.row.drained &&
              node.row.quarantine.empty() && node.has_reported && node.rests_until_mono_ms == 0;
  is.quarantined = is.present && !node.row.quarantine.empty();
  if (is.quarantined) ++quarantined;
  if (is.present) {
    ++totals.nodes_online;
    totals.slots += is.slots;
    totals.slots_busy += is.busy;
  }
  if (!is.usable) return;

  // One task a slot is always queued ahead; more only while they are so short that together they would not
  // hide a round trip.
  const auto load = node.load();
  const auto most = is.slots * (1 + policy.max_queue_ahead);
  const auto always = is.slots * (1 + std::min(policy.max_queue_ahead, 1U));
  const std::uint64_t ahead = load > is.slots ? load - is.slots : 0;
  const auto ahead_ms = node.waiting == 0 ? 0 : node.waiting_ms * ahead / node.waiting;
  is.level = load * full_level / is.slots;
  is.open = node.held.size() < max_held &&
            (load < always ||
             (load < most && ahead_ms < static_cast<std::uint64_t>(policy.queue_ahead_ms) * is.slots));
  is.idle = is.open && load < is.slots ? is.slots - load : 0;
  for (const auto pool : node.pools) {
    pools[pool].usable.insert({is.level, node.no});
    pools[pool].idle_slots += is.idle;
    if (is.open) pools[pool].open.insert({is.level, node.no});
  }
  if (is.open) {
    for (const auto& manifest : node.warm) warm_open[manifest].insert({is.level, node.no});
  }
}

void FarmState::Data::set_info(Node& node, payloads::NodeInfo info) {
  unplace(node);
  node.row.info = std::move(info);
  node.has_info = true;
  node.pools = {pool_of(std::string(noop))};
  for (const auto& renderer : node.row.info.renderers) {
    node.pools.push_back(pool_of(renderer.name));
    if (!node.row.info.gpus.empty()) node.pools.push_back(pool_of(pool_name(renderer.name, true)));
  }
  std::sort(node.pools.begin(), node.pools.end());
  node.pools.erase(std::unique(node.pools.begin(), node.pools.end()), node.pools.end());
  place(node);
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

// ---- restart
// ------------------------------------------------------------------------------------------------

void FarmState::Data::load(const FarmRows& rows, Instant now) {
  last_job_number = rows.last_job_number;
  attempt_floor = rows.attempt_floor;
  for (const auto& row : rows.nodes) {
    auto& node = add_node(row.id, now);
    node.row = row;
    node.presence_is_old = row.presence != NodePresence::unknown;
    node.row.presence = NodePresence::unknown;
    if (!row.quarantine.empty()) {
      // Never longer than a whole one, whatever the clock did meanwhile.
      const auto left =
          std::clamp<std::int64_t>(row.quarantine_until_ms - now.unix_ms, 1, policy.quarantine_ms);
      node.forgiven_mono_ms = now.mono_ms + left;
    }
    if (row.info != payloads::NodeInfo()) set_info(node, row.info);
  }
  for (const auto& row : rows.jobs) {
    last_job_number = std::max(last_job_number, row.number);
    insert_job(row);
    auto& job = jobs.at(row.number);
    job.tasks_kept = job.is_live() || row.state == JobState::failed || row.held > 0;
    job.winners_kept = job.tasks_kept;
  }
  for (const auto& row : rows.tasks) {
    auto* job = find_job(row.id.job);
    if (job == nullptr || !job->tasks_kept || row.id.index >= job->total) continue;
    // A gap is a task that was never touched, in front of one that was: it waits with those queued again.
    if (row.id.index >= job->tasks.size()) job->tasks.resize(std::size_t{row.id.index} + 1);
    auto& task = job->tasks[row.id.index];
    task.state = row.state;
    task.attempt = row.attempt;
    // Which of them failed is not stored: the cheaper one is assumed, so that no frame fails too early.
    task.lost = saturated(row.failures);
    task.seconds = static_cast<float>(row.seconds);
    task.started_ms = row.started_ms;
    task.finished_ms = row.finished_ms;
    task.blank = static_cast<std::uint8_t>(row.blank) & 3U;
    task.review = static_cast<std::uint8_t>(row.review) & 3U;
    if (row.void_up_to != 0) job->void_up_to[row.id.index] = row.void_up_to;
    if (!row.node.empty()) {
      const auto* holder = find_node(row.node);
      task.node = holder != nullptr ? holder->no : add_node(row.node, now).no;
    }
    if (task.state == TaskState::done && task.attempt != 1) job->winners[row.id.index] = task.attempt;
    task.adoptable = task.state == TaskState::queued && task.node != 0;
    if (!row.error_code.empty() || !row.error_message.empty()) {
      job->errors[row.id.index] = {row.error_code, row.error_message};
    }
  }
  for (const auto& row : rows.attempts) {
    auto* job = find_job(row.task.job);
    Task* task = job == nullptr ? nullptr : touched(*job, row.task.index);
    if (task == nullptr || !job->is_live() || task->attempt != row.attempt || task->node == 0) continue;
    if (task->state != TaskState::assigned && task->state != TaskState::running) continue;
    Lease lease;
    lease.node = task->node;
    lease.attempt = row.attempt;
    lease.running = row.state == AttemptState::running;
    lease.seen = lease.running;
    lease.phase = lease.running ? payloads::TaskPhase::rendering : payloads::TaskPhase::queued;
    lease.est_ms = estimate_ms(*job);
    lease.sends = 1;
    lease.sent_mono_ms = now.mono_ms;
    lease.sent_sid = node(task->node).row.sid;
    lease.assigned_ms = row.assigned_ms;
    lease.started_ms = row.started_ms;
    const LeaseKey key{job->row.number, row.task.index};
    hold(key, lease);
    const std::int64_t max_run_s = job->row.spec.options.max_run_s;
    // Since when it renders is not known: it gets the whole time once more.
    if (lease.running && max_run_s != 0) {
      set_due(key, *find_lease(key), now.mono_ms + max_run_s * 1000 + policy.overdue_ms);
    }
  }
  for (auto& [number, job] : jobs) {
    if (!job.tasks_kept) continue;
    payloads::TaskCounts counts;
    std::uint32_t held = 0;
    for (std::uint32_t index = 0; index < job.tasks.size(); ++index) {
      auto& task = job.tasks[index];
      const bool is_out = task.state == TaskState::assigned || task.state == TaskState::running;
      if (is_out && find_lease({number, index}) == nullptr) task.state = TaskState::queued;
      ++bucket(counts, task.state);
      if (task.state == TaskState::queued) job.requeued[0].insert(index);
      if (task.review == static_cast<std::uint8_t>(Review::held)) ++held;
    }
    const auto fresh = job.total - static_cast<std::uint32_t>(job.tasks.size());
    (job.is_live() ? counts.queued : counts.cancelled) += fresh;
    if (!job.is_live() && counts != job.row.counts) {
      // Its tasks did not come along: it is shown as it is and cannot be retried.
      job.tasks_kept = job.winners_kept = false;
      job.tasks.clear();
      job.requeued.clear();
      continue;
    }
    job.row.held = held;
    add_totals(job, -1);
    job.row.counts = counts;
    add_totals(job, 1);
    refresh_ready_all(job);
  }
}

// ---- cids
// ---------------------------------------------------------------------------------------------------

namespace {
constexpr std::string_view run_prefix = "run-";
constexpr std::string_view cancel_prefix = "cancel-";
}  // namespace

std::string run_cid(const TaskId& task, std::uint32_t attempt) {
  return fmt::format("{}{}-{}", run_prefix, task.str(), attempt);
}
std::string cancel_cid(const TaskId& task, std::uint32_t attempt) {
  return fmt::format("{}{}-{}", cancel_prefix, task.str(), attempt);
}

std::optional<CommandName> parse_cid(std::string_view cid) {
  CommandName name;
  if (cid.starts_with(run_prefix)) {
    cid.remove_prefix(run_prefix.size());
  } else if (cid.starts_with(cancel_prefix)) {
    cid.remove_prefix(cancel_prefix.size());
    name.is_cancel = true;
  } else {
    return std::nullopt;
  }
  const auto dash = cid.rfind('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto digits = cid.substr(dash + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), name.attempt);
  auto task = TaskId::parse(cid.substr(0, dash));
  if (!task || error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  name.task = std::move(*task);
  return name;
}

}  // namespace kiln::scheduler
