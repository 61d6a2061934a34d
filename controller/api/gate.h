// Who asks, and whether they may: one table says for every route what is needed, and make_router puts the
// gate in front of every handler.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "accounts/roles.h"
#include "api/api.h"
#include "base/ids.h"
#include "base/result.h"
#include "http/router.h"
#include "scheduler/rows.h"

namespace kiln::api {

struct Caller {
  enum class Kind : std::uint8_t {
    anonymous,  // whoever
    local,  // a program or browser on the controller's own machine: an administrator while that is trusted
    node,   // a render box, by its key
    user,   // somebody with an account, by a cookie or a token
  };
  Kind kind = Kind::anonymous;
  std::string name = std::string(accounts::anonymous_name);
  std::optional<accounts::Role> role = {};  // absent: none
  NodeId node = {};                         // of a node
  std::string session = {};                 // the session's key, of a user who came with a cookie
  std::string token = {};                   // the token's id, of one who came with a token
  // What a change was about, for the audit log, beyond what the path says: a handler fills it in. No secrets.
  std::string what = {};

  [[nodiscard]] bool is(accounts::Role least) const { return role && *role >= least; }
};

// The least that a route asks of people.
enum class Least : std::uint8_t { anyone, viewer, artist, operator_, administrator };
// What nodes may do there.
enum class Nodes : std::uint8_t {
  none,
  any,  // every node
  own,  // the node that the attempt in the path was given to
};
// Whose the thing in the path must be, where the caller is no operator.
enum class Owned : std::uint8_t { no, job, task };
enum class Logged : std::uint8_t {
  no,      // nothing of people's or the farm's changes, or it is done by the thousand and kept elsewhere
  always,  // a line of the audit log for each that was done
};

struct Access {
  http::Method method = http::Method::get;
  std::string_view pattern;  // as the router has it
  Least least = Least::administrator;
  Nodes nodes = Nodes::none;
  Owned owned = Owned::no;
  Logged logged = Logged::always;
};
std::span<const Access> access_table();
const Access* access_of(http::Method method, std::string_view pattern);  // null: no row

// Puts the gate in front of every handler and of the fallback. A route without a row is a bug.
void guard(http::Router& router, Api& api);

// Of a request that came through the gate.
Caller& caller_of(http::Request& request);
// Of an MQTT request by that name: the broker vouches for it, and nobody else is let in there. Errors:
// denied: nobody here is called that, or may do nothing; those of the book.
Result<Caller> caller_of_mqtt(Api& api, const std::string& user);

// Whether the caller could still come in: a stream outlives its request. Failures of the book count as yes.
bool still_stands(Api& api, const Caller& caller);
// Errors: denied, saying whose the job is and who may.
Status check_own(const Caller& caller, const scheduler::JobRow& job);
Status check_role(const Caller& caller, Least least);

// True for a program on the controller's own machine that speaks for itself: no proxy's fields.
bool is_from_this_machine(const http::Request& request);
// True when a browser sent this from a page of ours, as far as browsers say.
bool is_from_our_page(const http::Request& request);
// True when a browser sent this because a page of somebody else's said so.
bool is_from_elsewhere(const http::Request& request);
// The name that the cookie has: __Host- needs TLS.
std::string_view cookie_name(const http::Request& request);

// A line of the audit log; a book that cannot take it is a line of the program's log.
void log_deed(Api& api, const Caller& caller, std::string_view peer, std::string_view method,
              std::string_view path, const std::string& what, int status);
http::Response too_often(std::int64_t wait_ms);

}  // namespace kiln::api
