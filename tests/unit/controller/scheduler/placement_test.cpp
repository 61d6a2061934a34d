// Which task goes where.
#include "controller/scheduler/farm.h"

using namespace kiln;
using namespace kiln::test;

namespace {

void work_goes_where_its_renderer_is() {
  Farm farm;
  farm.join("a", 1, "povray");
  farm.join("b", 1, "blender");
  farm.submit("1-9");
  check_equal(farm.runs(), "b<-0/1 b<-1/1");
  farm.submit("1-4", "noop");  // runs anywhere
  check_contains(farm.runs(), "a<-0/1");
}

void idle_slots_come_before_queues() {
  Farm farm;
  farm.join("a", 1);
  farm.join("b", 2);
  farm.submit("1-20");
  // Three slots, then one task a slot ahead.
  check_equal(farm.runs(), "a<-0/1 b<-1/1 b<-2/1 a<-3/1 b<-4/1 b<-5/1");
}

void a_warm_node_is_preferred_among_equals() {
  Farm farm;
  farm.join("a", 1);
  farm.join("b", 1);
  farm.boxes.at("b").warm = {manifest_b};
  farm.beat("b");
  farm.submit("1", "blender", 50, manifest_b);
  check_equal(farm.runs(), "b<-0/1");
  farm.take("b");
  farm.submit("1", "blender", 50, manifest_b);  // b is busy: warmth is not worth waiting
  check_equal(farm.runs(), "a<-0/1");
  farm.take("a");
  farm.submit("1", "blender", 50, manifest_b);  // both are busy
  check_equal(farm.runs(), "b<-0/1");
}

void a_node_that_has_the_files_is_preferred_to_one_that_has_not() {
  Farm farm;
  farm.join("a", 2);
  farm.join("b", 2);
  const auto first = farm.submit("1", "blender", 50, manifest_b);
  check_equal(farm.runs(), "a<-0/1");
  farm.take("a");
  check_equal(farm.finish(task(first, 0), 1, "a"), "accepted");
  const auto other = farm.submit("1");  // a has two free slots again, as b: it gets the first
  check_equal(farm.runs(), "a<-0/1");
  farm.take("a");
  // b is emptier, and a has the files.
  farm.submit("1", "blender", 50, manifest_b);
  check_equal(farm.runs(), "a<-0/1");
  static_cast<void>(other);
}

void the_queue_ahead_grows_as_tasks_get_short() {
  const struct {
    double seconds;  // of the tasks measured so far
    int held;        // on the one slot then: what renders, and what waits
  } cases[] = {{0.05, 17}, {0.5, 5}, {1, 3}, {2, 2}, {3600, 2}};
  for (const auto& one : cases) {
    Farm farm;
    farm.join("a");
    const auto job = farm.submit("1-200");
    for (std::uint32_t i = 0; i < 60; ++i) {
      farm.take("a");
      farm.finish(task(job, i), 1, "a", one.seconds);
    }
    farm.take("a");
    check_equal(static_cast<int>(farm.boxes.at("a").held.size()), one.held);
  }
  Farm farm;
  farm.join("a");
  farm.submit("1-200", "noop");
  check_equal(farm.effects<SendCommand>().size(), 1 + farm.policy.max_queue_ahead);
}

void a_node_never_holds_more_than_it_can_list() {
  Farm farm;
  farm.join("a", 64);
  const auto job = farm.submit("1-500", "noop");
  check_equal(farm.effects<SendCommand>().size(),
              payloads::max_tasks_listed - 16);  // room for what it still delivers
  farm.take("a", 64);
  auto& box = farm.boxes.at("a");
  for (auto& held : box.held) held.phase = TaskPhase::delivering;  // HTTP does not answer
  farm.beat("a");
  check_equal(farm.runs(), "");
  farm.finish(task(job, 0), 1, "a");
  check_equal(farm.runs(), "a<-80/1");
}

void a_slot_is_free_while_its_frame_is_delivered() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1-4");
  farm.take("a");
  farm.boxes.at("a").set(task(job, 0), 1, TaskPhase::delivering);
  farm.beat("a");
  check_equal(farm.runs(), "a<-2/1");
  check_equal(farm.shown(task(job, 0)), "running/1 on a");
}

void at_the_tail_an_idle_node_gets_what_waits_elsewhere() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1-2");
  farm.take("a");
  farm.join("b");
  check_equal(farm.cancels(), "a<-1/1");
  check_equal(farm.runs(), "");  // not before a has let it go
  farm.ack("a", cancel_cid(task(job, 1), 1), true);
  check_equal(farm.effects<SaveAttempt>().at(0).row.attempt, 1U);
  check_equal(to_string(farm.effects<SaveAttempt>().at(0).row.state), "superseded");
  check_equal(farm.runs(), "b<-1/2");
  check_equal(farm.state.task(task(job, 1)).failures, 0U);
}

