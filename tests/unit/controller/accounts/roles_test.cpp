#include "accounts/roles.h"

#include "check.h"

using namespace kiln;  // NOLINT(google-build-using-namespace)
using accounts::Role;

namespace {

void roles_rise_and_are_read_as_they_are_written() {
  check(Role::viewer < Role::artist && Role::artist < Role::operator_ &&
        Role::operator_ < Role::administrator);
  for (const auto role : {Role::viewer, Role::artist, Role::operator_, Role::administrator})
    check(*accounts::parse_role(to_string(role)) == role);
  const auto none = accounts::parse_role("root");
  check(!none.has_value());
  check_contains(none.error().message, "viewer, artist, operator or administrator");
}

void a_name_fits_a_topic_and_is_not_one_of_the_audit_logs_words() {
  for (const auto* name : {"ada", "ada-2", "7", "nodes"}) check_ok(accounts::check_name(name));
  for (const auto* name : {"", "Ada", "a b", "a/b", "a+", "#", "ä", "local", "anonymous", "..",
                           "a23456789012345678901234567890123"}) {
    if (accounts::check_name(name)) print_error("%s\n", name);
    check(!accounts::check_name(name).has_value());
  }
}

}  // namespace

int main() {
  return test::run(
      "roles", {{"roles rise and are read as they are written", roles_rise_and_are_read_as_they_are_written},
                {"a name fits a topic and is not one of the audit log's words",
                 a_name_fits_a_topic_and_is_not_one_of_the_audit_logs_words}});
}
