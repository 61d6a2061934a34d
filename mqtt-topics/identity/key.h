// A P-256 key, and the names that follow from its public half.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kiln::identity {

// 16 letters of base32: the first 80 bits of the SHA-256 of `public_key` (DER SubjectPublicKeyInfo).
std::string id_of_key(std::string_view public_key);
// The same for people: "k3xq-7jv2-m5nw-4hfa".
std::string fingerprint_of_key(std::string_view public_key);
// A fingerprint as people write it (upper case, spaces, no dashes) in the form above. Errors: invalid.
Result<std::string> read_fingerprint(std::string_view text);

// True when `signature` (DER ECDSA with SHA-256) over `bytes` was made with that key. Anything malformed, or
// another kind of key, is false.
bool verify(std::string_view public_key, std::string_view bytes, std::string_view signature);
// True for the DER of a P-256 public key, and nothing behind it.
bool is_public_key(std::string_view public_key);

// OpenSSL's handle, for this room.
struct KeyHandle;

class Key {
 public:
  // The key in that PEM file; made there (mode 0600) when there is none. Errors: invalid when the file holds
  // no P-256 key, or others than its owner may read it (both say what to do); denied, full, io.
  static Result<Key> load_or_make(const std::filesystem::path& file);
  // In memory only.
  static Key make();
  Key(Key&&) noexcept;
  Key& operator=(Key&&) noexcept;
  ~Key();

  [[nodiscard]] const std::string& public_key() const { return public_key_; }  // DER SubjectPublicKeyInfo
  [[nodiscard]] std::string sign(std::string_view bytes) const;                // DER ECDSA with SHA-256
  [[nodiscard]] const KeyHandle& handle() const { return *handle_; }
  [[nodiscard]] std::string private_pem() const;

 private:
  explicit Key(std::unique_ptr<KeyHandle> handle);
  std::unique_ptr<KeyHandle> handle_;
  std::string public_key_;
};

}  // namespace kiln::identity
