#include "uplink/inbound.h"

#include "check.h"

using kiln::NodeId;
namespace planner = kiln::planner;
namespace payloads = kiln::payloads;

namespace {

const NodeId box = *NodeId::parse("box");

auto read(const char* topic, const char* payload, bool is_retained = false) {
  return kiln::uplink::read_message(box, topic, payload, is_retained, 42);
}

void a_command_is_read_from_both_topics() {
  for (const char* topic : {"kiln/v1/cmd/box", "kiln/v1/cmd/all"}) {
    const auto fact = read(topic, R"({"op":"rebirth","cid":"c1","epoch":7})", true);
    check_ok(fact);
    const auto& received = std::get<planner::CommandReceived>(*fact);
    check_ok(received.command);
    check_equal(received.command->cid, "c1");
    check_equal(received.command->epoch, 7U);
    check(std::holds_alternative<payloads::Rebirth>(received.command->op));
    check(received.retained);
    check_equal(received.random, 42U);
  }
}

void a_command_that_is_wrong_keeps_the_cid_to_answer_to() {
  const struct {
    const char* payload;
    const char* cid;
  } cases[] = {
      {R"({"op":"cancel","cid":"c1","epoch":7})", "c1"},
      {R"({"op":"rebirth","cid":"c1","epoch":"x"})", "c1"},
      {R"({"op":"rebirth","epoch":7})", ""},
      {"not json", ""},
      {"", ""},
  };
  for (const auto& one : cases) {
    const auto fact = read("kiln/v1/cmd/box", one.payload);
    check_ok(fact);
    const auto& received = std::get<planner::CommandReceived>(*fact);
    check(!received.command.has_value());
    check_equal(received.cid, one.cid);
  }
}

void statuses_are_read() {
  const auto controller =
      read("kiln/v1/controller/status", R"({"state":"online","epoch":9,"version":"1","url":"http://a"})");
  check_ok(controller);
  check_equal(std::get<planner::ControllerSeen>(*controller).status.epoch, 9U);

  const auto own = read("kiln/v1/nodes/box/status", R"({"state":"offline","sid":3})", true);
  check_ok(own);
  check_equal(std::get<planner::StatusSeen>(*own).status.sid, 3U);
  check(std::get<planner::StatusSeen>(*own).retained);
}

void what_is_not_understood_names_its_topic() {
  const struct {
    const char* topic;
    const char* payload;
  } cases[] = {
      {"kiln/v1/controller/status", "{}"},
      {"kiln/v1/nodes/box/status", R"({"state":"asleep","sid":3})"},
      {"kiln/v1/nodes/other/status", R"({"state":"online","sid":3})"},
      {"kiln/v1/cmd/other", R"({"op":"rebirth","cid":"c1","epoch":7})"},
      {"", ""},
  };
  for (const auto& one : cases) {
    const auto fact = read(one.topic, one.payload);
    check(!fact.has_value());
    check_contains(fact.error().message, one.topic);
  }
}

}  // namespace

int main() {
  return kiln::test::run(
      "inbound", {{"a command is read from both topics", a_command_is_read_from_both_topics},
                  {"a command that is wrong keeps the cid to answer to",
                   a_command_that_is_wrong_keeps_the_cid_to_answer_to},
                  {"statuses are read", statuses_are_read},
                  {"what is not understood names its topic", what_is_not_understood_names_its_topic}});
}
