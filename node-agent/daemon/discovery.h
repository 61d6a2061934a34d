// Finds the farm and joins it: trusts the controller's authority, asks to belong, and is told how to reach
// the broker.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "base/result.h"
#include "daemon/config.h"
#include "identity/key.h"
#include "payloads/enrollment.h"
#include "runtime/event_fd.h"
#include "runtime/http_client.h"

namespace kiln::agent {

// What tells this board from others: a serial number of the mainboard or its network card. "" = nothing does.
std::string hardware_serial(const std::filesystem::path& sysfs);

struct Farm {
  std::string id;
  std::string version;
  std::string ca_fingerprint;  // "" = no TLS
  payloads::EnrollBroker broker;
};

// How this box stands with the controller, for its console.
struct Standing {
  std::string state;  // "searching", "pending", "approved", "refused"
  std::string message;
  std::string ca_fingerprint;
};

// Whom to believe and who we are, for every connection of this box to the controller. Thread-safe.
class Credentials {
 public:
  Credentials(NodeId node, std::filesystem::path ca_file)
      : node_(std::move(node)), ca_file_(std::move(ca_file)) {}
  void set_secret(const std::string& secret);
  [[nodiscard]] runtime::HttpTrust trust(std::function<void()> on_unauthorized);
  [[nodiscard]] const std::filesystem::path& ca_file() const { return ca_file_; }

 private:
  const NodeId node_;
  const std::filesystem::path ca_file_;
  std::mutex mutex_;
  std::string secret_;
};

// What the controller says to anybody: GET /api/v1/enroll, once. Makes ca_file what the controller's
// authority is, if it may be believed: it is the one of before, the pinned one, or the first. Errors: denied
// when it is another (says what to do); unavailable, timeout; invalid when something else answers there.
struct Greeting {
  std::string farm;
  std::string version;
  std::string nonce;
  std::string ca_fingerprint;
};
Result<Greeting> greet(const Config& config, const std::filesystem::path& ca_file,
                       const std::function<bool()>& cancelled = {});

// Asks until this box belongs to the farm, and again whenever it is told to. One log line for each new reason
// why it does not.
class Discovery {
 public:
  struct Handlers {  // from its thread
    std::function<void(const Farm&)> on_found;
    std::function<void(const Standing&)> on_standing;
  };
  Discovery(Config config, NodeId node, const identity::Key& key, Credentials& credentials,
            Handlers handlers);
  ~Discovery();
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;

  // Nothing happens when it is asking already, and not sooner than a few seconds after the last answer.
  void again() { wanted_.set(); }

 private:
  void run();
  Result<payloads::EnrollAnswer> ask();
  void stand(Standing standing);

  const Config config_;
  const NodeId node_;
  const identity::Key& key_;
  Credentials& credentials_;
  const Handlers handlers_;
  const std::string hardware_;
  std::string ca_fingerprint_;
  std::string told_;
  runtime::EventFd wanted_;
  runtime::EventFd stop_;
  std::thread thread_;
};

}  // namespace kiln::agent
