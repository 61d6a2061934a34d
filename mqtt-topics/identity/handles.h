// OpenSSL's handles with owners. For this room's sources only.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "identity/key.h"

namespace kiln::identity {

template <auto free>
struct Free {
  template <class T>
  void operator()(T* handle) const {
    free(handle);
  }
};
using Pkey = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Bio = std::unique_ptr<BIO, Free<BIO_free_all>>;

struct KeyHandle {
  Pkey key;
};

// A BIO over `text`, which must outlive it.
Bio read_bio(std::string_view text);
// What was written into the BIO.
std::string text_of(const Bio& bio);
// The P-256 key of a DER SubjectPublicKeyInfo; null: it is none.
Pkey parse_public_key(std::string_view der);
std::string public_der(EVP_PKEY* key);

}  // namespace kiln::identity
