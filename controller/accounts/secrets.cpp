#include "accounts/secrets.h"

#include <fmt/format.h>
#include <sodium.h>

#include <array>

#include "base/ids.h"
#include "base/result.h"

namespace kiln::accounts {

namespace {

constexpr std::size_t secret_bytes = 32;
constexpr std::size_t token_id_letters = 10;
constexpr std::string_view alphabet = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::size_t max_secret_text = 128;  // of any key: what is longer is not ours

std::string to_hex(const unsigned char* bytes, std::size_t size) {
  std::string text(size * 2 + 1, '\0');
  ::sodium_bin2hex(text.data(), text.size(), bytes, size);
  text.pop_back();
  return text;
}

// Once, from whichever thread comes first; nothing of libsodium is called before.
void init() {
  static const int done = ::sodium_init();
  KILN_ASSERT(done >= 0);
}

bool is_plain(std::string_view text) {
  for (const char c : text) {
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!is_letter && !(c >= '0' && c <= '9') && c != '-' && c != '_') return false;  // base64url
  }
  return !text.empty() && text.size() <= max_secret_text;
}

}  // namespace

std::string random_secret() {
  init();
  std::array<unsigned char, secret_bytes> bytes{};
  ::randombytes_buf(bytes.data(), bytes.size());
  return to_hex(bytes.data(), bytes.size());
}

std::string random_token_id() {
  init();
  std::string id(token_id_letters, '\0');
  for (char& c : id) c = alphabet[::randombytes_uniform(static_cast<std::uint32_t>(alphabet.size()))];
  return id;
}

std::string hash_of(std::string_view secret) {
  init();
  std::array<unsigned char, crypto_hash_sha256_BYTES> hash{};
  ::crypto_hash_sha256(hash.data(), reinterpret_cast<const unsigned char*>(secret.data()), secret.size());
  return to_hex(hash.data(), hash.size());
}

bool is_same(std::string_view a, std::string_view b) {
  init();
  return a.size() == b.size() && ::sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string to_text(const ScriptKey& key) {
  return fmt::format("kiln_{}_{}", key.id, key.secret);
}

std::variant<std::monostate, ScriptKey, NodeKey> parse_key(std::string_view text) {
  const auto first = text.find('_');
  const auto second = first == std::string_view::npos ? first : text.find('_', first + 1);
  if (second == std::string_view::npos) return {};
  const std::string_view kind = text.substr(0, first);
  const std::string_view id = text.substr(first + 1, second - first - 1);
  const std::string_view secret = text.substr(second + 1);
  if (!is_id(id) || !is_plain(secret)) return {};
  // Only a node's secret is base64url, with '_' in it; ours are hex.
  if (kind == "kiln" && secret.find('_') == std::string_view::npos)
    return ScriptKey{std::string(id), std::string(secret)};
  if (kind == "kilnnode") return NodeKey{std::string(id), std::string(secret)};
  return {};
}

}  // namespace kiln::accounts
