// Short strings of bytes and how they are written down.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace kiln::identity {

// From the system's generator. 32 bytes make a secret that nobody guesses.
std::string random_bytes(std::size_t count);
// 256 random bits as 43 characters of base64url: a password, a token, a nonce.
std::string random_secret();

std::string to_base64(std::string_view bytes);                  // padded (RFC 4648, 4)
std::optional<std::string> from_base64(std::string_view text);  // nullopt: not exactly what to_base64 writes
std::string to_base64url(std::string_view bytes);               // without padding (RFC 4648, 5)
std::string to_base32(std::string_view bytes);                  // lower case, without padding (RFC 4648, 6)

std::string sha256(std::string_view bytes);  // 32 bytes
// Takes as long for a wrong guess as for a right one.
bool is_same_secret(std::string_view a, std::string_view b);

// What Mosquitto's dynamic-security plugin keeps of a password: PBKDF2 with SHA-512, 64 bytes.
std::string pbkdf2_sha512(std::string_view password, std::string_view salt, int iterations);

}  // namespace kiln::identity
