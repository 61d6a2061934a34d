#include "store/accounts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <map>
#include <mutex>
#include <utility>

#include "runtime/files.h"

namespace kiln::store {

namespace {

constexpr Migration embedded[] = {
#include "account_migrations_embedded.inc"
};

constexpr std::string_view user_columns = "name, role, disabled, password <> '', created_ms, seen_ms";
constexpr std::string_view token_columns = "id, user, label, role, created_ms, expires_ms, seen_ms";
constexpr std::string_view deed_columns = "seq, at_ms, caller, role, peer, method, path, what, status";

// A role that this version does not know may do the least.
accounts::Role read_role(const Row& row, int column) {
  return accounts::parse_role(row.text(column)).value_or(accounts::Role::viewer);
}

accounts::User read_user(const Row& row) {
  accounts::User user;
  row.read(0, user.name);
  user.role = read_role(row, 1);
  user.is_disabled = row.integer(2) != 0;
  user.has_password = row.integer(3) != 0;
  row.read(4, user.created_ms);
  row.read(5, user.seen_ms);
  return user;
}

accounts::Token read_token(const Row& row) {
  accounts::Token token;
  row.read(0, token.id);
  row.read(1, token.user);
  row.read(2, token.label);
  token.role = read_role(row, 3);
  row.read(4, token.created_ms);
  row.read(5, token.expires_ms);
  row.read(6, token.seen_ms);
  return token;
}

accounts::Session read_session(const Row& row) {
  accounts::Session session;
  row.read(0, session.user);
  row.read(1, session.created_ms);
  row.read(2, session.seen_ms);
  return session;
}

accounts::Deed read_deed(const Row& row) {
  accounts::Deed deed;
  row.read(0, deed.seq);
  row.read(1, deed.at_ms);
  row.read(2, deed.caller);
  row.read(3, deed.role);
  row.read(4, deed.peer);
  row.read(5, deed.method);
  row.read(6, deed.path);
  row.read(7, deed.what);
  row.read(8, deed.status);
  return deed;
}

tl::unexpected<Error> no_user(const std::string& name) {
  return fail(Code::not_found, fmt::format("no user '{}'", name));
}

}  // namespace

std::span<const Migration> account_migrations() {
  return embedded;
}

struct Accounts::State {
  explicit State(Database opened) : database(std::move(opened)) {}

  std::mutex mutex;
  Database database;
  std::map<std::string, Statement, std::less<>> statements;  // by their SQL, prepared when first used

