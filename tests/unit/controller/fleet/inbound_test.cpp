#include "fleet/inbound.h"

#include "check.h"

using kiln::fleet::read;
namespace fleet = kiln::fleet;
namespace scheduler = kiln::scheduler;

namespace {

template <class T>
bool is_event(const kiln::Result<fleet::Inbound>& inbound) {
  if (!inbound) return false;
  const auto* event = std::get_if<scheduler::Event>(&*inbound);
  return event != nullptr && std::holds_alternative<T>(*event);
}

template <class T>
bool is(const kiln::Result<fleet::Inbound>& inbound) {
  return inbound && std::holds_alternative<T>(*inbound);
}

void every_leaf_of_a_node_means_something() {
  check(is_event<scheduler::NodeStatusSeen>(
      read("kiln/v1/nodes/a/status", R"({"state":"online","sid":1})", false)));
  check(is_event<scheduler::NodeTasksSeen>(
      read("kiln/v1/nodes/a/tasks", R"({"sid":1,"seq":2,"run":[]})", false)));
  check(is_event<scheduler::NodeAckSeen>(read("kiln/v1/nodes/a/ack", R"({"cid":"c","ok":true})", false)));
  check(is<fleet::GpuSeen>(read("kiln/v1/nodes/a/gpus/1/telemetry", R"({"temp_c":61,"ts":1})", false)));
  check(is<fleet::RequestSeen>(read("kiln/v1/request/ann/job-submit", R"({"cid":"c"})", false)));
  check(is<fleet::Nothing>(read("kiln/v1/nodes/a/gpus/1/temp_c", "61", false)));
  check(is<fleet::Nothing>(read("kiln/v1/nodes/a/status", "", false)));
}

void retain_is_told_where_it_matters_and_ignored_where_the_contract_says_so() {
  const auto status = read("kiln/v1/nodes/a/status", R"({"state":"online","sid":1})", true);
  check(is_event<scheduler::NodeStatusSeen>(status));
  check(std::get<scheduler::NodeStatusSeen>(std::get<scheduler::Event>(*status)).retained);
  check(is<fleet::Nothing>(read("kiln/v1/request/ann/job-submit", R"({"cid":"c"})", true)));
  check(is<fleet::Nothing>(read("kiln/v1/nodes/a/ack", R"({"cid":"c","ok":true})", true)));
}

void garbage_is_an_error_that_names_the_topic() {
  for (const char* payload : {"{", "[]", R"({"state":"asleep","sid":1})", R"({"state":"online"})", "\xff"}) {
    const auto bad = read("kiln/v1/nodes/a/status", payload, false);
    check(!bad.has_value());
    check_contains(bad.error().message, "kiln/v1/nodes/a/status");
  }
  check(!read("kiln/v1/nodes/A!/status", "{}", false).has_value());
  check(!read("somewhere/else", "{}", false).has_value());
}

}  // namespace

int main() {
  return kiln::test::run(
      "inbound", {{"every leaf of a node means something", every_leaf_of_a_node_means_something},
                  {"retain is told where it matters and ignored where the contract says so",
                   retain_is_told_where_it_matters_and_ignored_where_the_contract_says_so},
                  {"garbage is an error that names the topic", garbage_is_an_error_that_names_the_topic}});
}
