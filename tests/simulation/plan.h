// Everything that a seed draws before the simulation starts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "random.h"
#include "scheduler/step.h"

namespace kiln::sim {

// How the tasks of one job behave. Its number is the job's manifest, so that a node knows it from the
// command.
struct Profile {
  std::int64_t mean_ms = 1'000;  // of one frame
  double fails = 0;              // share of attempts that fail
  double crashes = 0;            // share of attempts whose renderer dies
  double hangs = 0;              // share of attempts that end only by being killed
  std::uint32_t bad_frame = 0;   // every frame that this divides always fails; 0: none
  double ruins = 0;              // share of attempts that say that the scene itself is wrong
};

struct JobPlan {
  std::int64_t at_ms = 0;
  std::uint32_t frames = 1;
  std::uint32_t chunk = 1;
  int priority = 50;
  bool paused = false;
  std::string renderer;  // "blender", "other" or "noop"
  std::uint32_t profile = 0;
  // Of a job from a template; empty: `frames` and `chunk` are all.
  std::vector<scheduler::StepSpec> steps = {};
  scheduler::JobWishes wishes = {};  // without the jobs, and with the moment, below
  std::vector<std::size_t> after = {};
  std::int64_t start_ms = 0;
  std::string user = "anna";

  [[nodiscard]] std::uint64_t tasks() const;  // at most
};

struct NodePlan {
  std::uint32_t slots = 1;
  std::vector<std::string> renderers;
  std::uint32_t gpu_slots = 0;
  std::uint64_t memory_mib = 0;
};

struct NetPlan {
  std::int64_t latency_ms = 5;  // at most, on a good day
  double slow = 0;              // share of messages that take up to slow_ms
  std::int64_t slow_ms = 0;
  double duplicated = 0;  // share of QoS 1 messages that come twice
  double late = 0;        // share of a dead connection's messages that a clustered broker takes all the same
  bool wildcard_retained = true;  // whether a wildcard subscription gets what is retained
  double http_cut = 0;     // share of requests whose connection breaks, before or after they took effect
  double http_twice = 0;   // share of requests that arrive twice
  double http_broken = 0;  // share of uploads that arrive cut short or altered
};

// Faults of each kind in an hour, for the whole farm or, where it says so, for each node.
struct FaultPlan {
  double node_power_loss = 0, agent_kill = 0, agent_stop = 0, partition = 0, node_disk_full = 0,
         node_disk_slow = 0, clock_jump = 0, two_boxes = 0, state_lost = 0, heat = 0;  // each node
  double broker_kill = 0, controller_kill = 0, controller_kill_within = 0, controller_power_loss = 0,
         controller_disk_full = 0, blackout = 0, controller_disk_slow = 0, controller_partition = 0,
         retained_command = 0,
         other_farm = 0;  // the farm
  double people = 0;      // edits, cancels, retries, deletions, drains
};

// Seeds from here on draw jobs as studios have them: steps, limits, wishes, GPUs, people who change settings.
inline constexpr std::uint64_t first_studio_seed = 1'000'000;

struct Plan {
  std::uint64_t seed = 0;
  [[nodiscard]] bool is_studio() const { return seed >= first_studio_seed; }
  scheduler::FarmSettings settings = {};
  scheduler::Policy policy;
  bool codec = false;          // every message goes through its text
  std::int64_t faults_ms = 0;  // how long faults go on
  std::vector<NodePlan> nodes;
  std::vector<JobPlan> jobs;
  std::vector<Profile> profiles;
  NetPlan net;
  FaultPlan faults;
  std::int64_t commit_ms = 5;     // of one transaction, at most
  std::int64_t sync_ms = 30;      // of a node's disk, at most
  std::int64_t hang_ms = 30'000;  // a renderer silent this long is killed
  std::int64_t frame_ms = 0;      // the longest frame there may be

  [[nodiscard]] std::uint64_t tasks() const;
  [[nodiscard]] std::uint32_t slots() const;
};

Plan draw_plan(std::uint64_t seed);

}  // namespace kiln::sim
