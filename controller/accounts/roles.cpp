#include "accounts/roles.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/ids.h"

namespace kiln::accounts {

namespace {

constexpr std::array<std::pair<Role, std::string_view>, 4> roles{{{Role::viewer, "viewer"},
                                                                  {Role::artist, "artist"},
                                                                  {Role::operator_, "operator"},
                                                                  {Role::administrator, "administrator"}}};
constexpr std::array taken{local_name, anonymous_name};

}  // namespace

std::string_view to_string(Role role) {
  for (const auto& [value, name] : roles) {
    if (value == role) return name;
  }
  return "";
}

Result<Role> parse_role(std::string_view text) {
  for (const auto& [value, name] : roles) {
    if (name == text) return value;
  }
  return fail(Code::invalid,
              fmt::format("'{}' is no role: viewer, artist, operator or administrator is expected", text));
}

Status check_name(std::string_view name) {
  if (!is_id(name)) {
    return fail(Code::invalid,
                fmt::format("'{}' cannot be a user's name: 1 to 32 of a-z, 0-9 and - are expected", name));
  }
  if (std::find(taken.begin(), taken.end(), name) != taken.end()) {
    return fail(Code::invalid,
                fmt::format("'{}' is what callers without an account are called: take another name", name));
  }
  return {};
}

}  // namespace kiln::accounts
