// What the farm knows of boxes' identities, and where it is kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace kiln::enrollment {

enum class KeyState : std::uint8_t {
  pending,   // asked; nobody has said yes
  approved,  // belongs to the farm
  rejected,  // may not join; asks in vain
  revoked,   // belonged to the farm
};
std::string_view to_string(KeyState state);
std::optional<KeyState> parse_key_state(std::string_view text);

struct NodeKey {
  NodeId id;
  std::string public_key;  // DER
  std::string name;        // for people
  std::string hardware;    // its board, as it says; "" = nothing
  KeyState state = KeyState::pending;
  std::string peer;  // the address that it last asked from
  std::int64_t first_seen_ms = 0;
  std::int64_t last_seen_ms = 0;
  std::string decided_by;  // a user, "join token x7f3…", "known fingerprint", "this machine"
  std::string remark;      // what a person should know before saying yes
  // Of the newest secret: its SHA-256 for us, and what Mosquitto keeps of it. "" = none was handed out.
  std::string secret_hash;
  std::string broker_salt;
  std::string broker_hash;
};

struct JoinToken {
  std::string id;    // for people; 8 letters
  std::string hash;  // SHA-256 of the token
  std::string label;
  std::int64_t expires_ms = 0;
  std::uint32_t uses_left = 0;
  std::string made_by;
  std::int64_t made_ms = 0;
};

// A script token's account on the embedded broker: its holder asks over MQTT as `user`.
struct BrokerUser {
  std::string token;  // the account's name
  std::string user;
  std::string salt, hash;  // as Mosquitto keeps a password
};

// Fingerprints that get in by themselves, once.
using KnownFingerprint = std::string;

struct Ring {
  std::vector<NodeKey> keys;
  std::vector<JoinToken> tokens;
  std::vector<KnownFingerprint> known;
};

// On disk when a call returns. Called by one thread at a time.
class Keyring {
 public:
  virtual ~Keyring() = default;
  virtual Result<Ring> load() = 0;
  virtual Status save(const NodeKey& key) = 0;
  virtual Status erase(const NodeId& node) = 0;
  virtual Status save(const JoinToken& token) = 0;
  virtual Status erase_token(const std::string& id) = 0;
  virtual Status save_known(const KnownFingerprint& fingerprint) = 0;
  virtual Status erase_known(const KnownFingerprint& fingerprint) = 0;
};

}  // namespace kiln::enrollment
