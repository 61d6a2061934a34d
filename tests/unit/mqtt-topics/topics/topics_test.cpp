#include "topics/topics.h"

#include <vector>

#include "check.h"

using namespace kiln;

namespace {

NodeId node(std::string_view text) {
  return *NodeId::parse(text);
}

void every_node_topic_parses_back_to_what_built_it() {
  const auto id = node("box-7");
  const struct {
    std::string topic;
    topics::NodeLeaf leaf;
    std::uint32_t gpu;
  } cases[] = {
      {topics::node_status(id), topics::NodeLeaf::status, 0},
      {topics::node_info(id), topics::NodeLeaf::info, 0},
      {topics::node_tasks(id), topics::NodeLeaf::tasks, 0},
      {topics::node_progress(id), topics::NodeLeaf::progress, 0},
      {topics::node_host(id), topics::NodeLeaf::host, 0},
      {topics::node_event(id), topics::NodeLeaf::event, 0},
      {topics::node_ack(id), topics::NodeLeaf::ack, 0},
      {topics::node_update(id), topics::NodeLeaf::update, 0},
      {topics::cpu_temp_c(id), topics::NodeLeaf::cpu_temp_c, 0},
      {topics::gpu_telemetry(id, 0), topics::NodeLeaf::gpu_telemetry, 0},
      {topics::gpu_telemetry(id, topics::max_gpu_index), topics::NodeLeaf::gpu_telemetry,
       topics::max_gpu_index},
      {topics::gpu_temp_c(id, 12), topics::NodeLeaf::gpu_temp_c, 12},
  };
  for (const auto& one : cases) {
    const auto parsed = topics::parse_node_topic(one.topic);
    check(parsed.has_value());
    check_equal(parsed->node.str(), "box-7");
    check(parsed->leaf == one.leaf);
    check_equal(parsed->gpu, one.gpu);
  }
}

void what_is_not_exactly_a_node_topic_is_refused() {
  for (const char* bad : {
           "",
           "kiln/v1/nodes",
           "kiln/v1/nodes/",
           "kiln/v1/nodes/a",
           "kiln/v1/nodes/a/",
           "kiln/v1/nodes//status",
           "kiln/v1/nodes/a/status/",
           "kiln/v1/nodes/a/Status",
           "kiln/v1/nodes/A/status",
           "kiln/v1/nodes/a_b/status",
           "/kiln/v1/nodes/a/status",
           "kiln/v2/nodes/a/status",
           "kiln/v1/nodes/all/status",
           "kiln/v1/nodes/a/status/x",
           "kiln/v1/nodes/123456789012345678901234567890123/status",
           "kiln/v1/nodes/a/gpus/telemetry",
           "kiln/v1/nodes/a/gpus//telemetry",
           "kiln/v1/nodes/a/gpus/x/telemetry",
           "kiln/v1/nodes/a/gpus/-1/telemetry",
           "kiln/v1/nodes/a/gpus/00/telemetry",
           "kiln/v1/nodes/a/gpus/01/temp_c",
           "kiln/v1/nodes/a/gpus/64/temp_c",
           "kiln/v1/nodes/a/gpus/99999999999/temp_c",
           "kiln/v1/nodes/a/gpus/0/power_w",
           "kiln/v1/nodes/a/gpus/0",
           "kiln/v1/nodes/a/gpus/1x/temp_c",
           "kiln/v1/nodes/a/cpu",
           "kiln/v1/nodes/a/cpu/temp_c",
           "kiln/v1/cmd/a",
           "kiln/v1/nodes/+/status",
           "kiln/v1/nodes/a/telemetry",
       }) {
    if (topics::parse_node_topic(bad)) print_error("'%s' was accepted\n", bad);
    check(!topics::parse_node_topic(bad));
  }
}

void a_request_topic_names_user_and_verb() {
  const auto parsed = topics::parse_request_topic(topics::request("ada", "job-submit"));
  check(parsed.has_value());
  check_equal(parsed->user, "ada");
  check_equal(parsed->verb, "job-submit");
  for (const char* bad :
       {"", "kiln/v1/request/ada", "kiln/v1/request//x", "kiln/v1/request/ada/", "kiln/v1/request/a/b/c",
        "kiln/v1/request/Ada/x", "kiln/v1/response/ada/job-submit", "kiln/v1/request/+/+"}) {
    check(!topics::parse_request_topic(bad));
  }
}

void every_topic_has_the_form_the_contract_gives() {
  const auto id = node("n1");
  const auto job = *JobId::parse("7-k3fqa");
  const struct {
    std::string got, want;
  } cases[] = {
      {topics::controller_status(), "kiln/v1/controller/status"},
      {topics::controller_summary(), "kiln/v1/controller/summary"},
      {topics::node_status(id), "kiln/v1/nodes/n1/status"},
      {topics::gpu_telemetry(id, 3), "kiln/v1/nodes/n1/gpus/3/telemetry"},
      {topics::cpu_temp_c(id), "kiln/v1/nodes/n1/cpu_temp_c"},
      {topics::node_update(id), "kiln/v1/nodes/n1/update"},
      {topics::command(id), "kiln/v1/cmd/n1"},
      {topics::command_all(), "kiln/v1/cmd/all"},
      {topics::job_status(job), "kiln/v1/jobs/7-k3fqa/status"},
      {topics::job_progress(job), "kiln/v1/jobs/7-k3fqa/progress"},
      {topics::job_event(job), "kiln/v1/jobs/7-k3fqa/event"},
      {topics::response("ada", "job-submit"), "kiln/v1/response/ada/job-submit"},
      {topics::home_assistant_config(id), "homeassistant/device/kiln-n1/config"},
      {topics::all_nodes_filter(), "kiln/v1/nodes/#"},
      {topics::all_requests_filter(), "kiln/v1/request/+/+"},
  };
  for (const auto& one : cases) check_equal(one.got, one.want);
}

}  // namespace

int main() {
  return kiln::test::run(
      "topics",
      {{"every node topic parses back to what built it", every_node_topic_parses_back_to_what_built_it},
       {"what is not exactly a node topic is refused", what_is_not_exactly_a_node_topic_is_refused},
       {"a request topic names user and verb", a_request_topic_names_user_and_verb},
       {"every topic has the form that the contract gives", every_topic_has_the_form_the_contract_gives}});
}
