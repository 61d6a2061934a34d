#include "runtime/sha256.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/ids.h"
#include "runtime/files.h"

namespace kiln::runtime {

namespace {

constexpr std::size_t digest_bytes = 32;
constexpr std::string_view digest_prefix = "sha256:";
constexpr std::string_view header_prefix = "sha-256=:";

struct ContextDelete {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

unsigned hex_value(char c) {
  return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
}

}  // namespace

struct Sha256::Context {
  std::unique_ptr<EVP_MD_CTX, ContextDelete> evp{EVP_MD_CTX_new()};
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  KILN_ASSERT(EVP_DigestInit_ex(context_->evp.get(), EVP_sha256(), nullptr) == 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::string_view bytes) {
  KILN_ASSERT(EVP_DigestUpdate(context_->evp.get(), bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish() {
  unsigned char raw[digest_bytes];
  KILN_ASSERT(EVP_DigestFinal_ex(context_->evp.get(), raw, nullptr) == 1);
  constexpr std::string_view hex = "0123456789abcdef";
  std::string text(digest_prefix);
  for (const unsigned char byte : raw) {
    text += hex[byte >> 4U];
    text += hex[byte & 15U];
  }
  return text;
}

std::string digest_of(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

Result<std::string> digest_of_file(const std::filesystem::path& path,
                                   const std::function<bool()>& cancelled) {
  const auto doing = fmt::format("while hashing {}", path.string());
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail(system_error(errno, doing));
  Sha256 hash;
  std::vector<char> buffer(1024 * 1024);
  for (;;) {
    if (cancelled && cancelled()) return fail(Code::timeout, doing + ": cancelled");
    const auto got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(system_error(errno, doing));
    if (got == 0) return hash.finish();
    hash.update({buffer.data(), static_cast<std::size_t>(got)});
  }
}

std::string to_content_digest(std::string_view digest) {
  KILN_ASSERT(is_digest(digest));
  digest.remove_prefix(digest_prefix.size());
  unsigned char raw[digest_bytes];
  for (std::size_t i = 0; i < digest_bytes; ++i) {
    raw[i] = static_cast<unsigned char>(hex_value(digest[2 * i]) << 4U | hex_value(digest[2 * i + 1]));
  }
  unsigned char base64[4 * ((digest_bytes + 2) / 3) + 1];
  const int length = EVP_EncodeBlock(base64, raw, digest_bytes);
  std::string text(header_prefix);
  text.append(base64, base64 + length);
  return text + ":";
}

Result<std::string> from_content_digest(std::string_view header) {
  constexpr std::size_t base64_chars = 44;  // of 32 bytes, with one '=' of padding
  const auto start = header.find(header_prefix);
  if (start != std::string_view::npos) {
    const auto rest = header.substr(start + header_prefix.size());
    unsigned char raw[digest_bytes + 1];
    const auto* text = reinterpret_cast<const unsigned char*>(rest.data());
    if (rest.size() > base64_chars && rest[base64_chars] == ':' && rest[base64_chars - 1] == '=' &&
        rest[base64_chars - 2] != '=' && EVP_DecodeBlock(raw, text, base64_chars) == digest_bytes + 1) {
      constexpr std::string_view hex = "0123456789abcdef";
      std::string digest(digest_prefix);
      for (std::size_t i = 0; i < digest_bytes; ++i) {
        digest += hex[raw[i] >> 4U];
        digest += hex[raw[i] & 15U];
      }
      return digest;
    }
  }
  return fail(Code::invalid, "Content-Digest: `sha-256=:<base64 of the 32 bytes>:` is expected (RFC 9530)");
}

}  // namespace kiln::runtime
