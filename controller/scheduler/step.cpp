#include "scheduler/step.h"

#include "scheduler/farm_data.h"

namespace kiln::scheduler {

FarmState::FarmState(const Policy& policy) : data_(std::make_unique<Data>(policy)) {}
FarmState::FarmState(const Policy& policy, const FarmRows& rows, Instant now) : FarmState(policy) {
  data_->load(rows, now);
}
FarmState::~FarmState() = default;
FarmState::FarmState(FarmState&&) noexcept = default;
FarmState& FarmState::operator=(FarmState&&) noexcept = default;

payloads::ControllerSummary FarmState::summary() const {
  return data_->totals;
}
const JobRow* FarmState::job(const JobId& id) const {
  const auto* job = std::as_const(*data_).find_job(id);
  return job == nullptr ? nullptr : &job->row;
}
const NodeRow* FarmState::node(const NodeId& id) const {
  const auto* node = std::as_const(*data_).find_node(id);
  return node == nullptr ? nullptr : &node->row;
}
TaskRow FarmState::task(const TaskId& id) const {
  if (const auto* job = std::as_const(*data_).find_job(id.job)) return data_->task_row(*job, id.index);
  TaskRow row;
  row.id = id;
  return row;
}

std::vector<Effect> step(FarmState& state, Instant now, const Event& event) {
  return Turn(state.data(), now).run(event);
}

std::vector<Effect> Turn::run(const Event& event) {
  std::visit([this](const auto& one) { on(one); }, event);
  give_up_jobs();
  place_tasks();
  for (const auto number : nodes_) {
    auto& node = data_.node(number);
    node.saved_mono_ms = now_.mono_ms;
    node.stats_dirty = false;
    effects_.emplace_back(SaveNode{node.row});
    if (node.hour.hour_ms != 0) effects_.emplace_back(SaveUsage{node.hour});
    effects_.emplace_back(NodeChanged{node.row});
  }
  // Jobs first: the store ties tasks, attempts and results to theirs, and a new one is saved in this very
  // turn.
  std::vector<Effect> ordered;
  for (const auto number : jobs_) {
    const auto job = data_.jobs.find(number);
    if (job == data_.jobs.end()) continue;  // erased in this turn
    FarmState::Data::estimate(job->second, now_);
    ordered.emplace_back(SaveJob{job->second.row});
    effects_.emplace_back(JobChanged{job->second.row});
  }
  ordered.insert(ordered.end(), std::make_move_iterator(effects_.begin()),
                 std::make_move_iterator(effects_.end()));
  return ordered;
}

void Turn::answer(RequestId request, Result<AnswerValue> value) {
  effects_.emplace_back(Answer{request, std::move(value)});
}

TaskId Turn::task_id(const LeaseKey& key) const {
  return {data_.jobs.at(key.job).row.id, key.index};
}

void Turn::save_task(const Job& job, std::uint32_t index) {
  effects_.emplace_back(SaveTask{data_.task_row(job, index)});
}

void Turn::tell_task(const Job& job, std::uint32_t index, std::string_view state, std::uint32_t attempt,
                     const NodeId& node, std::string message) {
  TaskChanged changed;
  changed.event.task = {job.row.id, index};
  changed.event.frames = data_.task_frames(job, index).str();
  changed.event.state = state;
  changed.event.attempt = attempt;
  changed.event.node = node.str();
  changed.event.message = std::move(message);
  effects_.emplace_back(std::move(changed));
}

}  // namespace kiln::scheduler
