// Those who submit jobs and change their minds.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "checkers.h"
#include "controller.h"
#include "node.h"
#include "plan.h"
#include "world.h"

namespace kiln::sim {

class People {
 public:
  People(World& world, Controller& controller, Checkers& checkers, const Plan& plan,
         const std::vector<NodeId>& identities)
      : world_(world), controller_(controller), checkers_(checkers), plan_(plan), identities_(identities) {}

  void start();
  // Nobody changes his mind any more: what is paused or drained is resumed.
  void settle();
  [[nodiscard]] bool has_submitted_all() const { return submitted_ == plan_.jobs.size(); }

 private:
  void submit(std::size_t number);
  void do_something();
  void do_something_in_a_studio(const JobId& job, const NodeId& node);
  void set_up_farm();
  void settle_studio();
  void change_node(const NodeId& node);
  void ask(const std::function<scheduler::Event(scheduler::RequestId)>& make, const Reply& reply);

  World& world_;
  Controller& controller_;
  Checkers& checkers_;
  const Plan& plan_;
  const std::vector<NodeId>& identities_;
  std::vector<JobId> jobs_;
  std::map<std::size_t, JobId> by_plan_;
  std::size_t submitted_ = 0;
  bool is_settled_ = false;
};

}  // namespace kiln::sim
