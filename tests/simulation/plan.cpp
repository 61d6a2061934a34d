#include "plan.h"

#include <algorithm>
#include <array>

namespace kiln::sim {

namespace {

constexpr std::int64_t minute_ms = 60'000;

Profile draw_profile(Random& random, std::int64_t longest_ms) {
  Profile profile;
  profile.mean_ms = random.skewed(50, longest_ms);
  // Some work takes minutes, as the real one does.
  if (random.chance(0.1)) profile.mean_ms = random.between(30'000, 150'000);
  if (random.chance(0.3)) profile.fails = 0.05;
  if (random.chance(0.2)) profile.crashes = 0.05;
  if (random.chance(0.1)) profile.hangs = 0.03;
  if (random.chance(0.15)) profile.bad_frame = static_cast<std::uint32_t>(random.between(3, 40));
  if (random.chance(0.05)) profile.ruins = 0.01;
  return profile;
}

// The rate of a fault in this seed: mostly none, now and then a plague.
double draw_rate(Random& random, double often) {
  const auto kind = random.below(10);
  if (kind < 4) return 0;
  return kind < 9 ? often : often * 5;
}

void draw_faults(Random& random, FaultPlan& faults) {
  if (random.chance(0.05)) return;  // a day without trouble
  for (auto* rate : {&faults.node_power_loss, &faults.agent_kill, &faults.partition})
    *rate = draw_rate(random, 6);
  for (auto* rate : {&faults.agent_stop, &faults.node_disk_full, &faults.node_disk_slow, &faults.clock_jump,
                     &faults.state_lost}) {
    *rate = draw_rate(random, 2);
  }
  faults.two_boxes = random.chance(0.1) ? 3 : 0;
  for (auto* rate : {&faults.broker_kill, &faults.controller_kill, &faults.controller_kill_within,
                     &faults.controller_partition}) {
    *rate = draw_rate(random, 15);
  }
  for (auto* rate :
       {&faults.controller_power_loss, &faults.controller_disk_full, &faults.controller_disk_slow}) {
    *rate = draw_rate(random, 6);
  }
  faults.blackout = random.chance(0.25) ? 12 : 0;
  faults.retained_command = random.chance(0.2) ? 30 : 0;
  faults.other_farm = random.chance(0.1) ? 12 : 0;
  faults.people = random.chance(0.7) ? 120 : 0;
}

void draw_net(Random& random, NetPlan& net) {
  net.latency_ms = random.skewed(1, 200);
  if (random.chance(0.4)) {
    net.slow = 0.02;
    net.slow_ms = random.skewed(100, 8'000);
  }
  if (random.chance(0.4)) net.duplicated = 0.02;
  if (random.chance(0.2)) net.late = 0.5;
  net.wildcard_retained = !random.chance(0.2);
  if (random.chance(0.6)) net.http_cut = random.chance(0.2) ? 0.2 : 0.02;
  if (random.chance(0.4)) net.http_twice = 0.03;
  if (random.chance(0.3)) net.http_broken = 0.03;
}

scheduler::Needs draw_needs(Random& random, const Plan& plan, const JobPlan& job) {
  scheduler::Needs needs;
  needs.renderer = job.renderer;
  const auto& best = plan.nodes.front();  // has whatever may be asked for
  if (best.gpu_slots > 0 && random.chance(0.3)) needs.device = payloads::Device::gpu;
  if (random.chance(0.1)) needs.device = payloads::Device::cpu;
  if (random.chance(0.2)) {
    const auto most = static_cast<std::int64_t>(best.memory_mib);
    needs.amounts.push_back(
        {"amount.worker.memory", static_cast<double>(random.between(most / 16, most)), {}});
  }
  if (random.chance(0.3)) {
    needs.limits.push_back({"lic", static_cast<std::uint32_t>(random.between(1, 2))});
    if (random.chance(0.3)) needs.limits.push_back({"usd", 1});
  }
  return needs;
}

void draw_steps(Random& random, const Plan& plan, JobPlan& job) {
  const auto count = random.between(1, 5);
  for (std::int64_t i = 0; i < count; ++i) {
    scheduler::StepSpec step;
    step.name = "s" + std::to_string(i);
    step.units = i == 0 ? std::min(job.frames, 150U) : static_cast<std::uint32_t>(random.between(1, 60));
    if (random.chance(0.3)) {
      step.chunk = static_cast<std::uint32_t>(random.between(1, 4));
      step.target_s = static_cast<std::uint32_t>(random.between(1, 30));
    } else if (random.chance(0.3)) {
      step.chunk = static_cast<std::uint32_t>(random.between(1, 10));
    }
    step.needs = draw_needs(random, plan, job);
    for (std::uint32_t other = 0; other < i; ++other) {
      const auto& earlier = job.steps[other];
      const bool fits = step.pairs_with.empty() || earlier.max_tasks() == step.units;
      if (earlier.target_s == 0 && fits && random.chance(0.3)) {
        step.pairs_with.push_back(other);
        step.units = earlier.max_tasks();
        step.chunk = 1;
        step.target_s = 0;
      } else if (random.chance(0.35)) {
        step.after.push_back(other);
      }
    }
    job.steps.push_back(std::move(step));
  }
}

// What studios have beside jobs of frames. Draws after everything else, so that nothing else changes by it.
void draw_studio(Random& random, Plan& plan) {
  for (auto& node : plan.nodes) {
    const bool is_first = &node == &plan.nodes.front();
    if (is_first || random.chance(0.4))
      node.gpu_slots = static_cast<std::uint32_t>(random.between(1, node.slots));
    node.memory_mib = is_first ? 65'536 : static_cast<std::uint64_t>(random.skewed(4'096, 65'536));
  }
  plan.settings.fair_share = random.chance(0.4);
  plan.settings.limits["lic"] = static_cast<std::uint32_t>(random.between(2, 8));
  if (random.chance(0.5)) plan.settings.limits["usd"] = static_cast<std::uint32_t>(random.between(1, 4));
  for (std::size_t i = 0; i < plan.jobs.size(); ++i) {
    auto& job = plan.jobs[i];
    constexpr std::array users = {"anna", "bert", "cora"};
    job.user = users.at(random.below(users.size()));
    if (job.renderer != "noop" && random.chance(0.8)) draw_steps(random, plan, job);
    auto& wishes = job.wishes;
    if (random.chance(0.15)) wishes.slot_limit = static_cast<std::uint32_t>(random.between(1, 6));
    if (random.chance(0.15)) wishes.node_limit = static_cast<std::uint32_t>(random.between(1, 3));
    if (i > 0 && random.chance(0.2)) job.after.push_back(random.below(i));
    if (random.chance(0.1)) job.start_ms = job.at_ms + random.between(1'000, plan.faults_ms / 2);
  }
  plan.faults.heat = random.chance(0.5) ? 30 : 0;
}

}  // namespace

std::uint64_t JobPlan::tasks() const {
  if (steps.empty()) return (frames + chunk - 1) / chunk;
  std::uint64_t sum = 0;
  for (const auto& step : steps) sum += step.max_tasks();
  return sum;
}

std::uint64_t Plan::tasks() const {
  std::uint64_t sum = 0;
  for (const auto& job : jobs) sum += job.tasks();
  return sum;
}

std::uint32_t Plan::slots() const {
  std::uint32_t sum = 0;
  for (const auto& node : nodes) sum += node.slots;
  return sum;
}

Plan draw_plan(std::uint64_t seed) {
  Random random(mix(seed));
  Plan plan;
  plan.seed = seed;
  plan.codec = random.chance(0.1);
  // Every 250th farm is a big one.
  const bool is_big = seed % 250 == 7;
  const auto nodes = is_big ? random.between(1'000, 1'500) : random.skewed(1, 40);
  plan.faults_ms = is_big ? minute_ms : random.skewed(minute_ms, 20 * minute_ms);
  if (is_big) plan.codec = false;
  plan.policy.grace_ms = random.chance(0.5) ? 60'000 : random.between(20'000, 60'000);
  plan.policy.max_failures = static_cast<std::uint32_t>(random.between(1, 5));
  if (random.chance(0.3)) plan.policy.queue_ahead_ms = random.between(0, 10'000);
  if (random.chance(0.2)) plan.policy.max_queue_ahead = static_cast<std::uint32_t>(random.between(0, 16));
  plan.policy.quarantine_ms = random.between(20'000, 200'000);
  const bool has_other = random.chance(0.3);
  for (std::int64_t i = 0; i < nodes; ++i) {
    NodePlan node;
    node.slots = random.chance(0.6) ? 1 : static_cast<std::uint32_t>(random.skewed(1, 8));
    // The first has everything, so that every job can end.
    if (i == 0 || !random.chance(0.05)) node.renderers.emplace_back("blender");
    if (has_other && (i == 0 || random.chance(0.5))) node.renderers.emplace_back("other");
    plan.nodes.push_back(std::move(node));
  }
  const auto profiles = random.between(1, 4);
  for (std::int64_t i = 0; i < profiles; ++i) plan.profiles.push_back(draw_profile(random, 20'000));

  // As much work as the farm does while faults go on, in some jobs.
  const auto jobs = random.skewed(1, 12);
  auto slot_ms = static_cast<std::int64_t>(plan.slots()) * plan.faults_ms / jobs;
  if (random.chance(0.3)) slot_ms /= 8;
  for (std::int64_t i = 0; i < jobs; ++i) {
    JobPlan job;
    job.at_ms = i == 0 ? 0 : random.between(0, plan.faults_ms * 3 / 4);
    job.profile = static_cast<std::uint32_t>(random.below(plan.profiles.size()));
    job.chunk = random.chance(0.7) ? 1 : static_cast<std::uint32_t>(random.between(1, 10));
    const auto most =
        std::clamp<std::int64_t>(slot_ms / plan.profiles[job.profile].mean_ms, 1, is_big ? 600 : 400);
    job.frames = static_cast<std::uint32_t>(random.between((most + 1) / 2, most));
    job.priority = random.chance(0.5) ? 50 : static_cast<int>(random.between(0, 100));
    job.paused = random.chance(0.05);
    job.renderer = random.chance(0.07) ? "noop" : has_other && random.chance(0.4) ? "other" : "blender";
    plan.jobs.push_back(std::move(job));
  }
  draw_net(random, plan.net);
  draw_faults(random, plan.faults);
  plan.commit_ms = random.skewed(0, 50);
  plan.sync_ms = random.skewed(0, 300);
  for (const auto& profile : plan.profiles) plan.frame_ms = std::max(plan.frame_ms, 2 * profile.mean_ms);
  if (plan.is_studio()) draw_studio(random, plan);
  return plan;
}

}  // namespace kiln::sim
