// Users, their tokens and sessions, and the audit log: a file of its own, `<data>/accounts.db`, so that the
// farm's database can be backed up, restored and handed round without anybody's password in it.
#pragma once

#include <filesystem>
#include <memory>

#include "accounts/book.h"
#include "store/database.h"
#include "store/migrations.h"

namespace kiln::store {

std::span<const Migration> account_migrations();

// One connection behind one mutex: thread-safe, and not the farm thread's.
class Accounts final : public accounts::Book {
 public:
  // Opens the file, or makes it, readable by its owner only; migrates it and checks its integrity. Errors:
  // invalid (not a database, damaged), conflict (another program's), unsupported (from a newer version),
  // denied, full, io. Each names the file.
  static Result<std::unique_ptr<Accounts>> open(const std::filesystem::path& path);
  // Gone with the object: for tests.
  static Result<std::unique_ptr<Accounts>> open_in_memory();
  ~Accounts() override;

  Result<std::vector<accounts::User>> users() override;
  Result<std::optional<accounts::User>> user(const std::string& name) override;
  Result<std::string> password_hash(const std::string& name) override;
  Status add_user(const accounts::User& user, const std::string& hash) override;
  Status save_user(const accounts::User& user) override;
  Status set_password(const std::string& name, const std::string& hash, const std::string& kept) override;
  Status remove_user(const std::string& name) override;

  Result<std::vector<accounts::Token>> tokens(const std::optional<std::string>& user) override;
  Result<std::optional<accounts::Token>> token(const std::string& id) override;
  Result<std::string> token_hash(const std::string& id) override;
  Status add_token(const accounts::Token& token, const std::string& hash) override;
  Status remove_token(const std::string& id) override;

  Result<std::optional<accounts::Session>> session(const std::string& key) override;
  Status add_session(const std::string& key, const accounts::Session& session,
                     std::int64_t idle_since_ms) override;
  Status end_session(const std::string& key) override;

  Status saw(const std::string& user, const std::string& session, const std::string& token,
             std::int64_t at_ms) override;

  Status add_deed(const accounts::Deed& deed) override;
  Result<std::vector<accounts::Deed>> deeds(const accounts::DeedQuery& query) override;

 private:
  struct State;
  explicit Accounts(std::unique_ptr<State> state);
  static Result<std::unique_ptr<Accounts>> prepare(Database database);
  std::unique_ptr<State> state_;
};

}  // namespace kiln::store
