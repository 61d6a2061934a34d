#include "store.h"

#include <fmt/format.h>

#include <algorithm>

namespace kiln::sim {

using namespace scheduler;

namespace {

template <class Map, class Key>
auto* find(Map& map, const Key& key) {
  const auto found = map.find(key);
  return found == map.end() ? nullptr : &found->second;
}

// Erases from `first` on what is of the job.
template <class Map, class Key, class IsOfJob>
void erase_of_job(Map& map, const Key& first, const IsOfJob& is_of_job) {
  const auto from = map.lower_bound(first);
  auto to = from;
  while (to != map.end() && is_of_job(*to)) ++to;
  map.erase(from, to);
}

}  // namespace

// ---- the database -----------------------------------------------------------------------------------------

void Database::check_job(const JobId& job, const char* what) const {
  if (!jobs_.contains(job)) {
    throw Violation(
        fmt::format("the store refuses a batch: {} of job {}, which it does not have", what, job.str()));
  }
}

void Database::apply(const std::vector<Effect>& effects) {
  // The last word of a batch about a job is written at its first mention, and nothing of a job that it
  // erases.
  std::set<JobId> erased;
  for (const auto& effect : effects) {
    if (const auto* erase = std::get_if<EraseJob>(&effect)) erased.insert(erase->job);
  }
  for (const auto& effect : effects) {
    if (const auto* job = std::get_if<SaveJob>(&effect)) {
      if (erased.contains(job->row.id)) continue;
      jobs_[job->row.id] = job->row;
      last_job_number_ = std::max(last_job_number_, job->row.number);
    } else if (const auto* task = std::get_if<SaveTask>(&effect)) {
      if (erased.contains(task->row.id.job)) continue;
      check_job(task->row.id.job, "a task");
      tasks_[task->row.id] = task->row;
    } else if (const auto* attempt = std::get_if<SaveAttempt>(&effect)) {
      if (erased.contains(attempt->row.task.job)) continue;
      check_job(attempt->row.task.job, "an attempt");
      attempts_[{attempt->row.task, attempt->row.attempt}] = attempt->row;
    } else if (const auto* result = std::get_if<SaveResult>(&effect)) {
      if (erased.contains(result->row.task.job)) continue;
      check_job(result->row.task.job, "a result");
      results_[result->row.task][result->row.file.frame] = result->row;
    } else if (const auto* node = std::get_if<SaveNode>(&effect)) {
      nodes_[node->row.id] = node->row;
    } else if (const auto* gone = std::get_if<EraseNode>(&effect)) {
      nodes_.erase(gone->node);
    } else if (const auto* farm = std::get_if<SaveFarm>(&effect)) {
      settings_ = farm->settings;
    } else if (const auto* usage = std::get_if<SaveUsage>(&effect)) {
      usage_[{usage->row.hour_ms, usage->row.node}] = usage->row;
    } else if (const auto* accept = std::get_if<AcceptFiles>(&effect)) {
      if (accept->files.empty() || erased.contains(accept->task.job)) continue;
      check_job(accept->task.job, "files");
      unmoved_.insert({accept->task, accept->attempt});
    } else if (const auto* erase = std::get_if<EraseJob>(&effect)) {
      jobs_.erase(erase->job);
      const TaskId first{erase->job, 0};
      erase_of_job(tasks_, first, [&](const auto& one) { return one.first.job == first.job; });
      erase_of_job(results_, first, [&](const auto& one) { return one.first.job == first.job; });
      erase_of_job(attempts_, AttemptKey{first, 0},
                   [&](const auto& one) { return one.first.first.job == first.job; });
      erase_of_job(unmoved_, AttemptKey{first, 0},
                   [&](const auto& one) { return one.first.job == first.job; });
    }
  }
}

FarmRows Database::load() const {
  FarmRows rows;
  for (const auto& [id, row] : jobs_) rows.jobs.push_back(row);
  std::sort(rows.jobs.begin(), rows.jobs.end(),
            [](const auto& a, const auto& b) { return a.number < b.number; });
  for (const auto& [id, row] : tasks_) {
    const auto& job = jobs_.at(id.job);
    const bool is_kept = job.state == JobState::active || job.state == JobState::paused ||
                         job.state == JobState::failed || job.held > 0;
    if (is_kept) rows.tasks.push_back(row);
  }
  for (const auto& [key, row] : attempts_) {
    if (row.state == AttemptState::assigned || row.state == AttemptState::running)
      rows.attempts.push_back(row);
  }
  for (const auto& [id, row] : nodes_) rows.nodes.push_back(row);
  rows.settings = settings_;
  for (const auto& [key, row] : usage_) {
    if (key.first == usage_.rbegin()->first.first) rows.usage.push_back(row);
  }
  rows.last_job_number = last_job_number_;
  return rows;
}

std::vector<AcceptFiles> Database::unmoved() const {
  std::vector<AcceptFiles> accepts;
  for (const auto& [task, attempt] : unmoved_) {
    AcceptFiles accept{task, attempt, {}};
    const auto of_task = results_.find(task);
    if (of_task == results_.end()) continue;
    for (const auto& [frame, result] : of_task->second) {
      if (result.attempt == attempt) accept.files.push_back(result.file);
    }
    if (!accept.files.empty()) accepts.push_back(std::move(accept));
  }
  return accepts;
}

const JobRow* Database::job(const JobId& id) const {
  return find(jobs_, id);
}
const TaskRow* Database::task(const TaskId& id) const {
  return find(tasks_, id);
}
const AttemptRow* Database::attempt(const AttemptKey& key) const {
  return find(attempts_, key);
}
const NodeRow* Database::node(const NodeId& id) const {
  return find(nodes_, id);
}
const std::map<std::int32_t, ResultRow>* Database::results(const TaskId& task) const {
  return find(results_, task);
}
bool Database::is_done(const TaskId& task) const {
  const auto* row = this->task(task);
  return row != nullptr && row->state == TaskState::done;
}

// ---- files ------------------------------------------------------------------------------------------------

void Files::receive(const AttemptKey& attempt, const payloads::ResultFile& file) {
  incoming_[attempt].insert(name(file));
}

bool Files::has_incoming(const AttemptKey& attempt, const payloads::ResultFile& file) const {
  const auto* files = find(incoming_, attempt);
  return files != nullptr && files->contains(name(file));
}

bool Files::accept(const AcceptFiles& accept) {
  const AttemptKey key{accept.task, accept.attempt};
  auto* incoming = find(incoming_, key);
  auto& output = output_[accept.task.job];
  bool is_whole = true;
  for (const auto& file : accept.files) {
    const auto has = incoming != nullptr && incoming->erase(name(file)) > 0;
    if (has) {
      output[file.path] = file.digest;
    } else if (const auto* placed = find(output, file.path); placed == nullptr || *placed != file.digest) {
      is_whole = false;
    }
  }
  if (!is_whole) return false;
  incoming_.erase(key);
  unsettled_.push_back(accept);
  return true;
}

std::vector<AttemptKey> Files::settle() {
  std::vector<AttemptKey> settled;
  for (const auto& accept : unsettled_) settled.emplace_back(accept.task, accept.attempt);
  unsettled_.clear();
  return settled;
}

void Files::lose_power() {
  for (const auto& accept : unsettled_) {
    const auto job = output_.find(accept.task.job);
    if (job == output_.end() || !world_.random.chance(0.5)) continue;
    for (const auto& file : accept.files) {
      if (job->second.erase(file.path) > 0) incoming_[{accept.task, accept.attempt}].insert(name(file));
    }
  }
  unsettled_.clear();
}

std::string Files::output(const JobId& job, const std::string& path) const {
  const auto* files = find(output_, job);
  const auto* digest = files == nullptr ? nullptr : find(*files, path);
  return digest == nullptr ? "" : *digest;
}

}  // namespace kiln::sim
