#include "uplink/uplink.h"

#include <fmt/format.h>

#include <optional>
#include <random>
#include <string_view>

#include "base/json.h"
#include "runtime/clock.h"
#include "runtime/log.h"
#include "runtime/mqtt_client.h"
#include "topics/topics.h"
#include "uplink/inbound.h"

namespace kiln::uplink {

namespace {

constexpr std::int64_t complain_every_ms = 60'000;  // a broken sender must not fill the journal

runtime::MqttConfig mqtt_config(const Config& config) {
  runtime::MqttConfig mqtt;
  mqtt.host = config.host;
  mqtt.port = config.port;
  mqtt.username = config.username;
  mqtt.password = config.password;
  mqtt.ca_file = config.ca_file;
  mqtt.certificate_file = config.certificate_file;
  mqtt.key_file = config.key_file;
  mqtt.client_id = "kiln-agent-" + config.node.str();  // fixed: rule 7
  return mqtt;
}

std::string number(double value) {
  return Json(value).dump();
}

}  // namespace

struct Uplink::State {
  State(Config the_config, Handlers the_handlers)
      : config(std::move(the_config)),
        handlers(std::move(the_handlers)),
        client(mqtt_config(config),
               {.before_connect = [this] { return will(); },
                .on_connect = [this](bool) { connected(); },
                .on_message = [this](const runtime::MqttMessage& message) { received(message); },
                .on_disconnect = [this](const std::string& reason) { disconnected(reason); }}) {
    client.subscribe(topics::command(config.node), 1);
    client.subscribe(topics::command_all(), 1);
    client.subscribe(topics::controller_status(), 1);
    client.subscribe(topics::node_status(config.node), 1);
    client.start();
  }

  // ---- on the MQTT thread ----------------------------------------------------------------------

  std::optional<runtime::MqttWill> will() {
    if (is_spent) sid = handlers.raise_sid();
    is_spent = false;
    return runtime::MqttWill{
        .topic = topics::node_status(config.node),
        .payload = payloads::encode(payloads::NodeStatus{payloads::NodeState::offline, sid}),
        .qos = 1,
        .is_retained = true};
  }

  void connected() {
    is_spent = true;
    handlers.on_fact(planner::BrokerConnected{sid});
  }

  void disconnected(const std::string& reason) {
    handlers.on_fact(planner::BrokerLost{});
    handlers.on_trouble(reason);
  }

  void received(const runtime::MqttMessage& message) {
    auto fact = read_message(config.node, message.topic, message.payload, message.is_retained,
                             static_cast<std::uint32_t>(random()));
    if (fact) return handlers.on_fact(std::move(*fact));
    const auto now_ms = runtime::now().mono_ms;
    if (now_ms < complain_after_ms) return;
    complain_after_ms = now_ms + complain_every_ms;
    log::warn("uplink", "a message was not understood: {}", fact.error().message);
  }

  // ---- on the owner's thread -------------------------------------------------------------------

  void send(const std::string& topic, std::string_view payload, int qos, bool is_retained) {
    const auto sent = client.publish(topic, payload, qos, is_retained);
    if (sent || sent.error().code == Code::unavailable) return;
    const auto now_ms = runtime::now().mono_ms;
    if (now_ms < send_complain_after_ms) return;
    send_complain_after_ms = now_ms + complain_every_ms;
    log::warn("uplink", "{} was not published: {}", topic, sent.error().message);
  }

  const Config config;
  const Handlers handlers;
  std::uint64_t sid = 0;  // the MQTT thread's, as the next three
  bool is_spent = true;   // a connection was made with this sid
  std::minstd_rand random{std::random_device{}()};
  std::int64_t complain_after_ms = 0;
  std::int64_t send_complain_after_ms = 0;  // the owner's
  runtime::MqttClient client;               // last: its thread ends before what it uses
};

Uplink::Uplink(Config config, Handlers handlers)
    : state_(std::make_unique<State>(std::move(config), std::move(handlers))) {}
Uplink::~Uplink() {
  state_->client.stop();
}

void Uplink::publish(const planner::PublishStatus& effect) {
  state_->send(topics::node_status(state_->config.node), payloads::encode(effect.status), 1, true);
}
void Uplink::publish(const planner::PublishInfo& effect) {
  state_->send(topics::node_info(state_->config.node), payloads::encode(effect.info), 1, true);
}
void Uplink::publish(const planner::PublishTasks& effect) {
  state_->send(topics::node_tasks(state_->config.node), payloads::encode(effect.tasks), 1, true);
}
void Uplink::publish(const planner::PublishProgress& effect) {
  state_->send(topics::node_progress(state_->config.node), number(effect.percent), 0, true);
}
void Uplink::publish(const planner::PublishEvent& effect) {
  state_->send(topics::node_event(state_->config.node), payloads::encode(effect.event), 1, false);
}
void Uplink::publish(const planner::PublishAck& effect) {
  state_->send(topics::node_ack(state_->config.node), payloads::encode(effect.ack), 1, false);
}

void Uplink::publish(const std::vector<std::pair<std::uint32_t, payloads::GpuTelemetry>>& gpus) {
  const auto& node = state_->config.node;
  for (const auto& [index, values] : gpus) {
    state_->send(topics::gpu_telemetry(node, index), payloads::encode(values), 0, true);
    if (values.temp_c) state_->send(topics::gpu_temp_c(node, index), number(*values.temp_c), 0, true);
  }
}

void Uplink::publish(const payloads::HostTelemetry& host) {
  const auto& node = state_->config.node;
  state_->send(topics::node_host(node), payloads::encode(host), 0, true);
  if (host.cpu_temp_c) state_->send(topics::cpu_temp_c(node), number(*host.cpu_temp_c), 0, true);
}

void Uplink::reconnect() {
  state_->client.reconnect();
}
bool Uplink::flush(std::chrono::milliseconds timeout) {
  return state_->client.flush(timeout);
}

}  // namespace kiln::uplink
