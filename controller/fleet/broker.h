// The embedded default: a Mosquitto that the controller starts, watches and stops itself.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "fleet/broker_accounts.h"

namespace kiln::fleet {

struct BrokerConfig {
  std::filesystem::path folder;  // its configuration lies here; made if missing
  std::string host = "127.0.0.1";
  std::uint16_t port = 8783;
  std::string program = "mosquitto";
  // All three or none; none: no TLS.
  std::filesystem::path ca_file, certificate_file, key_file;
  // Everybody that the broker knows, asked at each start; none: anybody is let in.
  std::function<std::vector<Account>()> accounts;
};

// The text of mosquitto.conf for it.
std::string broker_configuration(const BrokerConfig& config, const std::string& user);

class Broker {
 public:
  // on_alarm: what is wrong with the broker, or "" when it runs again. From the broker's own thread.
  Broker(BrokerConfig config, std::function<void(const std::string&)> on_alarm);
  ~Broker();  // stops it

  // Starts it and returns once it accepts connections. Afterwards it is started again whenever it ends.
  // Errors: conflict when the port is in use, not_found when Mosquitto is not installed, both saying what to
  // do; timeout; io.
  Status start();
  // Reads its certificate again. From any thread.
  void reload();

 private:
  void run(std::function<void(Status)> first_start);

  BrokerConfig config_;
  std::function<void(const std::string&)> on_alarm_;
  std::mutex mutex_;
  std::condition_variable stopping_changed_;
  bool stopping_ = false;
  int pid_ = 0;    // of the running one
  int wake_ = -1;  // eventfd: interrupts the wait for the child
  std::thread thread_;
};

}  // namespace kiln::fleet
