// The controller's MQTT connection: what nodes and users say becomes events, what the farm decides goes out.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "fleet/broker_accounts.h"
#include "fleet/heat.h"
#include "fleet/inbound.h"
#include "fleet/outbound.h"
#include "runtime/mqtt_client.h"
#include "scheduler/effects.h"

namespace kiln::fleet {

struct LinkConfig {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8783;
  std::string farm_id;  // makes the client id: one controller a farm; told in controller/status
  std::string username;
  std::string password;
  std::string ca_file;                     // "" = no TLS
  std::string certificate_file, key_file;  // who we are, to a broker that knows certificates
  bool has_accounts = false;               // the broker is ours: control() works
  std::uint64_t epoch = 0;                 // raised and stored before this object is made
  std::string version;
  std::string url;  // of the HTTP API, for controller/status
};

// Called on the MQTT thread: post, and return.
struct LinkHandlers {
  std::function<void(scheduler::Event)> on_event;
  std::function<void(GpuSeen)> on_gpu;
  std::function<void(HostSeen)> on_host;
  std::function<void(RequestSeen)> on_request;
  std::function<void(const std::string&)> on_alarm;  // "" = the broker is back
};

class Link {
 public:
  Link(LinkConfig config, LinkHandlers handlers);
  ~Link();  // stop()

  void start();
  // Publishes `offline`, then disconnects; no handler is called afterwards.
  void stop();

  // On the farm thread: see Outbound.
  void carry_out(const scheduler::Effect& effect, Instant now) { outbound_.carry_out(effect, now); }
  void tick(Instant now, const payloads::ControllerSummary& summary) { outbound_.tick(now, summary); }
  void reconnected(const std::vector<scheduler::JobRow>& jobs, const std::vector<scheduler::NodeRow>& nodes,
                   Instant now) {
    outbound_.reconnected(jobs, nodes, now);
  }
  // From any thread.
  void respond(const std::string& user, const std::string& verb, const payloads::Response& response);
  // Has the broker change an account, and waits for it. From any thread but the MQTT thread. Errors:
  // unavailable while the broker is away; timeout; internal when it refuses.
  Status admit(const Account& account, const std::string& password);
  Status expel(const std::string& username);

 private:
  // `commands`: of the correlation that their answer is to bear.
  Status control(const std::function<std::string(const std::string& correlation)>& commands);
  void received(const runtime::MqttMessage& message);
  void publish(const Outbound::Message& message);

  LinkHandlers handlers_;
  Outbound outbound_;
  std::map<std::string, std::int64_t> complained_ms_;  // by topic; on the MQTT thread only
  Heat heat_;                                          // on the MQTT thread only
  bool is_stopped_ = false;
  std::mutex control_mutex_;
  std::condition_variable control_changed_;
  std::uint64_t controls_ = 0;
  std::map<std::string, std::optional<std::string>>
      control_answers_;                          // by correlation; the error, once it is there
  std::unique_ptr<runtime::MqttClient> client_;  // last: its thread uses what stands above
};

}  // namespace kiln::fleet
