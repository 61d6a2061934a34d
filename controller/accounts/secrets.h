// Random keys, and what is kept of them. Hides libsodium, with passwords.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace kiln::accounts {

// 256 bits as 64 hex digits.
std::string random_secret();
// 50 bits as 10 of a-z and 2-7, for ids: a token's id is no secret.
std::string random_token_id();

// The SHA-256 as 64 hex digits. A random key needs no slow hash: there is nothing to guess.
std::string hash_of(std::string_view secret);
// In a time that does not tell how much of it is right.
bool is_same(std::string_view a, std::string_view b);

// "kiln_<id>_<secret>": the first part lets scanners of leaked keys know what it is.
struct ScriptKey {
  std::string id;
  std::string secret;
};
// "kilnnode_<id>_<secret>"
struct NodeKey {
  std::string id;
  std::string secret;
};
std::string to_text(const ScriptKey& key);
// monostate: neither.
std::variant<std::monostate, ScriptKey, NodeKey> parse_key(std::string_view text);

}  // namespace kiln::accounts
