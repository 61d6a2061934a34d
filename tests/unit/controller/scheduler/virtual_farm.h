// The scheduler with boxes that do what they are told, on a clock of its own: no faults, no network. Shows
// how long a job takes. tests/simulation is the one with faults.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <queue>
#include <string>
#include <variant>
#include <vector>

#include "scheduler/farm_data.h"
#include "scheduler/step.h"

namespace kiln::test {

class VirtualFarm {
 public:
  // Of a unit of a step, on a node of speed 1.
  std::function<double(const payloads::RunTask&, std::uint64_t unit)> unit_s =
      [](const payloads::RunTask&, std::uint64_t) { return 1.0; };
  double overhead_s = 0;  // of a task, before its first unit
  // After every task that is done.
  std::function<void()> on_done = [] {};

  explicit VirtualFarm(const scheduler::Policy& policy = {}) : state(policy) {
    take(scheduler::BrokerConnected{});
  }

  void join(const std::string& name, std::uint32_t slots = 1, double speed = 1) {
    const auto id = *NodeId::parse(name);
    auto& box = boxes_[id];
    box.slots = slots;
    box.speed = speed;
    take(scheduler::NodeStatusSeen{id, {payloads::NodeState::online, 1}, false});
    payloads::NodeInfo info;
    info.sid = 1;
    info.slots = slots;
    info.renderers = {{"blender", "3.4.1"}};
    take(scheduler::NodeInfoSeen{id, info, false});
    beat(id);
  }

  JobId submit(scheduler::SubmitJob job) {
    job.request = 1;
    take(job);
    return state.data().jobs.rbegin()->second.row.id;
  }

  // Until the job has ended: the seconds that it took.
  double run(const JobId& job) {
    const auto begin_ms = now.mono_ms;
    while (state.job(job)->state == scheduler::JobState::active) {
      const auto beat_ms = now.mono_ms - now.mono_ms % tick_ms + tick_ms;
      if (ends_.empty() || ends_.top().at_ms > beat_ms) {
        now = now.after_ms(beat_ms - now.mono_ms);
        take(scheduler::Tick{});
        for (auto& [id, box] : boxes_) {
          if ((beat_ms / tick_ms) % 4 == 0) beat(id);
        }
        continue;
      }
      const auto end = ends_.top();
      ends_.pop();
      now = now.after_ms(end.at_ms - now.mono_ms);
      finish(end);
    }
    return static_cast<double>(now.mono_ms - begin_ms) / 1000;
  }

  scheduler::FarmState state;
  Instant now{1'000'000, 1'800'000'000'000};

 private:
  static constexpr std::int64_t tick_ms = 1'000;
  struct Held {
    payloads::RunTask run;
    bool renders = false;
  };
  struct Box {
    std::uint32_t slots = 1;
    double speed = 1;
    std::uint64_t seq = 0;
    std::vector<Held> held;  // in the order of arrival
  };
  struct End {
    std::int64_t at_ms = 0;
    std::uint64_t order = 0;  // of those at one moment
    NodeId node;
    TaskId task;
    std::uint32_t attempt = 0;
    double seconds = 0;
    friend bool operator<(const End& a, const End& b) {
      return a.at_ms != b.at_ms ? a.at_ms > b.at_ms : a.order > b.order;
    }
  };

  void take(const scheduler::Event& event) {
    for (const auto& effect : scheduler::step(state, now, event)) {
      const auto* send = std::get_if<scheduler::SendCommand>(&effect);
      if (send == nullptr) continue;
      auto& box = boxes_.at(send->node);
      if (const auto* run = std::get_if<payloads::RunTask>(&send->command.op)) {
        box.held.push_back({*run, false});
      } else if (const auto* cancel = std::get_if<payloads::CancelTask>(&send->command.op)) {
        std::erase_if(box.held, [&](const Held& one) {
          return one.run.task == cancel->task && one.run.attempt == cancel->attempt;
        });
      }
      changed_.push_back(send->node);
    }
    while (!changed_.empty()) {
      const auto node = changed_.back();
      changed_.pop_back();
      start(node);
      beat(node);
    }
  }

  void start(const NodeId& id) {
    auto& box = boxes_.at(id);
    auto busy = static_cast<std::uint32_t>(
        std::count_if(box.held.begin(), box.held.end(), [](const Held& one) { return one.renders; }));
    for (auto& one : box.held) {
      if (busy == box.slots) return;
      if (one.renders) continue;
      one.renders = true;
      ++busy;
      const auto& points = one.run.of_template;
      const auto first = points.document.empty() ? 0 : points.first;
      const auto units = points.document.empty() ? one.run.frames.size() : points.count;
      double seconds = overhead_s;
      for (std::uint64_t i = 0; i < units; ++i) {
        const auto unit =
            points.document.empty() ? static_cast<std::uint64_t>(one.run.frames.at(i)) : first + i;
        seconds += unit_s(one.run, unit) / box.speed;
      }
      ends_.push({now.mono_ms + std::max<std::int64_t>(1, static_cast<std::int64_t>(1000 * seconds)),
                  ++order_, id, one.run.task, one.run.attempt, seconds});
    }
  }

  void beat(const NodeId& id) {
    auto& box = boxes_.at(id);
    payloads::NodeTasks tasks;
    tasks.sid = 1;
    tasks.seq = ++box.seq;
    int slot = 0;
    for (const auto& one : box.held) {
      payloads::HeldTask held;
      held.task = one.run.task;
      held.attempt = one.run.attempt;
      held.phase = one.renders ? payloads::TaskPhase::rendering : payloads::TaskPhase::queued;
      held.slot = one.renders ? slot++ : -1;
      tasks.run.push_back(std::move(held));
    }
    take(scheduler::NodeTasksSeen{id, tasks, false});
  }

  void finish(const End& end) {
    auto& box = boxes_.at(end.node);
    const auto erased = std::erase_if(box.held, [&](const Held& one) {
      return one.run.task == end.task && one.run.attempt == end.attempt;
    });
    if (erased == 0) return;  // it was cancelled
    const auto* row = state.job(end.task.job);
    payloads::ResultReport report;
    report.ok = true;
    report.node = end.node;
    report.seconds = end.seconds;
    const auto frames =
        scheduler::FarmState::Data::task_frames(*state.data().find_job(row->id), end.task.index);
    for (std::size_t i = 0; row->spec.document.empty() && i < frames.size(); ++i) {
      payloads::ResultFile file;
      file.frame = frames.at(i);
      report.files.push_back(std::move(file));
    }
    changed_.push_back(end.node);
    take(scheduler::FinishAttempt{0, end.task, end.attempt, report});
    on_done();
  }

  std::map<NodeId, Box> boxes_;
  std::priority_queue<End> ends_;
  std::uint64_t order_ = 0;
  std::vector<NodeId> changed_;
};

}  // namespace kiln::test
