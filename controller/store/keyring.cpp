#include "store/keyring.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <array>

#include "identity/bytes.h"
#include "runtime/files.h"
#include "store/migrations.h"

namespace kiln::store {

namespace {

// Bytes are base64 here: SQLite's own tool shows them.
constexpr std::array steps{Migration{1, "keyring", R"sql(
  CREATE TABLE node_key (
    id TEXT PRIMARY KEY, public_key TEXT NOT NULL UNIQUE, name TEXT NOT NULL, hardware TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'rejected', 'revoked')), peer TEXT NOT NULL,
    first_seen_ms INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL, decided_by TEXT NOT NULL, remark TEXT NOT NULL,
    secret_hash TEXT NOT NULL, broker_salt TEXT NOT NULL, broker_hash TEXT NOT NULL) STRICT;
  CREATE TABLE join_token (
    id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, label TEXT NOT NULL, expires_ms INTEGER NOT NULL,
    uses_left INTEGER NOT NULL, made_by TEXT NOT NULL, made_ms INTEGER NOT NULL) STRICT;
  CREATE TABLE broker_user (token TEXT PRIMARY KEY, user TEXT NOT NULL, salt TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
  CREATE TABLE known_fingerprint (fingerprint TEXT PRIMARY KEY) STRICT;
)sql"}};

std::string bytes_at(const Row& row, int column) {
  return identity::from_base64(row.text(column)).value_or("");
}

Result<enrollment::NodeKey> read_key(const Row& row) {
  enrollment::NodeKey key;
  auto id = NodeId::parse(row.text(0));
  const auto state = enrollment::parse_key_state(row.text(4));
  if (!id) return fail(std::move(id.error()));
  if (!state) return fail(Code::invalid, fmt::format("node_key {}: no such state", id->str()));
  key.id = std::move(*id);
  key.public_key = bytes_at(row, 1);
  row.read(2, key.name);
  row.read(3, key.hardware);
  key.state = *state;
  row.read(5, key.peer);
  row.read(6, key.first_seen_ms);
  row.read(7, key.last_seen_ms);
  row.read(8, key.decided_by);
  row.read(9, key.remark);
  key.secret_hash = bytes_at(row, 10);
  key.broker_salt = bytes_at(row, 11);
  key.broker_hash = bytes_at(row, 12);
  return key;
}

}  // namespace

Result<std::unique_ptr<Keyring>> Keyring::open(const std::filesystem::path& file) {
  // Before SQLite makes it, so that it never lies open.
  if (auto made = runtime::open_file(file, O_RDWR | O_CREAT, 0600); !made)
    return fail(std::move(made.error()));
  auto database = Database::open(file, Access::create);
  if (!database) return fail(std::move(database.error()));
  if (auto ours = check_is_ours(*database); !ours) return fail(std::move(ours.error()));
  const auto pragmas = fmt::format(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA application_id = {}", application_id);
  if (auto set = database->execute(pragmas); !set) return fail(std::move(set.error()));
  if (auto migrated = migrate(*database, steps); !migrated) return fail(std::move(migrated.error()));
  return std::unique_ptr<Keyring>(new Keyring(std::move(*database)));
}

template <class... Args>
Status Keyring::run(std::string_view sql, const Args&... args) {
  auto statement = database_.prepare(sql);
  if (!statement) return fail(std::move(statement.error()));
  return statement->run(args...);
}

Result<enrollment::Ring> Keyring::load() {
  enrollment::Ring ring;
  auto keys = database_.prepare(
      "SELECT id, public_key, name, hardware, state, peer, first_seen_ms, last_seen_ms, decided_by, remark, "
      "secret_hash, "
      "broker_salt, broker_hash FROM node_key ORDER BY id");
  if (!keys) return fail(std::move(keys.error()));
  auto read = keys->each([&](const Row& row) -> Status {
    auto key = read_key(row);
    if (!key) return fail(std::move(key.error()));
    ring.keys.push_back(std::move(*key));
    return {};
  });
  if (!read) return fail(std::move(read.error()));
  auto tokens =
      database_.prepare("SELECT id, hash, label, expires_ms, uses_left, made_by, made_ms FROM join_token");
  if (!tokens) return fail(std::move(tokens.error()));
  read = tokens->each([&](const Row& row) -> Status {
    enrollment::JoinToken token;
    row.read(0, token.id);
    token.hash = bytes_at(row, 1);
    row.read(2, token.label);
    row.read(3, token.expires_ms);
    row.read(4, token.uses_left);
    row.read(5, token.made_by);
    row.read(6, token.made_ms);
    ring.tokens.push_back(std::move(token));
    return {};
  });
  if (!read) return fail(std::move(read.error()));
  auto known = database_.prepare("SELECT fingerprint FROM known_fingerprint ORDER BY fingerprint");
  if (!known) return fail(std::move(known.error()));
  read = known->each([&](const Row& row) -> Status {
    ring.known.push_back(row.text(0));
    return {};
  });
  if (!read) return fail(std::move(read.error()));
  return ring;
}

Status Keyring::save(const enrollment::NodeKey& key) {
  return run(
      "INSERT INTO node_key (id, public_key, name, hardware, state, peer, first_seen_ms, last_seen_ms, "
      "decided_by, remark, "
      "secret_hash, broker_salt, broker_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT (id) DO UPDATE SET name = excluded.name, hardware = excluded.hardware, state = "
      "excluded.state, "
      "peer = excluded.peer, last_seen_ms = excluded.last_seen_ms, decided_by = excluded.decided_by, "
      "remark = excluded.remark, secret_hash = excluded.secret_hash, broker_salt = excluded.broker_salt, "
      "broker_hash = excluded.broker_hash",
      key.id.str(), identity::to_base64(key.public_key), key.name, key.hardware, to_string(key.state),
      key.peer, key.first_seen_ms, key.last_seen_ms, key.decided_by, key.remark,
      identity::to_base64(key.secret_hash), identity::to_base64(key.broker_salt),
      identity::to_base64(key.broker_hash));
}

Status Keyring::erase(const NodeId& node) {
  return run("DELETE FROM node_key WHERE id = ?", node.str());
}

Status Keyring::save(const enrollment::JoinToken& token) {
  return run(
      "INSERT INTO join_token (id, hash, label, expires_ms, uses_left, made_by, made_ms) VALUES (?, ?, ?, ?, "
      "?, ?, ?) "
      "ON CONFLICT (id) DO UPDATE SET uses_left = excluded.uses_left",
      token.id, identity::to_base64(token.hash), token.label, token.expires_ms, token.uses_left,
      token.made_by, token.made_ms);
}

Status Keyring::erase_token(const std::string& id) {
  return run("DELETE FROM join_token WHERE id = ?", id);
}

Status Keyring::save_known(const enrollment::KnownFingerprint& fingerprint) {
  return run("INSERT INTO known_fingerprint (fingerprint) VALUES (?) ON CONFLICT DO NOTHING", fingerprint);
}

Status Keyring::erase_known(const enrollment::KnownFingerprint& fingerprint) {
  return run("DELETE FROM known_fingerprint WHERE fingerprint = ?", fingerprint);
}

Result<std::vector<enrollment::BrokerUser>> Keyring::broker_users() {
  auto statement = database_.prepare("SELECT token, user, salt, hash FROM broker_user ORDER BY token");
  if (!statement) return fail(std::move(statement.error()));
  std::vector<enrollment::BrokerUser> all;
  auto read = statement->each([&](const Row& row) -> Status {
    all.push_back({row.text(0), row.text(1), bytes_at(row, 2), bytes_at(row, 3)});
    return {};
  });
  if (!read) return fail(std::move(read.error()));
  return all;
}

Status Keyring::save(const enrollment::BrokerUser& user) {
  return run("INSERT OR REPLACE INTO broker_user (token, user, salt, hash) VALUES (?, ?, ?, ?)", user.token,
             user.user, identity::to_base64(user.salt), identity::to_base64(user.hash));
}

Status Keyring::erase_broker_user(const std::string& token) {
  return run("DELETE FROM broker_user WHERE token = ?", token);
}

}  // namespace kiln::store
