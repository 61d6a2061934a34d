// Script tokens as accounts of the embedded broker: whoever has one also asks over MQTT.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "accounts/book.h"
#include "base/result.h"
#include "fleet/broker_accounts.h"
#include "store/keyring.h"

namespace kiln::controller {

// Thread-safe.
class BrokerUsers {
 public:
  struct Ports {
    std::function<Status(const fleet::Account&, const std::string& password)> admit;
    std::function<Status(const std::string& username)> expel;
  };
  BrokerUsers(store::Keyring& keyring, accounts::Book& book, Ports ports)
      : keyring_(keyring), book_(book), ports_(std::move(ports)) {}

  // The token's secret is the account's password, its id the name.
  void token_made(const accounts::Token& token, const std::string& secret);
  // Its user is gone or disabled, or the token is removed.
  void token_gone(const std::string& token);
  // Those whose token still stands, for a broker that starts.
  std::vector<fleet::Account> accounts();

 private:
  store::Keyring& keyring_;
  accounts::Book& book_;
  const Ports ports_;
  std::mutex mutex_;  // of the keyring
};

}  // namespace kiln::controller
