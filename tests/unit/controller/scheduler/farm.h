// A farm in a test: the scheduler on a clock that the test moves, and the boxes that speak to it.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "scheduler/farm_data.h"
#include "scheduler/step.h"
// check.h last
#include "check.h"

namespace kiln::test {

using namespace scheduler;
using payloads::TaskPhase;
using payloads::Verdict;

// A task as tests write it: the job's place in submission order is hidden behind its id.
inline TaskId task(const JobId& job, std::uint32_t index) {
  return {job, index};
}
inline NodeId node_id(const std::string& text) {
  return *NodeId::parse(text);
}
inline const std::string manifest_a = "sha256:" + std::string(64, 'a');
inline const std::string manifest_b = "sha256:" + std::string(64, 'b');

struct Box {
  NodeId id;
  std::uint64_t sid = 1;
  std::uint64_t seq = 0;
  std::vector<payloads::HeldTask> held;
  std::vector<std::string> warm;

  payloads::HeldTask* find(const TaskId& task, std::uint32_t attempt) {
    for (auto& one : held) {
      if (one.task == task && one.attempt == attempt) return &one;
    }
    return nullptr;
  }
  void set(const TaskId& task, std::uint32_t attempt, TaskPhase phase) {
    if (auto* known = find(task, attempt)) {
      known->phase = phase;
    } else {
      payloads::HeldTask one;
      one.task = task;
      one.attempt = attempt;
      one.phase = phase;
      held.push_back(one);
    }
  }
  void forget(const TaskId& task, std::uint32_t attempt) {
    std::erase_if(held, [&](const auto& one) { return one.task == task && one.attempt == attempt; });
  }
};

struct Farm {
  Policy policy;
  FarmState state;
  Instant now{1'000'000, 1'800'000'000'000};
  std::vector<Effect> last;  // of the last event, or of all of a pass()
  std::map<std::string, Box> boxes;

  explicit Farm(const Policy& the_policy = {}) : policy(the_policy), state(the_policy) {
    on(BrokerConnected{});
  }

  const std::vector<Effect>& on(const Event& event) {
    last = step(state, now, event);
    for (const auto& effect : last) keep(effect);
    return last;
  }

  // What a store would have.
  std::map<JobId, JobRow> saved_jobs;
  std::map<TaskId, TaskRow> saved_tasks;
  std::map<std::pair<TaskId, std::uint32_t>, AttemptRow> saved_attempts;
  std::map<NodeId, NodeRow> saved_nodes;
  FarmSettings saved_settings;
  std::map<std::string, RendererRow> saved_renderers;
  std::vector<UsageRow> saved_usage;
  void keep(const Effect& effect) {
    if (const auto* job = std::get_if<SaveJob>(&effect)) saved_jobs[job->row.id] = job->row;
    if (const auto* row = std::get_if<SaveTask>(&effect)) saved_tasks[row->row.id] = row->row;
    if (const auto* row = std::get_if<SaveAttempt>(&effect))
      saved_attempts[{row->row.task, row->row.attempt}] = row->row;
    if (const auto* node = std::get_if<SaveNode>(&effect)) saved_nodes[node->row.id] = node->row;
    if (const auto* farm = std::get_if<SaveFarm>(&effect)) saved_settings = farm->settings;
    if (const auto* renderer = std::get_if<SaveRenderer>(&effect))
      saved_renderers[renderer->row.bundle.name] = renderer->row;
    if (const auto* gone = std::get_if<EraseRenderer>(&effect)) saved_renderers.erase(gone->name);
    if (const auto* usage = std::get_if<SaveUsage>(&effect)) saved_usage.push_back(usage->row);
  }
  // The controller ends and starts again; its boxes do not notice, and have yet to speak.
  void restart() {
    FarmRows rows;
    rows.settings = saved_settings;
    for (const auto& [name, row] : saved_renderers) rows.renderers.push_back(row);
    for (const auto& [id, job] : saved_jobs) {
      rows.jobs.push_back(job);
      rows.last_job_number = std::max(rows.last_job_number, job.number);
    }
    for (const auto& [id, row] : saved_tasks) {
      const auto of = saved_jobs.at(id.job).state;
      if (of != JobState::done && of != JobState::cancelled) rows.tasks.push_back(row);
    }
    for (const auto& [id, row] : saved_attempts) {
      if (row.state == AttemptState::assigned || row.state == AttemptState::running)
        rows.attempts.push_back(row);
    }
    for (const auto& [id, node] : saved_nodes) rows.nodes.push_back(node);
    state = FarmState(policy, rows, now);
    on(BrokerConnected{});
  }
  // Time passes with a tick a second; boxes named in `alive` beat every five.
  void pass(std::int64_t ms, const std::vector<std::string>& alive = {}) {
    std::vector<Effect> all;
    const auto keep = [&] { all.insert(all.end(), last.begin(), last.end()); };
    for (std::int64_t left = ms; left > 0; left -= 1000) {
      now = now.after_ms(std::min<std::int64_t>(left, 1000));
      on(Tick{});
      keep();
      if ((left / 1000) % 4 != 0) continue;
      for (const auto& name : alive) {
        beat(name);
        keep();
      }
    }
    last = std::move(all);
  }

