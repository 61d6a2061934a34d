// The HTTP API: everything that people, the page and nodes ask of the controller.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accounts/book.h"
#include "accounts/limits.h"
#include "accounts/passwords.h"
#include "api/assets.h"
#include "api/broadcaster.h"
#include "api/events.h"
#include "api/farm.h"
#include "api/storage.h"
#include "base/time.h"
#include "compiler/job_types.h"
#include "enrollment/enrollment.h"
#include "http/router.h"
#include "http/server.h"

namespace kiln::api {

struct Settings {
  std::string farm = "kiln";  // the farm's name, for people
  std::string mqtt_host;      // where nodes find the broker; "" = the host that they reach us by
  std::uint16_t mqtt_port = 8783;
  bool mqtt_is_tls = false;
  std::string ca_certificate = {};  // PEM, for whoever wants to trust us
  std::string ca_fingerprint = {};
  std::string viewer_password = {};  // of the embedded broker's viewer; "" = there is none
  std::string data_dir;
  double soft_c = 84;  // of GPUs, where a node has none of its own
  double hard_c = 93;
  std::uint32_t attempt_floor = 0;  // attempts up to this may have been made that no row tells of (a restore)
  bool trust_loopback = true;       // who asks from this machine without a name is an administrator
  std::uint64_t max_file_bytes = 64ULL << 30U;  // of one blob or one result: an upload beyond is a mistake
};

// All of it outlives the Api.
struct Api {
  Farm& farm;
  Reader& reader;
  Live& live;
  Storage& storage;
  const Assets& assets;
  accounts::Book& book;
  EventRing& events;
  Broadcaster& broadcaster;
  const http::Counters& counters;
  Settings settings;
  std::function<std::uint32_t()> random;  // thread-safe; for job ids
  std::function<Instant()> now;           // thread-safe
  Instant started;                        // for the uptime
  std::atomic<int> large_bodies = 0;      // being read and parsed now
  // The studio's own job types as they lie on the disk now; none: there is no folder of them. Thread-safe.
  std::function<std::vector<compiler::JobType>()> own_types = {};
  enrollment::Enrollment* enrollment = nullptr;  // null: nobody can join (tests)
  // The node that has that key (`kilnnode_<id>_<secret>`); nullopt: none. Thread-safe. Not set: no node can
  // say who it is, and only local callers do what nodes do.
  std::function<std::optional<NodeId>(std::string_view id, std::string_view secret)> node_of = {};
  // A token that lives until it is removed, with all that its user may do, works over MQTT as well.
  std::function<void(const accounts::Token&, const std::string& secret)> on_token = {};
  std::function<void(const std::string& token)> on_token_gone = {};
  accounts::Hasher hasher = {};
  // Of an address up to 15 minutes; of a name 30 s at most, so that nobody keeps somebody else out.
  accounts::Backoff login_limit_of_peer{{}};
  accounts::Backoff login_limit_of_name{{.longest_ms = 30'000}};
  accounts::Bucket anonymous_limit{{}};  // of an address: what asks without saying who it is, or wrongly
};

// Every route, ready for http::Server. `api` outlives the router.
http::Router make_router(Api& api);

}  // namespace kiln::api
