#include "fleet/link.h"

#include <fmt/core.h>

#include <chrono>
#include <utility>

#include "runtime/clock.h"
#include "runtime/log.h"
#include "topics/topics.h"

namespace kiln::fleet {

namespace {

constexpr std::int64_t complain_every_ms = 60'000;
constexpr std::size_t max_complaints_kept = 1'000;  // topics are named by whoever publishes: bounded
constexpr std::chrono::milliseconds farewell{2'000};
constexpr std::chrono::milliseconds control_patience{5'000};  // the plugin writes its file before it answers

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

}  // namespace

Link::Link(LinkConfig config, LinkHandlers handlers)
    : handlers_(std::move(handlers)),
      outbound_(config.epoch, config.farm_id, config.version, config.url,
                [this](const Outbound::Message& m) { publish(m); }) {
  runtime::MqttConfig mqtt;
  mqtt.host = config.host;
  mqtt.port = config.port;
  mqtt.client_id = fmt::format("kiln-controller-{}", config.farm_id);
  mqtt.username = config.username;
  mqtt.password = config.password;
  mqtt.ca_file = config.ca_file;
  mqtt.certificate_file = config.certificate_file;
  mqtt.key_file = config.key_file;
  runtime::MqttHandlers on;
  on.before_connect = [this]() -> std::optional<runtime::MqttWill> {
    const auto will = outbound_.status(false);
    return runtime::MqttWill{will.topic, will.payload, will.qos, will.retain};
  };
  on.on_connect = [this, where = fmt::format("{}:{}", mqtt.host, mqtt.port)](bool) {
    log::info("fleet", "connected to the broker at {}", where);
    handlers_.on_alarm("");
    handlers_.on_event(scheduler::BrokerConnected{});
  };
  on.on_message = [this](const runtime::MqttMessage& message) { received(message); };
  on.on_disconnect = [this](const std::string& reason) {
    log::error("fleet", "{}; trying again", reason);
    handlers_.on_alarm(reason);
    handlers_.on_event(scheduler::BrokerLost{});
  };
  client_ = std::make_unique<runtime::MqttClient>(std::move(mqtt), std::move(on));
  client_->subscribe(topics::all_nodes_filter(), 1);
  client_->subscribe(topics::all_requests_filter(), 1);
  if (config.has_accounts) client_->subscribe(control_answers, 1);
}

Link::~Link() {
  stop();
}

void Link::stop() {
  if (std::exchange(is_stopped_, true)) return;
  publish(outbound_.status(false));
  // Not reached: the broker is gone, and its last will with it; nodes learn it from the missing status.
  if (!client_->flush(farewell)) log::warn("fleet", "the broker did not take the farewell");
  client_->stop();
}

void Link::start() {
  client_->start();
}

void Link::publish(const Outbound::Message& message) {
  const auto sent = client_->publish(message.topic, message.payload, message.qos, message.retain);
  // While the broker is away nothing is kept for it: a reconnect says all that is retained again, and
  // commands are sent until the node lists their task.
  if (!sent && sent.error().code != Code::unavailable) {
    log::error("fleet", "while publishing {}: {}", message.topic, sent.error().message);
  }
}

void Link::respond(const std::string& user, const std::string& verb, const payloads::Response& response) {
  publish({topics::response(user, verb), encode(response), 1, false});
}

Status Link::admit(const Account& account, const std::string& password) {
  return control(
      [&](const std::string& correlation) { return admit_commands(account, password, correlation); });
}

Status Link::expel(const std::string& username) {
  return control([&](const std::string& correlation) { return expel_commands(username, correlation); });
}

Status Link::control(const std::function<std::string(const std::string&)>& commands) {
  std::unique_lock lock(control_mutex_);
  const auto correlation = fmt::format("{}", ++controls_);
  control_answers_[correlation] = std::nullopt;
  lock.unlock();
  const auto sent = client_->publish(control_topic, commands(correlation), 1, false);
  lock.lock();
  if (sent) {
    control_changed_.wait_for(lock, control_patience,
                              [&] { return control_answers_[correlation].has_value(); });
  }
  const auto error = std::exchange(control_answers_[correlation], std::nullopt);
  control_answers_.erase(correlation);
  if (!sent) return fail(Error(sent.error()).with("the broker's accounts"));
  if (!error) return fail(Code::timeout, "the broker's accounts: it does not answer; try again");
  if (!error->empty()) return fail(Code::internal, "the broker's accounts: " + *error);
  return {};
}

void Link::received(const runtime::MqttMessage& message) {
  if (message.topic == control_answers) {
    auto answer = read_control_answer(message.payload);
    const std::lock_guard lock(control_mutex_);
    const auto waiting = control_answers_.find(answer.correlation);
    if (waiting != control_answers_.end()) waiting->second = std::move(answer.error);
    control_changed_.notify_all();
    return;
  }
  auto inbound = read(message.topic, message.payload, message.is_retained);
  if (!inbound) {
    const auto now = runtime::now().mono_ms;
    const auto [said, is_new] = complained_ms_.try_emplace(message.topic, now);
    if (is_new || now - said->second >= complain_every_ms) {
      said->second = now;
      log::warn("fleet", "a message is ignored: {}", inbound.error().message);
    }
    if (complained_ms_.size() > max_complaints_kept) complained_ms_.clear();
    return;
  }
  std::visit(Overloaded{[&](scheduler::Event& event) { handlers_.on_event(std::move(event)); },
                        [&](GpuSeen& seen) {
                          // A retained temperature proves nothing about now.
                          if (!message.is_retained) {
                            if (auto heat = heat_.seen(seen, runtime::now())) handlers_.on_event(*heat);
                          }
                          handlers_.on_gpu(std::move(seen));
                        },
                        [&](HostSeen& seen) { handlers_.on_host(std::move(seen)); },
                        [&](RequestSeen& seen) { handlers_.on_request(std::move(seen)); },
                        [&](const NodeEventSeen& seen) {
                          log::info("node", "{}: {}: {}{}", seen.node.str(), seen.event.kind,
                                    seen.event.message,
                                    seen.event.task.empty() ? "" : " (task " + seen.event.task + ")");
                        },
                        [](Nothing) {}},
             *inbound);
}

}  // namespace kiln::fleet
