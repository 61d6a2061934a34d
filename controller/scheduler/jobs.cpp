// What people ask of jobs. The state of a job:
//
//   from              on                          to         effect
//   -                 submit                      active     one row, whatever its size
//   active            pause                       paused     what waits on nodes is asked back
//   paused            resume                      active
//   active, paused    its last task ends          done       or failed, when one of them failed
//   active, paused    a failure of scope job      failed     what is out is cancelled
//   active, paused    cancel                      cancelled  what is out is cancelled
//   active..failed    retry                       active     failed tasks, and those never run, are queued
//   active, paused    too many tasks failed       failed     what is out is cancelled
//   failed            late commit of the last     done       no rendered frame is thrown away
//   done              requeue of a held task      active     its frame stays until the new one comes
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
  if (event.spec.frames.empty())
    return answer(event.request, fail(Code::invalid, "frames: at least one is needed"));
  if (event.spec.chunk == 0)
    return answer(event.request, fail(Code::invalid, "chunk: at least 1 frame a task"));
  if (auto fine = check_priority(event.priority); !fine) return answer(event.request, fail(fine.error()));
  if (data_.totals.jobs_active >= max_active_jobs) {
    return answer(event.request, fail(Code::unavailable,
                                      fmt::format("{} jobs are active or paused, as many as the farm keeps; "
                                                  "submit again when some have ended",
                                                  max_active_jobs)));
  }
  JobRow row;
  row.number = ++data_.last_job_number;
  row.id = make_job_id(row.number, event.random);
  row.spec = event.spec;
  row.priority = event.priority;
  row.state = event.paused ? JobState::paused : JobState::active;
  row.user = event.user;
  row.cid = event.cid;
  row.counts.queued = row.spec.task_count();
  row.created_ms = now_.unix_ms;
  const auto id = row.id;
  data_.insert_job(std::move(row));
  auto& job = data_.jobs.at(data_.last_job_number);
  data_.refresh_ready(job, 0);
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
  if (event.priority && *event.priority != job->row.priority) {
    data_.set_priority(*job, *event.priority);
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
  for (std::uint32_t index = 0; index < job->tasks.size(); ++index) {
    auto& task = job->tasks[index];
    if (task.state != TaskState::failed && task.state != TaskState::cancelled) continue;
    task.state = TaskState::queued;
    task.failed = task.lost = 0;
    task.taken_back = 0;
    task.shuns = task.adoptable = 0;
    task.started_ms = task.finished_ms = 0;
    job->errors.erase(index);
    job->requeued[0].insert(index);
    save_task(*job, index);
  }
  data_.count(*job, TaskState::failed, TaskState::queued, job->row.counts.failed);
  data_.count(*job, TaskState::cancelled, TaskState::queued, job->row.counts.cancelled);
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
  if (index >= job->total) {
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
  if (task->review == static_cast<std::uint8_t>(Review::held)) --job->row.held;
  if (task->state == TaskState::done) {
    job->row.render_s = std::max(0.0, job->row.render_s - static_cast<double>(task->seconds));
  }
  data_.count(*job, task->state, TaskState::queued);
  job->void_up_to[index] = task->attempt;  // the one that won may be delivered once more
  job->winners.erase(index);
  job->errors.erase(index);
  task->state = TaskState::queued;
  task->failed = task->lost = 0;
  task->taken_back = task->adoptable = task->blank = task->review = 0;
  task->shuns = task->node != 0 ? 1 : 0;
  task->seconds = 0;
  task->started_ms = task->finished_ms = 0;
  data_.requeue(*job, index, *task);
  save_task(*job, index);
  tell_task(*job, index, to_string(task->state), task->attempt,
            task->node != 0 ? data_.node(task->node).row.id : NodeId(), "somebody asked for it again");
  job->row.finished_ms = 0;
  if (was_done) data_.set_job_state(*job, JobState::active);
  touch(*job);
  answer(event.request, Done{});
}

void Turn::stop_job(Job& job, JobState state) {
  data_.set_job_state(job, state);  // first: nothing of it is ready any more
  const auto number = job.row.number;
  for (auto lease = data_.leases.lower_bound({number, 0});
       lease != data_.leases.end() && lease->first.job == number;) {
    const auto key = lease->first;
    ++lease;
    end(key, Ending::cancelled);
  }
  for (const auto& [group, tasks] : job.requeued) {
    for (const auto index : tasks) {
      auto& task = *data_.touched(job, index);
      task.state = TaskState::cancelled;
      task.adoptable = task.shuns = 0;
      task.finished_ms = now_.unix_ms;
      save_task(job, index);
    }
  }
  job.requeued.clear();
  data_.count(job, TaskState::queued, TaskState::cancelled, job.row.counts.queued);
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
  return message + fmt::format("; frames {}: {}", job.row.spec.task_frames(index).str(), error.message);
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
  if (!all_done && (!job.is_live() || counts.queued + counts.running > 0)) return;
  job.row.finished_ms = now_.unix_ms;
  touch(job);
  if (!all_done) {
    data_.set_job_state(job, JobState::failed);
    job.row.message = failure_message(job);
    return;
  }
  data_.set_job_state(job, JobState::done);
  job.row.message.clear();
  let_go(job);
}

void Turn::let_go(Job& job) {
  if (job.row.state != JobState::done || job.row.held > 0) return;
  job.tasks = {};  // what is asked of a job that is done, its winners answer
  job.errors.clear();
  job.failed_on.clear();
  job.void_up_to.clear();
  job.tasks_kept = false;
}

}  // namespace kiln::scheduler
