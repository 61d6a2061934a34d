// Against a real Mosquitto.
#include "uplink/uplink.h"

#include <map>

#include "mqtt-topics/runtime/loopback.h"
#include "runtime/mqtt_client.h"
#include "runtime/queue.h"

// After everything else: cmocka's macros.
#include "check.h"

using namespace kiln;
using namespace std::chrono_literals;
namespace p = kiln::payloads;

namespace {

constexpr auto deadline = 30s;
const NodeId box = *NodeId::parse("box");

// What arrives, one at a time, with a deadline.
template <class T>
class Arrivals {
 public:
  void post(T value) { check(queue_.push(std::move(value))); }
  T next() {
    const auto until = std::chrono::steady_clock::now() + deadline;
    while (taken_.empty()) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
      check(left > 0ms);
      for (auto& value : queue_.pop_all(left)) taken_.push_back(std::move(value));
    }
    T first = std::move(taken_.front());
    taken_.erase(taken_.begin());
    return first;
  }
  // The next one that holds an F; others are passed over.
  template <class F>
  F next_of() {
    while (true) {
      T value = next();
      if (auto* wanted = std::get_if<F>(&value)) return std::move(*wanted);
    }
  }

 private:
  runtime::Queue<T> queue_{1'000};
  std::vector<T> taken_;
};

// The farm's side: hears everything and says what it is told to.
struct Farm {
  explicit Farm(std::uint16_t port) {
    runtime::MqttConfig config;
    config.port = port;
    config.client_id = "farm";
    client = std::make_unique<runtime::MqttClient>(
        config, runtime::MqttHandlers{
                    .before_connect = {},
                    .on_connect =
                        [this](bool) {
                          heard.post({"connected", "", false});
                        },
                    .on_message = [this](runtime::MqttMessage message) { heard.post(std::move(message)); },
                    .on_disconnect = {}});
    client->subscribe("kiln/v1/nodes/#", 1);
    client->start();
    check_equal(heard.next().topic, "connected");
  }
  ~Farm() { client.reset(); }
  std::string next(const std::string& topic) {
    while (true) {
      auto message = heard.next();
      if (message.topic == topic) return message.payload;
    }
  }
  // What a newcomer is given of the broker's store, by topic, up to and with that one.
  static std::map<std::string, std::string> retained(std::uint16_t port) {
    Arrivals<runtime::MqttMessage> kept;
    runtime::MqttConfig config;
    config.port = port;
    config.client_id = "newcomer";
    runtime::MqttClient newcomer(
        config, {.before_connect = {},
                 .on_connect = [&](bool) { check_ok(newcomer_marker(newcomer)); },
                 .on_message = [&](runtime::MqttMessage message) { kept.post(std::move(message)); },
                 .on_disconnect = {}});
    newcomer.subscribe("kiln/v1/nodes/#", 1);
    newcomer.subscribe("marker", 1);
    newcomer.start();
    std::map<std::string, std::string> all;
    for (auto message = kept.next(); message.topic != "marker"; message = kept.next()) {
      check(message.is_retained);
      all[message.topic] = message.payload;
    }
    return all;
  }
  static Status newcomer_marker(runtime::MqttClient& client) {
    return client.publish("marker", "", 1, false);
  }

  Arrivals<runtime::MqttMessage> heard;
  std::unique_ptr<runtime::MqttClient> client;
};

struct Node {
  explicit Node(std::uint16_t port, const std::string& host = "127.0.0.1")
      : uplink(std::make_unique<uplink::Uplink>(
            uplink::Config{box, host, port},
            uplink::Handlers{.raise_sid = [this] { return ++sid; },
                             .on_fact = [this](planner::Fact fact) { facts.post(std::move(fact)); },
                             .on_trouble = [this](const std::string& reason) { troubles.post(reason); }})) {}

