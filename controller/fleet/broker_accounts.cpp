#include "fleet/broker_accounts.h"

#include <fmt/format.h>

#include "base/json.h"
#include "identity/bytes.h"
#include "topics/topics.h"

namespace kiln::fleet {

namespace {

using Kind = Permission::Kind;

constexpr int iterations = 101;  // Mosquitto 2.0's own; passwords here are 256 random bits
constexpr std::size_t salt_bytes = 12;
constexpr int allowed_priority = 0;
constexpr int denied_priority = 10;  // the higher is asked first

std::string under(std::string_view branch) {
  return fmt::format("{}/{}/#", topics::prefix, branch);
}

const char* acl_type(const Permission& permission) {
  switch (permission.kind) {
    case Kind::publish:
      return "publishClientSend";
    case Kind::subscribe:
      return "subscribePattern";
    case Kind::receive:
      return "publishClientReceive";
  }
  return "";
}

Json role_json(const Account& account) {
  Json acls(Json::Array{});
  for (const auto& permission : account.permissions) {
    acls.push(Json::object({{"acltype", acl_type(permission)},
                            {"topic", permission.filter},
                            {"priority", permission.is_allowed ? allowed_priority : denied_priority},
                            {"allow", permission.is_allowed}}));
  }
  return Json::object({{"rolename", account.username}, {"acls", std::move(acls)}});
}

Json client_json(const Account& account) {
  auto json = Json::object({{"username", account.username}});
  if (!account.client_id.empty()) json.set("clientid", account.client_id);
  Json roles(Json::Array{});
  roles.push(Json::object({{"rolename", account.username}}));
  json.set("roles", std::move(roles));
  return json;
}

void may_hear(Account& account, const std::string& filter) {
  account.permissions.push_back({Kind::subscribe, filter});
  account.permissions.push_back({Kind::receive, filter});
}

Json command(const char* name, const std::string& correlation) {
  return Json::object({{"command", name}, {"correlationData", correlation}});
}

Json::Array removal(const std::string& username, const std::string& correlation) {
  auto client = command("deleteClient", correlation);
  client.set("username", username);
  auto role = command("deleteRole", correlation);
  role.set("rolename", username);
  return {std::move(client), std::move(role)};
}

std::string commands(Json::Array list) {
  return Json::object({{"commands", Json(std::move(list))}}).dump();
}

}  // namespace

Account controller_account() {
  Account account{.username = controller_name};
  account.permissions = {{Kind::publish, "#"}, {Kind::publish, "$CONTROL/dynamic-security/#"}};
  may_hear(account, "#");
  may_hear(account, "$CONTROL/dynamic-security/#");
  return account;
}

Account node_account(const NodeId& node) {
  Account account{.username = node.str(), .client_id = "kiln-agent-" + node.str()};
  account.permissions = {{Kind::publish, fmt::format("{}/nodes/{}/#", topics::prefix, node.str())}};
  for (const auto& topic : {topics::command(node), topics::command_all(), topics::controller_status(),
                            topics::node_status(node)}) {
    may_hear(account, topic);
  }
  return account;
}

Account viewer_account() {
  Account account{.username = viewer_name};
  // A viewer asks for "#": what it may not hear is left out, without a refusal.
  account.permissions = {{Kind::subscribe, "#"}};
  for (const char* branch : {"controller", "nodes", "jobs"})
    account.permissions.push_back({Kind::receive, under(branch)});
  account.permissions.push_back({Kind::receive, "homeassistant/#"});
  return account;
}

Account user_account(const std::string& username, const std::string& user) {
  Account account = viewer_account();
  account.username = username;
  account.permissions.push_back({Kind::publish, fmt::format("{}/request/{}/+", topics::prefix, user)});
  account.permissions.push_back({Kind::receive, fmt::format("{}/response/{}/+", topics::prefix, user)});
  return account;
}

void set_password(Account& account, std::string_view password) {
  account.salt = identity::random_bytes(salt_bytes);
  account.hash = identity::pbkdf2_sha512(password, account.salt, iterations);
}

std::string security_file(const std::vector<Account>& accounts) {
  Json clients(Json::Array{});
  Json roles(Json::Array{});
  for (const auto& account : accounts) {
    auto client = client_json(account);
    client.set("password", identity::to_base64(account.hash));
    client.set("salt", identity::to_base64(account.salt));
    client.set("iterations", iterations);
    clients.push(std::move(client));
    roles.push(role_json(account));
  }
  const auto nothing = Json::object({{"publishClientSend", false},
                                     {"publishClientReceive", false},
                                     {"subscribe", false},
                                     {"unsubscribe", true}});
  return Json::object({{"defaultACLAccess", nothing},
                       {"clients", std::move(clients)},
                       {"groups", Json(Json::Array{})},
                       {"roles", std::move(roles)}})
             .dump() +
         "\n";
}

std::string admit_commands(const Account& account, const std::string& password,
                           const std::string& correlation) {
  auto list = removal(account.username, correlation);
  auto role = role_json(account);
  role.set("command", "createRole");
  role.set("correlationData", correlation);
  list.push_back(std::move(role));
  auto client = client_json(account);
  client.set("command", "createClient");
  client.set("password", password);
  client.set("correlationData", correlation);
  list.push_back(std::move(client));
  return commands(std::move(list));
}

std::string expel_commands(const std::string& username, const std::string& correlation) {
  return commands(removal(username, correlation));
}

ControlAnswer read_control_answer(std::string_view payload) {
  ControlAnswer answer;
  const auto json = Json::parse(payload);
  if (!json) return {"", "the broker's answer was not understood: " + json.error().message};
  const auto* list = json->find("responses");
  const auto* all = list != nullptr ? list->as_array() : nullptr;
  if (all == nullptr) return {"", "the broker's answer has no responses"};
  for (const auto& one : *all) {
    const auto text = [&one](const char* key) {
      const auto* found = one.find(key);
      const auto* value = found != nullptr ? found->as_string() : nullptr;
      return value != nullptr ? *value : std::string();
    };
    if (answer.correlation.empty()) answer.correlation = text("correlationData");
    const auto name = text("command");
    if (name == "deleteClient" || name == "deleteRole") continue;
    if (answer.error.empty()) answer.error = text("error");
  }
  return answer;
}

}  // namespace kiln::fleet
