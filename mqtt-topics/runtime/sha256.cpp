#include "runtime/sha256.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "runtime/files.h"

namespace kiln::runtime {

namespace {

constexpr std::size_t digest_bytes = 32;
constexpr std::size_t base64_length = 44;  // of 32 bytes
using Bytes = std::array<unsigned char, digest_bytes>;

std::string to_text(const Bytes& bytes) {
  std::string text = "sha256:";
  for (const auto byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

unsigned nibble(char c) {
  return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
}

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::optional<Bytes> from_base64(std::string_view text) {
  if (text.size() != base64_length) return std::nullopt;
  const auto* in = reinterpret_cast<const unsigned char*>(text.data());
  std::array<unsigned char, base64_length> out{};
  // Decodes in groups of three and counts the padding as bytes: 44 characters give 33.
  if (EVP_DecodeBlock(out.data(), in, static_cast<int>(text.size())) != digest_bytes + 1) return std::nullopt;
  Bytes bytes{};
  std::copy_n(out.begin(), digest_bytes, bytes.begin());
  // One digest has one spelling: "=" where it belongs and no stray bits.
  std::array<unsigned char, base64_length + 1> again{};
  EVP_EncodeBlock(again.data(), bytes.data(), digest_bytes);
  if (!std::equal(text.begin(), text.end(), reinterpret_cast<const char*>(again.data()))) return std::nullopt;
  return bytes;
}

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() { restart(); }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  void restart() const { KILN_ASSERT(EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::string_view bytes) {
  KILN_ASSERT(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish() {
  Bytes bytes{};
  KILN_ASSERT(EVP_DigestFinal_ex(state_->context, bytes.data(), nullptr) == 1);
  state_->restart();
  return to_text(bytes);
}

std::string digest_of(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

Result<std::string> digest_of_file(const std::filesystem::path& path,
                                   const std::function<bool()>& cancelled) {
  constexpr std::size_t piece = 256ULL * 1024;
  auto fd = open_file(path, O_RDONLY);
  if (!fd) return fail(std::move(fd.error()));
  ::posix_fadvise(fd->get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  std::vector<char> buffer(piece);
  Sha256 hash;
  for (;;) {
    if (cancelled && cancelled()) return fail(Code::timeout, "cancelled");
    const auto read = ::read(fd->get(), buffer.data(), buffer.size());
    if (read < 0 && errno == EINTR) continue;
    if (read < 0) return fail(os_error(errno, fmt::format("reading {}", path.native())));
    if (read == 0) break;
    hash.update({buffer.data(), static_cast<std::size_t>(read)});
  }
  return hash.finish();
}

std::string to_content_digest(std::string_view digest) {
  KILN_ASSERT(is_digest(digest));
  const auto hex = digest.substr(digest.find(':') + 1);
  Bytes bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<unsigned char>(nibble(hex[2 * i]) << 4U | nibble(hex[2 * i + 1]));
  }
  std::array<unsigned char, base64_length + 1> text{};
  EVP_EncodeBlock(text.data(), bytes.data(), digest_bytes);
  return fmt::format("sha-256=:{}:", reinterpret_cast<const char*>(text.data()));
}

Result<std::string> from_content_digest(std::string_view header) {
  constexpr std::string_view name = "sha-256=";
  for (std::size_t begin = 0; begin <= header.size();) {
    const auto end = std::min(header.find(',', begin), header.size());
    auto member = trimmed(header.substr(begin, end - begin));
    begin = end + 1;
    if (!member.starts_with(name)) continue;
    member.remove_prefix(name.size());
    if (member.size() != base64_length + 2 || member.front() != ':' || member.back() != ':') break;
    const auto bytes = from_base64(member.substr(1, base64_length));
    if (!bytes) break;
    return to_text(*bytes);
  }
  return fail(Code::invalid, "Content-Digest: sha-256=:<44 characters of base64>: is expected");
}

}  // namespace kiln::runtime