  template <class T>
  [[nodiscard]] std::vector<T> effects() const {
    std::vector<T> found;
    for (const auto& effect : last) {
      if (const auto* one = std::get_if<T>(&effect)) found.push_back(*one);
    }
    return found;
  }
  // "a<-1-aaaaa-0/1 …": the commands of that kind in the last effects, in order.
  template <class Op>
  [[nodiscard]] std::string sent() const {
    std::string text;
    for (const auto& send : effects<SendCommand>()) {
      const auto* op = std::get_if<Op>(&send.command.op);
      if (op == nullptr) continue;
      if (!text.empty()) text += ' ';
      if constexpr (requires { op->task; }) {
        text += fmt::format("{}<-{}/{}", send.node.str(), op->task.index, op->attempt);
      } else {
        text += send.node.str();
      }
    }
    return text;
  }
  [[nodiscard]] std::string runs() const { return sent<payloads::RunTask>(); }
  [[nodiscard]] std::string cancels() const { return sent<payloads::CancelTask>(); }

  // ---- people

  JobId submit(const std::string& frames, const std::string& renderer = "blender", int priority = 50,
               const std::string& manifest = manifest_a, std::uint32_t chunk = 1) {
    SubmitJob event;
    event.request = 1;
    event.spec.name = "test";
    event.spec.renderer = renderer;
    event.spec.frames = *payloads::FrameSet::parse(frames);
    event.spec.chunk = chunk;
    event.spec.manifest = renderer == "noop" ? "" : manifest;
    event.priority = priority;
    on(event);
    return std::get<JobAccepted>(*effects<Answer>().at(0).value).job;
  }
  // A job from a template with these steps; `tweak` may change what else is asked for.
  JobId submit_steps(std::vector<StepSpec> steps, const std::function<void(JobSpec&)>& tweak = {},
                     const JobWishes& wishes = {}, const std::string& user = "") {
    SubmitJob event;
    event.request = 1;
    event.spec.name = "test";
    event.spec.renderer = "openjd";
    event.spec.document = manifest_b;
    event.spec.steps = std::move(steps);
    if (tweak) tweak(event.spec);
    event.wishes = wishes;
    event.user = user;
    on(event);
    return std::get<JobAccepted>(*effects<Answer>().at(0).value).job;
  }
  // Of frames, with wishes.
  JobId submit_with(const std::string& frames, const JobWishes& wishes, const std::string& user = "",
                    int priority = 50) {
    SubmitJob event;
    event.request = 1;
    event.spec.name = "test";
    event.spec.renderer = "blender";
    event.spec.frames = *payloads::FrameSet::parse(frames);
    event.spec.manifest = manifest_a;
    event.wishes = wishes;
    event.user = user;
    event.priority = priority;
    on(event);
    return std::get<JobAccepted>(*effects<Answer>().at(0).value).job;
  }
  // The reasons that a job is given, one a line: "node|step|what".
  [[nodiscard]] std::string why(const JobId& job) {
    on(ExplainJob{1, job});
    std::string text;
    const auto answers = effects<Answer>();
    for (const auto& one : std::get<Explanation>(*answers.at(0).value).reasons)
      text += fmt::format("{}|{}|{}\n", one.node, one.step, one.what);
    return text;
  }
  // Whether the request in the last effects was granted.
  [[nodiscard]] bool granted() const { return effects<Answer>().at(0).value.has_value(); }
  [[nodiscard]] std::string refusal() const { return effects<Answer>().at(0).value.error().message; }

  // ---- boxes

