#include "daemon/broker_users.h"

#include "accounts/session_life.h"
#include "runtime/clock.h"
#include "runtime/log.h"

namespace kiln::controller {

void BrokerUsers::token_made(const accounts::Token& token, const std::string& secret) {
  auto account = fleet::user_account(token.id, token.user);
  fleet::set_password(account, secret);
  {
    const std::lock_guard lock(mutex_);
    const auto saved =
        keyring_.save(enrollment::BrokerUser{token.id, token.user, account.salt, account.hash});
    if (!saved)
      return log::error("fleet", "token {} does not work over MQTT: {}", token.id, saved.error().message);
  }
  if (const auto admitted = ports_.admit(account, secret); !admitted)
    log::warn("fleet", "token {} works over MQTT after the broker's next start: {}", token.id,
              admitted.error().message);
}

void BrokerUsers::token_gone(const std::string& token) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto erased = keyring_.erase_broker_user(token); !erased)
      log::error("fleet", "token {}: {}", token, erased.error().message);
  }
  if (const auto expelled = ports_.expel(token); !expelled)
    log::warn("fleet", "token {} is known to the broker until its next start: {}", token,
              expelled.error().message);
}

std::vector<fleet::Account> BrokerUsers::accounts() {
  const std::lock_guard lock(mutex_);
  auto all = keyring_.broker_users();
  std::vector<fleet::Account> standing;
  if (!all) {
    log::error("fleet", "script tokens do not work over MQTT: {}", all.error().message);
    return standing;
  }
  const auto now_ms = runtime::now().unix_ms;
  for (auto& one : *all) {
    const auto token = book_.token(one.token);
    const auto user = book_.user(one.user);
    if (!token || !user || !*token || !*user || (*user)->is_disabled || !accounts::is_alive(**token, now_ms))
      continue;
    auto account = fleet::user_account(one.token, one.user);
    account.salt = std::move(one.salt);
    account.hash = std::move(one.hash);
    standing.push_back(std::move(account));
  }
  return standing;
}

}  // namespace kiln::controller
