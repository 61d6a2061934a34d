// What must hold at every step. Each check is told what just happened and looks only at what that touched;
// audit() looks at everything now and then. A broken promise is a Violation.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller.h"
#include "planner/planner.h"
#include "scheduler/farm_data.h"
#include "store.h"
#include "world.h"

namespace kiln::sim {

class Node;
struct Entry;

class Checkers {
 public:
  Checkers(World& world, const Plan& plan) : world_(world), plan_(plan) {}
  // In the order of their box numbers.
  void watch(Node& box);
  void watch(const Controller& controller) { controller_ = &controller; }

  // ---- the controller says
  void epoch_raised(const std::string& farm, std::uint64_t epoch);
  void controller_started(const scheduler::FarmState& state, FarmData& data);
  void controller_line(bool is_up);
  void controller_gone();
  void stepped(const scheduler::FarmState& state, const scheduler::Policy& policy,
               const scheduler::Event& event, const std::vector<scheduler::Effect>& effects);
  void committed(const Database& database, const std::vector<scheduler::Effect>& effects);
  void published(const Database& database, int identity, const payloads::Command& command);
  void files_accepted(const Database& database, const scheduler::AcceptFiles& files);
  void files_missing(const Database& database, const scheduler::AcceptFiles& files);
  void files_dropped(const FarmData& data, const AttemptKey& attempt);
  void answered(const Database& database, const AttemptKey& attempt, payloads::Verdict verdict);
  void submitted(const Database& database, const std::string& cid, const JobId& job);

  // ---- the boxes say
  void box_started(const Node& node);
  void box_gone(const Node& node);
  void box_lost_state(const Node& node);
  void box_changed_farm(const Node& node);
  void box_connected(const Node& node);
  void box_line(const Node& node);
  void box_said(const Node& node, const payloads::NodeEvent& event);
  void commanded(const Node& node, const planner::CommandReceived& fact,
                 const std::vector<planner::Effect>& effects);
  void controller_seen(const Node& node, const payloads::ControllerStatus& status);
  void run_started(const Node& node, const payloads::RunTask& run, int slot);
  void run_ended(const Node& node, const AttemptKey& attempt);
  void journalled(const Node& node, const AttemptKey& attempt);
  void entry_gone(const Node& node, const Entry& entry, bool was_damaged, bool is_refused,
                  payloads::Verdict verdict);

  // ---- the broker says
  void session_ended(int identity, bool with_will, const payloads::NodeStatus* retained);

  // ---- the world says
  void double_came(int identity);
  void double_went(int identity);
  // Everything at once, in a moment without a batch under way.
  void audit(const Broker& broker);
  // After the faults: what the farm is left with.
  void finish(FarmData& data);
  // Why not all has ended.
  [[nodiscard]] std::optional<Violation> unfinished(const FarmData& data) const;

 private:
  // A time since which something holds; -1: it does not.
  struct Since {
    std::int64_t ms = -1;
    void set(bool holds, std::int64_t now_ms) {
      if (!holds) ms = -1;
      if (holds && ms < 0) ms = now_ms;
    }
    [[nodiscard]] std::int64_t lasts_ms(std::int64_t now_ms) const { return ms < 0 ? -1 : now_ms - ms; }
  };
  struct Box {
    std::uint64_t sid = 0;
    std::uint64_t epoch = 0;
    std::int64_t connected_ms = -1;   // the last time
    std::int64_t reborn_ms = -1;      // asked to be, the last time
    Since online;                     // connected, nothing cut, while the controller is, too
    std::int64_t well_until_ms = -1;  // when it was last online for well_after_ms
    Since offline;
    std::map<AttemptKey, std::int64_t> unknown_since_ms;  // running, and unknown to the database
    std::set<AttemptKey> journalled;                      // and not delivered
  };
  struct Tries {
    std::set<std::uint32_t> failed, lost;
  };
  struct Double {
    bool is_there = false;
    bool is_known = false;  // a box has said so
    std::int64_t gone_ms = 0;
    int last_box = -1;
    int alternations = 0;
  };
  Box& box(const Node& node);
  void refresh_lines();
  // Online for long enough that everybody has heard of it.
  [[nodiscard]] bool is_well(const Box& box) const;
  [[nodiscard]] bool had_double(int identity) const;
  [[nodiscard]] const Node* holder(const NodeId& id) const;
  void check_task(const scheduler::FarmState& state, const TaskId& id) const;
  void check_lost(const scheduler::Policy& policy, const scheduler::AttemptRow& row);
  void check_handed_out(const scheduler::FarmState& state, const scheduler::AttemptRow& row) const;
  void check_may_start(const scheduler::FarmState::Data& data, const scheduler::Job& job,
                       const scheduler::AttemptRow& row) const;
  void check_wanted_node(const scheduler::FarmState::Data& data, const scheduler::Job& job,
                         const scheduler::Node& node, const scheduler::AttemptRow& row) const;
  void check_cuts(const scheduler::Job& job, const scheduler::Step& step, const Database& database) const;
  void check_load(const scheduler::FarmState::Data& data, const scheduler::Node& node,
                  const scheduler::AttemptRow& row) const;
  void audit_job(const scheduler::FarmState::Data& data, const scheduler::Job& job,
                 const Database& database) const;
  void audit_farm(const scheduler::FarmState& state, const Database& database) const;
  void audit_boxes(const Database& database);
  void audit_broker(const Broker& broker, const Database& database);
  [[nodiscard]] Violation violation(const std::string& sentence, const Node* node, const TaskId& task) const;

  World& world_;
  const Plan& plan_;
  std::vector<Node*> boxes_;
  std::map<NodeId, Node*> holders_;  // the box that had the id first
  const Controller* controller_ = nullptr;
  std::map<std::string, std::uint64_t> epochs_;  // by farm
  bool controller_online_ = false;
  Since controller_line_;
  std::int64_t connected_ms_ = 0;
  std::map<int, Box> ghosts_;
  std::map<int, Double> doubles_;
  std::map<TaskId, std::uint32_t> winners_;
  std::map<TaskId, std::uint32_t> accepted_;  // what was answered so
  std::set<AttemptKey> moved_;
  std::map<TaskId, Tries> tries_;
  std::map<NodeId, std::uint64_t> restarting_;  // the session that was told to
  std::set<JobId> ruined_;                      // a report said that the scene is wrong
  std::map<std::pair<std::string, std::string>, JobId> cids_;
  std::map<AttemptKey, std::int64_t> sent_ms_;  // run commands
};

}  // namespace kiln::sim