  std::atomic<std::uint64_t> sid = 16;
  Arrivals<planner::Fact> facts;
  Arrivals<std::string> troubles;
  std::unique_ptr<uplink::Uplink> uplink;  // last: its thread posts to the others
};

void a_node_hears_what_concerns_it() {
  const kiln::test::Broker broker;
  Farm farm(broker.port());
  Node node(broker.port());
  check_equal(node.facts.next_of<planner::BrokerConnected>().sid, 17U);

  p::Command command{"c1", 5, p::Rebirth{}};
  for (const char* topic : {"kiln/v1/cmd/box", "kiln/v1/cmd/all"}) {
    check_ok(farm.client->publish(topic, p::encode(command), 1, false));
    const auto received = node.facts.next_of<planner::CommandReceived>();
    check_ok(received.command);
    check(*received.command == command);
    check(!received.retained);
  }
  check_ok(farm.client->publish("kiln/v1/cmd/box", R"({"cid":"c2","op":7})", 1, false));
  check_equal(node.facts.next_of<planner::CommandReceived>().cid, "c2");

  p::ControllerStatus status{.online = true, .epoch = 5, .version = "1", .url = "http://farm:8780"};
  check_ok(farm.client->publish("kiln/v1/controller/status", "nonsense", 1, false));  // logged, not passed on
  check_ok(farm.client->publish("kiln/v1/controller/status", p::encode(status), 1, true));
  check(node.facts.next_of<planner::ControllerSeen>().status == status);

  check_ok(farm.client->publish("kiln/v1/nodes/box/status", R"({"state":"offline","sid":3})", 1, true));
  check_equal(node.facts.next_of<planner::StatusSeen>().status.sid, 3U);
}

void what_is_retained_is_what_the_contract_says() {
  const kiln::test::Broker broker;
  Farm farm(broker.port());
  Node node(broker.port());
  static_cast<void>(node.facts.next_of<planner::BrokerConnected>());
  auto& up = *node.uplink;
  up.publish(planner::PublishStatus{{.state = p::NodeState::online, .sid = 17}});
  p::NodeInfo info;
  info.sid = 17;
  info.name = "Box";
  up.publish(planner::PublishInfo{info});
  up.publish(planner::PublishTasks{{.sid = 17, .seq = 1, .run = {}, .warm = {""}}});
  up.publish(planner::PublishProgress{41.5});
  up.publish(planner::PublishEvent{{.kind = "started", .message = "hello", .task = "", .ts = 1}});
  up.publish(planner::PublishAck{{.cid = "c1", .ok = true, .code = "", .message = ""}});
  p::GpuTelemetry gpu;
  gpu.temp_c = 61;
  gpu.ts = 5;
  p::HostTelemetry host;
  host.cpu_temp_c = 48.5;
  host.ts = 5;
  up.publish({{0, gpu}, {2, p::GpuTelemetry{}}});
  up.publish(host);
  check(up.flush(deadline));
  check_contains(farm.next("kiln/v1/nodes/box/event"), "\"started\"");
  check_contains(farm.next("kiln/v1/nodes/box/ack"), "\"c1\"");
  static_cast<void>(farm.next("kiln/v1/nodes/box/cpu_temp_c"));  // the last one is there

  const auto kept = Farm::retained(broker.port());
  const std::string at = "kiln/v1/nodes/box/";
  std::string topics;
  for (const auto& [topic, payload] : kept) topics += topic.substr(at.size()) + " ";
  check_equal(topics,
              "cpu_temp_c gpus/0/telemetry gpus/0/temp_c gpus/2/telemetry host info progress status tasks ");
  check_equal(kept.at(at + "status"), R"({"state":"online","sid":17})");
  check_equal(kept.at(at + "progress"), "41.5");
  check_equal(kept.at(at + "gpus/0/temp_c"), "61");
  check_equal(kept.at(at + "cpu_temp_c"), "48.5");
}

void the_last_will_carries_the_sid_and_a_good_leave_sends_none() {
  const kiln::test::Broker broker;
  Farm farm(broker.port());
  kiln::test::Cable cable(broker.port());
  Node node(cable.port());
  check_equal(node.facts.next_of<planner::BrokerConnected>().sid, 17U);

  cable.cut();
  check_equal(farm.next("kiln/v1/nodes/box/status"), R"({"state":"offline","sid":17})");
  static_cast<void>(node.facts.next_of<planner::BrokerLost>());
  check(!node.troubles.next().empty());
  check_equal(node.facts.next_of<planner::BrokerConnected>().sid, 18U);  // raised at every connect

  node.uplink->reconnect();
  check_equal(node.facts.next_of<planner::BrokerConnected>().sid, 19U);

  node.uplink.reset();
  check_ok(farm.client->publish("kiln/v1/nodes/other/progress", "1", 1, false));
  // Neither leave, nor the one of reconnect(), left a will on the way here.
  const auto after = farm.heard.next();
  check_equal(after.topic + " " + after.payload, "kiln/v1/nodes/other/progress 1");
}

void a_broker_that_is_away_is_told_and_found_later() {
  const auto port = kiln::test::free_port();
  Node node(port);
  check_contains(node.troubles.next(), fmt::format("127.0.0.1:{}", port));
  node.uplink->publish(planner::PublishProgress{1});  // dropped, harmless
  const kiln::test::Broker broker(port);
  check_equal(node.facts.next_of<planner::BrokerConnected>().sid, 17U);
  check(Farm::retained(port).empty());
}

}  // namespace

int main() {
  return kiln::test::run(
      "uplink",
      {{"a node hears what concerns it", a_node_hears_what_concerns_it},
       {"what is retained is what the contract says", what_is_retained_is_what_the_contract_says},
       {"the last will carries the sid, and a good leave sends none",
        the_last_will_carries_the_sid_and_a_good_leave_sends_none},
       {"a broker that is away is told and found later", a_broker_that_is_away_is_told_and_found_later}});
}
