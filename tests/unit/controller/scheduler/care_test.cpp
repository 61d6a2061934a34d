// Heat, schedules, power, and the second start of slow tasks.
#include "controller/scheduler/farm.h"

using namespace kiln;
using namespace kiln::test;

namespace {

void join_with_gpus(Farm& farm, const std::string& name, std::uint32_t gpus, std::uint32_t cpu_slots) {
  farm.join(name, gpus + cpu_slots);
  auto info = farm.state.node(node_id(name))->info;
  info.gpu_slots = gpus;
  for (std::uint32_t i = 0; i < gpus; ++i) info.gpus.push_back({i, "A4000", "nvidia", "", 16'000, ""});
  info.mac = "aa:bb:cc:00:00:01";
  farm.on(NodeInfoSeen{node_id(name), info, false});
}
std::uint32_t out_on(const Farm& farm, const std::string& name) {
  return static_cast<std::uint32_t>(farm.state.data().find_node(node_id(name))->held.size());
}

void a_hot_gpu_gets_nothing_new_until_it_is_cool() {
  Farm farm;
  join_with_gpus(farm, "a", 1, 1);
  farm.on(NodeHeatSeen{node_id("a"), 0, 85});
  StepSpec step;
  step.name = "Render";
  step.units = 10;
  step.needs.renderer = "blender";
  step.needs.device = payloads::Device::gpu;
  const auto job = farm.submit_steps({step});
  check_equal(out_on(farm, "a"), 0U);
  check_contains(farm.why(job), "a|Render|GPU 0 has 85 °C, its soft limit is 84: no new work until 80");
  const auto cpu = farm.submit("1");  // what needs no GPU goes on
  check_equal(farm.runs(), "a<-0/1");
  check_equal(farm.shown(task(cpu, 0)), "assigned/1 on a");
  farm.on(NodeHeatSeen{node_id("a"), 0, 81});
  check_equal(farm.runs(), "");
  farm.on(NodeHeatSeen{node_id("a"), 0, 79});
  check_equal(farm.runs(), "a<-0/1 a<-1/1");
  check(farm.state.node(node_id("a"))->hot.empty());
}

void above_its_hard_limit_a_gpu_loses_its_task() {
  Farm farm;
  join_with_gpus(farm, "a", 2, 0);
  join_with_gpus(farm, "b", 1, 0);
  const auto job = farm.submit("1-3");
  farm.on(EditJob{1, job, {}, {}});
  auto& box = farm.boxes.at("a");
  for (std::uint32_t i = 0; i < 3; ++i) {
    const auto row = farm.state.task(task(job, i));
    if (row.node.str() == "a") box.set(task(job, i), 1, TaskPhase::rendering);
  }
  check_equal(box.held.size(), 2U);
  box.held[0].slot = 0;
  box.held[1].slot = 1;
  farm.beat("a");
  EditNode limits{1, node_id("a"), {}};
  limits.hard_c = std::optional<double>(90);
  farm.on(limits);
  farm.on(NodeHeatSeen{node_id("a"), 1, 91});
  check_equal(farm.cancels(), fmt::format("a<-{}/1", box.held[1].task.index));
  const auto moved = farm.state.task(box.held[1].task);
  check_equal(moved.node.str(), "b");  // it goes on elsewhere at once
  check_equal(moved.attempt, 2U);
  check_equal(farm.saved_attempts.at({moved.id, 1}).error_code, "too-hot");
}

void a_schedule_may_cross_midnight() {
  // Thursday 2026-11-26, 23:30 UTC.
  constexpr std::int64_t thursday = 1'795'735'800'000;
  constexpr std::int64_t hour = 3'600'000;
  const Window nights{0x1F, 22 * 60, 7 * 60};  // Monday to Friday, 22:00 to 07:00
  const struct {
    std::int64_t after_ms;
    std::int32_t offset_s;
    bool want;
  } cases[] = {
      {0, 0, true},
      {-2 * hour, 0, false},
      {7 * hour, 0, true},  // Friday 06:30
      {8 * hour, 0, false},
      {24 * hour, 0, true},
      {31 * hour, 0, true},  // Saturday 06:30: Friday's night
      {48 * hour, 0, false},
      {55 * hour, 0, false},  // Saturday's night is none
      {-2 * hour, 3600, true},
      {0, -2 * 3600, false},
  };
  for (const auto& one : cases) {
    check_equal(is_in_schedule({nights}, thursday + one.after_ms, one.offset_s), one.want);
  }
  check(is_in_schedule({}, thursday, 0));
  check(is_in_schedule({{0x08, 0, 1440}}, thursday, 0));   // all Thursday
  check(!is_in_schedule({{0x10, 0, 1440}}, thursday, 0));  // all Friday
}

void outside_of_its_schedule_a_node_finishes_and_takes_nothing() {
  Farm farm;  // 2027-01-15, a Friday, 08:00 UTC
  farm.join("a");
  const auto job = farm.submit("1-4");
  farm.take("a");
  EditNode edit{1, node_id("a"), {}};
  edit.schedule = std::vector<Window>{{0x7F, 20 * 60, 6 * 60}};
  farm.on(edit);
  check_equal(farm.cancels(), "a<-1/1");  // what waits there comes back; what renders is finished
  check_equal(farm.finish(task(job, 0), 1, "a"), "accepted");
  farm.boxes.at("a").forget(task(job, 1), 1);
  farm.beat("a");
  check_equal(out_on(farm, "a"), 0U);
  check_contains(farm.why(job), "a||it is outside of its schedule");
  farm.on(Tick{13 * 3600});  // 21:00 where the controller is
  check_contains(farm.runs(), "a<-1/2");
  edit.schedule = std::vector<Window>{{0, 0, 0}};
  farm.on(edit);
  check_contains(farm.refusal(), "schedule: ");
}

void an_idle_node_sleeps_and_is_woken_for_work() {
  Farm farm;
  join_with_gpus(farm, "a", 0, 1);
  EditNode edit{1, node_id("a"), {}};
  edit.sleep_after_s = 60;
  farm.on(edit);
  farm.pass(50'000, {"a"});
  check(!farm.state.node(node_id("a"))->asleep);
  farm.pass(20'000, {"a"});
  check(farm.state.node(node_id("a"))->asleep);
  check_equal(farm.sent<payloads::Sleep>(), "a");
  farm.status("a", payloads::NodeState::offline);
  farm.pass(20'000);
  const auto job = farm.submit("1");
  check_contains(farm.why(job), "it is asleep");
  farm.pass(2'000);
  const auto wakes = farm.effects<WakeNode>();
  check_equal(wakes.size(), 1U);
  check_equal(wakes[0].mac, "aa:bb:cc:00:00:01");
  farm.boxes.at("a").sid = 2;
  farm.status("a", payloads::NodeState::online);
  farm.beat("a");
  check_equal(farm.shown(task(job, 0)), "assigned/1 on a");
}

void who_may_not_sleep_is_not_asked_again() {
  Farm farm;
  join_with_gpus(farm, "a", 0, 1);
  EditNode edit{1, node_id("a"), {}};
  edit.sleep_after_s = 10;
  farm.on(edit);
  farm.pass(12'000, {"a"});
  check_equal(farm.sent<payloads::Sleep>(), "a");
  const auto cid = farm.effects<SendCommand>().at(0).command.cid;
  farm.ack("a", cid, false, "unsupported", "this box may not sleep: see [power] in agent.toml");
  check(!farm.state.node(node_id("a"))->asleep);
  check_equal(farm.state.node(node_id("a"))->settings.sleep_after_s, 0U);
  farm.submit("1");
  check_equal(farm.runs(), "a<-0/1");
}

void a_reboot_waits_until_the_node_is_idle() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1-4");
  farm.take("a");
  EditNode edit{1, node_id("a"), {}};
  edit.reboot = true;
  farm.on(edit);
  farm.boxes.at("a").forget(task(job, 1), 1);
  farm.pass(6'000, {"a"});
  check_equal(farm.sent<payloads::Reboot>(), "");
  check_contains(farm.why(job), "it restarts as soon as it is idle");
  check_equal(farm.finish(task(job, 0), 1, "a"), "accepted");
  farm.pass(6'000, {"a"});
  check_equal(farm.sent<payloads::Reboot>(), "a");
  // It hears that in a moment: what it was given now it would take away with it.
  farm.submit("1");
  check_equal(farm.runs(), "");
  check(farm.state.node(node_id("a"))->settings.reboot);
  farm.pass(70'000, {"a"});  // it did not hear it
  check_equal(farm.sent<payloads::Reboot>(), "a");
  farm.status("a", payloads::NodeState::offline);
  check(!farm.state.node(node_id("a"))->settings.reboot);
  farm.boxes.at("a").sid = 9;
  farm.join("a");
  check_equal(farm.runs(), "a<-1/2 a<-2/1");
}

void a_reboot_that_is_refused_is_forgotten() {
  Farm farm;
  farm.join("a");
  EditNode edit{1, node_id("a"), {}};
  edit.reboot = true;
  farm.on(edit);
  farm.pass(6'000, {"a"});
  const auto cid = farm.effects<SendCommand>().at(0).command.cid;
  farm.ack("a", cid, false, "unsupported", "this box may not restart: see [power] in agent.toml");
  check(!farm.state.node(node_id("a"))->settings.reboot);
  farm.submit("1");
  check_equal(farm.runs(), "a<-0/1");
}

void a_disabled_node_counts_nowhere_and_a_gone_one_can_be_forgotten() {
  Farm farm;
  farm.join("a");
  EditNode edit{1, node_id("a"), false};
  farm.on(edit);
  check_equal(farm.state.summary().nodes_online, 0U);
  const auto job = farm.submit("1");
  check_contains(farm.why(job), "a||it is disabled");
  farm.on(ForgetNode{1, node_id("a")});
  check_contains(farm.refusal(), "only a node that is gone");
  farm.status("a", payloads::NodeState::offline);
  farm.on(ForgetNode{1, node_id("a")});
  check(farm.granted());
  check_equal(farm.effects<EraseNode>().size(), 1U);
  check(farm.state.node(node_id("a")) == nullptr);
  farm.boxes.at("a").sid = 5;
  farm.join("a");  // it speaks again: a new node
  check_equal(farm.shown(task(job, 0)), "assigned/1 on a");
}

// Three frames of 10 s are done, the last one hangs on a.
JobId slow_tail(Farm& farm) {
  farm.join("a");
  const auto job = farm.submit("1-4");
  for (std::uint32_t i = 0; i < 3; ++i) {
    farm.take("a");
    check_equal(farm.finish(task(job, i), 1, "a", 10), "accepted");
  }
  farm.take("a");
  farm.join("b");
  return job;
}

void the_last_slow_task_is_started_again_and_the_first_result_wins() {
  for (const bool second_wins : {true, false}) {
    Farm farm;
    const auto job = slow_tail(farm);
    farm.pass(12'000, {"a", "b"});
    check_equal(out_on(farm, "b"), 0U);  // 12 s where 10 are usual: no reason yet
    farm.pass(4'000, {"a", "b"});
    check_equal(farm.runs(), "b<-3/2");
    check_equal(farm.state.job(job)->counts.running, 1U);  // one task, however often
    farm.boxes.at("b").set(task(job, 3), 2, TaskPhase::rendering);
    farm.beat("b");
    farm.pass(2'000);
    if (second_wins) {
      check_equal(farm.finish(task(job, 3), 2, "b"), "accepted");
      check_equal(farm.cancels(), "a<-3/1");
      check_equal(farm.finish(task(job, 3), 1, "a"), "superseded");
      check_equal(farm.shown(task(job, 3)), "done/2 on -");
    } else {
      check_equal(farm.finish(task(job, 3), 1, "a"), "accepted");
      check_equal(farm.cancels(), "b<-3/2");
      check_equal(farm.finish(task(job, 3), 2, "b"), "superseded");
    }
    check_equal(farm.shown(job), "done");
    check(farm.state.job(job)->waste.superseded_s > 0);
  }
}

void a_second_start_that_fails_leaves_the_first_alone() {
  Farm farm;
  const auto job = slow_tail(farm);
  farm.pass(16'000, {"a", "b"});
  farm.boxes.at("b").set(task(job, 3), 2, TaskPhase::rendering);
  farm.beat("b");
  check_equal(farm.fail_task(task(job, 3), 2, "b"), "accepted");
  check_equal(farm.shown(task(job, 3)), "running/2 on a");
  check_equal(farm.cancels(), "");
  check_equal(farm.finish(task(job, 3), 1, "a"), "accepted");
  check_equal(farm.shown(job), "done");
}

void both_starts_survive_a_restart() {
  Farm farm;
  const auto job = slow_tail(farm);
  farm.pass(18'000, {"a", "b"});
  farm.boxes.at("b").set(task(job, 3), 2, TaskPhase::rendering);
  farm.beat("b");
  farm.restart();
  farm.status("a", payloads::NodeState::online);
  farm.beat("a");
  check_equal(farm.cancels(), "");
  farm.status("b", payloads::NodeState::online);
  farm.beat("b");
  check_equal(farm.cancels(), "");
  check_equal(farm.finish(task(job, 3), 1, "a"), "accepted");
  check_equal(farm.cancels(), "b<-3/2");
}

void what_nodes_do_is_counted() {
  Farm farm;
  farm.join("a", 2);
  farm.pass(10'000, {"a"});
  const auto job = farm.submit("1");
  farm.take("a");
  farm.pass(10'000, {"a"});
  check_equal(farm.finish(task(job, 0), 1, "a", 9), "accepted");
  farm.pass(10'000, {"a"});
  const auto use = farm.state.node(node_id("a"))->use;
  check(std::abs(use.online_s - 60) < 3);  // two slots, 30 s
  check(std::abs(use.busy_s - 10) < 2);
  check(std::abs(use.done_s - 9) < 0.1);
  farm.now = farm.now.after_ms(3'600'000);
  farm.on(Tick{});
  // As it was last said of the hour that is over.
  const auto first_hour = farm.saved_usage.at(0).hour_ms;
  double done_s = 0;
  for (const auto& row : farm.saved_usage) {
    if (row.hour_ms == first_hour) done_s = row.use.done_s;
  }
  check(std::abs(done_s - 9) < 0.1);
}

}  // namespace

int main() {
  return run("care",
             {{"a hot GPU gets nothing new until it is cool", &a_hot_gpu_gets_nothing_new_until_it_is_cool},
              {"above its hard limit a GPU loses its task", &above_its_hard_limit_a_gpu_loses_its_task},
              {"a schedule may cross midnight", &a_schedule_may_cross_midnight},
              {"outside of its schedule a node finishes and takes nothing",
               &outside_of_its_schedule_a_node_finishes_and_takes_nothing},
              {"an idle node sleeps and is woken for work", &an_idle_node_sleeps_and_is_woken_for_work},
              {"who may not sleep is not asked again", &who_may_not_sleep_is_not_asked_again},
              {"a reboot waits until the node is idle", &a_reboot_waits_until_the_node_is_idle},
              {"a reboot that is refused is forgotten", &a_reboot_that_is_refused_is_forgotten},
              {"a disabled node counts nowhere and a gone one can be forgotten",
               &a_disabled_node_counts_nowhere_and_a_gone_one_can_be_forgotten},
              {"the last slow task is started again and the first result wins",
               &the_last_slow_task_is_started_again_and_the_first_result_wins},
              {"a second start that fails leaves the first alone",
               &a_second_start_that_fails_leaves_the_first_alone},
              {"both starts survive a restart", &both_starts_survive_a_restart},
              {"what nodes do is counted", &what_nodes_do_is_counted}});
}
