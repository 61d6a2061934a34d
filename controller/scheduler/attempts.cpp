// The life of an attempt and of its task.
//
//   task            on                          task       attempt
//   queued          handed out                  assigned   new: assigned
//   assigned        its node says it started    running    running
//   queued          its node still has the one  assigned   the lost one again: assigned or running
//                   that was lost               /running
//   any, not done   first valid commit, of any  done       done; others that are out: superseded
//                   attempt made so far
//   running         started a second time at    running    a second one: assigned. The task ends with the
//                   its job's tail                         first that is done, or with the last that is not
//   assigned,       an ending                   the table `consequences` below
//   running
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <limits>

#include "scheduler/farm_data.h"

namespace kiln::scheduler {

namespace {

// A failure costs one of Policy::max_failures tries. Being lost is mostly not the task's fault, but a scene
// that kills its node looks the same: it costs half of one.
enum class Burns : std::uint8_t { nothing, half_if_started, half, whole };

struct Consequence {
  Ending on;
  AttemptState attempt;
  TaskState task;  // queued: or failed, when its tries are used up
  Burns burns;
  bool shuns;             // the next attempt avoids this node while another could do it
  bool adoptable;         // the node may go on and deliver it
  bool cancels;           // the node is told to stop
  bool drops;             // what it uploaded may go
  double Waste::*wastes;  // where its seconds are counted; nullptr: it was a person's wish
};
// clang-format off
constexpr std::array consequences = {
    //          on                  attempt                   task                  burns                   shuns  adopt  cancel drops
    Consequence{Ending::failed,     AttemptState::failed,     TaskState::queued,    Burns::whole,           true,  false, false, false, &Waste::failed_s},
    Consequence{Ending::overdue,    AttemptState::failed,     TaskState::queued,    Burns::whole,           true,  false, true,  false, &Waste::failed_s},
    Consequence{Ending::refused,    AttemptState::failed,     TaskState::queued,    Burns::nothing,         true,  false, false, false, &Waste::lost_s},
    Consequence{Ending::untaken,    AttemptState::lost,       TaskState::queued,    Burns::half,            true,  true,  true,  false, &Waste::lost_s},
    Consequence{Ending::lost,       AttemptState::lost,       TaskState::queued,    Burns::half_if_started, false, true,  false, false, &Waste::lost_s},
    Consequence{Ending::taken_back, AttemptState::superseded, TaskState::queued,    Burns::nothing,         false, false, false, false, &Waste::lost_s},
    Consequence{Ending::outrun,     AttemptState::superseded, TaskState::done,      Burns::nothing,         false, false, true,  false, &Waste::superseded_s},
    Consequence{Ending::moved,      AttemptState::lost,       TaskState::queued,    Burns::nothing,         true,  false, true,  false, &Waste::lost_s},
    Consequence{Ending::cancelled,  AttemptState::cancelled,  TaskState::cancelled, Burns::nothing,         false, false, true,  true, nullptr},
};
// clang-format on

const Consequence& consequence_of(Ending ending) {
  const auto* row = std::find_if(consequences.begin(), consequences.end(),
                                 [&](const auto& one) { return one.on == ending; });
  KILN_ASSERT(row != consequences.end());
  return *row;
}

constexpr std::uint32_t most_dropped = 32;  // attempts of one task whose uploads go at once when it is done
constexpr std::uint8_t most = std::numeric_limits<std::uint8_t>::max();

LeaseKey base_of(const LeaseKey& key) {
  return {key.job, key.index, false};
}

// Every frame of the task is there and no other; noop renders none.
Status check_frames(const Job& job, std::uint32_t index, const payloads::ResultReport& report) {
  // What a template's task makes is the template's business.
  if (!job.row.spec.document.empty()) return {};
  const auto frames = job.row.spec.task_frames(index);
  std::set<std::int32_t> missing;
  for (std::size_t i = 0; i < frames.size(); ++i) missing.insert(frames.at(i));
  const auto wanted = missing;
  for (const auto& file : report.files) {
    if (!wanted.contains(file.frame)) {
      return fail(Code::invalid, fmt::format("the result holds frame {} ({}), but the task's frames are {}",
                                             file.frame, file.path, frames.str()));
    }
    missing.erase(file.frame);
  }
  if (missing.empty() || (report.files.empty() && job.row.spec.manifest.empty())) return {};
  return fail(Code::invalid, fmt::format("the result lacks frame {} of {}", *missing.begin(), frames.str()));
}

}  // namespace

// ---- out
// ------------------------------------------------------------------------------------------------------

void Turn::assign(Job& job, std::uint32_t index, LaneNo lane) {
  auto& task = *data_.touched(job, index);
  data_.unqueue(job, index, task);
  task.state = TaskState::assigned;
  task.shuns = task.adoptable = 0;
  data_.count(job, data_.step_of(job, index), TaskState::queued, TaskState::assigned);
  hand_out(job, {job.row.number, index, false}, lane);
}

void Turn::hand_out(Job& job, const LeaseKey& key, LaneNo lane) {
  const auto& step = data_.step_of(job, key.index);
  auto& task = *data_.touched(job, key.index);
  auto& node = data_.node(node_of(lane));
  task.attempt = std::max(task.attempt, data_.attempt_floor) + 1;
  task.node = node.no;
  Lease lease;
  lease.node = node.no;
  lease.kind = static_cast<std::uint8_t>(kind_of(lane));
  lease.weight = data_.weight_on(data_.pools[step.pool], node, kind_of(lane));
  lease.attempt = task.attempt;
  lease.est_ms = data_.estimate_ms(step);
  lease.assigned_ms = now_.unix_ms;
  data_.hold(key, lease);
  AttemptRow row;
  row.task = {job.row.id, key.index};
  row.attempt = task.attempt;
  row.node = node.row.id;
  row.assigned_ms = now_.unix_ms;
  effects_.emplace_back(SaveAttempt{std::move(row)});
  save_task(job, key.index);
  touch(job);
  send_run(key, *data_.find_lease(key));
}

void Turn::send_run(const LeaseKey& key, Lease& lease) {
  const auto& job = data_.jobs.at(key.job);
  const auto& spec = job.row.spec;
  const auto& step = data_.step_of(job, key.index);
  const auto& node = data_.node(lease.node);
  ++lease.sends;
  lease.sent_mono_ms = now_.mono_ms;
  lease.sent_sid = node.row.sid;
  payloads::RunTask run;
  run.task = {job.row.id, key.index};
  run.attempt = lease.attempt;
  run.renderer = spec.renderer;
  run.manifest = spec.manifest;
  run.frames = data_.task_frames(job, key.index);
  run.options = spec.options;
  run.bundle = step.spec.needs.bundle;
  run.memory_mib = data_.pools[step.pool].memory_mib;
  const bool has_both = node.lanes[cpu_lane].slots > 0 && node.lanes[gpu_lane].slots > 0;
  if (has_both) run.slot = lease.kind == gpu_lane ? payloads::SlotKind::gpu : payloads::SlotKind::cpu;
  if (!spec.document.empty()) {
    auto& points = run.of_template;
    const auto local = key.index - step.first;
    points.document = spec.document;
    points.step = data_.step_no(job, step);
    points.first = step.is_cut() ? step.cuts[local] : std::uint64_t{local} * step.spec.chunk;
    const auto end = step.is_cut() ? step.cuts[local + 1] : points.first + step.spec.chunk;
    points.count = static_cast<std::uint32_t>(std::min<std::uint64_t>(end, step.spec.units) - points.first);
    points.inputs = !step.spec.after.empty() || step.is_paired();
  }
  SendCommand send;
  send.node = node.row.id;
  send.command.cid = run_cid(run.task, run.attempt);
  send.command.op = std::move(run);
  effects_.emplace_back(std::move(send));
}

void Turn::start(const LeaseKey& key, Lease& lease) {
  auto& job = data_.jobs.at(key.job);
  auto& task = *data_.touched(job, key.index);
  data_.note_files(data_.node(lease.node), job.row.spec.manifest);
  const auto& node = data_.node(lease.node).row.id;
  lease.running = true;
  lease.started_ms = now_.unix_ms;
  task.state = TaskState::running;
  task.started_ms = now_.unix_ms;
  AttemptRow row;
  row.task = task_id(key);
  row.attempt = lease.attempt;
  row.node = node;
  row.state = AttemptState::running;
  row.assigned_ms = lease.assigned_ms;
  row.started_ms = lease.started_ms;
  effects_.emplace_back(SaveAttempt{std::move(row)});
  save_task(job, key.index);
  if (job.row.started_ms == 0) {
    job.row.started_ms = now_.unix_ms;
    touch(job);
  }
  tell_task(job, key.index, to_string(TaskState::running), lease.attempt, node);
}

// A node that was away comes back with an attempt that was given up as lost and is not out again: it goes on.
// So does one that was made after the backup that the farm was restored from.
bool Turn::adopt(Node& node, const payloads::HeldTask& held) {
  auto* job = data_.find_job(held.task.job);
  if (job == nullptr || !job->is_live()) return false;
  if (!data_.has_task(*job, held.task.index)) return false;
  auto* task = data_.touched(*job, held.task.index);
  const auto newest = task == nullptr ? 0 : task->attempt;
  if (held.attempt > newest && held.attempt <= data_.attempt_floor) {
    if (task == nullptr) task = &data_.touch(*job, held.task.index);
    if (task->state != TaskState::queued) return false;
  } else {
    if (task == nullptr || task->state != TaskState::queued || !task->adoptable) return false;
    if (task->attempt != held.attempt || task->node != node.no) return false;
  }

  const LeaseKey key{job->row.number, held.task.index};
  data_.unqueue(*job, key.index, *task);
  task->attempt = held.attempt;
  task->node = node.no;
  task->state = TaskState::assigned;
  task->shuns = task->adoptable = 0;
  auto& step = data_.step_of(*job, key.index);
  data_.count(*job, step, TaskState::queued, TaskState::assigned);
  Lease lease;
  lease.node = node.no;
  lease.attempt = held.attempt;
  lease.est_ms = data_.estimate_ms(step);
  data_.give_lane(lease, data_.pools[step.pool]);
  lease.sends = 1;
  lease.sent_sid = node.row.sid;
  lease.sent_mono_ms = now_.mono_ms;
  AttemptRow row;
  if (const auto was = data_.lost.find({key, held.attempt}); was != data_.lost.end()) {
    row = std::move(was->second);
    data_.lost.erase(was);
    if (task->lost > 0) --task->lost;
  }
  row.task = held.task;
  row.attempt = held.attempt;
  row.node = node.row.id;
  row.state = AttemptState::assigned;
  row.error_code.clear();
  row.error_message.clear();
  row.finished_ms = 0;
  lease.assigned_ms = row.assigned_ms;
  data_.hold(key, lease);
  job->errors.erase(key.index);
  effects_.emplace_back(SaveAttempt{std::move(row)});
  save_task(*job, key.index);
  touch(*job);
  remark(fmt::format("{} came back with task {}, attempt {}: it goes on there", node.row.id.str(),
                     held.task.str(), held.attempt));
  return true;
}

// ---- endings ----------------------------------------------------------------------------------------------

void Turn::end(const LeaseKey& key, Ending ending, TaskError error, bool for_good) {
  const auto& row = consequence_of(ending);
  const Lease lease = *data_.find_lease(key);
  auto& job = data_.jobs.at(key.job);
  auto& step = data_.step_of(job, key.index);
  auto& task = *data_.touched(job, key.index);
  auto& node = data_.node(lease.node);
  account(node);
  data_.drop(key);
  if (row.wastes != nullptr) waste(job, node, lease, row.wastes);

  AttemptRow attempt;
  attempt.task = task_id(key);
  attempt.attempt = lease.attempt;
  attempt.node = node.row.id;
  attempt.state = row.attempt;
  attempt.error_code = error.code;
  attempt.error_message = error.message;
  attempt.assigned_ms = lease.assigned_ms;
  attempt.started_ms = lease.started_ms;
  attempt.finished_ms = now_.unix_ms;
  // A failed job still takes a late frame, so what was uploaded of it stays.
  if (row.drops && job.row.state == JobState::cancelled) {
    effects_.emplace_back(DropFiles{attempt.task, attempt.attempt});
  }
  // What is delivering needs no telling: its commit is answered.
  if (row.cancels && lease.phase != payloads::TaskPhase::delivering) {
    send_cancel(node, attempt.task, attempt.attempt);
  }
  if (row.attempt == AttemptState::lost) data_.lost.insert_or_assign({base_of(key), lease.attempt}, attempt);
  effects_.emplace_back(SaveAttempt{std::move(attempt)});
  if (ending == Ending::failed || ending == Ending::overdue) {
    ++node.row.tasks_failed;
    node.stats_dirty = true;
    if (!for_good) blame(job, key.index, node, error);
  }
  if (row.task == TaskState::done) return;  // accept() goes on

  touch(job);
  if (const auto* other = data_.find_lease({key.job, key.index, !key.twin}); other != nullptr) {
    // The other start goes on, and the task with it.
    if (row.burns == Burns::whole && task.failed < most) ++task.failed;
    task.node = other->node;
    if (for_good) {
      end({key.job, key.index, !key.twin}, Ending::cancelled);
      task.failed = most;
    } else {
      save_task(job, key.index);
      return;
    }
  }
  if (task.state != TaskState::assigned && task.state != TaskState::running) return;  // ended with the other
  if (row.task == TaskState::cancelled) {
    data_.count(job, step, task.state, TaskState::cancelled);
    task.state = TaskState::cancelled;
    task.finished_ms = now_.unix_ms;
    save_task(job, key.index);
    tell_task(job, key.index, to_string(task.state), lease.attempt, node.row.id);
    return;
  }
  const bool burns_half = row.burns == Burns::half || (row.burns == Burns::half_if_started && lease.running);
  if (row.burns == Burns::whole && task.failed < most) ++task.failed;
  if (burns_half && task.lost < most) ++task.lost;
  task.shuns = row.shuns ? 1 : 0;
  task.adoptable = row.adoptable ? 1 : 0;
  if (!error.message.empty()) job.errors[key.index] = std::move(error);
  fail_or_requeue(job, key.index, for_good, lease);
}

void Turn::fail_or_requeue(Job& job, std::uint32_t index, bool for_good, const Lease& lease) {
  auto& task = *data_.touched(job, index);
  const std::uint64_t halves = 2ULL * task.failed + task.lost;
  const bool is_over = for_good || halves >= 2ULL * max_failures(job);
  const auto to = is_over ? TaskState::failed : TaskState::queued;
  data_.count(job, data_.step_of(job, index), task.state, to);
  task.state = to;
  task.started_ms = is_over ? task.started_ms : 0;
  task.finished_ms = is_over ? now_.unix_ms : 0;
  if (is_over) task.shuns = task.adoptable = 0;
  if (!is_over) data_.requeue(job, index, task);
  save_task(job, index);
  const auto error = job.errors.find(index);
  tell_task(job, index, to_string(to), lease.attempt, data_.node(lease.node).row.id,
            error == job.errors.end() ? "" : error->second.message);
  if (!is_over) return;
  troubled_.insert(job.row.number);
  review_around(job, index);
  check_end(job);
}

std::uint32_t Turn::max_failures(const Job& job) const {
  const auto& retries = job.row.spec.retries;
  return retries ? *retries + 1 : data_.policy.max_failures;
}

// The node's own watch ends what runs too long; this is for one whose watch does not.
void Turn::end_overdue() {
  while (!data_.due.empty() && data_.due.begin()->first <= now_.mono_ms) {
    const auto key = data_.due.begin()->second;
    auto& lease = *data_.find_lease(key);
    const auto& node = data_.node(lease.node);
    if (!data_.connected || !node.is_present()) {  // of an absent node the grace period decides
      data_.set_due(key, lease, now_.mono_ms + data_.policy.overdue_ms);
    } else if (lease.phase == payloads::TaskPhase::delivering) {
      data_.set_due(key, lease, 0);
    } else {
      end(key, Ending::overdue,
          {"timeout", fmt::format("{} still works on it, long after its limit of {} s", node.row.id.str(),
                                  data_.jobs.at(key.job).row.spec.options.max_run_s)});
    }
  }
}

void Turn::recall(const LeaseKey& key, Lease& lease) {
  if (lease.running || lease.recalled || lease.phase != payloads::TaskPhase::queued) return;
  data_.set_recalled(key, lease, true);
  send_cancel(data_.node(lease.node), task_id(key), lease.attempt);
}

void Turn::send_cancel(Node& node, const TaskId& task, std::uint32_t attempt) {
  const auto [sent, is_new] = node.cancels.try_emplace({task, attempt}, now_.mono_ms);
  if (!is_new && now_.mono_ms - sent->second < data_.policy.resend_ms) return;
  sent->second = now_.mono_ms;
  SendCommand send;
  send.node = node.row.id;
  send.command.cid = cancel_cid(task, attempt);
  send.command.op = payloads::CancelTask{task, attempt};
  effects_.emplace_back(std::move(send));
}

// ---- the commit
// ---------------------------------------------------------------------------------------------

// Rules 1 and 10. Whatever attempt brings it, the first valid frame of a task counts, and none after it.
void Turn::on(const FinishAttempt& event) {
  const auto& report = event.report;
  const auto verdict = [&](payloads::Verdict value) { answer(event.request, Committed{value}); };
  const auto superseded = [&] {
    effects_.emplace_back(DropFiles{event.task, event.attempt});
    verdict(payloads::Verdict::superseded);
  };

  auto* job = data_.find_job(event.task.job);
  if (job == nullptr || event.task.index >= job->row.spec.task_count() ||
      !data_.has_task(*job, event.task.index)) {
    return superseded();
  }
  const auto* task = data_.touched(*job, event.task.index);
  if (task == nullptr && !job->is_live() && !job->tasks_kept) {
    // It may have won before a restart: its files stay.
    if (!job->winners_kept) return verdict(payloads::Verdict::superseded);
    const auto winner = job->winners.find(event.task.index);
    const bool has_won = event.attempt == (winner == job->winners.end() ? 1 : winner->second);
    return has_won ? verdict(payloads::Verdict::duplicate) : superseded();
  }
  if (task == nullptr && job->is_live() && report.ok && event.attempt != 0 &&
      event.attempt <= data_.attempt_floor) {
    task = &data_.touch(*job, event.task.index);
  }
  if (task == nullptr || event.attempt == 0 || event.attempt > std::max(task->attempt, data_.attempt_floor)) {
    return superseded();
  }
  const auto floor = job->void_up_to.find(event.task.index);
  if (floor != job->void_up_to.end() && event.attempt <= floor->second) return superseded();
  if (task->state == TaskState::done) {
    return event.attempt == task->attempt ? verdict(payloads::Verdict::duplicate) : superseded();
  }
  if (job->row.state == JobState::cancelled) return superseded();

  const auto key = data_.find_attempt(job->row.number, event.task.index, event.attempt);
  if (key) {
    const auto& given_to = data_.node(data_.find_lease(*key)->node).row.id;
    if (given_to != report.node) {
      return answer(
          event.request,
          fail(Code::conflict, fmt::format("attempt {} of {} was given to {}, not to {}", event.attempt,
                                           event.task.str(), given_to.str(), report.node.str())));
    }
  }
  if (report.ok) {
    if (auto fine = check_frames(*job, event.task.index, report); !fine) {
      return answer(event.request, fail(std::move(fine.error())));
    }
    accept(*job, event.task.index, event);
    return verdict(payloads::Verdict::accepted);
  }
  if (!key) {
    const bool is_known =
        event.attempt == task->attempt && !task->adoptable && task->state != TaskState::cancelled;
    return is_known ? verdict(payloads::Verdict::duplicate) : superseded();
  }
  const bool fails_job = report.failure.scope == payloads::FailureScope::job;
  end(*key, Ending::failed, {report.failure.code, report.failure.message}, fails_job);
  if (fails_job) fail_job(*job, report.failure.message);
  verdict(payloads::Verdict::accepted);
}

void Turn::accept(Job& job, std::uint32_t index, const FinishAttempt& event) {
  const auto& report = event.report;
  const LeaseKey key{job.row.number, index, false};
  auto& step = data_.step_of(job, index);
  auto& task = *data_.touched(job, index);

  AttemptRow row;
  if (task.state == TaskState::queued) data_.unqueue(job, index, task);
  if (const auto out = data_.find_attempt(key.job, index, event.attempt)) {
    const auto& lease = *data_.find_lease(*out);
    account(data_.node(lease.node));
    row.assigned_ms = lease.assigned_ms;
    row.started_ms = lease.started_ms;
    data_.drop(*out);
  }
  for (const bool twin : {false, true}) {
    if (data_.find_lease({key.job, index, twin}) != nullptr) end({key.job, index, twin}, Ending::outrun);
  }
  if (const auto was = data_.lost.find({key, event.attempt}); was != data_.lost.end()) row = was->second;
  data_.lost.erase(data_.lost.lower_bound({key, 0}), data_.lost.upper_bound({key, task.attempt}));
  // Of still older ones hardly any is there; the next start removes it.
  for (std::uint32_t other = task.attempt > most_dropped ? task.attempt - most_dropped : 1;
       other <= task.attempt; ++other) {
    if (other != event.attempt) effects_.emplace_back(DropFiles{event.task, other});
  }

  row.task = event.task;
  row.attempt = event.attempt;
  row.node = report.node;
  row.state = AttemptState::done;
  row.error_code.clear();
  row.error_message.clear();
  if (row.started_ms == 0) row.started_ms = now_.unix_ms - static_cast<std::int64_t>(1000 * report.seconds);
  row.finished_ms = now_.unix_ms;

  data_.count(job, step, task.state, TaskState::done);
  task.state = TaskState::done;
  task.attempt = event.attempt;
  task.shuns = task.adoptable = 0;
  task.seconds = static_cast<float>(report.seconds);
  task.started_ms = row.started_ms;
  task.finished_ms = now_.unix_ms;
  if (auto* node = node_for(report.node)) {
    task.node = node->no;
    ++node->row.tasks_done;
    node->row.use.done_s += report.seconds;
    node->hour.use.done_s += report.seconds;
    node->stats_dirty = true;
    praise(job, *node);
  }
  data_.note_done(job, step, index - step.first, 1);
  for (const auto& file : report.files) {
    if (file.blank != payloads::Blank::no) task.blank = static_cast<std::uint8_t>(file.blank) & 3U;
  }
  job.errors.erase(index);
  if (event.attempt != 1) job.winners[index] = event.attempt;
  if (job.row.started_ms == 0) job.row.started_ms = row.started_ms;
  job.row.render_s += report.seconds;
  for (const auto& warning : report.warnings) {
    auto& known = job.row.warnings;
    if (known.size() < max_warnings && std::find(known.begin(), known.end(), warning) == known.end()) {
      known.push_back(warning);
    }
  }
  touch(job);

  effects_.emplace_back(SaveAttempt{std::move(row)});
  save_task(job, index);
  for (const auto& file : report.files) {
    effects_.emplace_back(SaveResult{{event.task, event.attempt, report.node, file, now_.unix_ms}});
  }
  if (!report.files.empty()) {
    effects_.emplace_back(
        AcceptFiles{event.task, event.attempt, report.files, job.void_up_to.contains(index)});
  }
  tell_task(job, index, to_string(TaskState::done), event.attempt, report.node);
  auto& told = std::get<TaskChanged>(effects_.back());
  told.event.seconds = report.seconds;
  told.files = report.files;
  review_around(job, index);
  data_.refresh_followers(job, step, index);
  check_end(job);
}

}  // namespace kiln::scheduler
