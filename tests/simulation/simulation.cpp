#include "simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "broker.h"
#include "checkers.h"
#include "controller.h"
#include "faults.h"
#include "node.h"
#include "people.h"
#include "plan.h"

namespace kiln::sim {

namespace {

constexpr std::int64_t audit_every_ms = 5'000;

class Simulation {
 public:
  Simulation(std::uint64_t seed, Mutant mutant, bool verbose)
      : plan_(draw_plan(seed)),
        world_(mix(seed ^ 0x5eedULL), mutant, verbose),
        checkers_(world_, plan_),
        broker_(world_, plan_.net),
        farm_(world_, "farm-a"),
        other_farm_(world_, "farm-b"),
        identities_(identities(plan_)),
        controller_(world_, broker_, checkers_, plan_, identities_),
        http_(world_, controller_, plan_.net),
        people_(world_, controller_, checkers_, plan_, identities_),
        faults_({world_, plan_, broker_, controller_, http_, checkers_, farm_, other_farm_, boxes_}) {}

  Outcome run() {
    Outcome outcome;
    outcome.nodes = plan_.nodes.size();
    outcome.tasks = plan_.tasks();
    try {
      live();
    } catch (const Violation& violation) {
      outcome.failed = true;
      outcome.sentence = violation.what();
      outcome.timeline = world_.log.timeline(violation.node, violation.task);
    } catch (const std::exception& error) {
      outcome.failed = true;
      outcome.sentence = fmt::format("an exception: {}", error.what());
      outcome.timeline = world_.log.timeline(nobody, {});
    }
    outcome.hash = world_.log.hash();
    outcome.faults = world_.faults;
    outcome.virtual_ms = world_.now_ms();
    return outcome;
  }

 private:
  static std::vector<NodeId> identities(const Plan& plan) {
    std::vector<NodeId> ids;
    for (std::size_t i = 0; i < plan.nodes.size(); ++i) ids.push_back(*NodeId::parse(fmt::format("n{}", i)));
    return ids;
  }

  void live() {
    checkers_.watch(controller_);
    broker_.on_session_ended = [this](int client, bool with_will) {
      checkers_.session_ended(client, with_will, broker_.retained_status(client));
    };
    for (std::size_t i = 0; i < identities_.size(); ++i) {
      const auto number = static_cast<int>(i);
      boxes_.push_back(std::make_unique<Node>(world_, broker_, controller_, http_, checkers_, plan_, number,
                                              number, identities_[i], Disk()));
      checkers_.watch(*boxes_.back());
    }
    controller_.start(farm_);
    for (const auto& box : boxes_) {
      world_.at(world_.random.between(0, 20'000), [&one = *box] { one.power_on(); });
    }
    people_.start();
    faults_.start();
    pass(plan_.faults_ms);

    faults_.end();
    people_.settle();
    const auto bound_ms = world_.now_ms() + bounded_ms();
    for (;;) {
      pass(audit_every_ms);
      const auto left = checkers_.unfinished(farm_);
      if (!left && people_.has_submitted_all()) break;
      if (world_.now_ms() > bound_ms) {
        throw Violation(fmt::format("liveness: {} s after the last fault {}", bounded_ms() / 1000,
                                    left ? left->what() : "a submission was not taken"),
                        left ? left->node : nobody, left ? left->task : TaskId());
      }
    }
    pass(2 * audit_every_ms);
    checkers_.finish(farm_);
  }

  // Once more all that there is, at the slowest that its boxes allow, and minutes for what was cut off.
  [[nodiscard]] std::int64_t bounded_ms() const {
    std::int64_t work_ms = 0;
    std::int64_t longest_ms = 0;
    for (const auto& job : plan_.jobs) {
      std::int64_t slots = 0;
      for (const auto& node : plan_.nodes) {
        const bool has =
            std::find(node.renderers.begin(), node.renderers.end(), job.renderer) != node.renderers.end();
        if (has) slots += node.slots;
      }
      auto units = std::uint64_t{job.frames};
      std::uint64_t longest = job.chunk;
      if (!job.steps.empty()) {
        units = longest = 0;
        for (const auto& step : job.steps) {
          units += step.units;
          longest = std::max<std::uint64_t>(longest, step.target_s == 0 ? step.chunk : step.units);
        }
      }
      // With limits, GPUs and memory asked for it may go one by one.
      if (plan_.is_studio()) slots = 1;
      const auto& profile = plan_.profiles[job.profile];
      const auto hang_ms = static_cast<std::int64_t>(profile.hangs * static_cast<double>(plan_.hang_ms));
      work_ms += static_cast<std::int64_t>(units) * (profile.mean_ms + hang_ms + 1'000) /
                 std::max<std::int64_t>(1, slots);
      longest_ms =
          std::max(longest_ms, static_cast<std::int64_t>(longest) * 2 * profile.mean_ms + plan_.hang_ms);
    }
    return 600'000 + 2 * plan_.policy.quarantine_ms + 4 * work_ms +
           3 * plan_.policy.max_failures * longest_ms;
  }

  void pass(std::int64_t ms) {
    const auto end_ms = world_.now_ms() + ms;
    while (world_.now_ms() < end_ms) {
      world_.run_until(std::min(end_ms, world_.now_ms() + audit_every_ms));
      checkers_.audit(broker_);
    }
  }

  const Plan plan_;
  World world_;
  Checkers checkers_;
  Broker broker_;
  FarmData farm_;
  FarmData other_farm_;
  const std::vector<NodeId> identities_;
  Controller controller_;
  Http http_;
  std::vector<std::unique_ptr<Node>> boxes_;
  People people_;
  Faults faults_;
};

}  // namespace

Outcome simulate(std::uint64_t seed, Mutant mutant, bool verbose) {
  current_mutant = mutant;
  return std::make_unique<Simulation>(seed, mutant, verbose)->run();
}

}  // namespace kiln::sim
