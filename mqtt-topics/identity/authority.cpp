#include "identity/authority.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>

#include "identity/bytes.h"
#include "identity/handles.h"
#include "runtime/files.h"

namespace kiln::identity {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t max_pem_bytes = 16ULL * 1024;
constexpr const char* valid_from = "20200101000000Z";
constexpr const char* valid_until = "20991231235959Z";

struct Order {
  std::string common_name;
  EVP_PKEY* subject = nullptr;
  X509* issuer = nullptr;  // null: itself
  EVP_PKEY* signer = nullptr;
  bool is_authority = false;
  std::string usage;
  std::string names;  // of subjectAltName, in OpenSSL's form
};

void extend(X509* certificate, X509V3_CTX& context, int kind, const std::string& value) {
  X509_EXTENSION* extension = ::X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  KILN_ASSERT(extension != nullptr);
  KILN_ASSERT(::X509_add_ext(certificate, extension, -1) == 1);
  ::X509_EXTENSION_free(extension);
}

std::string issue(const Order& order) {
  const Certificate certificate(::X509_new());
  X509* made = certificate.get();
  KILN_ASSERT(::X509_set_version(made, 2) == 1);  // counts from 0: version 3
  std::string serial = random_bytes(16);
  serial[0] = static_cast<char>(serial[0] & 0x7f);  // positive (RFC 5280, 4.1.2.2)
  BIGNUM* number = ::BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()),
                               static_cast<int>(serial.size()), nullptr);
  KILN_ASSERT(::BN_to_ASN1_INTEGER(number, ::X509_get_serialNumber(made)) != nullptr);
  ::BN_free(number);
  KILN_ASSERT(::ASN1_TIME_set_string(::X509_getm_notBefore(made), valid_from) == 1);
  KILN_ASSERT(::ASN1_TIME_set_string(::X509_getm_notAfter(made), valid_until) == 1);
  X509_NAME* name = ::X509_get_subject_name(made);
  KILN_ASSERT(::X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                           reinterpret_cast<const unsigned char*>(order.common_name.c_str()),
                                           -1, -1, 0) == 1);
  X509* issuer = order.issuer != nullptr ? order.issuer : made;
  KILN_ASSERT(::X509_set_issuer_name(made, ::X509_get_subject_name(issuer)) == 1);
  KILN_ASSERT(::X509_set_pubkey(made, order.subject) == 1);
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  ::X509V3_set_ctx(&context, issuer, made, nullptr, nullptr, 0);
  extend(made, context, NID_basic_constraints,
         order.is_authority ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE");
  extend(made, context, NID_key_usage,
         order.is_authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
  extend(made, context, NID_subject_key_identifier, "hash");
  if (order.issuer != nullptr) extend(made, context, NID_authority_key_identifier, "keyid");
  if (!order.usage.empty()) extend(made, context, NID_ext_key_usage, order.usage);
  if (!order.names.empty()) extend(made, context, NID_subject_alt_name, order.names);
  KILN_ASSERT(::X509_sign(made, order.signer, ::EVP_sha256()) > 0);
  const Bio bio(::BIO_new(::BIO_s_mem()));
  KILN_ASSERT(::PEM_write_bio_X509(bio.get(), made) == 1);
  return text_of(bio);
}

Certificate read_certificate(std::string_view pem) {
  return Certificate(::PEM_read_bio_X509(read_bio(pem).get(), nullptr, nullptr, nullptr));
}

bool is_address(const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> out{};
  return ::inet_pton(AF_INET, text.c_str(), out.data()) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), out.data()) == 1;
}

std::string address_text(const ASN1_OCTET_STRING* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = ::ASN1_STRING_length(address) == sizeof(in_addr) ? AF_INET : AF_INET6;
  if (::inet_ntop(family, ::ASN1_STRING_get0_data(address), text.data(), text.size()) == nullptr) return "";
  return text.data();
}

}  // namespace

Result<std::string> fingerprint_of_certificate(std::string_view pem) {
  const auto certificate = read_certificate(pem);
  EVP_PKEY* key = certificate ? ::X509_get0_pubkey(certificate.get()) : nullptr;
  if (key == nullptr) return fail(Code::invalid, "this is no certificate in PEM form");
  return fingerprint_of_key(public_der(key));
}

Result<std::vector<std::string>> names_of_certificate(std::string_view pem) {
  const auto certificate = read_certificate(pem);
  if (!certificate) return fail(Code::invalid, "this is no certificate in PEM form");
  const std::unique_ptr<GENERAL_NAMES, Free<GENERAL_NAMES_free>> found(static_cast<GENERAL_NAMES*>(
      ::X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> names;
  for (int i = 0; found && i < sk_GENERAL_NAME_num(found.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(found.get(), i);
    if (name->type == GEN_IPADD) names.push_back(address_text(name->d.iPAddress));
    if (name->type == GEN_DNS) {
      names.emplace_back(reinterpret_cast<const char*>(::ASN1_STRING_get0_data(name->d.dNSName)),
                         static_cast<std::size_t>(::ASN1_STRING_length(name->d.dNSName)));
    }
  }
  return names;
}

Result<Authority> Authority::open(const fs::path& folder) {
  auto key = Key::load_or_make(folder / "ca.key");
  if (!key) return fail(std::move(key.error()));
  const auto file = folder / "ca.pem";
  auto pem = runtime::read_file(file, max_pem_bytes);
  if (!pem && pem.error().code != Code::not_found) return fail(std::move(pem.error()));
  if (pem) {
    const auto fingerprint = fingerprint_of_certificate(*pem);
    if (!fingerprint || *fingerprint != fingerprint_of_key(key->public_key())) {
      return fail(Code::invalid,
                  fmt::format("{} is not the certificate of {}: put the file back that belongs to the "
                              "key, or remove it to have it written again",
                              file.string(), (folder / "ca.key").string()));
    }
    return Authority(std::move(*key), std::move(*pem));
  }
  Order order;
  order.common_name = "Kiln farm " + fingerprint_of_key(key->public_key());
  order.subject = order.signer = key->handle().key.get();
  order.is_authority = true;
  auto made = issue(order);
  if (auto written = runtime::write_file_atomically(file, made); !written)
    return fail(std::move(written.error()));
  return Authority(std::move(*key), std::move(made));
}

std::string Authority::issue_server(const Key& key, const std::vector<std::string>& names) const {
  const auto issuer = read_certificate(certificate_);
  Order order;
  order.common_name = "kiln-controller";
  order.subject = key.handle().key.get();
  order.issuer = issuer.get();
  order.signer = key_.handle().key.get();
  order.usage = "serverAuth";
  for (const auto& name : names) {
    // OpenSSL reads the list as a text: nothing in a name may end it.
    const bool is_plain =
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-_") ==
        std::string::npos;
    if (name.empty() || !is_plain) continue;
    order.names.append(order.names.empty() ? "" : ",").append(is_address(name) ? "IP:" : "DNS:").append(name);
  }
  return issue(order);
}

std::string Authority::issue_client(std::string_view public_key, const std::string& common_name) const {
  const auto issuer = read_certificate(certificate_);
  const auto subject = parse_public_key(public_key);
  KILN_ASSERT(subject != nullptr);
  Order order;
  order.common_name = common_name;
  order.subject = subject.get();
  order.issuer = issuer.get();
  order.signer = key_.handle().key.get();
  order.usage = "clientAuth";
  return issue(order);
}

}  // namespace kiln::identity
