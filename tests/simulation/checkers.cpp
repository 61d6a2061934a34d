#include "checkers.h"

#include <fmt/format.h>

#include <algorithm>

#include "node.h"

namespace kiln::sim {

using namespace scheduler;

namespace {

// Connected for this long, a box has been heard and has heard: three heartbeats, as rule 6 has it, and what a
// slow network and a slow commit add.
constexpr std::int64_t well_after_ms = 30'000;

bool is_out(TaskState state) {
  return state == TaskState::assigned || state == TaskState::running;
}

std::string name(const TaskId& task, std::uint32_t attempt) {
  return fmt::format("task {} attempt {}", task.str(), attempt);
}

// A unit of a template's step stands for a frame of that number, counted from 1.
std::vector<std::int32_t> frames_of(const JobSpec& spec, const TaskRow& row) {
  std::vector<std::int32_t> out;
  if (spec.steps.empty()) {
    const auto frames = spec.task_frames(row.id.index);
    for (std::size_t i = 0; i < frames.size(); ++i) out.push_back(frames.at(i));
    return out;
  }
  const auto place = spec.place_of(row.id.index);
  const auto& step = spec.steps[place.step];
  const auto first = row.unit_count != 0 ? row.first_unit : (row.id.index - place.first) * step.chunk;
  const auto end = std::min(row.unit_count != 0 ? first + row.unit_count : first + step.chunk, step.units);
  for (auto unit = first; unit < end; ++unit) out.push_back(static_cast<std::int32_t>(unit) + 1);
  return out;
}

using Out = std::pair<LeaseKey, const Lease*>;

// Everything that the task is out on.
std::vector<Out> out_of(const FarmState::Data& data, JobNo job, std::uint32_t index) {
  std::vector<Out> out;
  const LeaseKey first{job, index, false};
  for (auto lease = data.leases.lower_bound(first);
       lease != data.leases.end() && lease->first.job == job && lease->first.index == index; ++lease) {
    out.emplace_back(lease->first, &lease->second);
  }
  return out;
}

}  // namespace

Violation Checkers::violation(const std::string& sentence, const Node* node, const TaskId& task) const {
  return Violation(sentence, node == nullptr ? nobody : node->box(), task);
}

Checkers::Box& Checkers::box(const Node& node) {
  return ghosts_[node.box()];
}

// ---- who is connected to whom -----------------------------------------------------------------------------

void Checkers::refresh_lines() {
  const auto now_ms = world_.now_ms();
  const bool is_up = controller_online_ && controller_->is_up() && !controller_->has_disk_trouble();
  controller_line_.set(is_up, now_ms);
  for (const auto* node : boxes_) box_line(*node);
}

void Checkers::controller_line(bool is_up) {
  controller_online_ = is_up;
  if (is_up) connected_ms_ = world_.now_ms();
  refresh_lines();
}

void Checkers::controller_gone() {
  controller_online_ = false;
  refresh_lines();
}

void Checkers::box_line(const Node& node) {
  auto& ghost = box(node);
  const auto now_ms = world_.now_ms();
  if (is_well(ghost)) ghost.well_until_ms = now_ms;
  const bool is_online = node.is_up() && node.is_online();
  ghost.online.set(is_online && controller_line_.ms >= 0, now_ms);
  ghost.offline.set(!is_online, now_ms);
}

bool Checkers::is_well(const Box& box) const {
  return box.online.lasts_ms(world_.now_ms()) >= well_after_ms;
}

bool Checkers::had_double(int identity) const {
  constexpr std::int64_t aftermath_ms = 180'000;
  const auto found = doubles_.find(identity);
  if (found == doubles_.end()) return false;
  return found->second.is_there || world_.now_ms() - found->second.gone_ms < aftermath_ms;
}

const Node* Checkers::holder(const NodeId& id) const {
  const auto found = holders_.find(id);
  return found == holders_.end() ? nullptr : found->second;
}

void Checkers::watch(Node& box) {
  boxes_.push_back(&box);
  holders_.emplace(box.id(), &box);
}

// ---- the controller ---------------------------------------------------------------------------------------

void Checkers::epoch_raised(const std::string& farm, std::uint64_t epoch) {
  auto& last = epochs_[farm];
  if (epoch <= last)
    throw Violation(fmt::format("rule 2: the controller starts with epoch {}, which it had before", epoch));
  last = epoch;
}

void Checkers::controller_started(const FarmState& state, FarmData& data) {
  audit_farm(state, data.database);
  // Every frame that is done is in its place, or on the list of what is still to be moved.
  for (const auto& accept : data.database.unmoved()) {
    for (const auto& file : accept.files) {
      if (data.files.output(accept.task.job, file.path) == file.digest) continue;
      throw violation(fmt::format("rule 13: after a start {} of {} is not in the output", file.path,
                                  name(accept.task, accept.attempt)),
                      nullptr, accept.task);
    }
  }
}

void Checkers::stepped(const FarmState& state, const Policy& policy, const Event& event,
                       const std::vector<Effect>& effects) {
  const auto* retry = std::get_if<RetryJob>(&event);
  const auto* again = std::get_if<RequeueTasks>(&event);
  if (retry != nullptr || again != nullptr || std::holds_alternative<RequeueTask>(event)) {
    // What had ended starts anew; what is queued, with failures, does not.
    if (retry != nullptr) ruined_.erase(retry->job);
    for (const auto& effect : effects) {
      if (const auto* task = std::get_if<SaveTask>(&effect)) tries_.erase(task->row.id);
    }
  }
  if (const auto* status = std::get_if<NodeStatusSeen>(&event);
      status != nullptr && status->status.state == payloads::NodeState::offline) {
    restarting_.erase(status->node);
  }
  if (const auto* commit = std::get_if<FinishAttempt>(&event)) {
    if (!commit->report.ok && commit->report.failure.scope == payloads::FailureScope::job)
      ruined_.insert(commit->task.job);
  }
  for (const auto& effect : effects) {
    if (const auto* save = std::get_if<SaveAttempt>(&effect)) {
      const auto& row = save->row;
      if (row.state == AttemptState::lost) {
        tries_[row.task].lost.insert(row.attempt);
        check_lost(policy, row);
      }
      if (row.state == AttemptState::failed) tries_[row.task].failed.insert(row.attempt);
    }
  }
  for (const auto& effect : effects) {
    if (const auto* task = std::get_if<SaveTask>(&effect)) {
      check_task(state, task->row.id);
      if (task->row.state != TaskState::failed || ruined_.contains(task->row.id.job)) continue;
      const auto& tries = tries_[task->row.id];
      if (2 * tries.failed.size() + tries.lost.size() < 2ULL * policy.max_failures) {
        throw violation(
            fmt::format("task {} fails for good after {} failures and {} losses; it has {} tries",
                        task->row.id.str(), tries.failed.size(), tries.lost.size(), policy.max_failures),
            nullptr, task->row.id);
      }
    } else if (const auto* send = std::get_if<SendCommand>(&effect)) {
      if (const auto* run = std::get_if<payloads::RunTask>(&send->command.op)) {
        const auto is_new = std::find_if(effects.begin(), effects.end(), [&](const Effect& other) {
          const auto* save = std::get_if<SaveAttempt>(&other);
          return save != nullptr && save->row.task == run->task && save->row.attempt == run->attempt &&
                 save->row.state == AttemptState::assigned;
        });
        if (is_new != effects.end()) check_handed_out(state, std::get<SaveAttempt>(*is_new).row);
      } else if (std::holds_alternative<payloads::Reboot>(send->command.op)) {
        restarting_[send->node] = state.data().find_node(send->node)->row.sid;
      } else if (const auto* cancel = std::get_if<payloads::CancelTask>(&send->command.op)) {
        const auto& data = state.data();
        const auto number = data.job_numbers.find(cancel->task.job);
        if (number == data.job_numbers.end()) continue;
        const auto out = out_of(data, number->second, cancel->task.index);
        const bool is_wanted = std::any_of(out.begin(), out.end(), [&](const Out& one) {
          return one.second->attempt == cancel->attempt && !one.second->recalled &&
                 data.node(one.second->node).row.id == send->node;
        });
        if (is_wanted) {
          throw violation(fmt::format("rule 8: {} is out on {} and wanted, and is cancelled",
                                      name(cancel->task, cancel->attempt), send->node.str()),
                          holder(send->node), cancel->task);
        }
      }
    }
  }
}

// Queued, out or ended: and in the index that keeps it from being forgotten. At a job's tail it may be out
// twice.
void Checkers::check_task(const FarmState& state, const TaskId& id) const {
  const auto& data = state.data();
  const auto* job = data.find_job(id.job);
  if (job == nullptr || id.index >= job->row.spec.task_count()) return;
  const auto& step = FarmState::Data::step_of(*job, id.index);
  const auto local = id.index - step.first;
  if (local >= step.tasks.size()) return;
  const auto& task = step.tasks[local];
  if (task.state == TaskState::queued && FarmState::Data::pair_is_ready(*job, step, id.index)) {
    const auto group = step.requeued.find(task.shuns ? task.node : 0);
    if (group == step.requeued.end() || !group->second.contains(id.index)) {
      throw violation(fmt::format("task {} is lost: it is queued, but nobody will hand it out", id.str()),
                      nullptr, id);
    }
  }
  const auto out = out_of(data, job->row.number, id.index);
  if (is_out(task.state) == out.empty()) {
    throw violation(fmt::format("task {} is {} at attempt {}, but {} attempts are out", id.str(),
                                to_string(task.state), task.attempt, out.size()),
                    nullptr, id);
  }
  for (const auto& [key, lease] : out) {
    if (!data.node(lease->node).held.contains(key)) {
      throw violation(fmt::format("task {} is out on a node that does not hold it", id.str()), nullptr, id);
    }
    // The newest may have ended before an older one.
    if (lease->attempt > task.attempt || (out.size() == 2 && out[1].second->attempt != task.attempt)) {
      throw violation(fmt::format("task {} is at attempt {}, and attempt {} is out", id.str(), task.attempt,
                                  lease->attempt),
                      nullptr, id);
    }
  }
  if (out.size() == 2 &&
      (out[0].second->node == out[1].second->node || out[0].second->attempt == out[1].second->attempt)) {
    throw violation(
        fmt::format("task {} is out twice, as attempt {} and {}, on {} and {}", id.str(),
                    out[0].second->attempt, out[1].second->attempt,
                    data.node(out[0].second->node).row.id.str(), data.node(out[1].second->node).row.id.str()),
        nullptr, id);
  }
}

// Rules 8 and 10: nobody gives up what a connected box works on, and nobody else before the grace period.
void Checkers::check_lost(const Policy& policy, const AttemptRow& row) {
  const auto* node = holder(row.node);
  if (node == nullptr || had_double(node->identity()) || !node->is_up()) return;
  if (row.error_code == "too-hot") return;  // taken away on purpose
  const auto run = node->runs().find({row.task, row.attempt});
  if (run == node->runs().end() || run->second.serial == 0) return;
  auto& ghost = box(*node);
  // A command that took longer than all its repetitions was given up before its box could say that it came.
  const bool is_just_begun = world_.now_ms() - run->second.since_ms < well_after_ms;
  if (row.error_code == "not-taken" && is_just_begun) return;
  if (is_well(ghost)) {
    throw violation(
        fmt::format("rule 10: {} is given up as lost, though {} is connected and works on it ({})",
                    name(row.task, row.attempt), row.node.str(), row.error_message),
        node, row.task);
  }
  const auto silent_ms = world_.now_ms() - ghost.well_until_ms;
  if (ghost.well_until_ms >= 0 && silent_ms < plan_.policy.grace_ms &&
      run->second.since_ms < ghost.well_until_ms) {
    throw violation(
        fmt::format("rule 10: {} is given up {} ms after {} was last connected; the grace period is {} ms",
                    name(row.task, row.attempt), silent_ms, row.node.str(), plan_.policy.grace_ms),
        node, row.task);
  }
  static_cast<void>(policy);
}

void Checkers::check_handed_out(const FarmState& state, const AttemptRow& row) const {
  const auto& data = state.data();
  const auto* job = data.find_job(row.task.job);
  if (job == nullptr || job->row.state != JobState::active) {
    throw violation(
        fmt::format("{} is handed out, though its job is not active", name(row.task, row.attempt)), nullptr,
        row.task);
  }
  const auto& node = *data.find_node(row.node);
  if (node.row.presence != NodePresence::online || node.row.drained || !data.connected || data.disk_full) {
    throw violation(fmt::format("{} is handed out to {}, which may get nothing", name(row.task, row.attempt),
                                row.node.str()),
                    holder(row.node), row.task);
  }
  check_load(data, node, row);
  check_may_start(data, *job, row);
  check_wanted_node(data, *job, node, row);
  // What is still ready after this step was ready when the task was handed out.
  const auto& step = FarmState::Data::step_of(*job, row.task.index);
  const auto& pool = data.pools[step.pool];
  const JobKey key{job->row.priority, 0, job->row.number, FarmState::Data::step_no(*job, step)};
  for (const auto& [group, steps] : pool.ready) {
    if (steps.empty() || group.has(node.no)) continue;
    const auto& first = *steps.begin();
    // With a fair share, jobs of one priority are served by what their users have.
    const bool is_before = data.settings.fair_share ? first.priority > key.priority : first < key;
    if (is_before) {
      throw violation(
          fmt::format("priority: {} of a job with priority {} goes to {}, and job number {} with priority {} "
                      "was passed over",
                      name(row.task, row.attempt), key.priority, row.node.str(), first.number,
                      first.priority),
          nullptr, row.task);
    }
  }
}

// Its steps and partners are done, and its limits leave room for it. What was adopted may exceed a limit;
// then nothing more is handed out.
void Checkers::check_may_start(const FarmState::Data& data, const Job& job, const AttemptRow& row) const {
  const auto fault = [&](const std::string& what) {
    throw violation(fmt::format("{} is handed out, {}", name(row.task, row.attempt), what), nullptr,
                    row.task);
  };
  const auto& step = FarmState::Data::step_of(job, row.task.index);
  const auto is_done = [](const Task& task) { return task.state == TaskState::done; };
  for (const auto other : step.spec.after) {
    const auto& before = job.steps[other];
    const bool is_whole =
        before.is_cut() ? before.units_left() == 0 : before.tasks.size() == before.spec.max_tasks();
    if (!is_whole || !std::all_of(before.tasks.begin(), before.tasks.end(), is_done))
      fault(fmt::format("though step {} before it is not done", before.spec.name));
  }
  const auto local = row.task.index - step.first;
  for (const auto other : step.spec.pairs_with) {
    const auto& tasks = job.steps[other].tasks;
    if (local >= tasks.size() || !is_done(tasks[local]))
      fault(fmt::format("though its partner in step {} is not done", job.steps[other].spec.name));
  }
  for (const auto number : job.row.wishes.after) {
    const auto found = data.jobs.find(number);
    if (found == data.jobs.end() || found->second.row.state != JobState::done)
      fault(fmt::format("though job {} before it is not done", number));
  }
  std::uint32_t slots = 0;
  std::uint32_t slots_there = 0;
  std::set<NodeNo> nodes;
  const auto here = data.find_node(row.node)->no;
  std::map<std::string, std::uint64_t> used;
  for (const auto& [key, lease] : data.leases) {
    for (const auto& use : FarmState::Data::step_of(data.jobs.at(key.job), key.index).spec.needs.limits) {
      used[use.name] += use.count;
    }
    if (key.job != job.row.number) continue;
    ++slots;
    if (lease.node == here) ++slots_there;
    nodes.insert(lease.node);
  }
  for (const auto& use : step.spec.needs.limits) {
    const auto limit = data.settings.limits.find(use.name);
    if (limit != data.settings.limits.end() && used[use.name] > limit->second)
      fault(fmt::format("and {} of {} '{}' are used", used[use.name], limit->second, use.name));
  }
  const auto& wishes = job.row.wishes;
  if (wishes.slot_limit != 0 && slots > wishes.slot_limit)
    fault(fmt::format("and its job has {} out; its limit is {}", slots, wishes.slot_limit));
  if (wishes.node_limit != 0 && nodes.size() > wishes.node_limit && slots_there == 1)
    fault(fmt::format("and its job is on {} nodes; its limit is {}", nodes.size(), wishes.node_limit));
}

void Checkers::check_wanted_node(const FarmState::Data& data, const Job& job, const scheduler::Node& node,
                                 const AttemptRow& row) const {
  const auto fault = [&](const std::string& what) {
    throw violation(
        fmt::format("{} is handed out to {}, {}", name(row.task, row.attempt), row.node.str(), what),
        holder(row.node), row.task);
  };
  const auto& settings = node.row.settings;
  if (!settings.enabled) fault("which is disabled");
  if (settings.reboot) fault("which is to restart");
  const auto leaving = restarting_.find(row.node);
  if (leaving != restarting_.end() && leaving->second == node.row.sid) fault("which was told to restart");
  if (!node.in_window) fault("outside of its schedule");
  const auto out = out_of(data, job.row.number, row.task.index);
  const auto lease = std::find_if(out.begin(), out.end(),
                                  [&](const Out& one) { return one.second->attempt == row.attempt; });
  if (lease == out.end()) return;
  if (lease->second->kind == gpu_lane && !node.hot_gpus.empty()) fault("whose GPU is hot");
  const auto& needs = FarmState::Data::step_of(job, row.task.index).spec.needs;
  if (needs.device == payloads::Device::gpu && lease->second->kind != gpu_lane) fault("not for its GPU");
  for (const auto& amount : needs.amounts) {
    if (amount.name == memory_amount && static_cast<double>(node.row.info.memory_mib) < amount.min)
      fault("which has not the memory");
  }
}

// Tasks cut as they were handed out: without a gap, never twice, and the database knows the same.
void Checkers::check_cuts(const Job& job, const Step& step, const Database& database) const {
  const auto& cuts = step.cuts;
  const bool is_fine = cuts.size() == step.tasks.size() + 1 && cuts.front() == 0 &&
                       cuts.back() <= step.spec.units &&
                       std::adjacent_find(cuts.begin(), cuts.end(), std::greater_equal<>()) == cuts.end();
  if (!is_fine)
    throw Violation(fmt::format("step {} of job {} is cut wrongly", step.spec.name, job.row.id.str()));
  for (std::uint32_t local = 0; local < step.tasks.size(); ++local) {
    const TaskId id{job.row.id, step.first + local};
    const auto* row = database.task(id);
    if (row != nullptr && row->first_unit == cuts[local] && row->unit_count == cuts[local + 1] - cuts[local])
      continue;
    throw violation(fmt::format("task {} is cut from unit {} on, and the database does not say so", id.str(),
                                cuts[local]),
                    nullptr, id);
  }
}

// No more on its slots, and behind them, than they may have.
void Checkers::check_load(const FarmState::Data& data, const scheduler::Node& node,
                          const AttemptRow& row) const {
  for (const std::size_t kind : {cpu_lane, gpu_lane}) {
    const auto& lane = node.lanes.at(kind);
    std::uint64_t load = 0;
    std::uint64_t heaviest = 0;
    bool is_here = false;
    for (const auto& key : node.held) {
      const auto& lease = data.leases.at(key);
      is_here = is_here || (lease.kind == kind && lease.attempt == row.attempt &&
                            data.jobs.at(key.job).row.id == row.task.job && key.index == row.task.index);
      if (lease.kind != kind || lease.phase == payloads::TaskPhase::delivering) continue;
      load += lease.weight;
      heaviest = std::max<std::uint64_t>(heaviest, lease.weight);
    }
    const auto most =
        std::uint64_t{lane.slots} * full_level * (1 + std::max(data.policy.max_queue_ahead, 1U));
    if (!is_here || load - heaviest < most) continue;
    throw violation(
        fmt::format("{} has {} tasks on {} slots", node.row.id.str(), load / full_level, lane.slots),
        holder(node.row.id), row.task);
  }
}

void Checkers::committed(const Database& database, const std::vector<Effect>& effects) {
  for (const auto& effect : effects) {
    const auto* save = std::get_if<SaveTask>(&effect);
    if (save == nullptr) continue;
    const auto& id = save->row.id;
    const auto* row = database.task(id);
    if (row == nullptr) continue;  // erased in this batch
    const auto winner = winners_.find(id);
    if (winner != winners_.end() && winner->second <= row->void_up_to) {
      // Somebody asked for it again.
      winners_.erase(winner);
      accepted_.erase(id);
    }
    const auto winner_now = winners_.find(id);
    if (row->state != TaskState::done) {
      if (winner_now == winners_.end()) continue;
      throw violation(fmt::format("task {} was done and is {} again", id.str(), to_string(row->state)),
                      nullptr, id);
    }
    if (winner_now == winners_.end()) {
      world_.note("task is done", nobody, id, row->attempt);
      winners_.emplace(id, row->attempt);
    } else if (winner_now->second != row->attempt) {
      throw violation(fmt::format("rule 1: task {} was done by attempt {} and is done by attempt {}",
                                  id.str(), winner_now->second, row->attempt),
                      nullptr, id);
    }
    const auto& spec = database.job(id.job)->spec;
    if (spec.renderer == "noop") continue;
    const auto frames = frames_of(spec, *row);
    const auto* results = database.results(id);
    std::size_t count = 0;
    for (const auto frame : frames) {
      if (results == nullptr) break;
      const auto result = results->find(frame);
      if (result != results->end() && result->second.attempt == row->attempt) ++count;
    }
    if (count != frames.size() || results->size() != count) {
      throw violation(
          fmt::format("task {} is done with results of {} of its {} frames", id.str(), count, frames.size()),
          nullptr, id);
    }
  }
}

void Checkers::published(const Database& database, int identity, const payloads::Command& command) {
  const auto* run = std::get_if<payloads::RunTask>(&command.op);
  if (run == nullptr) return;
  const AttemptKey key{run->task, run->attempt};
  sent_ms_[key] = world_.now_ms();
  world_.note("controller sends run", identity, run->task, run->attempt);
  const auto* row = database.attempt(key);
  if (row == nullptr && database.job(run->task.job) != nullptr) {
    throw violation(fmt::format("rule 3: {} is published before it is stored", name(run->task, run->attempt)),
                    nullptr, run->task);
  }
}

void Checkers::files_accepted(const Database& database, const AcceptFiles& files) {
  if (database.job(files.task.job) == nullptr) return;
  const auto* row = database.task(files.task);
  if (row == nullptr || row->state != TaskState::done || row->attempt != files.attempt) {
    throw violation(
        fmt::format("rule 1: files of {} are accepted, which has not won", name(files.task, files.attempt)),
        nullptr, files.task);
  }
}

void Checkers::files_missing(const Database& database, const AcceptFiles& files) {
  if (database.job(files.task.job) == nullptr) return;  // deleted meanwhile, with its files
  throw violation(fmt::format("rule 1: {} has won, but its files are gone", name(files.task, files.attempt)),
                  nullptr, files.task);
}

void Checkers::files_dropped(const FarmData& data, const AttemptKey& attempt) {
  const auto& database = data.database;
  const auto* job = database.job(attempt.first.job);
  if (job == nullptr) return;
  const auto* task = database.task(attempt.first);
  if (task != nullptr && task->state == TaskState::done) {
    // A second copy of what has been moved may go.
    const auto* results = task->attempt == attempt.second ? database.results(attempt.first) : nullptr;
    for (const auto& [frame, result] : results == nullptr ? std::map<std::int32_t, ResultRow>() : *results) {
      if (data.files.output(attempt.first.job, result.file.path) == result.file.digest) continue;
      throw violation(
          fmt::format("the files of {} are dropped, which has won", name(attempt.first, attempt.second)),
          nullptr, attempt.first);
    }
    return;
  }
  if (task != nullptr && attempt.second <= task->void_up_to) return;  // it was asked for again
  const bool is_live = job->state == JobState::active || job->state == JobState::paused;
  if (!is_live || !data.files.incoming().contains(attempt)) return;
  for (const auto* node : boxes_) {
    for (const auto& [number, entry] : node->disk().journal) {
      if (entry.task == attempt.first && entry.attempt == attempt.second && entry.report.ok &&
          entry.farm == database.farm()) {
        throw violation(fmt::format("the files of {} are dropped, though a box can still deliver it",
                                    name(attempt.first, attempt.second)),
                        node, attempt.first);
      }
    }
  }
}

void Checkers::answered(const Database& database, const AttemptKey& attempt, payloads::Verdict verdict) {
  if (verdict != payloads::Verdict::accepted) return;
  const auto [first, is_first] = accepted_.try_emplace(attempt.first, attempt.second);
  if (!is_first) {
    throw violation(fmt::format("rule 1: attempt {} of {} is accepted after attempt {} was", attempt.second,
                                attempt.first.str(), first->second),
                    nullptr, attempt.first);
  }
  if (database.job(attempt.first.job) == nullptr) return;
  const auto* task = database.task(attempt.first);
  if (task == nullptr || task->state != TaskState::done || task->attempt != attempt.second) {
    throw violation(fmt::format("rule 1: {} is answered accepted, and the database does not say so",
                                name(attempt.first, attempt.second)),
                    nullptr, attempt.first);
  }
}

void Checkers::submitted(const Database& database, const std::string& cid, const JobId& job) {
  const auto [known, is_new] = cids_.try_emplace({database.farm(), cid}, job);
  if (!is_new && known->second != job) {
    throw Violation(
        fmt::format("rule 12: one submission made the jobs {} and {}", known->second.str(), job.str()),
        nobody, {job, 0});
  }
}

// ---- the boxes --------------------------------------------------------------------------------------------

void Checkers::box_started(const Node& node) {
  const auto& ghost = box(node);
  if (node.epoch() < ghost.epoch) {
    throw violation(fmt::format("rule 2: {} starts with epoch {}, having seen {}", node.id().str(),
                                node.epoch(), ghost.epoch),
                    &node, {});
  }
  for (const auto& key : ghost.journalled) {
    const auto& journal = node.disk().journal;
    const bool is_there = std::any_of(journal.begin(), journal.end(), [&](const auto& one) {
      return one.second.task == key.first && one.second.attempt == key.second;
    });
    if (!is_there) {
      throw violation(fmt::format("rule 11: {} was said to be journalled, and is gone after a restart",
                                  name(key.first, key.second)),
                      &node, key.first);
    }
  }
  // Who starts anew counts anew how often he is thrown out.
  if (const auto found = doubles_.find(node.identity()); found != doubles_.end())
    found->second.alternations = 0;
  box_line(node);
}

void Checkers::box_gone(const Node& node) {
  box(node).unknown_since_ms.clear();
}

void Checkers::box_lost_state(const Node& node) {
  box(node).sid = box(node).epoch = 0;
}

void Checkers::box_changed_farm(const Node& node) {
  box(node).epoch = 0;
}

void Checkers::box_connected(const Node& node) {
  auto& ghost = box(node);
  const auto sid = node.disk().sid;
  if (sid <= ghost.sid) {
    throw violation(fmt::format("rule 4: {} connects with sid {}, which it had before", node.id().str(), sid),
                    &node, {});
  }
  ghost.sid = sid;
  ghost.connected_ms = world_.now_ms();
  if (const auto found = doubles_.find(node.identity()); found != doubles_.end() && found->second.is_there) {
    auto& two = found->second;
    constexpr int patience = 12;
    if (std::exchange(two.last_box, node.box()) != node.box() && ++two.alternations > patience &&
        !two.is_known) {
      throw violation(
          fmt::format("rule 14: two boxes throw each other out as {}, and nobody says so", node.id().str()),
          &node, {});
    }
  }
}

void Checkers::box_said(const Node& node, const payloads::NodeEvent& event) {
  world_.note("box says something", node.box());
  if (event.kind != "two-boxes") return;
  if (const auto found = doubles_.find(node.identity()); found != doubles_.end())
    found->second.is_known = true;
}

void Checkers::double_came(int identity) {
  doubles_[identity] = {true, false, 0, -1, 0};
}
void Checkers::double_went(int identity) {
  auto& two = doubles_[identity];
  two.is_there = false;
  two.gone_ms = world_.now_ms();
}

void Checkers::commanded(const Node& node, const planner::CommandReceived& fact,
                         const std::vector<planner::Effect>& effects) {
  if (!fact.command) return;
  const auto& command = *fact.command;
  auto& ghost = box(node);
  const bool is_old = command.epoch < ghost.epoch;
  if (!fact.retained) ghost.epoch = std::max(ghost.epoch, command.epoch);
  if (std::holds_alternative<payloads::Rebirth>(command.op)) ghost.reborn_ms = world_.now_ms();
  if (!is_old && !fact.retained) return;
  const bool is_obeyed = std::any_of(effects.begin(), effects.end(), [](const planner::Effect& effect) {
    const auto* ack = std::get_if<planner::PublishAck>(&effect);
    return std::holds_alternative<planner::StartTask>(effect) ||
           std::holds_alternative<planner::CancelAttempt>(effect) || (ack != nullptr && ack->ack.ok);
  });
  if (!is_obeyed) return;
  throw violation(fact.retained
                      ? fmt::format("rule 9: {} obeys a retained command ({})", node.id().str(), command.cid)
                      : fmt::format("rule 2: {} obeys a command of epoch {} ({}), having seen {}",
                                    node.id().str(), command.epoch, command.cid, ghost.epoch),
                  &node, {});
}

void Checkers::controller_seen(const Node& node, const payloads::ControllerStatus& status) {
  auto& ghost = box(node);
  if (status.online) ghost.epoch = std::max(ghost.epoch, status.epoch);
}

void Checkers::run_started(const Node& node, const payloads::RunTask& run, int slot) {
  std::uint64_t memory_mib = run.memory_mib;
  for (const auto& [key, other] : node.runs()) memory_mib += other.task.memory_mib;
  if (!node.runs().empty() && run.memory_mib > 0 && memory_mib > node.hardware().memory_mib) {
    throw violation(fmt::format("{} starts {}, and needs {} MiB of memory now", node.id().str(),
                                name(run.task, run.attempt), memory_mib),
                    &node, run.task);
  }
  const bool has_gpu = static_cast<std::uint32_t>(slot) < node.hardware().gpu_slots;
  if ((run.slot == payloads::SlotKind::gpu && !has_gpu) || (run.slot == payloads::SlotKind::cpu && has_gpu)) {
    throw violation(fmt::format("{} starts {} on slot {}, which is of another kind", node.id().str(),
                                name(run.task, run.attempt), slot),
                    &node, run.task);
  }
  if (slot < 0 || static_cast<std::uint32_t>(slot) >= node.slots()) {
    throw violation(fmt::format("{} starts {} on slot {} of {}", node.id().str(), name(run.task, run.attempt),
                                slot, node.slots()),
                    &node, run.task);
  }
  for (const auto& [key, other] : node.runs()) {
    if (other.slot == slot) {
      throw violation(fmt::format("{} starts {} on slot {}, where {} runs", node.id().str(),
                                  name(run.task, run.attempt), slot, name(key.first, key.second)),
                      &node, run.task);
    }
    if (key.first == run.task && other.serial != 0) {
      throw violation(fmt::format("{} runs attempts {} and {} of {} at once", node.id().str(), key.second,
                                  run.attempt, run.task.str()),
                      &node, run.task);
    }
  }
}

void Checkers::run_ended(const Node& node, const AttemptKey& attempt) {
  box(node).unknown_since_ms.erase(attempt);
}

void Checkers::journalled(const Node& node, const AttemptKey& attempt) {
  box(node).journalled.insert(attempt);
}

void Checkers::entry_gone(const Node& node, const Entry& entry, bool was_damaged, bool is_refused,
                          payloads::Verdict verdict) {
  box(node).journalled.erase({entry.task, entry.attempt});
  // What arrives altered again and again is given up as damaged on the box.
  const bool is_taken = !is_refused && verdict != payloads::Verdict::superseded;
  if (!entry.report.ok || was_damaged || is_taken || controller_->data() == nullptr) return;
  const auto& database = controller_->data()->database;
  if (database.farm() != entry.farm && database.job(entry.task.job) == nullptr) {
    throw violation(fmt::format("{} gives {} up on the word of another farm", node.id().str(),
                                name(entry.task, entry.attempt)),
                    &node, entry.task);
  }
  const auto* job = database.job(entry.task.job);
  if (job == nullptr || (job->state != JobState::active && job->state != JobState::paused)) return;
  const auto* task = database.task(entry.task);
  if (task != nullptr && entry.attempt <= task->void_up_to) return;  // it was asked for again
  if (database.is_done(entry.task) || had_double(node.identity())) return;
  throw violation(
      fmt::format("the frames of {} are rendered and wanted, and {} throws them away: the controller {}",
                  name(entry.task, entry.attempt), node.id().str(),
                  is_refused ? "refuses them" : fmt::format("says {}", payloads::to_string(verdict))),
      &node, entry.task);
}

// ---- the broker -------------------------------------------------------------------------------------------

void Checkers::session_ended(int identity, bool with_will, const payloads::NodeStatus* retained) {
  if (!with_will || identity < 0 || retained == nullptr || had_double(identity)) return;
  if (retained->state == payloads::NodeState::offline) return;
  const auto* node = boxes_.at(static_cast<std::size_t>(identity));
  if (retained->sid != node->disk().sid || node->is_online()) return;
  throw violation(fmt::format("rule 4: {} left without a word, and its retained status says that it is here",
                              node->id().str()),
                  node, {});
}

// ---- everything -------------------------------------------------------------------------------------------

void Checkers::audit(const Broker& broker) {
  refresh_lines();
  for (auto& [number, ghost] : ghosts_) {
    if (is_well(ghost)) ghost.well_until_ms = world_.now_ms();
  }
  if (!controller_->is_idle()) return;
  const auto& database = controller_->data()->database;
  audit_farm(*controller_->state(), database);
  audit_boxes(database);
  audit_broker(broker, database);
}

void Checkers::audit_farm(const FarmState& state, const Database& database) const {
  const auto& data = state.data();
  for (const auto& [number, job] : data.jobs) {
    const auto* stored = database.job(job.row.id);
    if (stored == nullptr || stored->state != job.row.state || stored->priority != job.row.priority) {
      throw Violation(fmt::format("job {} is {} in memory and {} in the database", job.row.id.str(),
                                  shown_state(job.row), stored == nullptr ? "not" : shown_state(*stored)));
    }
    if (job.is_live()) audit_job(data, job, database);
  }
  for (const auto& [key, lease] : data.leases) {
    const auto job = data.jobs.find(key.job);
    const bool is_known = job != data.jobs.end() && FarmState::Data::has_task(job->second, key.index) &&
                          is_out(state.task({job->second.row.id, key.index}).state);
    if (!is_known) throw Violation("something is out that no task knows of");
  }
}

void Checkers::audit_job(const FarmState::Data& data, const Job& job, const Database& database) const {
  payloads::TaskCounts sum;
  for (const auto& step : job.steps) {
    payloads::TaskCounts counts;
    counts.queued = step.total - static_cast<std::uint32_t>(step.tasks.size());
    if (step.is_cut()) check_cuts(job, step, database);
    for (std::uint32_t local = 0; local < step.tasks.size(); ++local) {
      const auto index = step.first + local;
      const TaskId id{job.row.id, index};
      check_task(*controller_->state(), id);
      const auto& task = step.tasks[local];
      const auto* row = database.task(id);
      const auto is_same = row == nullptr ? task.attempt == 0 && task.state == TaskState::queued
                                          : row->state == task.state && row->attempt == task.attempt;
      if (!is_same) {
        throw violation(fmt::format("task {} is {} at attempt {} in memory, and {} in the database", id.str(),
                                    to_string(task.state), task.attempt,
                                    row == nullptr ? "untouched" : to_string(row->state)),
                        nullptr, id);
      }
      switch (task.state) {
        case TaskState::queued:
          ++counts.queued;
          break;
        case TaskState::assigned:
        case TaskState::running:
          ++counts.running;
          for (const auto& [key, lease] : out_of(data, job.row.number, index)) {
            const auto* attempt = database.attempt({id, lease->attempt});
            if (attempt == nullptr ||
                (attempt->state != AttemptState::assigned && attempt->state != AttemptState::running)) {
              throw violation(fmt::format("{} is out, and not in the database", name(id, lease->attempt)),
                              nullptr, id);
            }
          }
          break;
        case TaskState::done:
          ++counts.done;
          break;
        case TaskState::failed:
          ++counts.failed;
          break;
        case TaskState::cancelled:
          ++counts.cancelled;
          break;
      }
    }
    if (counts != step.counts)
      throw Violation(
          fmt::format("the counts of step {} of job {} are wrong", step.spec.name, job.row.id.str()));
    sum.queued += counts.queued;
    sum.running += counts.running;
    sum.done += counts.done;
    sum.failed += counts.failed;
    sum.cancelled += counts.cancelled;
    // Ready where it has something to hand out.
    const auto& pool = data.pools[step.pool];
    const JobKey key{job.row.priority, 0, job.row.number, FarmState::Data::step_no(job, step)};
    const auto is_ready = [&](NodeNo shuns) {
      const auto steps = pool.ready.find(Group{data.settings.fair_share ? job.user : 0, shuns, job.avoids});
      return steps != pool.ready.end() && steps->second.contains(key);
    };
    const auto waits = std::count_if(step.spec.after.begin(), step.spec.after.end(),
                                     [&](StepNo other) { return !job.steps[other].is_done(); });
    const bool may_start = waits == 0 && job.may_run() && !job.is_pinned();
    for (const auto& [group, tasks] : step.requeued) {
      if (!tasks.empty() && is_ready(group) != may_start) {
        throw Violation(fmt::format("job {} has {} tasks queued again that {}", job.row.id.str(),
                                    tasks.size(), may_start ? "nobody looks for" : "may not start"));
      }
    }
    if (step.has_fresh() && is_ready(0) != may_start) {
      throw Violation(fmt::format("job {} has fresh tasks that {}", job.row.id.str(),
                                  may_start ? "nobody looks for" : "may not start"));
    }
  }
  if (sum != job.row.counts) throw Violation(fmt::format("the counts of job {} are wrong", job.row.id.str()));
}

void Checkers::audit_boxes(const Database& database) {
  for (const auto* node : boxes_) {
    auto& ghost = box(*node);
    const bool was_here_first = ghost.connected_ms >= 0 && ghost.connected_ms < connected_ms_;
    if (is_well(ghost) && was_here_first && ghost.reborn_ms < connected_ms_ &&
        !had_double(node->identity())) {
      throw violation(fmt::format("rule 8: the controller has come back, and {} was not asked for a rebirth",
                                  node->id().str()),
                      node, {});
    }
    for (const auto& [key, run] : node->runs()) {
      const auto* row = run.farm == database.farm() ? database.attempt(key) : nullptr;
      const bool is_known = row != nullptr && row->node == node->id() &&
                            (row->state == AttemptState::assigned || row->state == AttemptState::running);
      if (is_known || run.serial == 0) {
        ghost.unknown_since_ms.erase(key);
        continue;
      }
      const auto since_ms = ghost.unknown_since_ms.try_emplace(key, world_.now_ms()).first->second;
      const auto connected_ms = ghost.online.lasts_ms(world_.now_ms());
      const auto unknown_ms = std::min(world_.now_ms() - since_ms, connected_ms);
      constexpr std::int64_t slack_ms = 5'000;
      if (unknown_ms > plan_.policy.grace_ms + slack_ms && !had_double(node->identity())) {
        throw violation(fmt::format("rule 8: {} has worked on {} for {} s, and the database does not know it",
                                    node->id().str(), name(key.first, key.second), unknown_ms / 1000),
                        node, key.first);
      }
    }
  }
  // Rule 7: what a connected node has not taken is sent again.
  const auto& data = controller_->state()->data();
  for (const auto& [key, lease] : data.leases) {
    if (lease.seen || lease.recalled || data.jobs.at(key.job).row.state != JobState::active) continue;
    const auto& job = data.jobs.at(key.job);
    const AttemptKey attempt{{job.row.id, key.index}, lease.attempt};
    const auto* node = holder(data.node(lease.node).row.id);
    const auto sent = sent_ms_.find(attempt);
    if (node == nullptr || sent == sent_ms_.end() || had_double(node->identity())) continue;
    if (!data.node(lease.node).is_present()) continue;  // of a silent one the grace period decides
    constexpr std::int64_t slack_ms = 20'000;
    const auto silent_ms =
        std::min(world_.now_ms() - sent->second, box(*node).online.lasts_ms(world_.now_ms()));
    if (silent_ms > plan_.policy.resend_ms + slack_ms) {
      throw violation(
          fmt::format("rule 7: {} is out on {}, which does not have it, and is not sent again for {} ms",
                      name(attempt.first, attempt.second), node->id().str(), silent_ms),
          node, attempt.first);
    }
  }
}

void Checkers::audit_broker(const Broker& broker, const Database& database) {
  // Rule 6: a retained "online" of a box that is not here is overwritten.
  constexpr std::int64_t overwritten_ms = 60'000 + 22'500 + 2 * well_after_ms;
  const auto now_ms = world_.now_ms();
  if (!broker.is_up() || controller_line_.lasts_ms(now_ms) < overwritten_ms) return;
  for (const auto* node : boxes_) {
    if (node->box() != node->identity()) continue;
    if (box(*node).offline.lasts_ms(now_ms) < overwritten_ms || had_double(node->identity())) continue;
    const auto* status = broker.retained_status(node->identity());
    if (status == nullptr || status->state == payloads::NodeState::offline ||
        database.node(node->id()) == nullptr)
      continue;
    throw violation(
        fmt::format("rule 6: {} has been away for {} s, and its retained status says that it is here",
                    node->id().str(), box(*node).offline.lasts_ms(now_ms) / 1000),
        node, {});
  }
}

std::optional<Violation> Checkers::unfinished(const FarmData& data) const {
  for (const auto& [id, job] : data.database.jobs()) {
    if (job.state != JobState::active && job.state != JobState::paused) continue;
    auto sentence = fmt::format("job {} has not ended: {} queued, {} out, {} done, {} failed of {}", id.str(),
                                job.counts.queued, job.counts.running, job.counts.done, job.counts.failed,
                                job.counts.total());
    const auto* state = controller_->state();
    const auto* known = state == nullptr ? nullptr : state->data().find_job(id);
    if (known == nullptr) return Violation(sentence);
    const auto lease = state->data().leases.lower_bound({job.number, 0});
    if (lease == state->data().leases.end() || lease->first.job != job.number)
      return Violation(sentence, nobody, {id, 0});
    const auto& node = state->data().node(lease->second.node);
    sentence +=
        fmt::format("; task {} attempt {} is out on {} ({}; sent {} times{}{}{})", lease->first.index,
                    lease->second.attempt, node.row.id.str(), to_string(node.row.presence),
                    lease->second.sends, lease->second.seen ? ", seen" : "",
                    lease->second.running ? ", running" : "", lease->second.recalled ? ", recalled" : "");
    return violation(sentence, holder(node.row.id), {id, lease->first.index});
  }
  for (const auto* node : boxes_) {
    if (!node->is_up()) continue;
    if (!node->runs().empty()) {
      return violation(fmt::format("{} still renders", node->id().str()), node,
                       node->runs().begin()->first.first);
    }
    for (const auto& [number, entry] : node->disk().journal) {
      if (entry.farm != data.database.farm()) continue;
      return violation(
          fmt::format("{} still has {} to deliver", node->id().str(), name(entry.task, entry.attempt)), node,
          entry.task);
    }
  }
  return std::nullopt;
}

void Checkers::finish(FarmData& data) {
  const auto& database = data.database;
  for (const auto& [task, attempt] : winners_) {
    const auto* job = database.job(task.job);
    if (job == nullptr) continue;
    const auto* results = database.results(task);
    if (job->spec.renderer == "noop") continue;
    for (const auto& [frame, result] : *results) {
      if (result.attempt == attempt && data.files.output(task.job, result.file.path) == result.file.digest)
        continue;
      throw violation(
          fmt::format("frame {} of {} is done, and its picture is not in the output", frame, task.str()),
          nullptr, task);
    }
  }
  for (const auto& [id, job] : database.jobs()) {
    if (job.state != JobState::done) continue;
    std::uint32_t first = 0;
    for (const auto& step : job.spec.all_steps()) {
      // What it was cut from, whole and once.
      std::uint32_t unit = 0;
      for (std::uint32_t index = first; unit < step.units; ++index) {
        const auto* task = database.task({id, index});
        const bool is_next = task != nullptr && (step.target_s == 0 || task->first_unit == unit);
        if (task == nullptr || task->state != TaskState::done || !is_next) {
          throw violation(fmt::format("job {} is done, and its task {} is not", id.str(), index), nullptr,
                          {id, index});
        }
        unit += step.target_s == 0 ? std::max(step.chunk, 1U) : task->unit_count;
      }
      first += step.max_tasks();
    }
  }
}

}  // namespace kiln::sim
