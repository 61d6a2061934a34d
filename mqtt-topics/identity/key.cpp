#include "identity/key.h"

#include <fmt/format.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include "identity/bytes.h"
#include "identity/handles.h"
#include "runtime/files.h"

namespace kiln::identity {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t id_bytes = 10;  // 80 bits
constexpr std::size_t max_pem_bytes = 8192;
constexpr std::size_t id_letters = 16;
constexpr std::size_t group = 4;

bool is_p256(EVP_PKEY* key) {
  char name[64] = "";
  return key != nullptr && ::EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
         ::EVP_PKEY_get_group_name(key, name, sizeof name, nullptr) == 1 &&
         std::string_view(name) == "prime256v1";
}

std::string grouped(std::string_view letters) {
  std::string text;
  for (std::size_t i = 0; i < letters.size(); i += group) {
    if (i > 0) text += '-';
    text += letters.substr(i, group);
  }
  return text;
}

using Context = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;

Result<Pkey> read_private(const fs::path& file, const std::string& pem) {
  Pkey key(::PEM_read_bio_PrivateKey(read_bio(pem).get(), nullptr, nullptr, nullptr));
  if (!is_p256(key.get())) {
    return fail(Code::invalid,
                fmt::format("{} holds no P-256 key in PEM form: put the right file back, or move "
                            "this one away to get a new identity",
                            file.string()));
  }
  return key;
}

}  // namespace

Bio read_bio(std::string_view text) {
  return Bio(::BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string text_of(const Bio& bio) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(length)};
}

std::string public_der(EVP_PKEY* key) {
  unsigned char* bytes = nullptr;
  const int length = ::i2d_PUBKEY(key, &bytes);
  KILN_ASSERT(length > 0);
  std::string der(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(length));
  ::OPENSSL_free(bytes);
  return der;
}

Pkey parse_public_key(std::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  Pkey key(::d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  // One key has one spelling: what follows, or is written another way, would give it another id.
  if (!is_p256(key.get()) || public_der(key.get()) != der) return nullptr;
  return key;
}

std::string id_of_key(std::string_view public_key) {
  return to_base32(std::string_view(sha256(public_key)).substr(0, id_bytes));
}

std::string fingerprint_of_key(std::string_view public_key) {
  return grouped(id_of_key(public_key));
}

Result<std::string> read_fingerprint(std::string_view text) {
  std::string letters;
  for (const char c : text) {
    if (c == '-' || c == ' ' || c == ':') continue;
    letters += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  const bool is_base32 = letters.find_first_not_of("abcdefghijklmnopqrstuvwxyz234567") == std::string::npos;
  if (letters.size() != id_letters || !is_base32) {
    return fail(Code::invalid,
                fmt::format("'{}' is no fingerprint: it has 16 letters a to z and digits 2 to 7, like "
                            "k3xq-7jv2-m5nw-4hfa",
                            text));
  }
  return grouped(letters);
}

bool verify(std::string_view public_key, std::string_view bytes, std::string_view signature) {
  const Pkey key = parse_public_key(public_key);
  if (!key) return false;
  const Context context(::EVP_MD_CTX_new());
  return ::EVP_DigestVerifyInit(context.get(), nullptr, ::EVP_sha256(), nullptr, key.get()) == 1 &&
         ::EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                            signature.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                            bytes.size()) == 1;
}

bool is_public_key(std::string_view public_key) {
  return parse_public_key(public_key) != nullptr;
}

Key::Key(std::unique_ptr<KeyHandle> handle)
    : handle_(std::move(handle)), public_key_(public_der(handle_->key.get())) {}
Key::Key(Key&&) noexcept = default;
Key& Key::operator=(Key&&) noexcept = default;
Key::~Key() = default;

Key Key::make() {
  auto handle = std::make_unique<KeyHandle>();
  handle->key.reset(EVP_EC_gen("P-256"));
  KILN_ASSERT(handle->key != nullptr);
  return Key(std::move(handle));
}

Result<Key> Key::load_or_make(const fs::path& file) {
  const auto pem = runtime::read_file(file, max_pem_bytes);
  if (!pem && pem.error().code != Code::not_found) return fail(pem.error());
  if (!pem) {
    Key key = make();
    auto written = runtime::write_file_atomically(file, key.private_pem(), 0600);
    if (!written) return fail(std::move(written.error()).with("while giving this machine an identity"));
    return key;
  }
  struct stat about {};
  if (::stat(file.c_str(), &about) == 0 && (about.st_mode & 077U) != 0) {
    return fail(
        Code::invalid,
        fmt::format("{} may be read by others (mode {:o}): chmod 600 it, and if somebody else was on this "
                    "machine move it away to get a new identity",
                    file.string(), about.st_mode & 0777U));
  }
  auto read = read_private(file, *pem);
  if (!read) return fail(std::move(read.error()));
  auto handle = std::make_unique<KeyHandle>();
  handle->key = std::move(*read);
  return Key(std::move(handle));
}

std::string Key::private_pem() const {
  const Bio bio(::BIO_new(::BIO_s_mem()));
  KILN_ASSERT(
      ::PEM_write_bio_PrivateKey(bio.get(), handle_->key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return text_of(bio);
}

std::string Key::sign(std::string_view bytes) const {
  const Context context(::EVP_MD_CTX_new());
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t length = 0;
  KILN_ASSERT(::EVP_DigestSignInit(context.get(), nullptr, ::EVP_sha256(), nullptr, handle_->key.get()) == 1);
  KILN_ASSERT(::EVP_DigestSign(context.get(), nullptr, &length, data, bytes.size()) == 1);
  std::string signature(length, '\0');
  KILN_ASSERT(::EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &length,
                               data, bytes.size()) == 1);
  signature.resize(length);
  return signature;
}

}  // namespace kiln::identity