  Result<Statement*> statement(std::string_view sql) {
    if (const auto found = statements.find(sql); found != statements.end()) return &found->second;
    auto prepared = database.prepare(sql);
    if (!prepared) return fail(std::move(prepared.error()));
    return &statements.emplace(sql, std::move(*prepared)).first->second;
  }
  template <class... Args>
  Status run(std::string_view sql, const Args&... args) {
    auto prepared = statement(sql);
    if (!prepared) return fail(std::move(prepared.error()));
    return (*prepared)->run(args...);
  }
  template <class Read, class... Args>
  auto list(std::string_view sql, const Read& read, const Args&... args)
      -> Result<std::vector<decltype(read(std::declval<const Row&>()))>> {
    std::vector<decltype(read(std::declval<const Row&>()))> out;
    auto prepared = statement(sql);
    if (!prepared) return fail(std::move(prepared.error()));
    auto status = (*prepared)->each(
        [&](const Row& row) -> Status {
          out.push_back(read(row));
          return {};
        },
        args...);
    if (!status) return fail(std::move(status.error()));
    return out;
  }
  template <class Read, class... Args>
  auto one(std::string_view sql, const Read& read, const Args&... args)
      -> Result<std::optional<decltype(read(std::declval<const Row&>()))>> {
    auto rows = list(sql, read, args...);
    if (!rows) return fail(std::move(rows.error()));
    if (rows->empty()) return std::nullopt;
    return std::move(rows->front());
  }
  Result<std::int64_t> count(std::string_view sql, const std::string& of) {
    auto rows = list(
        sql, [](const Row& row) { return row.integer(0); }, of);
    if (!rows) return fail(std::move(rows.error()));
    return rows->front();
  }
};

Accounts::Accounts(std::unique_ptr<State> state) : state_(std::move(state)) {}
Accounts::~Accounts() = default;

Result<std::unique_ptr<Accounts>> Accounts::open(const std::filesystem::path& path) {
  // Made before SQLite opens it, which gives its log the file's own mode.
  auto file = runtime::open_file(path, O_RDWR | O_CREAT, 0600);
  if (!file) return fail(std::move(file.error()));
  if (::fchmod(file->get(), 0600) != 0)
    return fail(runtime::os_error(errno, fmt::format("cannot protect {}", path.string())));
  auto database = Database::open(path, Access::create);
  if (!database) return fail(std::move(database.error()));
  return prepare(std::move(*database));
}

Result<std::unique_ptr<Accounts>> Accounts::open_in_memory() {
  auto database = Database::open(":memory:", Access::create);
  if (!database) return fail(std::move(database.error()));
  return prepare(std::move(*database));
}

Result<std::unique_ptr<Accounts>> Accounts::prepare(Database database) {
  const auto made_ready = [&]() -> Status {
    if (auto status = check_is_ours(database); !status) return status;
    const auto verdict = database.text("PRAGMA quick_check(1)");
    if (!verdict) return fail(verdict.error());
    if (*verdict != "ok") {
      return fail(Code::invalid,
                  fmt::format("{}: the accounts are damaged ({}): put a copy in the file's place, or move it "
                              "away to begin without users",
                              database.path().string(), *verdict));
    }
    auto status = database.execute(
        fmt::format("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; "
                    "PRAGMA secure_delete = ON; PRAGMA application_id = {}",
                    application_id));
    if (!status) return status;
    if (status = migrate(database, account_migrations()); !status) return status;
    return database.execute("PRAGMA foreign_keys = ON");
  };
  if (auto status = made_ready(); !status) return fail(std::move(status.error()));
  return std::unique_ptr<Accounts>(new Accounts(std::make_unique<State>(std::move(database))));
}

// ---- users -----------------------------------------------------------------------------------------------

Result<std::vector<accounts::User>> Accounts::users() {
  const std::lock_guard lock(state_->mutex);
  return state_->list(fmt::format("SELECT {} FROM user ORDER BY name", user_columns), read_user);
}

Result<std::optional<accounts::User>> Accounts::user(const std::string& name) {
  const std::lock_guard lock(state_->mutex);
  return state_->one(fmt::format("SELECT {} FROM user WHERE name = ?", user_columns), read_user, name);
}

Result<std::string> Accounts::password_hash(const std::string& name) {
  const std::lock_guard lock(state_->mutex);
  auto hash = state_->one(
      "SELECT password FROM user WHERE name = ?", [](const Row& row) { return row.text(0); }, name);
  if (!hash) return fail(std::move(hash.error()));
  return hash->value_or("");
}

Status Accounts::add_user(const accounts::User& user, const std::string& hash) {
  const std::lock_guard lock(state_->mutex);
  return state_->database.transaction([&]() -> Status {
    const auto known = state_->count("SELECT count(*) FROM user WHERE name = ?", user.name);
    if (!known) return fail(known.error());
    if (*known > 0) return fail(Code::conflict, fmt::format("there is a user '{}' already", user.name));
    const auto all = state_->database.integer("SELECT count(*) FROM user");
    if (!all) return fail(all.error());
    if (*all >= accounts::max_users)
      return fail(Code::conflict, fmt::format("there are {} users; remove one first", *all));
    return state_->run(
        "INSERT INTO user (name, role, password, disabled, created_ms, seen_ms) VALUES (?, ?, ?, ?, ?, ?)",
        user.name, accounts::to_string(user.role), hash, user.is_disabled, user.created_ms, user.seen_ms);
  });
}

Status Accounts::save_user(const accounts::User& user) {
  const std::lock_guard lock(state_->mutex);
  return state_->database.transaction([&]() -> Status {
    if (auto saved = state_->run("UPDATE user SET role = ?, disabled = ? WHERE name = ?",
                                 accounts::to_string(user.role), user.is_disabled, user.name);
        !saved) {
      return saved;
    }
    if (state_->database.changes() == 0) return no_user(user.name);
    return user.is_disabled ? state_->run("DELETE FROM session WHERE user = ?", user.name) : Status();
  });
}

Status Accounts::set_password(const std::string& name, const std::string& hash, const std::string& kept) {
  const std::lock_guard lock(state_->mutex);
  return state_->database.transaction([&]() -> Status {
    if (auto saved = state_->run("UPDATE user SET password = ? WHERE name = ?", hash, name); !saved)
      return saved;
    if (state_->database.changes() == 0) return no_user(name);
    return state_->run("DELETE FROM session WHERE user = ? AND key <> ?", name, kept);
  });
}

Status Accounts::remove_user(const std::string& name) {
  const std::lock_guard lock(state_->mutex);
  if (auto removed = state_->run("DELETE FROM user WHERE name = ?", name); !removed) return removed;
  return state_->database.changes() == 0 ? Status(no_user(name)) : Status();
}

// ---- tokens ----------------------------------------------------------------------------------------------

Result<std::vector<accounts::Token>> Accounts::tokens(const std::optional<std::string>& user) {
  const std::lock_guard lock(state_->mutex);
  if (user) {
    return state_->list(
        fmt::format("SELECT {} FROM token WHERE user = ? ORDER BY created_ms DESC, id", token_columns),
        read_token, *user);
  }
  return state_->list(fmt::format("SELECT {} FROM token ORDER BY created_ms DESC, id", token_columns),
                      read_token);
}

Result<std::optional<accounts::Token>> Accounts::token(const std::string& id) {
  const std::lock_guard lock(state_->mutex);
  return state_->one(fmt::format("SELECT {} FROM token WHERE id = ?", token_columns), read_token, id);
}

Result<std::string> Accounts::token_hash(const std::string& id) {
  const std::lock_guard lock(state_->mutex);
  auto hash = state_->one(
      "SELECT hash FROM token WHERE id = ?", [](const Row& row) { return row.text(0); }, id);
  if (!hash) return fail(std::move(hash.error()));
  return hash->value_or("");
}

Status Accounts::add_token(const accounts::Token& token, const std::string& hash) {
  const std::lock_guard lock(state_->mutex);
  return state_->database.transaction([&]() -> Status {
    const auto held = state_->count("SELECT count(*) FROM token WHERE user = ?", token.user);
    if (!held) return fail(held.error());
    if (*held >= accounts::max_tokens) {
      return fail(Code::conflict,
                  fmt::format("{} has {} tokens; remove one that is not used any more", token.user, *held));
    }
    const auto taken = state_->count("SELECT count(*) FROM token WHERE id = ?", token.id);
    if (!taken) return fail(taken.error());
    if (*taken > 0) return fail(Code::conflict, "that token's id is taken; ask again");
    return state_->run(
        "INSERT INTO token (id, user, hash, label, role, created_ms, expires_ms, seen_ms) VALUES (?, ?, ?, "
        "?, "
        "?, ?, ?, ?)",
        token.id, token.user, hash, token.label, accounts::to_string(token.role), token.created_ms,
        token.expires_ms, token.seen_ms);
  });
}

Status Accounts::remove_token(const std::string& id) {
  const std::lock_guard lock(state_->mutex);
  if (auto removed = state_->run("DELETE FROM token WHERE id = ?", id); !removed) return removed;
  return state_->database.changes() == 0 ? Status(fail(Code::not_found, fmt::format("no token '{}'", id)))
                                         : Status();
}

// ---- sessions --------------------------------------------------------------------------------------------

Result<std::optional<accounts::Session>> Accounts::session(const std::string& key) {
  const std::lock_guard lock(state_->mutex);
  return state_->one("SELECT user, created_ms, seen_ms FROM session WHERE key = ?", read_session, key);
}

Status Accounts::add_session(const std::string& key, const accounts::Session& session,
                             std::int64_t idle_since_ms) {
  const std::lock_guard lock(state_->mutex);
  return state_->database.transaction([&]() -> Status {
    if (auto gone = state_->run("DELETE FROM session WHERE seen_ms < ?", idle_since_ms); !gone) return gone;
    auto added = state_->run("INSERT INTO session (key, user, created_ms, seen_ms) VALUES (?, ?, ?, ?)", key,
                             session.user, session.created_ms, session.seen_ms);
    if (!added) return added;
    auto seen = state_->run("UPDATE user SET seen_ms = max(seen_ms, ?) WHERE name = ?", session.seen_ms,
                            session.user);
    if (!seen) return seen;
    return state_->run(
        "DELETE FROM session WHERE key IN (SELECT key FROM session WHERE user = ? AND key <> ? "
        "ORDER BY seen_ms DESC LIMIT -1 OFFSET ?)",
        session.user, key, accounts::max_sessions - 1);
  });
}

Status Accounts::end_session(const std::string& key) {
  const std::lock_guard lock(state_->mutex);
  return state_->run("DELETE FROM session WHERE key = ?", key);
}

Status Accounts::saw(const std::string& user, const std::string& session, const std::string& token,
                     std::int64_t at_ms) {
  const std::lock_guard lock(state_->mutex);
  return state_->database.transaction([&]() -> Status {
    if (auto seen = state_->run("UPDATE user SET seen_ms = max(seen_ms, ?) WHERE name = ?", at_ms, user);
        !seen)
      return seen;
    if (!session.empty())
      return state_->run("UPDATE session SET seen_ms = max(seen_ms, ?) WHERE key = ?", at_ms, session);
    if (!token.empty())
      return state_->run("UPDATE token SET seen_ms = max(seen_ms, ?) WHERE id = ?", at_ms, token);
    return {};
  });
}

// ---- the audit log ---------------------------------------------------------------------------------------

Status Accounts::add_deed(const accounts::Deed& deed) {
  const std::lock_guard lock(state_->mutex);
  return state_->database.transaction([&]() -> Status {
    auto added = state_->run(
        "INSERT INTO deed (at_ms, caller, role, peer, method, path, what, status) VALUES (?, ?, ?, ?, ?, ?, "
        "?, ?)",
        deed.at_ms, deed.caller, deed.role, deed.peer, deed.method, deed.path, deed.what, deed.status);
    if (!added) return added;
    return state_->run("DELETE FROM deed WHERE seq <= (SELECT max(seq) FROM deed) - ?", accounts::max_deeds);
  });
}

Result<std::vector<accounts::Deed>> Accounts::deeds(const accounts::DeedQuery& query) {
  const std::lock_guard lock(state_->mutex);
  const std::int64_t before = query.before == 0 ? INT64_MAX : static_cast<std::int64_t>(query.before);
  if (query.caller) {
    return state_->list(
        fmt::format("SELECT {} FROM deed WHERE caller = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
                    deed_columns),
        read_deed, *query.caller, before, query.limit);
  }
  return state_->list(
      fmt::format("SELECT {} FROM deed WHERE seq < ? ORDER BY seq DESC LIMIT ?", deed_columns), read_deed,
      before, query.limit);
}

}  // namespace kiln::store
