// MQTT 3.1.1 with clean sessions. Hides libmosquitto.
//
// One thread of its own connects, reads, and connects again for as long as the client runs. Nothing is kept
// from one connection to the next: what must be said after a reconnect is said in on_connect.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kiln::runtime {

struct MqttWill {
  std::string topic;
  std::string payload;
  int qos = 1;
  bool is_retained = true;
};

struct MqttConfig {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8783;
  std::string client_id;  // fixed: a second client of that name takes the connection over
  std::string username;   // "" = none
  std::string password;
  std::string ca_file;           // "" = no TLS
  std::string certificate_file;  // with key_file: who we are, to a broker that knows certificates
  std::string key_file;
  std::chrono::seconds keepalive{15};  // the broker gives us up after 1.5 times this; at least 5
  std::chrono::milliseconds retry_min{200};
  std::chrono::milliseconds retry_max{10'000};
  std::size_t max_payload_bytes = 16ULL * 1024;  // protocol.md; longer ones are refused in both directions
  std::size_t max_outgoing = 4'096;              // messages not yet written, or not yet acknowledged
};

struct MqttMessage {
  std::string topic;
  std::string payload;
  bool is_retained = false;  // from the broker's store: said some time ago
};

// All are called on the client's thread, with no lock held: they may publish and subscribe, must not block,
// and must not destroy or stop the client. Usually they post to a Queue.
struct MqttHandlers {
  // Before each connection: its last will. A node raises its sid here.
  std::function<std::optional<MqttWill>()> before_connect;
  // Connected, and subscribed: the broker has said so. `is_first` is false at every reconnect.
  std::function<void(bool is_first)> on_connect;
  std::function<void(MqttMessage)> on_message;
  // A connection was lost, or could not be made: one sentence that says why and what to do. Called once an
  // outage with a given reason, not once an attempt.
  std::function<void(const std::string& reason)> on_disconnect;
};

class MqttClient {
 public:
  MqttClient(MqttConfig config, MqttHandlers handlers);
  ~MqttClient();  // stops
  MqttClient(const MqttClient&) = delete;
  MqttClient& operator=(const MqttClient&) = delete;

  // Remembered and sent at every connect, before on_connect; now as well when connected.
  void subscribe(const std::string& filter, int qos);

  // Starts connecting. Handlers may be called before this returns.
  void start();

  // From any thread; never waits for the network. Errors: unavailable while disconnected; full when
  // max_outgoing are under way; too_large; invalid for a topic with wildcards.
  Status publish(const std::string& topic, std::string_view payload, int qos, bool is_retained);

  [[nodiscard]] bool is_connected() const;
  // Waits until all that was published is written (QoS 0) or acknowledged (QoS 1). False: timeout, or the
  // connection was lost. Not from a handler.
  [[nodiscard]] bool flush(std::chrono::milliseconds timeout);
  // Ends this connection in good order and makes the next one: for a will that changed.
  void reconnect();
  // Takes leave of the broker (so that the will is not sent) and ends the thread; waits at most a second for
  // what was published before. Not from a handler.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::runtime
