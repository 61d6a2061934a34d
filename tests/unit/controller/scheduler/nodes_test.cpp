// Rules 4, 5, 6, 8, 10, 14: what nodes say, and what their silence means.
#include "controller/scheduler/farm.h"

using namespace kiln;
using namespace kiln::test;
using payloads::NodeState;

namespace {

void only_a_live_message_makes_a_node_online() {
  Farm farm;
  auto& box = farm.boxes["a"];
  box.id = node_id("a");
  farm.submit("1-2");
  farm.status("a", NodeState::online, true);
  check(farm.presence("a") == NodePresence::unknown);
  farm.beat("a", true);
  check(farm.presence("a") == NodePresence::unknown);
  payloads::NodeInfo info;
  info.sid = 1;
  info.renderers = {{"blender", "3.4.1"}};
  farm.on(NodeInfoSeen{box.id, info, true});
  check(farm.presence("a") == NodePresence::unknown);
  check_equal(farm.runs(), "");
  farm.beat("a");
  check(farm.presence("a") == NodePresence::online);
  check_equal(farm.runs(), "a<-0/1 a<-1/1");
}

void silence_makes_a_node_unknown_and_grace_loses_its_tasks() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1");
  farm.take("a");
  farm.pass(15'000);
  check(farm.presence("a") == NodePresence::online);
  farm.pass(1'000);
  check(farm.presence("a") == NodePresence::unknown);
  check_equal(farm.shown(task(job, 0)), "running/1 on a");
  farm.pass(59'000);
  check_equal(farm.shown(task(job, 0)), "running/1 on a");
  farm.pass(1'000);
  check_equal(farm.shown(task(job, 0)), "queued/1 on a");
  check_equal(farm.effects<SaveAttempt>().at(0).row.error_code, "node-lost");
  check_equal(farm.effects<TaskChanged>().at(0).event.message, "a was not heard of for 60 s");
}

void a_last_will_is_believed_live_or_retained() {
  for (const bool retained : {false, true}) {
    Farm farm;
    farm.join("a");
    const auto job = farm.submit("1");
    farm.take("a");
    farm.boxes.at("a").sid = 0;
    farm.status("a", NodeState::offline, retained);  // of an older session
    check(farm.presence("a") == NodePresence::online);
    farm.boxes.at("a").sid = 1;
    farm.status("a", NodeState::offline, retained);
    check(farm.presence("a") == NodePresence::offline);
    farm.pass(59'000);
    check_equal(farm.shown(task(job, 0)), "running/1 on a");
    farm.beat("a");  // it was only the broker's opinion
    check(farm.presence("a") == NodePresence::online);
    farm.pass(20'000, {"a"});
    check_equal(farm.shown(task(job, 0)), "running/1 on a");
  }
}

void an_older_session_is_ignored_and_two_boxes_are_noticed() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1");
  farm.take("a");
  auto& box = farm.boxes.at("a");
  const auto held = box.held;
  box.sid = 0;
  box.held.clear();
  std::string remarks;
  for (int i = 0; i < 5; ++i) {
    farm.beat("a");
    for (const auto& remark : farm.effects<Remark>()) remarks += remark.text;
  }
  check_equal(farm.shown(task(job, 0)), "running/1 on a");
  check_equal(remarks, "two boxes speak as a (sid 1 and 0): give one of them another id");
}

void an_older_inventory_is_ignored() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1");
  farm.take("a");
  auto& box = farm.boxes.at("a");
  box.seq -= 1;
  box.held.clear();
  farm.beat("a");  // overtaken on the way
  check_equal(farm.shown(task(job, 0)), "running/1 on a");
  farm.beat("a");
  check_equal(farm.shown(task(job, 0)), "assigned/2 on a");  // it dropped it: lost, and handed out again
}

void a_box_that_lost_its_state_is_believed_after_three_heartbeats() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1");
  farm.take("a");
  for (int i = 0; i < 10; ++i) farm.beat("a");
  auto& box = farm.boxes.at("a");
  box.held.clear();
  const auto before = box.seq;
  // A burst of stragglers is not a new life, nor are copies of one message.
  for (std::uint64_t seq = 1; seq <= 4; ++seq) {
    box.seq = seq;
    farm.beat("a");
  }
  farm.now = farm.now.after_ms(20'000);
  box.seq = 4;
  farm.beat("a");
  check_equal(farm.shown(task(job, 0)), "running/1 on a");
  // The same sid again, counting from 1.
  box.seq = 0;
  for (int i = 0; i < 2; ++i) {
    farm.beat("a");
    check_equal(farm.shown(task(job, 0)), "running/1 on a");
    farm.now = farm.now.after_ms(farm.policy.heartbeat_ms);
  }
  farm.beat("a");
  check(box.seq < before);
  check_equal(farm.shown(task(job, 0)), "assigned/2 on a");
}

void a_restarted_node_loses_at_once_what_it_no_longer_has() {
  Farm farm;
  farm.join("a", 2);
  const auto job = farm.submit("1-4");
  farm.take("a", 2);
  check_equal(farm.shown(task(job, 0)), "running/1 on a");
  auto& box = farm.boxes.at("a");
  box.set(task(job, 0), 1, TaskPhase::delivering);  // journalled: survives
  box.forget(task(job, 1), 1);
  box.forget(task(job, 2), 1);
  box.forget(task(job, 3), 1);
  ++box.sid;
  box.seq = 0;
  farm.beat("a");
  check_equal(farm.shown(task(job, 0)), "running/1 on a");
  check_equal(farm.shown(task(job, 1)), "assigned/2 on a");  // ran there: lost
  check_equal(farm.shown(task(job, 2)), "assigned/1 on a");  // only waited: sent again
  check_equal(farm.runs(), "a<-2/1 a<-3/1 a<-1/2");
}

void a_restart_of_the_controller_kills_no_running_frame() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1-4");
  farm.take("a");
  farm.finish(task(job, 0), 1, "a");
  farm.take("a");

  FarmRows rows;
  rows.jobs = {*farm.state.job(job)};
  for (std::uint32_t i = 0; i < 3; ++i) rows.tasks.push_back(farm.state.task(task(job, i)));
  AttemptRow running;
  running.task = task(job, 1);
  running.attempt = 1;
  running.node = node_id("a");
  running.state = AttemptState::running;
  running.assigned_ms = 42;
  AttemptRow assigned = running;
  assigned.task = task(job, 2);
  assigned.state = AttemptState::assigned;
  rows.attempts = {running, assigned};
  rows.nodes = {*farm.state.node(node_id("a"))};
  rows.last_job_number = 1;

  farm.state = FarmState(farm.policy, rows, farm.now);
  check(farm.presence("a") == NodePresence::unknown);
  check(farm.state.job(job)->counts == rows.jobs[0].counts);
  farm.pass(200'000);  // the broker is not there yet: nobody is judged
  check(farm.effects<SaveAttempt>().empty());
  farm.on(BrokerConnected{});
  check_equal(farm.effects<SendRebirth>().size(), 1U);
  farm.pass(50'000);
  check_equal(farm.shown(task(job, 1)), "running/1 on a");
  farm.beat("a");
  check_equal(farm.cancels(), "");
  check_equal(farm.runs(), "");
  check_equal(farm.shown(task(job, 1)), "running/1 on a");
  check_equal(farm.shown(task(job, 2)), "assigned/1 on a");
  check_equal(farm.finish(task(job, 0), 1, "a"), "duplicate");
  check_equal(farm.finish(task(job, 1), 1, "a"), "accepted");
  check_equal(farm.effects<SaveAttempt>().at(0).row.assigned_ms, 42);
  check_equal(farm.runs(), "a<-3/1");
}

void after_a_restart_no_row_says_that_a_node_is_here() {
  FarmRows rows;
  NodeRow row;
  row.id = node_id("a");
  row.presence = NodePresence::online;
  rows.nodes.push_back(row);
  const Instant now{5'000, 1'800'000'000'000};
  FarmState state(Policy{}, rows, now);
  for (const std::size_t saved : {1U, 0U}) {
    std::size_t count = 0;
    for (const auto& effect : step(state, now, BrokerConnected{})) {
      const auto* save = std::get_if<SaveNode>(&effect);
      if (save == nullptr) continue;
      check(save->row.presence == NodePresence::unknown);
      ++count;
    }
    check_equal(count, saved);
  }
}

void after_a_restart_a_silent_node_gets_its_grace_and_no_more() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1");
  farm.take("a");
  FarmRows rows;
  rows.jobs = {*farm.state.job(job)};
  rows.tasks = {farm.state.task(task(job, 0))};
  AttemptRow running;
  running.task = task(job, 0);
  running.attempt = 1;
  running.node = node_id("a");
  running.state = AttemptState::running;
  rows.attempts = {running};
  farm.state = FarmState(farm.policy, rows, farm.now);
  farm.on(BrokerConnected{});
  farm.pass(59'000);
  check_equal(farm.shown(task(job, 0)), "running/1 on a");
  farm.pass(2'000);
  check_equal(farm.shown(task(job, 0)), "queued/1 on a");
}

void a_failed_job_can_be_retried_after_a_restart() {
  Farm farm({.max_failures = 1});
  farm.join("a");
  const auto job = farm.submit("1-3");
  farm.take("a");
  farm.finish(task(job, 0), 1, "a");
  farm.take("a");
  farm.fail_task(task(job, 1), 1, "a", payloads::FailureScope::job);
  FarmRows rows;
  rows.jobs = {*farm.state.job(job)};
  for (std::uint32_t i = 0; i < 3; ++i) rows.tasks.push_back(farm.state.task(task(job, i)));
  rows.last_job_number = 1;
  auto without_tasks = rows;
  without_tasks.tasks.clear();

  farm.state = FarmState(farm.policy, rows, farm.now);
  check_equal(farm.finish(task(job, 0), 1, "a"), "duplicate");
  farm.on(RetryJob{1, job});
  check(farm.granted());
  check_equal(farm.state.job(job)->counts.queued, 2U);

  farm.state = FarmState(farm.policy, without_tasks, farm.now);
  farm.on(RetryJob{1, job});
  check_contains(farm.refusal(), "not known any more");
  // Whether it had won is not known: the files stay where they are.
  check_equal(farm.finish(task(job, 0), 1, "a"), "superseded");
  check(farm.effects<DropFiles>().empty());
}

void a_brokers_outage_loses_nothing() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1-3");
  farm.take("a");
  farm.on(BrokerLost{});
  farm.pass(600'000);
  check_equal(farm.shown(task(job, 0)), "running/1 on a");
  check_equal(farm.finish(task(job, 0), 1, "a"), "accepted");  // HTTP goes on
  check_equal(farm.runs(), "");
  farm.on(BrokerConnected{});
  check_equal(farm.runs(), "");
  farm.pass(30'000);
  farm.boxes.at("a").held.at(0).phase = TaskPhase::rendering;
  farm.beat("a");
  check_equal(farm.shown(task(job, 1)), "running/1 on a");
  check_equal(farm.runs(), "a<-2/1");
}

void a_drained_node_gets_nothing_and_gives_back_what_waits() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1-5");
  farm.take("a");
  farm.on(DrainNode{1, node_id("a"), true});
  check(farm.granted());
  check_equal(farm.cancels(), "a<-1/1");
  check_equal(farm.effects<SendCommand>().size(), 2U);  // …and drain
  check(farm.effects<SaveNode>().at(0).row.drained);
  // The node drops what waits and finishes what it renders.
  farm.boxes.at("a").forget(task(job, 1), 1);
  farm.status("a", NodeState::draining);
  check(farm.presence("a") == NodePresence::draining);
  farm.beat("a");
  check_equal(farm.shown(task(job, 1)), "queued/1 on a");
  check_equal(farm.finish(task(job, 0), 1, "a"), "accepted");
  check_equal(farm.runs(), "");
  // It restarts and has forgotten; the person's wish holds.
  auto& box = farm.boxes.at("a");
  ++box.sid;
  farm.status("a", NodeState::online);
  check(std::holds_alternative<payloads::Drain>(farm.effects<SendCommand>().at(0).command.op));
  check_equal(farm.runs(), "");
  farm.beat("a");
  check_equal(farm.runs(), "");
  farm.on(DrainNode{1, node_id("a"), false});
  check_equal(farm.runs(), "a<-1/2 a<-2/1");
  farm.on(DrainNode{1, node_id("zz"), true});
  check_contains(farm.refusal(), "there is no node zz");
}

void a_node_that_drains_by_itself_gets_nothing() {
  Farm farm;
  farm.join("a");
  farm.join("b");
  farm.status("a", NodeState::draining);
  const auto job = farm.submit("1-4");
  check_equal(farm.runs(), "b<-0/1 b<-1/1");
  farm.beat("a");
  check_equal(farm.runs(), "");
  farm.status("a", NodeState::online);
  check_equal(farm.runs(), "a<-2/1 a<-3/1");
  check_equal(farm.shown(job), "queued");
}

void a_heartbeat_is_not_written_down() {
  Farm farm;
  farm.join("a");
  int saves = 0;
  for (int i = 0; i < 24; ++i) {
    farm.now = farm.now.after_ms(5'000);
    farm.beat("a");
    saves += static_cast<int>(farm.effects<SaveNode>().size());
    farm.on(Tick{});
    saves += static_cast<int>(farm.effects<SaveNode>().size());
  }
  check_equal(saves, 2);  // in two minutes
  check_equal(farm.state.node(node_id("a"))->last_seen_ms, farm.now.unix_ms);
}

void an_unchanged_info_is_not_written_down() {
  Farm farm;
  farm.join("a");
  auto info = farm.state.node(node_id("a"))->info;
  farm.on(NodeInfoSeen{node_id("a"), info, false});
  check(farm.effects<SaveNode>().empty());
  info.slots = 4;
  farm.on(NodeInfoSeen{node_id("a"), info, false});
  check_equal(farm.effects<SaveNode>().size(), 1U);
  check_equal(farm.state.summary().slots, 4U);
}

void nothing_is_handed_out_before_a_node_said_what_it_holds() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1-9");
  farm.take("a");
  farm.pass(80'000);
  check_equal(farm.shown(task(job, 1)), "queued/1 on a");
  auto& box = farm.boxes.at("a");
  ++box.sid;
  box.seq = 0;
  farm.status("a", NodeState::online);
  check(farm.presence("a") == NodePresence::online);
  check_equal(farm.runs(), "");
  farm.beat("a");
  check_equal(farm.runs(), "");  // it still has both
  check_equal(farm.shown(task(job, 0)), "running/1 on a");
  check_equal(farm.shown(task(job, 1)), "assigned/1 on a");
}

void a_strangers_task_is_stopped() {
  Farm farm;
  farm.join("a");
  auto& box = farm.boxes.at("a");
  box.set(*TaskId::parse("9-zzzzz-3"), 2, TaskPhase::rendering);
  box.set(*TaskId::parse("9-zzzzz-4"), 1, TaskPhase::delivering);
  farm.beat("a");
  check_equal(farm.cancels(), "a<-3/2");
}

}  // namespace

int main() {
  return run(
      "nodes",
      {{"only a live message makes a node online", only_a_live_message_makes_a_node_online},
       {"silence makes a node unknown, and grace loses its tasks",
        silence_makes_a_node_unknown_and_grace_loses_its_tasks},
       {"a last will is believed, live or retained", a_last_will_is_believed_live_or_retained},
       {"an older session is ignored, and two boxes are noticed",
        an_older_session_is_ignored_and_two_boxes_are_noticed},
       {"an older inventory is ignored", an_older_inventory_is_ignored},
       {"a box that lost its state is believed after three heartbeats",
        a_box_that_lost_its_state_is_believed_after_three_heartbeats},
       {"a restarted node loses at once what it no longer has",
        a_restarted_node_loses_at_once_what_it_no_longer_has},
       {"a restart of the controller kills no running frame",
        a_restart_of_the_controller_kills_no_running_frame},
       {"after a restart no row says that a node is here", after_a_restart_no_row_says_that_a_node_is_here},
       {"after a restart a silent node gets its grace and no more",
        after_a_restart_a_silent_node_gets_its_grace_and_no_more},
       {"a failed job can be retried after a restart", a_failed_job_can_be_retried_after_a_restart},
       {"a broker's outage loses nothing", a_brokers_outage_loses_nothing},
       {"a drained node gets nothing and gives back what waits",
        a_drained_node_gets_nothing_and_gives_back_what_waits},
       {"a node that drains by itself gets nothing", a_node_that_drains_by_itself_gets_nothing},
       {"a heartbeat is not written down", a_heartbeat_is_not_written_down},
       {"an unchanged info is not written down", an_unchanged_info_is_not_written_down},
       {"nothing is handed out before a node said what it holds",
        nothing_is_handed_out_before_a_node_said_what_it_holds},
       {"a stranger's task is stopped", a_strangers_task_is_stopped}});
}
