// Who may say and hear what on the embedded broker, in the words of Mosquitto's dynamic-security plugin
// (mosquitto 2.0, plugins/dynamic-security/README.md).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace kiln::fleet {

struct Permission {
  enum class Kind { publish, subscribe, receive };
  Kind kind = Kind::publish;
  std::string filter;
  bool is_allowed = true;  // a denial comes before every permission
};

// One user of the broker, with a role of the same name: 2.0.11 knows no %u in a role's topics.
struct Account {
  std::string username;
  std::string client_id = {};  // "" = any: several programs of one person
  std::string salt = {};       // raw; PBKDF2-SHA512, 64 bytes
  std::string hash = {};       // raw
  std::vector<Permission> permissions = {};
};

// What each kind of user may do; the password is set by the caller.
Account controller_account();
// Its own topics, its own commands, its own status (to see that it is heard), and the controller's.
Account node_account(const NodeId& node);
// Reads the whole tree but commands, requests and answers; writes nothing.
Account viewer_account();
// Reads as a viewer does, asks in its own name, hears its own answers. user: an id (is_id).
Account user_account(const std::string& username, const std::string& user);

inline constexpr const char* viewer_name = "viewer";
inline constexpr const char* controller_name = "kiln-controller";

// Sets salt and hash.
void set_password(Account& account, std::string_view password);

// The plugin's file for exactly these accounts. Nobody else, and nothing that is not permitted.
std::string security_file(const std::vector<Account>& accounts);

// Commands to the running plugin, to be published on control_topic. `correlation` comes back in the answer.
inline constexpr const char* control_topic = "$CONTROL/dynamic-security/v1";
inline constexpr const char* control_answers = "$CONTROL/dynamic-security/v1/response";
// Ends the sessions under that name, if there are any, and takes the account with its password.
std::string admit_commands(const Account& account, const std::string& password,
                           const std::string& correlation);
// Ends the sessions under that name and takes it away.
std::string expel_commands(const std::string& username, const std::string& correlation);

// What an answer to such commands says. Errors of deletions are none: what was not there is gone.
struct ControlAnswer {
  std::string correlation;
  std::string error;  // "" = done
};
ControlAnswer read_control_answer(std::string_view payload);

}  // namespace kiln::fleet
