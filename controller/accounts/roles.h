// Who people are to the farm, and how they are called.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace kiln::accounts {

// Each may do what those before it may.
enum class Role : std::uint8_t {
  viewer,         // sees everything, changes nothing
  artist,         // submits jobs and steers those
  operator_,      // steers all jobs, the nodes and the farm
  administrator,  // users, other people's tokens, the audit log
};

std::string_view to_string(Role role);  // "operator"
// Errors: invalid, with the names there are.
Result<Role> parse_role(std::string_view text);

// A user's name is also a level of an MQTT topic, so it is an id: [a-z0-9-]{1,32}. Names by which the audit
// log calls callers without an account are taken. Errors: invalid.
Status check_name(std::string_view name);

// What the audit log calls those who have no account.
inline constexpr std::string_view local_name = "local";
inline constexpr std::string_view anonymous_name = "anonymous";

}  // namespace kiln::accounts
