// Who belongs to the farm: boxes ask, people (or a token) decide, credentials go to the right key only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "enrollment/rows.h"
#include "payloads/enrollment.h"

namespace kiln::enrollment {

struct Policy {
  bool admits_loopback = true;  // a box on this very machine is let in
  std::size_t max_pending = 100;
  std::int64_t pending_ms =
      86'400'000;  // unanswered for a day: forgotten, it asks again if it is still there
  std::int64_t nonce_ms = 60'000;
  std::size_t max_nonces = 1'024;        // beyond, the oldest is forgotten
  std::uint32_t asks_per_minute = 30;    // of one address
  std::int64_t old_secret_ms = 300'000;  // uploads under way end with the secret that they began with
};

// What the rest of the controller does for it. Thread-safe.
struct Ports {
  std::function<std::int64_t()> now_ms;  // Unix time
  // The broker knows the node under that password from now on. An error refuses the request, and it is asked
  // again.
  std::function<Status(const NodeId&, const std::string& password)> admit;
  // The broker knows it no longer, and its sessions end.
  std::function<void(const NodeId&)> expel;
  // It is no node of this farm any more: its work goes elsewhere, its topics are cleared.
  std::function<void(const NodeId&)> forget;
  // Something that people watch has changed.
  std::function<void()> on_change;
};

// What every answer to an approved box says.
struct FarmFacts {
  std::string farm;
  std::string version;
  payloads::EnrollBroker broker;      // username, password and certificate are filled in
  bool has_accounts = true;           // the broker knows each node by its secret
  std::vector<std::string> reserved;  // no box may have such an id: what else the broker knows by that name
  std::function<std::string(const std::string& public_key, const NodeId&)> certificate;  // may be empty
};

// A password as Mosquitto's dynamic security keeps it.
struct BrokerSecret {
  NodeId node;
  std::string salt;  // raw
  std::string hash;  // raw
};
inline constexpr int broker_iterations = 101;  // what Mosquitto 2.0 itself writes; the secret has 256 bits

// Thread-safe.
class Enrollment {
 public:
  // Errors: those of reading the keyring.
  static Result<std::unique_ptr<Enrollment>> open(Keyring& keyring, FarmFacts facts, Ports ports,
                                                  Policy policy = {});

  // For GET /api/v1/enroll: to be signed within a minute.
  std::string nonce();
  // One box's question. body: as it came; signature: base64. Errors: invalid (says what would be right),
  // denied (signature, nonce, rejected, revoked), conflict (the id is another key's), unavailable (too many
  // wait, or ask too often).
  Result<payloads::EnrollAnswer> ask(std::string_view body, std::string_view signature,
                                     const std::string& peer, bool is_loopback);

  // Errors of what follows: not_found; conflict when the state forbids it; those of the keyring.
  Status approve(const NodeId& node, const std::string& by);
  Status reject(const NodeId& node, const std::string& by);
  Status revoke(const NodeId& node, const std::string& by);
  // The secret is void now (uploads under way excepted): the box asks for another one by itself.
  Status rotate(const NodeId& node);
  // A box that is not approved, forgotten: it may ask again.
  Status remove(const NodeId& node);
  [[nodiscard]] std::uint32_t pending() const;
  [[nodiscard]] std::vector<NodeKey> keys() const;  // pending first, then by id

  struct NewToken {
    JoinToken token;
    std::string secret;  // shown once
  };
  // Errors: invalid for 0 or over 10,000 uses, an end in the past, a label that is no line.
  Result<NewToken> make_token(const std::string& label, std::int64_t expires_ms, std::uint32_t uses,
                              const std::string& by);
  Status remove_token(const std::string& id);
  [[nodiscard]] std::vector<JoinToken> tokens() const;  // those that still work

  Result<KnownFingerprint> add_known(const std::string& text);
  Status remove_known(const std::string& text);
  [[nodiscard]] std::vector<KnownFingerprint> known() const;

  // True when that is the node's secret and it belongs to the farm.
  [[nodiscard]] bool is_node(const NodeId& node, std::string_view secret) const;
  // For a broker that starts.
  [[nodiscard]] std::vector<BrokerSecret> broker_secrets() const;

 private:
  Enrollment(Keyring& keyring, FarmFacts facts, Ports ports, Policy policy)
      : keyring_(keyring), facts_(std::move(facts)), ports_(std::move(ports)), policy_(policy) {}

  Status check_rate(const std::string& peer, std::int64_t now);
  Status use_nonce(const std::string& nonce, std::int64_t now);
  void drop_stale(std::int64_t now);
  Result<NodeKey*> find_or_add(const payloads::EnrollRequest& request, const std::string& public_key,
                               const std::string& peer, bool is_loopback, std::int64_t now);
  Status decide_by_itself(NodeKey& key, const payloads::EnrollRequest& request, bool is_loopback,
                          std::int64_t now);
  Result<payloads::EnrollAnswer> judge(const payloads::EnrollRequest& asked, const std::string& public_key,
                                       const std::string& peer, bool is_loopback, std::int64_t now);
  Result<payloads::EnrollAnswer> hand_over(NodeKey& key, std::int64_t now);
  Result<NodeKey*> find(const NodeId& node);
  Status set_state(NodeKey& key, KeyState state, const std::string& by);
  void take_secret(NodeKey& key, std::int64_t now);

  Keyring& keyring_;
  const FarmFacts facts_;
  const Ports ports_;
  const Policy policy_;
  mutable std::mutex mutex_;  // of all that follows
  std::map<NodeId, NodeKey> keys_;
  std::map<std::string, JoinToken> tokens_;  // by hash
  std::vector<KnownFingerprint> known_;
  std::map<std::string, std::int64_t> nonces_;  // until when
  struct Asked {
    std::int64_t minute = 0;
    std::uint32_t count = 0;
  };
  std::map<std::string, Asked> asked_;  // by peer
  struct OldSecret {
    std::string hash;
    std::int64_t until_ms = 0;
  };
  std::map<NodeId, OldSecret> old_;
};

}  // namespace kiln::enrollment
