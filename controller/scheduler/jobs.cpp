// What people ask of jobs. The state of a job:
//
//   from              on                          to         effect
//   -                 submit                      active     one row, whatever its size
//   active            pause                       paused     what waits on nodes is asked back
//   paused            resume                      active
//   active, paused    its last task ends          done       or failed, when one of them failed; what waits
//                                                            for that one is cancelled
//   active, paused    a failure of scope job      failed     what is out is cancelled
//   active, paused    cancel                      cancelled  what is out is cancelled
//   active..failed    retry                       active     failed tasks, and those never run, are queued
//   active, paused    too many tasks failed       failed     what is out is cancelled
//   failed            late commit of the last     done       no rendered frame is thrown away
//   done, failed      requeue of tasks            active     their frames stay until the new ones come
//   done..cancelled   delete                      -          rows and files go
#include <fmt/core.h>

#include <algorithm>

#include "scheduler/farm_data.h"

namespace kiln::scheduler {

namespace {

constexpr int max_priority = 100;

tl::unexpected<Error> no_such_job(const JobId& id) {
  return fail(Code::not_found, fmt::format("there is no job {}", id.str()));
}

Status check_priority(int priority) {
  if (priority >= 0 && priority <= max_priority) return {};
  return fail(Code::invalid,
              fmt::format("priority: {} is out of range; write 0 to {}", priority, max_priority));
}

}  // namespace

void Turn::on(const SubmitJob& event) {
  if (!event.cid.empty()) {
    if (const auto known = data_.by_cid.find({event.user, event.cid}); known != data_.by_cid.end()) {
      return answer(event.request, JobAccepted{data_.jobs.at(known->second).row.id, true});
    }
  }
  if (event.spec.steps.empty() && event.spec.frames.empty())
    return answer(event.request, fail(Code::invalid, "frames: at least one is needed"));
  if (event.spec.chunk == 0)
    return answer(event.request, fail(Code::invalid, "chunk: at least 1 frame a task"));
  if (event.spec.task_count() == 0)
    return answer(event.request, fail(Code::invalid, "steps: at least one task is needed"));
  if (auto fine = check_wishes(0, event.wishes); !fine) return answer(event.request, fail(fine.error()));
  if (auto fine = check_priority(event.priority); !fine) return answer(event.request, fail(fine.error()));
  if (data_.totals.jobs_active >= max_active_jobs) {
    return answer(event.request, fail(Code::unavailable,
                                      fmt::format("{} jobs are active or paused, as many as the farm keeps; "
                                                  "submit again when some have ended",
                                                  max_active_jobs)));
  }
  for (const auto& step : event.spec.all_steps()) {
    const auto& bundle = step.needs.bundle;
    if (bundle.name.empty()) continue;
    const auto known = data_.renderers.find(bundle.name);
    if (known != data_.renderers.end() && known->second.bundle == bundle) continue;
    return answer(event.request,
                  fail(Code::conflict, fmt::format("the renderer {} was removed or replaced a moment ago: "
                                                   "submit again",
                                                   bundle.name)));
  }
  JobRow row;
  row.number = ++data_.last_job_number;
  row.id = make_job_id(row.number, event.random);
  row.spec = event.spec;
  row.priority = event.priority;
  row.state = event.paused ? JobState::paused : JobState::active;
  row.user = event.user;
  row.cid = event.cid;
  row.created_ms = now_.unix_ms;
  const auto id = row.id;
  data_.insert_job(std::move(row));
  auto& job = data_.jobs.at(data_.last_job_number);
  set_wishes(job, event.wishes);
  touch(job);
  answer(event.request, JobAccepted{id, false});
}

void Turn::on(const EditJob& event) {
  auto* job = data_.find_job(event.job);
  if (job == nullptr) return answer(event.request, no_such_job(event.job));
  if (event.priority) {
    if (auto fine = check_priority(*event.priority); !fine) return answer(event.request, fail(fine.error()));
  }
  if (!job->is_live()) {
    return answer(
        event.request,
        fail(Code::conflict, fmt::format("job {} is {}: only a job that has not ended can be changed",
                                         event.job.str(), shown_state(job->row))));
  }
  auto wishes = job->row.wishes;
  if (event.slot_limit) wishes.slot_limit = *event.slot_limit;
  if (event.node_limit) wishes.node_limit = *event.node_limit;
  if (event.tags) wishes.tags = *event.tags;
  if (event.after) wishes.after = *event.after;
  if (event.start_ms) wishes.start_ms = *event.start_ms;
  if (auto fine = check_wishes(job->row.number, wishes); !fine)
    return answer(event.request, fail(fine.error()));
  if (event.priority && *event.priority != job->row.priority) {
    data_.change_job(*job, [&] { job->row.priority = *event.priority; });
    touch(*job);
  }
  if (wishes != job->row.wishes) {
    set_wishes(*job, std::move(wishes));
    touch(*job);
  }
  if (event.paused && *event.paused != (job->row.state == JobState::paused)) {
    data_.set_job_state(*job, *event.paused ? JobState::paused : JobState::active);
    touch(*job);
    if (*event.paused) {
      const auto number = job->row.number;
      for (auto lease = data_.leases.lower_bound({number, 0});
           lease != data_.leases.end() && lease->first.job == number; ++lease) {
        recall(lease->first, lease->second);
      }
    }
  }
  answer(event.request, Done{});
}

void Turn::on(const CancelJob& event) {
  auto* job = data_.find_job(event.job);
  if (job == nullptr) return answer(event.request, no_such_job(event.job));
  if (job->row.state == JobState::cancelled) return answer(event.request, Done{});
  if (!job->is_live()) {
    return answer(event.request,
                  fail(Code::conflict, fmt::format("job {} is {} already: nothing is left to cancel",
                                                   event.job.str(), shown_state(job->row))));
  }
  stop_job(*job, JobState::cancelled);
  answer(event.request, Done{});
}

void Turn::on(const RetryJob& event) {
  auto* job = data_.find_job(event.job);
  if (job == nullptr) return answer(event.request, no_such_job(event.job));
  const auto refuse = [&](Code code, std::string_view why) {
    answer(event.request,
           fail(code, fmt::format("job {} is {}: {}", event.job.str(), shown_state(job->row), why)));
  };
  if (job->row.state == JobState::cancelled || job->row.state == JobState::done) {
    return refuse(Code::conflict, "only failed tasks can be retried; submit it again");
  }
  if (!job->tasks_kept) return refuse(Code::conflict, "its tasks are not known any more; submit it again");
  const bool was_failed = job->row.state == JobState::failed;
  if (!was_failed && job->row.counts.failed == 0) return refuse(Code::conflict, "no task of it has failed");
  if (was_failed && data_.totals.jobs_active >= max_active_jobs) {
    return refuse(Code::unavailable, "too many jobs are active; retry it when some have ended");
  }
  // O(touched tasks): the one walk over a job, and only when a person asks for it.
  for (auto& step : job->steps) {
    for (std::uint32_t local = 0; local < step.tasks.size(); ++local) {
      auto& task = step.tasks[local];
      const auto index = step.first + local;
      if (task.state != TaskState::failed && task.state != TaskState::cancelled) continue;
      task.state = TaskState::queued;
      task.failed = task.lost = 0;
      task.taken_back = 0;
      task.shuns = task.adoptable = 0;
      task.started_ms = task.finished_ms = 0;
      job->errors.erase(index);
      if (data_.pair_is_ready(*job, step, index)) step.requeued[0].insert(index);
      save_task(*job, index);
    }
    data_.count(*job, step, TaskState::failed, TaskState::queued, step.counts.failed);
    data_.count(*job, step, TaskState::cancelled, TaskState::queued, step.counts.cancelled);
  }
  job->row.message.clear();
  job->row.finished_ms = 0;
  data_.set_job_state(*job, was_failed ? JobState::active : job->row.state);
  touch(*job);
  answer(event.request, Done{});
}

void Turn::on(const DeleteJob& event) {
  auto* job = data_.find_job(event.job);
  if (job == nullptr) return answer(event.request, no_such_job(event.job));
  if (job->is_live()) {
    return answer(event.request,
                  fail(Code::conflict, fmt::format("job {} is {}: cancel it first, then delete it",
                                                   event.job.str(), shown_state(job->row))));
  }
  // Who waits for a job that is done must not wait for ever; one that is not stays the reason.
  if (job->row.state == JobState::done) {
    const auto waiting = data_.job_followers.find(job->row.number);
    const auto followers = waiting == data_.job_followers.end() ? std::set<JobNo>() : waiting->second;
    for (const auto number : followers) {
      auto& follower = data_.jobs.at(number);
      auto wishes = follower.row.wishes;
      std::erase(wishes.after, job->row.number);
      data_.set_wishes(follower, std::move(wishes));
      touch(follower);
    }
  }
  effects_.emplace_back(EraseJob{event.job});
  effects_.emplace_back(JobErased{event.job});
  data_.erase_job(*job);
  answer(event.request, Done{});
}

void Turn::on(const AcceptTask& event) {
  auto* job = data_.find_job(event.task.job);
  if (job == nullptr) return answer(event.request, no_such_job(event.task.job));
  const auto* task = data_.touched(*job, event.task.index);
  if (task == nullptr || task->review != static_cast<std::uint8_t>(Review::held)) {
    return answer(event.request,
                  fail(Code::conflict,
                       fmt::format("task {} is not held: there is nothing to accept", event.task.str())));
  }
  set_review(*job, event.task.index, Review::accepted);
  let_go(*job);
  answer(event.request, Done{});
}

void Turn::on(const RequeueTask& event) {
  auto* job = data_.find_job(event.task.job);
  if (job == nullptr) return answer(event.request, no_such_job(event.task.job));
  const auto index = event.task.index;
  const auto refuse = [&](Code code, const std::string& why) { answer(event.request, fail(code, why)); };
  if (index >= job->row.spec.task_count() || !data_.has_task(*job, index)) {
    return refuse(Code::not_found, fmt::format("job {} has no task {}", event.task.job.str(), index));
  }
  if (!job->is_live() && job->row.state != JobState::done) {
    return refuse(Code::conflict, fmt::format("job {} is {}: retry the job, or submit the frames again",
                                              event.task.job.str(), shown_state(job->row)));
  }
  if (!job->tasks_kept) {
    return refuse(Code::conflict,
                  fmt::format("job {} is done and holds no frame for a look: submit frames {} again",
                              event.task.job.str(), job->row.spec.task_frames(index).str()));
  }
  auto* task = data_.touched(*job, index);
  if (task == nullptr || (task->state != TaskState::done && task->state != TaskState::failed)) {
    return refuse(Code::conflict,
                  fmt::format("task {} is {}: only one that is done or failed can be rendered again",
                              event.task.str(), to_string(data_.task_row(*job, index).state)));
  }
  const bool was_done = job->row.state == JobState::done;
  if (was_done && data_.totals.jobs_active >= max_active_jobs) {
    return refuse(Code::unavailable, "too many jobs are active; try again when some have ended");
  }
  do_again(*job, index);
  job->row.finished_ms = 0;
  if (was_done) data_.set_job_state(*job, JobState::active);
  touch(*job);
  answer(event.request, Done{});
}

void Turn::do_again(Job& job, std::uint32_t index) {
  auto& step = data_.step_of(job, index);
  auto& task = *data_.touched(job, index);
  if (task.review == static_cast<std::uint8_t>(Review::held)) --job.row.held;
  if (task.state == TaskState::done) {
    job.row.render_s = std::max(0.0, job.row.render_s - static_cast<double>(task.seconds));
    data_.note_done(job, step, index - step.first, -1);
  }
  data_.count(job, step, task.state, TaskState::queued);
  job.void_up_to[index] = task.attempt;  // the one that won may be delivered once more
  job.winners.erase(index);
  job.errors.erase(index);
  task.state = TaskState::queued;
  task.failed = task.lost = 0;
  task.taken_back = task.adoptable = task.blank = task.review = 0;
  task.shuns = task.node != 0 ? 1 : 0;
  task.seconds = 0;
  task.started_ms = task.finished_ms = 0;
  data_.requeue(job, index, task);
  data_.refresh_followers(job, step, index);
  save_task(job, index);
  tell_task(job, index, to_string(task.state), task.attempt,
            task.node != 0 ? data_.node(task.node).row.id : NodeId(), "somebody asked for it again");
}

// O(touched tasks of the job), as a retry.
void Turn::on(const RequeueTasks& event) {
  auto* job = data_.find_job(event.job);
  if (job == nullptr) return answer(event.request, no_such_job(event.job));
  const auto refuse = [&](Code code, const std::string& why) { answer(event.request, fail(code, why)); };
  if (job->row.state == JobState::cancelled) {
    return refuse(Code::conflict, fmt::format("job {} is cancelled: submit it again", event.job.str()));
  }
  take_back(*job);
  if (!job->tasks_kept) {
    return refuse(Code::conflict,
                  fmt::format("job {} is {} and its tasks are put away: submit the frames again",
                              event.job.str(), shown_state(job->row)));
  }
  const bool was_over = !job->is_live();
  if (was_over && data_.totals.jobs_active >= max_active_jobs) {
    return refuse(Code::unavailable, "too many jobs are active; try again when some have ended");
  }
  if (!event.step.empty() && std::none_of(job->steps.begin(), job->steps.end(),
                                          [&](const auto& step) { return step.spec.name == event.step; })) {
    return refuse(Code::not_found, fmt::format("job {} has no step '{}'", event.job.str(), event.step));
  }
  std::set<std::int32_t> wanted;
  for (std::size_t i = 0; event.frames && i < event.frames->size(); ++i) wanted.insert(event.frames->at(i));
  const auto is_wanted = [&](std::uint32_t index) {
    if (!event.frames) return true;
    const auto frames = data_.task_frames(*job, index);
    for (std::size_t i = 0; i < frames.size(); ++i) {
      if (wanted.contains(frames.at(i))) return true;
    }
    return false;
  };
  std::uint32_t again = 0;
  for (auto& step : job->steps) {
    if (!event.step.empty() && step.spec.name != event.step) continue;
    for (std::uint32_t local = 0; local < step.tasks.size(); ++local) {
      const auto state = step.tasks[local].state;
      const bool is_meant = state == TaskState::failed || (state == TaskState::done && !event.only_failed);
      if (!is_meant || !is_wanted(step.first + local)) continue;
      do_again(*job, step.first + local);
      ++again;
    }
  }
  if (again == 0) {
    let_go(*job);
    return refuse(Code::conflict,
                  fmt::format("no task of job {} that {} is among them: only such are done again",
                              event.job.str(), event.only_failed ? "has failed" : "is done or has failed"));
  }
  if (was_over) {
    // What was cancelled with a failed job comes along: it could never be done otherwise.
    for (auto& step : job->steps) {
      for (std::uint32_t local = 0; local < step.tasks.size(); ++local) {
        auto& task = step.tasks[local];
        if (task.state != TaskState::cancelled) continue;
        task.state = TaskState::queued;
        task.finished_ms = 0;
        data_.requeue(*job, step.first + local, task);
        save_task(*job, step.first + local);
      }
      data_.count(*job, step, TaskState::cancelled, TaskState::queued, step.counts.cancelled);
    }
    job->row.message.clear();
    job->row.finished_ms = 0;
    data_.set_job_state(*job, JobState::active);
  }
  touch(*job);
  answer(event.request, Requeued{again});
}

// ---- what a job waits for
// ------------------------------------------------------------------------------------

Status Turn::check_wishes(JobNo job, const JobWishes& wishes) const {
  for (const auto other : wishes.after) {
    if (!data_.jobs.contains(other) &&
        (job == 0 || std::count(data_.jobs.at(job).row.wishes.after.begin(),
                                data_.jobs.at(job).row.wishes.after.end(), other) == 0)) {
      return fail(Code::not_found, fmt::format("after: there is no job {}", other));
    }
  }
  // Whom the others wait for, and so on: the job itself must not be among them. O(jobs in that chain).
  std::set<JobNo> seen;
  std::vector<JobNo> next = wishes.after;
  while (!next.empty()) {
    const auto one = next.back();
    next.pop_back();
    if (one == job) {
      return fail(
          Code::conflict,
          fmt::format("after: job {} would wait for itself, through the jobs that it waits for", job));
    }
    const auto found = data_.jobs.find(one);
    if (!seen.insert(one).second || found == data_.jobs.end()) continue;
    const auto& after = found->second.row.wishes.after;
    next.insert(next.end(), after.begin(), after.end());
  }
  return {};
}

void Turn::set_wishes(Job& job, JobWishes wishes) {
  const bool is_early = wishes.start_ms > now_.unix_ms;
  data_.change_job(job, [&] { job.is_early = is_early; });
  data_.set_wishes(job, std::move(wishes));
  if (is_early) data_.early.insert({job.row.wishes.start_ms, job.row.number});
}

void Turn::start_early_jobs() {
  while (!data_.early.empty() && data_.early.begin()->first <= now_.unix_ms) {
    const auto number = data_.early.begin()->second;
    data_.early.erase(data_.early.begin());
    auto& job = data_.jobs.at(number);
    data_.change_job(job, [&] { job.is_early = false; });
    touch(job);
  }
}

// ---- endings
// -------------------------------------------------------------------------------------------------

void Turn::stop_job(Job& job, JobState state) {
  data_.set_job_state(job, state);  // first: nothing of it is ready any more
  const auto number = job.row.number;
  for (auto lease = data_.leases.lower_bound({number, 0});
       lease != data_.leases.end() && lease->first.job == number;) {
    const auto key = lease->first;
    ++lease;
    end(key, Ending::cancelled);
  }
  for (auto& step : job.steps) {
    const auto cancel = [&](std::uint32_t index) {
      auto& task = *data_.touched(job, index);
      task.state = TaskState::cancelled;
      task.adoptable = task.shuns = 0;
      task.finished_ms = now_.unix_ms;
      save_task(job, index);
    };
    for (const auto& [group, tasks] : step.requeued) {
      for (const auto index : tasks) cancel(index);
    }
    step.requeued.clear();
    // What waits for its partner stands in no queue.
    for (std::uint32_t local = 0; step.is_paired() && local < step.tasks.size(); ++local) {
      if (step.tasks[local].state == TaskState::queued) cancel(step.first + local);
    }
    data_.count(job, step, TaskState::queued, TaskState::cancelled, step.counts.queued);
  }
  job.row.finished_ms = now_.unix_ms;
  touch(job);
}

void Turn::fail_job(Job& job, const std::string& message) {
  if (job.is_live()) stop_job(job, JobState::failed);
  job.row.message = message;
  touch(job);
}

// Of many failures one is told: the first in the job's order.
std::string Turn::failure_message(const Job& job) const {
  auto message = fmt::format("{} of {} tasks failed", job.row.counts.failed, job.total);
  if (job.errors.empty()) return message;
  const auto& [index, error] = *job.errors.begin();
  const auto frames = data_.task_frames(job, index);
  return message + (frames.empty() ? fmt::format("; task {}: {}", index, error.message)
                                   : fmt::format("; frames {}: {}", frames.str(), error.message));
}

void Turn::give_up_jobs() {
  for (const auto number : troubled_) {
    const auto found = data_.jobs.find(number);
    if (found == data_.jobs.end() || !found->second.is_live()) continue;
    auto& job = found->second;
    const auto& own = job.row.spec.fail_pct;
    const std::uint64_t pct = own ? *own : data_.policy.fail_pct;
    const std::uint64_t failed = job.row.counts.failed;
    if (failed * 100 < pct * job.total || (!own && failed < data_.policy.fail_least)) continue;
    fail_job(job, fmt::format("given up, since {} % of its tasks may fail: {}", pct, failure_message(job)));
  }
}

void Turn::check_end(Job& job) {
  const auto& counts = job.row.counts;
  const bool all_done = counts.done == job.total;
  if (!all_done && (!job.is_live() || counts.running > 0)) return;
  // What is left may wait for what failed: then it never starts.
  const auto may_go_on = [](const Step& step) {
    return step.waits == 0 && (step.has_fresh() || !step.requeued.empty());
  };
  if (!all_done && counts.queued > 0 && std::any_of(job.steps.begin(), job.steps.end(), may_go_on)) return;
  if (!all_done) {
    auto message = failure_message(job);
    if (counts.queued > 0) message += fmt::format("; {} others wait for them", counts.queued);
    stop_job(job, JobState::failed);
    job.row.message = std::move(message);
    return;
  }
  job.row.finished_ms = now_.unix_ms;
  touch(job);
  data_.set_job_state(job, JobState::done);
  job.row.message.clear();
  let_go(job);
}

void Turn::take_back(Job& job) {
  if (job.tasks_kept || job.row.state != JobState::done || !job.winners_kept) return;
  for (auto& step : job.steps) {
    step.tasks.assign(step.total, {});
    for (std::uint32_t local = 0; local < step.total; ++local) {
      auto& task = step.tasks[local];
      const auto winner = job.winners.find(step.first + local);
      task.state = TaskState::done;
      task.attempt = winner == job.winners.end() ? 1 : winner->second;
    }
  }
  job.tasks_kept = true;
}

void Turn::let_go(Job& job) {
  if (job.row.state != JobState::done || job.row.held > 0) return;
  // What is asked of a job that is done, its winners answer.
  for (auto& step : job.steps) {
    step.tasks = {};
    step.requeued.clear();
  }
  job.errors.clear();
  job.failed_on.clear();
  job.void_up_to.clear();
  job.tasks_kept = false;
}

}  // namespace kiln::scheduler
