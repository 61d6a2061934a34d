#include "faults.h"

#include <algorithm>

namespace kiln::sim {

namespace {
constexpr double hour_ms = 3'600'000;
}

void Faults::every(double an_hour, std::function<void()> fault) {
  if (an_hour <= 0 || is_over_) return;
  const auto mean_ms = std::max<std::int64_t>(1, static_cast<std::int64_t>(hour_ms / an_hour));
  parts_.world.after(parts_.world.random.between(1, 2 * mean_ms), [this, an_hour, fault = std::move(fault)] {
    if (is_over_) return;
    ++parts_.world.faults;
    fault();
    every(an_hour, fault);
  });
}

void Faults::repair(std::int64_t after_ms, std::function<void()> call) {
  parts_.world.after(after_ms, [this, call = std::move(call)] {
    if (!is_over_) call();
  });
}

Node& Faults::any_box() {
  return *parts_.boxes.at(parts_.world.random.below(parts_.plan.nodes.size()));
}

void Faults::start_controller() {
  if (parts_.controller.is_up()) return;
  parts_.controller.start(is_other_farm_ ? parts_.other_farm : parts_.farm);
}

void Faults::start() {
  auto& world = parts_.world;
  auto& random = world.random;
  auto& controller = parts_.controller;
  auto& broker = parts_.broker;
  const auto& rates = parts_.plan.faults;
  const auto nodes = static_cast<double>(parts_.plan.nodes.size());

  every(rates.node_power_loss * nodes, [this, &random] {
    auto& box = any_box();
    box.kill_agent(false);
    repair(random.skewed(5'000, 120'000), [&box] { box.power_on(); });
  });
  every(rates.agent_kill * nodes, [this, &random] {
    auto& box = any_box();
    box.kill_agent();
    repair(random.skewed(200, 15'000), [&box] { box.power_on(); });
  });
  every(rates.agent_stop * nodes, [this] { any_box().stop_agent(); });
  every(rates.state_lost * nodes, [this, &random] {
    auto& box = any_box();
    if (!box.is_up()) return;
    box.lose_state();
    repair(random.skewed(200, 15'000), [&box] { box.power_on(); });
  });
  every(rates.partition * nodes, [this] { cut_off_box(); });
  every(rates.node_disk_full * nodes, [this, &random] {
    auto& box = any_box();
    box.set_disk_full(true);
    repair(random.skewed(1'000, 120'000), [&box] { box.set_disk_full(false); });
  });
  every(rates.node_disk_slow * nodes, [this, &random] {
    auto& box = any_box();
    box.set_disk_slow(true);
    repair(random.skewed(1'000, 60'000), [&box] { box.set_disk_slow(false); });
  });
  every(rates.clock_jump * nodes,
        [this, &random] { any_box().jump_clock(random.between(-86'400'000, 86'400'000)); });
  every(rates.two_boxes * nodes, [this] { clone_box(); });

  every(rates.heat * nodes, [this, &random] { heat_up(any_box(), random.between(60, 100)); });

  every(rates.broker_kill, [this, &random, &broker] {
    if (!broker.is_up()) return;
    broker.kill(random.chance(0.5));
    repair(random.skewed(100, 90'000), [&broker] { broker.start(); });
  });
  every(rates.controller_kill, [this, &random, &controller] {
    controller.kill();
    repair(random.skewed(100, 60'000), [this] { start_controller(); });
  });
  every(rates.controller_kill_within, [this, &random, &controller] {
    controller.kill_within(static_cast<std::uint32_t>(random.between(1, 40)));
  });
  every(rates.controller_power_loss, [this, &random, &controller] {
    controller.lose_power();
    repair(random.skewed(5'000, 90'000), [this] { start_controller(); });
  });
  every(rates.controller_disk_full, [this, &random, &controller] {
    controller.set_disk_full(true);
    repair(random.skewed(1'000, 60'000), [&controller] { controller.set_disk_full(false); });
  });
  every(rates.controller_disk_slow, [this, &random, &controller] {
    controller.set_disk_slow(true);
    repair(random.skewed(1'000, 60'000), [&controller] { controller.set_disk_slow(false); });
  });
  every(rates.controller_partition, [this, &random, &controller] {
    controller.client().cut();
    repair(random.skewed(1'000, 120'000), [&controller] { controller.client().heal(); });
  });
  every(rates.blackout, [this] { black_out(); });
  every(rates.retained_command, [&broker] { broker.retain_next_command(); });
  every(rates.other_farm, [this] { visit_of_other_farm(); });

  // systemd: whatever killed the controller, it comes back.
  constexpr double restarts = 3'600.0 / 5;
  const auto faults = world.faults;
  every(restarts, [this, &world] {
    --world.faults;
    start_controller();
  });
  world.faults = faults;
}

void Faults::cut_off_box() {
  auto& box = any_box();
  auto& random = parts_.world.random;
  parts_.world.note("box is cut off", box.box());
  const auto what = random.below(3);
  if (what != 0) box.cut_broker();
  if (what != 1) box.cut_http();
  repair(random.skewed(500, 240'000), [this, &box] {
    parts_.world.note("box is not cut off any more", box.box());
    box.heal();
  });
}

// A GPU is as hot as that for some time.
void Faults::heat_up(Node& box, std::int64_t temp_c) {
  const auto gpus = box.hardware().gpu_slots;
  if (gpus == 0) return;
  auto& random = parts_.world.random;
  const auto gpu = static_cast<std::uint32_t>(random.below(gpus));
  parts_.world.note("a GPU is hot", box.box());
  parts_.controller.tell({box.id(), gpu, static_cast<double>(temp_c)});
  repair(random.skewed(1'000, 60'000), [this, &box, gpu] { parts_.controller.tell({box.id(), gpu, 50}); });
}

// A room loses power: the broker, the controller perhaps, and boxes, of which some stay away for long.
void Faults::black_out() {
  auto& random = parts_.world.random;
  auto& broker = parts_.broker;
  parts_.world.note("a room loses power");
  const auto boxes = random.between(1, 3);
  for (std::int64_t i = 0; i < boxes; ++i) {
    auto& box = any_box();
    box.kill_agent(false);
    repair(random.between(5'000, 400'000), [&box] { box.power_on(); });
  }
  if (random.chance(0.3)) parts_.controller.lose_power();
  if (!broker.is_up()) return;
  broker.kill(random.chance(0.8));
  repair(random.skewed(1'000, 60'000), [&broker] { broker.start(); });
}

// Somebody copies a box's disk to another box.
void Faults::clone_box() {
  auto& original = any_box();
  const bool has_double = std::any_of(parts_.boxes.begin(), parts_.boxes.end(), [&](const auto& box) {
    return box.get() != &original && box->identity() == original.identity();
  });
  if (has_double) return;
  auto& p = parts_;
  p.boxes.push_back(std::make_unique<Node>(p.world, p.broker, p.controller, p.http, p.checkers, p.plan,
                                           static_cast<int>(p.boxes.size()), original.identity(),
                                           original.id(), original.disk()));
  auto& twin = *p.boxes.back();
  p.world.note("box has a double", original.box());
  p.checkers.watch(twin);
  p.checkers.double_came(original.identity());
  twin.power_on();
  repair(p.world.random.between(20'000, 300'000), [this, &twin] {
    twin.retire();
    parts_.checkers.double_went(twin.identity());
  });
}

// The data folder is swapped for another one, and back.
void Faults::visit_of_other_farm() {
  if (is_other_farm_ || !parts_.controller.is_up()) return;
  auto& random = parts_.world.random;
  parts_.world.note("another farm's controller takes over");
  is_other_farm_ = true;
  parts_.controller.kill();
  repair(random.between(100, 5'000), [this] { start_controller(); });
  repair(random.between(20'000, 240'000), [this] {
    is_other_farm_ = false;
    parts_.controller.kill();
  });
}

void Faults::end() {
  is_over_ = true;
  is_other_farm_ = false;
  auto& controller = parts_.controller;
  parts_.world.note("the faults end");
  if (controller.is_up() && controller.data() != &parts_.farm) controller.kill();
  controller.kill_within(0);
  controller.set_disk_full(false);
  controller.set_disk_slow(false);
  controller.client().heal();
  parts_.broker.calm();
  parts_.http.calm();
  parts_.broker.clear_retained_commands();
  parts_.broker.start();
  if (!controller.is_up()) controller.start(parts_.farm);
  for (const auto& box : parts_.boxes) {
    if (static_cast<std::size_t>(box->box()) >= parts_.plan.nodes.size()) {
      if (!box->is_retired()) parts_.checkers.double_went(box->identity());
      box->retire();
      continue;
    }
    box->set_disk_full(false);
    box->set_disk_slow(false);
    box->heal();
    box->power_on();
    for (std::uint32_t gpu = 0; gpu < box->hardware().gpu_slots; ++gpu) controller.tell({box->id(), gpu, 50});
  }
}

}  // namespace kiln::sim