  void join(const std::string& name, std::uint32_t slots = 1, const std::string& renderer = "blender") {
    auto& box = boxes[name];
    box.id = node_id(name);
    std::vector<Effect> all;
    const auto keep = [&] { all.insert(all.end(), last.begin(), last.end()); };
    status(name, payloads::NodeState::online);
    keep();
    payloads::NodeInfo info;
    info.sid = box.sid;
    info.name = name;
    info.slots = slots;
    info.renderers = {{renderer, "3.4.1"}};
    on(NodeInfoSeen{box.id, info, false});
    keep();
    beat(name);
    keep();
    last = std::move(all);
  }
  void status(const std::string& name, payloads::NodeState state_said, bool retained = false) {
    const auto& box = boxes.at(name);
    on(NodeStatusSeen{box.id, {state_said, box.sid}, retained});
  }
  void beat(const std::string& name, bool retained = false) {
    auto& box = boxes.at(name);
    payloads::NodeTasks tasks;
    tasks.sid = box.sid;
    tasks.seq = ++box.seq;
    tasks.run = box.held;
    tasks.warm = box.warm;
    on(NodeTasksSeen{box.id, tasks, retained});
  }
  // The box takes what the last effects sent to it, and says so; the first `rendering` of all it holds are at
  // work.
  void take(const std::string& name, std::size_t rendering = 1) {
    auto& box = boxes.at(name);
    for (const auto& send : effects<SendCommand>()) {
      if (send.node != box.id) continue;
      if (const auto* run = std::get_if<payloads::RunTask>(&send.command.op)) {
        box.set(run->task, run->attempt, TaskPhase::queued);
      }
    }
    for (std::size_t i = 0; i < box.held.size() && i < rendering; ++i)
      box.held[i].phase = TaskPhase::rendering;
    beat(name);
  }
  void ack(const std::string& name, const std::string& cid, bool ok, const std::string& code = "",
           const std::string& message = "") {
    on(NodeAckSeen{node_id(name), {cid, ok, code, message}});
  }
  [[nodiscard]] payloads::ResultReport report(const TaskId& id, const std::string& name,
                                              double seconds = 10) const {
    payloads::ResultReport result;
    result.node = node_id(name);
    result.ok = true;
    result.seconds = seconds;
    const auto& spec = state.job(id.job)->spec;
    const auto frames = spec.task_frames(id.index);
    if (frames.empty()) result.files.emplace_back().path = fmt::format("{}.out", id.index);
    for (std::size_t i = 0; i < frames.size() && spec.renderer != "noop"; ++i) {
      payloads::ResultFile file;
      file.frame = frames.at(i);
      file.path = fmt::format("{:04}.png", file.frame);
      file.digest = manifest_b;
      result.files.push_back(file);
    }
    return result;
  }
  // What the farm says to a commit: "accepted", "duplicate", "superseded", or the error.
  std::string commit(const TaskId& id, std::uint32_t attempt, const payloads::ResultReport& result) {
    on(FinishAttempt{7, id, attempt, result});
    const auto answers = effects<Answer>();
    check_equal(answers.size(), 1U);
    if (!answers[0].value) return answers[0].value.error().message;
    return std::string(to_string(std::get<Committed>(*answers[0].value).verdict));
  }
  std::string finish(const TaskId& id, std::uint32_t attempt, const std::string& name, double seconds = 10) {
    if (boxes.contains(name)) boxes.at(name).forget(id, attempt);
    return commit(id, attempt, report(id, name, seconds));
  }
  std::string fail_task(const TaskId& id, std::uint32_t attempt, const std::string& name,
                        payloads::FailureScope scope = payloads::FailureScope::attempt) {
    payloads::ResultReport result;
    result.node = node_id(name);
    result.failure = {"no-camera", "the scene has no camera: add one", scope};
    if (boxes.contains(name)) boxes.at(name).forget(id, attempt);
    return commit(id, attempt, result);
  }

  // "running/2 on b"
  [[nodiscard]] std::string shown(const TaskId& id) const {
    const auto row = state.task(id);
    return fmt::format("{}/{} on {}", to_string(row.state), row.attempt,
                       row.node.empty() ? "-" : row.node.str());
  }
  [[nodiscard]] std::string shown(const JobId& id) const { return std::string(shown_state(*state.job(id))); }
  [[nodiscard]] NodePresence presence(const std::string& name) const {
    return state.node(node_id(name))->presence;
  }
  // The state of the attempt that the last effects saved last.
  [[nodiscard]] std::string saved_attempt() const {
    const auto saved = effects<SaveAttempt>();
    if (saved.empty()) return "";
    return fmt::format("{}/{}", saved.back().row.attempt, to_string(saved.back().row.state));
  }
};

}  // namespace kiln::test
