#include "scheduler/farm_data.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace kiln::scheduler {

namespace {

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
std::optional<LeaseKey> FarmState::Data::find_attempt(JobNo job, std::uint32_t index, std::uint32_t attempt) {
  for (const bool twin : {false, true}) {
    const auto* lease = find_lease({job, index, twin});
    if (lease != nullptr && lease->attempt == attempt) return LeaseKey{job, index, twin};
  }
  return std::nullopt;
}

// ---- tasks
// --------------------------------------------------------------------------------------------------

Step& FarmState::Data::step_of(Job& job, std::uint32_t index) {
  return const_cast<Step&>(step_of(std::as_const(job), index));
}
const Step& FarmState::Data::step_of(const Job& job, std::uint32_t index) {
  const auto after = std::upper_bound(job.steps.begin(), job.steps.end(), index,
                                      [](std::uint32_t i, const Step& step) { return i < step.first; });
  KILN_ASSERT(after != job.steps.begin());
  // A step without tasks begins where the next does.
  auto step = after - 1;
  while (step != job.steps.begin() && step->spec.max_tasks() == 0) --step;
  return *step;
}

bool FarmState::Data::has_task(const Job& job, std::uint32_t index) {
  const auto& step = step_of(job, index);
  const auto local = index - step.first;
  return local < (step.is_cut() && job.tasks_kept ? step.tasks.size() : step.total);
}

payloads::FrameSet FarmState::Data::task_frames(const Job& job, std::uint32_t index) {
  const auto& step = step_of(job, index);
  if (!step.is_cut()) return job.row.spec.task_frames(index);
  const auto local = index - step.first;
  if (step.spec.frames.empty() || local >= step.tasks.size()) return {};
  return step.spec.frames.slice(step.cuts[local], step.cuts[local + 1] - step.cuts[local]);
}

const Task* FarmState::Data::touched(const Job& job, std::uint32_t index) const {
  ++task_visits;
  const auto& step = step_of(job, index);
  const auto local = index - step.first;
  return local < step.tasks.size() ? &step.tasks[local] : nullptr;
}
Task* FarmState::Data::touched(Job& job, std::uint32_t index) const {
  return const_cast<Task*>(touched(std::as_const(job), index));
}

Task& FarmState::Data::touch(Job& job, std::uint32_t index) {
  auto& step = step_of(job, index);
  const auto local = index - step.first;
  while (step.tasks.size() <= local) {
    if (!step.is_paired())
      step.requeued[0].insert(step.first + static_cast<std::uint32_t>(step.tasks.size()));
    step.tasks.emplace_back();
  }
  refresh_ready(job, step, 0);
  return step.tasks[local];
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
  if (const auto& step = step_of(job, index); step.is_cut()) {
    const auto local = index - step.first;
    row.first_unit = step.cuts[local];
    row.unit_count = step.cuts[local + 1] - step.cuts[local];
  }
  return row;
}

UserNo FarmState::Data::user_of(const std::string& name) {
  const auto [found, is_new] = user_numbers.try_emplace(name, static_cast<UserNo>(users.size() + 1));
  if (is_new) users.push_back({name, 0, {}});
  return found->second;
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

std::uint32_t FarmState::Data::estimate_ms(const Step& step) const {
  if (step.spec.needs.renderer == noop) return 0;
  const auto most = static_cast<double>(policy.queue_ahead_ms);
  if (step.counts.done == 0) return static_cast<std::uint32_t>(most);
  return static_cast<std::uint32_t>(std::clamp(1000 * step.done_s / step.counts.done, 0.0, most));
}

// The seconds of a task that is done, or (-1) is not any more.
void FarmState::Data::note_done(Job& job, Step& step, std::uint32_t local, int sign) {
  const auto& task = step.tasks[local];
  const auto units = step.is_cut() ? step.cuts[local + 1] - step.cuts[local] : 1;
  const auto seconds = static_cast<double>(task.seconds);
  step.done_s = std::max(0.0, step.done_s + sign * seconds);
  step.done_units = sign > 0 ? step.done_units + units : step.done_units - units;
  if (task.node == 0 || sign < 0) return;
  auto& [sum, count] = job.speed[task.node];
  sum += seconds;
  ++count;
}

// ---- jobs
// ---------------------------------------------------------------------------------------------------

void FarmState::Data::insert_job(JobRow row) {
  Job job;
  for (auto& spec : row.spec.all_steps()) {
    Step step;
    step.first = job.steps.empty() ? 0 : job.steps.back().first + job.steps.back().spec.max_tasks();
    step.spec = std::move(spec);
    step.total = step.spec.max_tasks();
    step.waits = static_cast<std::uint32_t>(step.spec.after.size());
    if (step.is_cut()) {
      step.cuts = {0};
      const auto each = std::max<std::uint32_t>(step.spec.chunk, 1);
      step.total = (step.spec.units + each - 1) / each;
    }
    step.counts.queued = step.total;
    // After a restart: of a job that has ended, how its steps were cut is known from their counts alone.
    if (row.steps.size() > job.steps.size()) {
      step.counts = row.steps[job.steps.size()];
      step.total = step.counts.total();
    }
    job.total += step.total;
    job.steps.push_back(std::move(step));
  }
  for (StepNo number = 0; number < job.steps.size(); ++number) {
    for (const auto other : job.steps[number].spec.after) job.steps[other].followers.push_back(number);
    for (const auto other : job.steps[number].spec.pairs_with)
      job.steps[other].pair_followers.push_back(number);
  }
  job.user = user_of(row.user);
  job.row = std::move(row);
  const auto number = job.row.number;
  job_numbers.emplace(job.row.id, number);
  if (!job.row.cid.empty()) by_cid.insert_or_assign({job.row.user, job.row.cid}, number);
  auto& kept = jobs.emplace(number, std::move(job)).first->second;
  if (kept.row.counts.total() == 0) kept.row.counts.queued = kept.total;
  show_steps(kept);
  add_totals(kept, 1);
  hold_pools(kept, kept.is_live());
}

void FarmState::Data::erase_job(Job& job) {
  const auto number = job.row.number;
  add_totals(job, -1);
  hold_pools(job, false);
  set_wishes(job, {});
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

void FarmState::Data::show_steps(Job& job) {
  if (job.row.spec.steps.empty()) return;
  job.row.steps.clear();
  for (const auto& step : job.steps) job.row.steps.push_back(step.counts);
}

void FarmState::Data::count(Job& job, Step& step, TaskState from, TaskState to, std::uint32_t tasks) {
  add_totals(job, -1);
  for (auto* counts : {&job.row.counts, &step.counts}) {
    KILN_ASSERT(bucket(*counts, from) >= tasks);
    bucket(*counts, from) -= tasks;
    bucket(*counts, to) += tasks;
  }
  if (!job.row.spec.steps.empty()) job.row.steps[step_no(job, step)] = step.counts;
  add_totals(job, 1);
}

void FarmState::Data::set_total(Job& job, Step& step, std::uint32_t total) {
  if (total == step.total) return;
  add_totals(job, -1);
  const auto more = total - step.total;  // modulo 2^32, as all of these
  step.total += more;
  job.total += more;
  step.counts.queued += more;
  job.row.counts.queued += more;
  if (!job.row.spec.steps.empty()) job.row.steps[step_no(job, step)] = step.counts;
  add_totals(job, 1);
}

void FarmState::Data::set_job_state(Job& job, JobState state) {
  const bool was_done = job.row.state == JobState::done;
  add_totals(job, -1);
  unready_all(job);
  job.row.state = state;
  add_totals(job, 1);
  hold_pools(job, job.is_live());
  refresh_ready_all(job);
  if (was_done != (state == JobState::done)) tell_followers(job);
}

// ---- what a job waits for
// ------------------------------------------------------------------------------------

void FarmState::Data::set_wishes(Job& job, JobWishes wishes) {
  const auto number = job.row.number;
  unready_all(job);
  for (const auto other : job.row.wishes.after) {
    const auto found = job_followers.find(other);
    if (found == job_followers.end()) continue;
    found->second.erase(number);
    if (found->second.empty()) job_followers.erase(found);
  }
  early.erase({job.row.wishes.start_ms, number});
  const bool pools_change = job.row.wishes.tags != wishes.tags;
  const bool held = job.holds_pools;
  if (pools_change) hold_pools(job, false);
  job.row.wishes = std::move(wishes);
  if (pools_change) hold_pools(job, held);
  for (const auto other : job.row.wishes.after) job_followers[other].insert(number);
  set_blockers(job);
  refresh_ready_all(job);
}

void FarmState::Data::set_blockers(Job& job) {
  job.blockers.clear();
  for (const auto other : job.row.wishes.after) {
    const auto found = jobs.find(other);
    if (found == jobs.end() || found->second.row.state != JobState::done) job.blockers.insert(other);
  }
}

void FarmState::Data::tell_followers(const Job& job) {
  const auto found = job_followers.find(job.row.number);
  if (found == job_followers.end()) return;
  for (const auto number : found->second) {
    auto& follower = jobs.at(number);
    unready_all(follower);
    set_blockers(follower);
    refresh_ready_all(follower);
  }
}

// ---- restart
// ------------------------------------------------------------------------------------------------

void FarmState::Data::load(const FarmRows& rows, Instant now) {
  last_job_number = rows.last_job_number;
  settings = rows.settings;
  for (const auto& row : rows.renderers) renderers.emplace(row.bundle.name, row);
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
  for (const auto& row : rows.usage) {
    if (auto* node = find_node(row.node)) node->hour = row;
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
    if (job == nullptr || !job->tasks_kept || row.id.index >= job->row.spec.task_count()) continue;
    auto& step = step_of(*job, row.id.index);
    const auto local = row.id.index - step.first;
    if (step.is_cut()) {
      // They were cut one after another, and the rows come in order.
      if (local != step.tasks.size() || row.first_unit != step.cuts.back()) continue;
      step.cuts.push_back(std::min(row.first_unit + row.unit_count, step.spec.units));
    }
    // A gap is a task that was never touched, in front of one that was: it waits with those queued again.
    if (local >= step.tasks.size()) step.tasks.resize(std::size_t{local} + 1);
    auto& task = step.tasks[local];
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
  for (const auto& row : rows.attempts) load_attempt(row, now);
  for (auto& [number, job] : jobs) {
    if (job.tasks_kept) load_counts(job);
  }
  for (auto& [number, job] : jobs) {
    const auto wishes = job.row.wishes;
    for (const auto other : wishes.after) job_followers[other].insert(number);
    set_blockers(job);
    if (wishes.start_ms > now.unix_ms && job.is_live()) {
      job.is_early = true;
      early.insert({wishes.start_ms, number});
    }
    if (job.tasks_kept) refresh_ready_all(job);
  }
}

// Of a task that was started twice both rows are out, the older first.
void FarmState::Data::load_attempt(const AttemptRow& row, Instant now) {
  auto* job = find_job(row.task.job);
  if (job == nullptr || !job->is_live() || row.task.index >= job->row.spec.task_count()) return;
  const Task* task = touched(*job, row.task.index);
  if (task == nullptr || row.attempt > task->attempt) return;
  if (task->state != TaskState::assigned && task->state != TaskState::running) return;
  const auto* holder = find_node(row.node);
  const auto number = holder != nullptr ? holder->no : task->node;
  if (number == 0) return;
  LeaseKey key{job->row.number, row.task.index, false};
  if (find_lease(key) != nullptr) key.twin = true;
  if (find_lease(key) != nullptr) return;
  const auto& step = step_of(*job, row.task.index);
  Lease lease;
  lease.node = number;
  lease.attempt = row.attempt;
  lease.running = row.state == AttemptState::running;
  lease.seen = lease.running;
  lease.phase = lease.running ? payloads::TaskPhase::rendering : payloads::TaskPhase::queued;
  lease.est_ms = estimate_ms(step);
  lease.sends = 1;
  lease.sent_mono_ms = now.mono_ms;
  lease.sent_sid = node(number).row.sid;
  lease.assigned_ms = row.assigned_ms;
  lease.started_ms = row.started_ms;
  lease.started_mono_ms = lease.running ? now.mono_ms : 0;
  give_lane(lease, pools[step.pool]);
  hold(key, lease);
  const std::int64_t max_run_s = job->row.spec.options.max_run_s;
  // Since when it renders is not known: it gets the whole time once more.
  if (lease.running && max_run_s != 0) {
    set_due(key, *find_lease(key), now.mono_ms + max_run_s * 1000 + policy.overdue_ms);
  }
}

// What the job's tasks come to, now that they are all there.
void FarmState::Data::load_counts(Job& job) {
  const auto number = job.row.number;
  payloads::TaskCounts counts;
  std::uint32_t held = 0;
  for (auto& step : job.steps) {
    if (step.is_cut() && job.is_live()) {
      const auto each = std::max<std::uint32_t>(step.spec.chunk, 1);
      job.total -= step.total;
      step.total = static_cast<std::uint32_t>(step.tasks.size()) + (step.units_left() + each - 1) / each;
      job.total += step.total;
    }
    step.counts = {};
    step.done_s = 0;
    step.done_units = 0;
    for (std::uint32_t local = 0; local < step.tasks.size(); ++local) {
      auto& task = step.tasks[local];
      const auto index = step.first + local;
      const bool is_out = task.state == TaskState::assigned || task.state == TaskState::running;
      if (is_out && find_lease({number, index, false}) == nullptr) task.state = TaskState::queued;
      ++bucket(step.counts, task.state);
      if (task.state == TaskState::done) note_done(job, step, local, 1);
      if (task.review == static_cast<std::uint8_t>(Review::held)) ++held;
    }
    const auto fresh = step.total - static_cast<std::uint32_t>(step.tasks.size());
    (job.is_live() ? step.counts.queued : step.counts.cancelled) += fresh;
    counts.queued += step.counts.queued;
    counts.running += step.counts.running;
    counts.done += step.counts.done;
    counts.failed += step.counts.failed;
    counts.cancelled += step.counts.cancelled;
  }
  if (!job.is_live() && counts != job.row.counts) {
    // Its tasks did not come along: it is shown as it is and cannot be retried.
    job.tasks_kept = job.winners_kept = false;
    for (auto& step : job.steps) step.tasks.clear();
    return;
  }
  job.row.held = held;
  add_totals(job, -1);
  job.row.counts = counts;
  add_totals(job, 1);
  show_steps(job);
  for (auto& step : job.steps) {
    step.waits = 0;
    for (const auto other : step.spec.after) step.waits += job.steps[other].is_done() ? 0 : 1;
    for (std::uint32_t local = 0; local < step.tasks.size(); ++local) {
      if (step.tasks[local].state != TaskState::queued) continue;
      const auto index = step.first + local;
      if (pair_is_ready(job, step, index)) step.requeued[0].insert(index);
    }
    // What became ready pairwise and was never handed out has no row.
    if (!step.is_paired()) continue;
    for (std::uint32_t local = static_cast<std::uint32_t>(step.tasks.size()); local < step.total; ++local) {
      if (!pair_is_ready(job, step, step.first + local)) continue;
      step.tasks.resize(std::size_t{local} + 1);
      step.requeued[0].insert(step.first + local);
    }
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
