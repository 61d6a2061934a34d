// What this controller proves itself with: the farm's authority, and a certificate for the names and
// addresses that it has now.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "identity/authority.h"
#include "identity/key.h"

namespace kiln::controller {

class ServerIdentity {
 public:
  // In that folder (made, mode 0700): ca.key, ca.pem, server.key, server.pem. more_names: beside this
  // machine's own. Errors: those of the key files and the disk.
  static Result<ServerIdentity> open(const std::filesystem::path& folder,
                                     std::vector<std::string> more_names);

  // Issues the certificate anew when this machine's names or addresses are others than it says. True: it did.
  Result<bool> renew();

  [[nodiscard]] const identity::Authority& authority() const { return authority_; }
  [[nodiscard]] const std::string& certificate() const { return certificate_; }  // PEM
  [[nodiscard]] std::string private_key() const { return key_.private_pem(); }
  [[nodiscard]] const std::string& public_key() const { return key_.public_key(); }
  [[nodiscard]] std::filesystem::path ca_file() const { return folder_ / "ca.pem"; }
  [[nodiscard]] std::filesystem::path certificate_file() const { return folder_ / "server.pem"; }
  [[nodiscard]] std::filesystem::path key_file() const { return folder_ / "server.key"; }

 private:
  ServerIdentity(std::filesystem::path folder, std::vector<std::string> names, identity::Authority authority,
                 identity::Key key)
      : folder_(std::move(folder)),
        more_names_(std::move(names)),
        authority_(std::move(authority)),
        key_(std::move(key)) {}

  std::filesystem::path folder_;
  std::vector<std::string> more_names_;
  identity::Authority authority_;
  identity::Key key_;
  std::string certificate_;
};

}  // namespace kiln::controller
