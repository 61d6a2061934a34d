// The identities of boxes, in a database file of their own: a backup of the farm carries no credentials, and
// the farm thread's handle is not shared.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"
#include "enrollment/rows.h"
#include "store/database.h"

namespace kiln::store {

class Keyring final : public enrollment::Keyring {
 public:
  // The file is made if missing, readable by its owner alone. Errors: conflict for another program's file;
  // unsupported when it is newer than this program; invalid when damaged; io, full.
  static Result<std::unique_ptr<Keyring>> open(const std::filesystem::path& file);

  Result<enrollment::Ring> load() override;
  Status save(const enrollment::NodeKey& key) override;
  Status erase(const NodeId& node) override;
  Status save(const enrollment::JoinToken& token) override;
  Status erase_token(const std::string& id) override;
  Status save_known(const enrollment::KnownFingerprint& fingerprint) override;
  Status erase_known(const enrollment::KnownFingerprint& fingerprint) override;

  // Errors: those of the database.
  Result<std::vector<enrollment::BrokerUser>> broker_users();
  Status save(const enrollment::BrokerUser& user);
  Status erase_broker_user(const std::string& token);

 private:
  explicit Keyring(Database database) : database_(std::move(database)) {}
  // Prepared anew: a person clicks, or a box starts.
  template <class... Args>
  Status run(std::string_view sql, const Args&... args);

  Database database_;
};

}  // namespace kiln::store