void a_take_back_ends_by_inventory_too_and_by_a_start() {
  for (const bool started : {false, true}) {
    Farm farm;
    farm.join("a");
    const auto job = farm.submit("1-2");
    farm.take("a");
    farm.join("b");
    auto& box = farm.boxes.at("a");
    if (started) {
      box.set(task(job, 1), 1, TaskPhase::fetching);
    } else {
      box.forget(task(job, 1), 1);
    }
    farm.beat("a");
    check_equal(farm.runs(), started ? "" : "b<-1/2");
    check_equal(farm.shown(task(job, 1)), started ? "running/1 on a" : "assigned/2 on b");
  }
}

void what_starts_soon_is_not_taken_back() {
  Farm farm;
  farm.join("a");
  farm.submit("1-10", "noop");
  farm.take("a");
  farm.join("b");
  check_equal(farm.cancels(), "");
}

void take_backs_do_not_ping_pong() {
  Farm farm;
  farm.join("a");
  const auto job = farm.submit("1-2");
  farm.take("a");
  int take_backs = 0;
  for (std::uint32_t i = 0; i < 10; ++i) {
    // b shows up idle, the task is taken back for it, and b is gone before it gets it.
    auto& b = farm.boxes["b"];
    ++b.sid;
    b.seq = 0;
    b.held.clear();
    farm.join("b");
    const auto cid = cancel_cid(task(job, 1), farm.state.task(task(job, 1)).attempt);
    if (!farm.cancels().empty()) ++take_backs;
    farm.status("b", payloads::NodeState::draining);
    auto& a = farm.boxes.at("a");
    a.forget(task(job, 1), farm.state.task(task(job, 1)).attempt);
    farm.ack("a", cid, true);
    farm.take("a");
  }
  check_equal(take_backs, static_cast<int>(max_taken_back));
}

void a_full_disk_stops_the_handing_out_only() {
  Farm farm;
  farm.join("a");
  farm.on(DiskPressure{true});
  const auto job = farm.submit("1-3");
  check_equal(farm.runs(), "");
  farm.on(DiskPressure{false});
  check_equal(farm.runs(), "a<-0/1 a<-1/1");
  farm.take("a");
  farm.on(DiskPressure{true});
  check_equal(farm.finish(task(job, 0), 1, "a"), "accepted");
  check_equal(farm.runs(), "");
}

void a_black_hole_does_not_swallow_a_task_twice() {
  Farm farm;
  farm.join("bad");
  farm.join("good");
  const auto job = farm.submit("1-40");
  // `bad` fails at once, `good` takes its time; every task fails once at most.
  farm.boxes["bad"].held.clear();
  for (int round = 0; round < 200 && farm.shown(job) != "done"; ++round) {
    for (std::uint32_t i = 0; i < 40; ++i) {
      const auto row = farm.state.task(task(job, i));
      if (row.state == TaskState::assigned && row.node.str() == "bad")
        farm.fail_task(task(job, i), row.attempt, "bad");
      check(farm.state.task(task(job, i)).failures <= 1);
    }
    for (std::uint32_t i = 0; i < 40; ++i) {
      const auto row = farm.state.task(task(job, i));
      if (row.state != TaskState::assigned || row.node.str() != "good") continue;
      farm.finish(task(job, i), row.attempt, "good");
      break;
    }
  }
  check_equal(farm.shown(job), "done");
}

}  // namespace

int main() {
  return run("placement",
             {{"work goes where its renderer is", work_goes_where_its_renderer_is},
              {"idle slots come before queues", idle_slots_come_before_queues},
              {"a warm node is preferred among equals", a_warm_node_is_preferred_among_equals},
              {"a node that has the files is preferred to one that has not",
               &a_node_that_has_the_files_is_preferred_to_one_that_has_not},
              {"the queue ahead grows as tasks get short", the_queue_ahead_grows_as_tasks_get_short},
              {"a node never holds more than it can list", a_node_never_holds_more_than_it_can_list},
              {"a slot is free while its frame is delivered", a_slot_is_free_while_its_frame_is_delivered},
              {"at the tail an idle node gets what waits elsewhere",
               at_the_tail_an_idle_node_gets_what_waits_elsewhere},
              {"a take-back ends by inventory too, and by a start",
               a_take_back_ends_by_inventory_too_and_by_a_start},
              {"what starts soon is not taken back", what_starts_soon_is_not_taken_back},
              {"take-backs do not ping-pong", take_backs_do_not_ping_pong},
              {"a full disk stops the handing out only", a_full_disk_stops_the_handing_out_only},
              {"a black hole does not swallow a task twice", a_black_hole_does_not_swallow_a_task_twice}});
}
