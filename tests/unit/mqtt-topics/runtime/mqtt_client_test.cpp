// Against a real Mosquitto.
#include "runtime/mqtt_client.h"

#include <atomic>
#include <cstdio>

#include "loopback.h"
#include "runtime/queue.h"

// After everything else: cmocka's macros.
#include "check.h"

using namespace kiln;
using namespace kiln::runtime;
using namespace std::chrono_literals;
using kiln::test::Broker;
using kiln::test::Cable;
using kiln::test::Server;

namespace {

constexpr auto deadline = 30s;

// A client that posts what it hears to a queue.
struct Client {
  Queue<std::string> events{10'000};
  std::atomic<int> sid = 0;
  std::unique_ptr<MqttClient> client;
  std::vector<std::string> taken;

  static MqttConfig config(std::uint16_t port, const std::string& id) {
    MqttConfig config;
    config.port = port;
    config.client_id = id;
    config.retry_min = 5ms;
    config.retry_max = 50ms;
    return config;
  }

  Client(std::uint16_t port, const std::string& id, std::string will_topic = "")
      : Client(config(port, id), std::move(will_topic)) {}
  explicit Client(MqttConfig config, std::string will_topic = "") {
    MqttHandlers handlers;
    handlers.before_connect = [this, will_topic]() -> std::optional<MqttWill> {
      ++sid;
      if (will_topic.empty()) return std::nullopt;
      return MqttWill{will_topic, fmt::format("gone {}", sid.load()), 1, false};
    };
    handlers.on_connect = [this](bool is_first) { post(is_first ? "connected" : "connected again"); };
    handlers.on_disconnect = [this](const std::string& reason) { post("disconnected: " + reason); };
    handlers.on_message = [this](MqttMessage message) {
      post(message.topic + " " + message.payload + (message.is_retained ? " (retained)" : ""));
    };
    client = std::make_unique<MqttClient>(std::move(config), std::move(handlers));
  }
  ~Client() { client.reset(); }

  void post(std::string what) { [[maybe_unused]] const bool pushed = events.push(std::move(what)); }

  // The next event.
  std::string next() {
    const auto until = std::chrono::steady_clock::now() + deadline;
    while (taken.empty()) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
      if (left <= 0ms) {
        check(!"an event came in time");
        return "";
      }
      taken = events.pop_all(left);
    }
    auto first = std::move(taken.front());
    taken.erase(taken.begin());
    return first;
  }
};

void messages_go_round() {
  const Broker broker;
  Client one(broker.port(), "one");
  one.client->subscribe("a/#", 1);
  one.client->start();
  check_equal(one.next(), "connected");
  check(one.client->is_connected());
  for (const int qos : {0, 1}) {
    check_ok(one.client->publish("a/b", fmt::format("hello {}", qos), qos, false));
    check_equal(one.next(), fmt::format("a/b hello {}", qos));
  }
  check_ok(one.client->publish("a/empty", "", 1, false));
  check_equal(one.next(), "a/empty ");
  one.client->subscribe("late/+", 0);
  check_ok(one.client->publish("late/x", "here", 1, false));
  check_equal(one.next(), "late/x here");
  check_ok(one.client->publish("kept/x", "old news", 1, true));
  check(one.client->flush(deadline));

  Client two(broker.port(), "two");
  two.client->subscribe("kept/#", 1);
  two.client->start();
  check_equal(two.next(), "connected");
  check_equal(two.next(), "kept/x old news (retained)");
}

void a_handler_may_publish() {
  const Broker broker;
  std::unique_ptr<MqttClient> echo;
  MqttHandlers handlers;
  handlers.on_message = [&](const MqttMessage& message) {
    check_ok(echo->publish("out", message.payload, 1, false));
  };
  handlers.on_connect = [&](bool) { check_ok(echo->publish("out", "ready", 1, false)); };
  echo = std::make_unique<MqttClient>(Client::config(broker.port(), "echo"), std::move(handlers));
  echo->subscribe("in", 1);
  Client one(broker.port(), "one");
  one.client->subscribe("out", 1);
  one.client->start();
  check_equal(one.next(), "connected");
  echo->start();
  check_equal(one.next(), "out ready");
  for (int i = 0; i < 200; ++i) check_ok(one.client->publish("in", std::to_string(i), 1, false));
  for (int i = 0; i < 200; ++i) check_equal(one.next(), "out " + std::to_string(i));
  echo.reset();
}

void a_broker_that_is_not_there_is_named_once_and_found_later() {
  const auto port = kiln::test::free_port();
  Client one(port, "one");
  one.client->start();
  check_equal(one.next(),
              fmt::format("disconnected: broker 127.0.0.1:{} does not answer (connection refused)", port));
  check(!one.client->is_connected());
  const auto refused = one.client->publish("a", "b", 1, false);
  check(refused.error().code == Code::unavailable);
  check_equal(refused.error().message, fmt::format("not connected to broker 127.0.0.1:{}", port));
  check_equal(one.sid.load(), 0);  // no sid is spent on a broker that is away
  const Broker broker(port);
  check_equal(one.next(), "connected");
  check_equal(one.sid.load(), 1);
}

void a_broker_that_was_killed_and_restarted_is_joined_again() {
  Broker broker;
  Client one(broker.port(), "one");
  one.client->subscribe("a", 1);
  one.client->start();
  check_equal(one.next(), "connected");
  broker.kill();
  check_contains(one.next(),
                 fmt::format("disconnected: broker 127.0.0.1:{} closed the connection", broker.port()));
  // A dying broker may take one more connection and drop it before nothing answers.
  while (one.next().find("does not answer (connection refused)") == std::string::npos) {
  }
  broker.start();
  check_equal(one.next(), "connected again");
  check_ok(one.client->publish("a", "still subscribed", 1, false));
  check_equal(one.next(), "a still subscribed");
  check(one.sid.load() >= 2);  // a dying broker may have taken one more connection
}

void the_last_will_carries_the_sid_of_its_connection() {
  const Broker broker;
  Cable cable(broker.port());
  Client watcher(broker.port(), "watcher");
  watcher.client->subscribe("will", 1);
  watcher.client->start();
  check_equal(watcher.next(), "connected");
  Client node(cable.port(), "node", "will");
  node.client->start();
  check_equal(node.next(), "connected");
  for (int sid = 1; sid <= 3; ++sid) {
    cable.cut();
    check_equal(watcher.next(), fmt::format("will gone {}", sid));
    check_contains(node.next(), "closed the connection");
    check_equal(node.next(), "connected again");
  }
  // A wished reconnect and a stop take leave: no will.
  node.client->reconnect();
  check_equal(node.next(), "connected again");
  check_equal(node.sid.load(), 5);
  check_ok(node.client->publish("will", "alive", 1, false));
  check_equal(watcher.next(), "will alive");
  node.client->stop();
  check(!node.client->is_connected());
  check_ok(watcher.client->publish("will", "after the stop", 1, false));
  check_equal(watcher.next(), "will after the stop");
}

void a_stop_brings_out_what_was_said_before() {
  const Broker broker;
  Client watcher(broker.port(), "watcher");
  watcher.client->subscribe("last", 1);
  watcher.client->start();
  check_equal(watcher.next(), "connected");
  Client node(broker.port(), "node");
  node.client->start();
  check_equal(node.next(), "connected");
  for (int i = 0; i < 500; ++i) check_ok(node.client->publish("last", std::to_string(i), 1, false));
  check(node.client->flush(deadline));
  node.client->stop();
  for (int i = 0; i < 500; ++i) check_equal(watcher.next(), "last " + std::to_string(i));
}

void what_cannot_be_published_is_refused() {
  const Broker broker;
  Client one(broker.port(), "one");
  one.client->start();
  check_equal(one.next(), "connected");
  const auto large = one.client->publish("a", std::string(16 * 1024 + 1, 'x'), 1, false);
  check(large.error().code == Code::too_large);
  check_equal(large.error().message, "a: 16385 bytes; at most 16384 a message");
  check_ok(one.client->publish("a", std::string(16 * 1024, 'x'), 1, false));
  check(one.client->publish("a/#", "x", 1, false).error().code == Code::invalid);
  check(one.client->publish("", "x", 1, false).error().code == Code::invalid);
  check(one.client->flush(deadline));  // the refused ones do not count as under way
}

void a_message_beyond_the_bound_is_ignored() {
  const Broker broker;
  auto generous = Client::config(broker.port(), "generous");
  generous.max_payload_bytes = 1'000'000;
  Client big(generous);
  big.client->start();
  check_equal(big.next(), "connected");
  Client one(broker.port(), "one");
  one.client->subscribe("a", 1);
  one.client->start();
  check_equal(one.next(), "connected");
  check_ok(big.client->publish("a", std::string(20'000, 'x'), 1, false));
  check_ok(big.client->publish("a", "small", 1, false));
  check_equal(one.next(), "a small");
}

// Takes the connection, reads CONNECT and answers with that code; then only listens.
void accept_and_say(const test::Fd& socket, char code) {
  std::array<char, 512> bytes{};
  if (::recv(socket.get(), bytes.data(), bytes.size(), 0) <= 0) return;  // only looked whether we are here
  test::say(socket, std::string{'\x20', '\x02', '\0', code});
  while (::recv(socket.get(), bytes.data(), bytes.size(), 0) > 0) {
  }
}

void the_outgoing_queue_is_bounded() {
  const Server silent([](const test::Fd& socket) { accept_and_say(socket, 0); });
  auto config = Client::config(silent.port(), "one");
  config.max_outgoing = 10;
  Client one(config);
  one.client->start();
  check_equal(one.next(), "connected");
  for (int i = 0; i < 10; ++i) check_ok(one.client->publish("a", "x", 1, false));
  const auto full = one.client->publish("a", "x", 1, false);
  check(full.error().code == Code::full);
  check(!one.client->flush(1ms));  // nothing is ever acknowledged
  one.client->stop();
}

void a_broker_that_refuses_says_why() {
  const Server strict([](const test::Fd& socket) { accept_and_say(socket, 5); });
  auto config = Client::config(strict.port(), "one");
  config.username = "ada";
  Client one(config);
  one.client->start();
  check_equal(one.next(),
              fmt::format("disconnected: broker 127.0.0.1:{} refuses the user 'ada': check user and password",
                          strict.port()));
}

void a_wrong_host_and_a_wrong_ca_file_are_named() {
  auto config = Client::config(1, "one");
  config.host = "no such host";
  Client one(config);
  one.client->start();
  check_contains(one.next(), "disconnected: broker no such host:1: no such host (");
  const Broker broker;
  auto tls = Client::config(broker.port(), "two");
  tls.ca_file = "/no/such/ca.pem";
  Client two(tls);
  two.client->start();
  check_equal(two.next(),
              fmt::format("disconnected: broker 127.0.0.1:{}: /no/such/ca.pem is no CA file that can be read",
                          broker.port()));
}

void a_stop_does_not_wait_for_the_next_try() {
  auto config = Client::config(kiln::test::free_port(), "one");
  config.retry_min = 1h;
  config.retry_max = 1h;
  Client one(config);
  one.client->start();
  check_contains(one.next(), "disconnected: ");
  one.client->stop();
  Client never(config);
  never.client->stop();  // was not started
}

}  // namespace

int main() {
  return kiln::test::run(
      "mqtt_client",
      {{"messages go round", messages_go_round},
       {"a handler may publish", a_handler_may_publish},
       {"a broker that is not there is named once and found later",
        a_broker_that_is_not_there_is_named_once_and_found_later},
       {"a broker that was killed and restarted is joined again",
        a_broker_that_was_killed_and_restarted_is_joined_again},
       {"the last will carries the sid of its connection", the_last_will_carries_the_sid_of_its_connection},
       {"a stop brings out what was said before", a_stop_brings_out_what_was_said_before},
       {"what cannot be published is refused", what_cannot_be_published_is_refused},
       {"a message beyond the bound is ignored", a_message_beyond_the_bound_is_ignored},
       {"the outgoing queue is bounded", the_outgoing_queue_is_bounded},
       {"a broker that refuses says why", a_broker_that_refuses_says_why},
       {"a wrong host and a wrong CA file are named", a_wrong_host_and_a_wrong_ca_file_are_named},
       {"a stop does not wait for the next try", a_stop_does_not_wait_for_the_next_try}});
}
