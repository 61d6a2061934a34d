// The farm's own certificate authority.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "identity/key.h"

namespace kiln::identity {

// The fingerprint of a certificate's key (see fingerprint_of_key), of a PEM text with one certificate.
// Errors: invalid.
Result<std::string> fingerprint_of_certificate(std::string_view pem);

class Authority {
 public:
  // The authority in that folder (ca.key, mode 0600, and ca.pem); made there when there is none. The folder
  // exists. Errors: those of Key, and invalid when ca.pem is no certificate of ca.key.
  static Result<Authority> open(const std::filesystem::path& folder);

  [[nodiscard]] const std::string& certificate() const { return certificate_; }  // PEM
  [[nodiscard]] std::string fingerprint() const { return fingerprint_of_key(key_.public_key()); }

  // A certificate (PEM) for a server that is reached by these DNS names and IP addresses;
  // what is neither is left out.
  [[nodiscard]] std::string issue_server(const Key& key, const std::vector<std::string>& names) const;
  // …and for a client known as `common_name`. public_key: is_public_key().
  [[nodiscard]] std::string issue_client(std::string_view public_key, const std::string& common_name) const;

 private:
  Authority(Key key, std::string certificate) : key_(std::move(key)), certificate_(std::move(certificate)) {}
  Key key_;
  std::string certificate_;
};

// The names that a server's certificate (PEM) was issued for, as given to issue_server. Errors: invalid.
Result<std::vector<std::string>> names_of_certificate(std::string_view pem);

}  // namespace kiln::identity
