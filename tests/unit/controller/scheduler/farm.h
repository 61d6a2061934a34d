// A farm in a test: the scheduler on a clock that the test moves, and the boxes that speak to it.
#pragma once

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
    return last;
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
      text += fmt::format("{}<-{}/{}", send.node.str(), op->task.index, op->attempt);
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
