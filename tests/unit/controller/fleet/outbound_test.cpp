#include "fleet/outbound.h"

#include <algorithm>

#include "check.h"
#include "topics/topics.h"

using kiln::Instant;
using kiln::JobId;
using kiln::NodeId;
using kiln::fleet::Outbound;
namespace scheduler = kiln::scheduler;
namespace payloads = kiln::payloads;
namespace topics = kiln::topics;

namespace {

struct Wire {
  std::vector<Outbound::Message> sent;
  Outbound out{24, "5c1d0a9be2f47a33", "0.1.0", "http://127.0.0.1:8780",
               [this](Outbound::Message m) { sent.push_back(std::move(m)); }};

  std::size_t count(const std::string& topic) const {
    return static_cast<std::size_t>(
        std::count_if(sent.begin(), sent.end(), [&](const auto& m) { return m.topic == topic; }));
  }
  const Outbound::Message& last(const std::string& topic) const {
    const auto found =
        std::find_if(sent.rbegin(), sent.rend(), [&](const auto& m) { return m.topic == topic; });
    check(found != sent.rend());
    return *found;
  }
};

Instant at(std::int64_t ms) {
  return {ms, 1'700'000'000'000 + ms};
}

scheduler::JobRow job(std::uint32_t done) {
  scheduler::JobRow row;
  row.id = *JobId::parse("7-k3fqa");
  row.spec.name = "shot";
  row.counts.done = done;
  row.counts.queued = 10 - done;
  return row;
}

scheduler::NodeRow node(scheduler::NodePresence presence) {
  scheduler::NodeRow row;
  row.id = *NodeId::parse("render-1");
  row.presence = presence;
  row.sid = 17;
  row.info.agent_version = "0.1.0";
  row.info.gpus.resize(1);
  return row;
}

void a_command_carries_this_controllers_epoch() {
  Wire wire;
  scheduler::SendCommand send{*NodeId::parse("render-1"), {"drain-1", 0, payloads::Drain{}}};
  wire.out.carry_out(send, at(0));
  const auto& message = wire.last("kiln/v1/cmd/render-1");
  check(!message.retain);
  check_equal(message.qos, 1);
  const auto command = payloads::decode_command(message.payload);
  check_ok(command);
  check_equal(command->epoch, 24U);
}

void a_node_can_tell_whose_controller_speaks() {
  Wire wire;
  for (const bool online : {true, false}) {
    const auto status = payloads::decode_controller_status(wire.out.status(online).payload);
    check_ok(status);
    check_equal(status->farm, "5c1d0a9be2f47a33");
    check_equal(status->online, online);
  }
}

void a_jobs_status_goes_out_at_most_once_a_second_and_the_last_one_is_not_lost() {
  Wire wire;
  const auto topic = topics::job_status(job(0).id);
  for (std::uint32_t i = 0; i < 10; ++i) wire.out.carry_out(scheduler::JobChanged{job(i)}, at(1 + 10 * i));
  check_equal(wire.count(topic), 1U);
  wire.out.tick(at(500), {});
  check_equal(wire.count(topic), 1U);
  wire.out.tick(at(1'100), {});
  check_equal(wire.count(topic), 2U);
  const auto status = payloads::decode_job_status(wire.last(topic).payload);
  check_ok(status);
  check_equal(status->tasks.done, 9U);
  check(wire.last(topic).retain);
}

void an_erased_job_leaves_no_retained_topic() {
  Wire wire;
  wire.out.carry_out(scheduler::JobChanged{job(1)}, at(1));
  wire.out.carry_out(scheduler::JobErased{job(1).id}, at(2));
  wire.out.tick(at(5'000), {});
  for (const auto& topic : {topics::job_status(job(1).id), topics::job_progress(job(1).id)}) {
    check_equal(wire.last(topic).payload, "");
    check(wire.last(topic).retain);
  }
}

void a_forgotten_node_leaves_no_retained_topic() {
  Wire wire;
  auto known = node(scheduler::NodePresence::unknown);
  known.info.gpus.resize(2);
  known.info.gpus[1].index = 1;
  wire.out.carry_out(scheduler::NodeChanged{known}, at(1));
  wire.sent.clear();
  wire.out.carry_out(scheduler::NodeErased{known.id}, at(2));
  for (const auto& topic :
       {topics::home_assistant_config(known.id), topics::node_status(known.id), topics::node_info(known.id),
        topics::node_tasks(known.id), topics::node_progress(known.id), topics::node_host(known.id),
        topics::cpu_temp_c(known.id), topics::gpu_telemetry(known.id, 0), topics::gpu_telemetry(known.id, 1),
        topics::gpu_temp_c(known.id, 0), topics::gpu_temp_c(known.id, 1)}) {
    check_equal(wire.count(topic), 1U);
    check_equal(wire.last(topic).payload, "");
    check(wire.last(topic).retain);
  }
  wire.sent.clear();
  wire.out.tick(at(100'000), {});
  check_equal(wire.count(topics::node_status(known.id)), 0U);  // it is nobody to speak for any more
}

void a_node_is_sent_to_sleep_and_restarted_by_command() {
  Wire wire;
  const auto id = *NodeId::parse("render-1");
  wire.out.carry_out(scheduler::SendCommand{id, {"c1", 0, payloads::Sleep{}}}, at(0));
  check_contains(wire.last("kiln/v1/cmd/render-1").payload, R"("op":"sleep")");
  wire.out.carry_out(scheduler::SendCommand{id, {"c2", 0, payloads::Reboot{}}}, at(0));
  check_contains(wire.last("kiln/v1/cmd/render-1").payload, R"("op":"reboot")");
}

void the_status_of_a_node_unheard_for_a_minute_is_overwritten_once() {
  Wire wire;
  const auto topic = topics::node_status(node({}).id);
  wire.out.carry_out(scheduler::NodeChanged{node(scheduler::NodePresence::unknown)}, at(1'000));
  wire.out.tick(at(60'000), {});
  check_equal(wire.count(topic), 0U);
  wire.out.tick(at(61'000), {});
  wire.out.tick(at(125'000), {});
  check_equal(wire.count(topic), 1U);
  const auto status = payloads::decode_node_status(wire.last(topic).payload);
  check_ok(status);
  check(status->state == payloads::NodeState::offline);
  check_equal(status->sid, 17U);
}

void a_node_that_speaks_in_time_keeps_its_status() {
  Wire wire;
  wire.out.carry_out(scheduler::NodeChanged{node(scheduler::NodePresence::unknown)}, at(1'000));
  wire.out.carry_out(scheduler::NodeChanged{node(scheduler::NodePresence::online)}, at(20'000));
  wire.out.tick(at(100'000), {});
  check_equal(wire.count(topics::node_status(node({}).id)), 0U);
}

void home_assistant_hears_of_a_node_once_an_info() {
  Wire wire;
  const auto topic = topics::home_assistant_config(node({}).id);
  wire.out.carry_out(scheduler::NodeChanged{node(scheduler::NodePresence::online)}, at(1));
  wire.out.carry_out(scheduler::NodeChanged{node(scheduler::NodePresence::draining)}, at(2));
  check_equal(wire.count(topic), 1U);
  check_contains(wire.last(topic).payload, R"("state_topic":"kiln/v1/nodes/render-1/gpus/0/temp_c")");
  wire.out.reconnected({}, {node(scheduler::NodePresence::online)}, at(3));
  check_equal(wire.count(topic), 2U);
}

void the_summary_is_sent_when_it_changed_and_at_most_every_two_seconds() {
  Wire wire;
  payloads::ControllerSummary summary;
  const auto topic = topics::controller_summary();
  wire.out.tick(at(10'000), summary);
  wire.out.tick(at(13'000), summary);
  check_equal(wire.count(topic), 1U);
  summary.nodes_online = 1;
  wire.out.tick(at(14'000), summary);
  summary.nodes_online = 2;
  wire.out.tick(at(15'000), summary);
  check_equal(wire.count(topic), 2U);
}

}  // namespace

int main() {
  return kiln::test::run(
      "outbound",
      {{"a command carries this controller's epoch", a_command_carries_this_controllers_epoch},
       {"a node can tell whose controller speaks", a_node_can_tell_whose_controller_speaks},
       {"a job's status goes out at most once a second and the last one is not lost",
        a_jobs_status_goes_out_at_most_once_a_second_and_the_last_one_is_not_lost},
       {"an erased job leaves no retained topic", an_erased_job_leaves_no_retained_topic},
       {"a forgotten node leaves no retained topic", a_forgotten_node_leaves_no_retained_topic},
       {"a node is sent to sleep and restarted by command", a_node_is_sent_to_sleep_and_restarted_by_command},
       {"the status of a node unheard for a minute is overwritten once",
        the_status_of_a_node_unheard_for_a_minute_is_overwritten_once},
       {"a node that speaks in time keeps its status", a_node_that_speaks_in_time_keeps_its_status},
       {"Home Assistant hears of a node once an info", home_assistant_hears_of_a_node_once_an_info},
       {"the summary is sent when it changed and at most every two seconds",
        the_summary_is_sent_when_it_changed_and_at_most_every_two_seconds}});
}
