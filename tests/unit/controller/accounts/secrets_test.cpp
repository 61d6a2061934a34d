#include "accounts/secrets.h"

#include <set>

#include "base/ids.h"
#include "check.h"

using namespace kiln;  // NOLINT(google-build-using-namespace)
using accounts::NodeKey;
using accounts::parse_key;
using accounts::ScriptKey;

namespace {

void secrets_are_long_and_differ() {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const auto secret = accounts::random_secret();
    check_equal(secret.size(), 64U);
    check(secret.find_first_not_of("0123456789abcdef") == std::string::npos);
    check(seen.insert(secret).second);
    const auto id = accounts::random_token_id();
    check(is_id(id) && id.find('-') == std::string::npos);
    check(seen.insert(id).second);
  }
}

void the_hash_is_sha_256() {
  check_equal(accounts::hash_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  check(accounts::is_same("abc", "abc"));
  check(!accounts::is_same("abc", "abd"));
  check(!accounts::is_same("abc", "ab"));
  check(!accounts::is_same("", "abc"));
}

void keys_are_read_as_they_are_written_and_nothing_else_is() {
  const ScriptKey key{accounts::random_token_id(), accounts::random_secret()};
  const auto parsed = parse_key(to_text(key));
  const auto* script = std::get_if<ScriptKey>(&parsed);
  check(script != nullptr && script->id == key.id && script->secret == key.secret);
  const auto node = parse_key("kilnnode_render-1_0aF-z");
  const auto* box = std::get_if<NodeKey>(&node);
  check(box != nullptr && box->id == "render-1" && box->secret == "0aF-z");
  for (const auto* text : {"", "kiln", "kiln_", "kiln_a", "kiln_a_", "kiln__b", "kiln_A_b", "kiln_a_b_c",
                           "Kiln_a_b", "kilnx_a_b", "kiln_a_b c", "kiln_a_b\n", " kiln_a_b"}) {
    if (parse_key(text).index() != 0) print_error("%s\n", text);
    check_equal(parse_key(text).index(), 0U);
  }
  check_equal(parse_key("kiln_a_" + std::string(129, 'b')).index(), 0U);
}

}  // namespace

int main() {
  return test::run("secrets", {{"secrets are long and differ", secrets_are_long_and_differ},
                               {"the hash is SHA-256", the_hash_is_sha_256},
                               {"keys are read as they are written, and nothing else is",
                                keys_are_read_as_they_are_written_and_nothing_else_is}});
}
