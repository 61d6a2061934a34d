// What goes wrong, when, and how long it lasts.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "checkers.h"
#include "controller.h"
#include "node.h"
#include "plan.h"
#include "world.h"

namespace kiln::sim {

// Everything that can break.
struct Parts {
  World& world;
  const Plan& plan;
  Broker& broker;
  Controller& controller;
  Http& http;
  Checkers& checkers;
  FarmData& farm;
  FarmData& other_farm;
  std::vector<std::unique_ptr<Node>>& boxes;  // one an identity, then their doubles
};

class Faults {
 public:
  explicit Faults(Parts parts) : parts_(parts) {}
  void start();
  // From now on nothing breaks, and what is broken is repaired.
  void end();

 private:
  void every(double an_hour, std::function<void()> fault);
  // Undone after that time, or when the faults end.
  void repair(std::int64_t after_ms, std::function<void()> call);
  Node& any_box();
  void start_controller();
  void heat_up(Node& box, std::int64_t temp_c);
  void cut_off_box();
  void black_out();
  void clone_box();
  void visit_of_other_farm();

  Parts parts_;
  bool is_over_ = false;
  bool is_other_farm_ = false;
};

}  // namespace kiln::sim
