// The accounts as they are kept, and the audit log. The store implements it; the API reads and writes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "accounts/roles.h"
#include "base/result.h"

namespace kiln::accounts {

struct User {
  std::string name;
  Role role = Role::viewer;
  bool is_disabled = false;   // keeps the name, may do nothing
  bool has_password = false;  // without one only tokens of it work
  std::int64_t created_ms = 0;
  std::int64_t seen_ms = 0;  // last request, to the minute; 0 = never
};

// Where this machine is not trusted, one such must be left.
inline bool can_let_others_in(const User& user) {
  return user.role == Role::administrator && !user.is_disabled && user.has_password;
}

// A script's key. Its secret is shown once; what is kept is its SHA-256.
struct Token {
  std::string id;
  std::string user;
  std::string label;         // what it is for, in its maker's words
  Role role = Role::viewer;  // at most its user's at that moment
  std::int64_t created_ms = 0;
  std::int64_t expires_ms = 0;  // 0 = never
  std::int64_t seen_ms = 0;
};

// A browser that logged in; its key is the SHA-256 of the cookie.
struct Session {
  std::string user;
  std::int64_t created_ms = 0;
  std::int64_t seen_ms = 0;
};

// One line of the audit log: who did what.
struct Deed {
  std::uint64_t seq = 0;  // given by the book
  std::int64_t at_ms = 0;
  std::string caller = {};  // a user's name, "local", "anonymous" or a node's id
  std::string role = {};    // as of then; "node" of a node, "" of nobody
  std::string peer = {};    // an address, or "mqtt"
  std::string method = {};  // "POST"; "REQUEST" of one over MQTT
  std::string path = {};    // without its query
  std::string what = {};    // "job 7-k3fqa: {"priority":80}"; no secrets
  int status = 0;
};

struct DeedQuery {
  std::uint64_t before = 0;  // numbers below this one; 0 = from the newest
  std::uint32_t limit = 100;
  std::optional<std::string> caller = {};
};

// Thread-safe. Errors of all: full, io, unavailable (another program holds the file for 5 s).
class Book {
 public:
  virtual ~Book() = default;

  virtual Result<std::vector<User>> users() = 0;                           // by name
  virtual Result<std::optional<User>> user(const std::string& name) = 0;   // nullopt: nobody is called that
  virtual Result<std::string> password_hash(const std::string& name) = 0;  // "": no such user, no password
  virtual Status add_user(const User& user, const std::string& hash) = 0;  // Errors: conflict: name is taken
  // Role and is_disabled become what `user` says. Who is disabled has no session any more.
  virtual Status save_user(const User& user) = 0;  // Errors: not_found
  // Ends the user's sessions but `kept`, a session's key or "".
  virtual Status set_password(const std::string& name, const std::string& hash, const std::string& kept) = 0;
  // With its sessions and tokens. Errors: not_found.
  virtual Status remove_user(const std::string& name) = 0;

  virtual Result<std::vector<Token>> tokens(const std::optional<std::string>& user) = 0;  // newest first
  virtual Result<std::optional<Token>> token(const std::string& id) = 0;
  virtual Result<std::string> token_hash(const std::string& id) = 0;  // "": no such token
  // Errors: conflict: the user has max_tokens of them, or the id is taken.
  virtual Status add_token(const Token& token, const std::string& hash) = 0;
  virtual Status remove_token(const std::string& id) = 0;  // Errors: not_found

  virtual Result<std::optional<Session>> session(const std::string& key) = 0;
  // Of one user the newest max_sessions are kept; sessions that nobody used since `idle_since_ms` go.
  virtual Status add_session(const std::string& key, const Session& session, std::int64_t idle_since_ms) = 0;
  virtual Status end_session(const std::string& key) = 0;

  // Notes that they were seen; which of the two keys is empty does not count.
  virtual Status saw(const std::string& user, const std::string& session, const std::string& token,
                     std::int64_t at_ms) = 0;

  // The newest max_deeds stay.
  virtual Status add_deed(const Deed& deed) = 0;
  virtual Result<std::vector<Deed>> deeds(const DeedQuery& query) = 0;  // newest first
};

inline constexpr std::uint32_t max_users = 1'000;
inline constexpr std::uint32_t max_tokens = 100;     // of one user: scripts, not machines by the thousand
inline constexpr std::uint32_t max_sessions = 20;    // of one user: browsers
inline constexpr std::uint32_t max_deeds = 100'000;  // some 20 MB; months of a busy farm

}  // namespace kiln::accounts
