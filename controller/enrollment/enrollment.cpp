#include "enrollment/enrollment.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "identity/bytes.h"
#include "identity/key.h"

namespace kiln::enrollment {

namespace {

constexpr std::string_view token_prefix = "kiln-join-";
constexpr std::uint32_t max_uses = 10'000;
constexpr std::size_t max_label_bytes = 64;
constexpr std::size_t salt_bytes = 12;    // as Mosquitto's own
constexpr std::size_t max_peers = 4'096;  // whose asking is counted
constexpr std::size_t max_known = 10'000;
constexpr std::size_t token_id_letters = 8;
constexpr std::int64_t minute_ms = 60'000;

std::string describe(const NodeKey& key) {
  return fmt::format("{} ({})", key.id.str(), identity::fingerprint_of_key(key.public_key));
}

}  // namespace

Result<std::unique_ptr<Enrollment>> Enrollment::open(Keyring& keyring, FarmFacts facts, Ports ports,
                                                     Policy policy) {
  auto ring = keyring.load();
  if (!ring) return fail(std::move(ring.error()));
  std::unique_ptr<Enrollment> made(new Enrollment(keyring, std::move(facts), std::move(ports), policy));
  for (auto& key : ring->keys) {
    const NodeId id = key.id;
    made->keys_.emplace(id, std::move(key));
  }
  for (auto& token : ring->tokens) {
    const std::string hash = token.hash;
    made->tokens_.emplace(hash, std::move(token));
  }
  made->known_ = std::move(ring->known);
  return made;
}

std::string Enrollment::nonce() {
  const auto now = ports_.now_ms();
  const std::lock_guard lock(mutex_);
  std::erase_if(nonces_, [now](const auto& one) { return one.second < now; });
  if (nonces_.size() >= policy_.max_nonces) {
    nonces_.erase(std::min_element(nonces_.begin(), nonces_.end(),
                                   [](const auto& a, const auto& b) { return a.second < b.second; }));
  }
  auto nonce = identity::random_secret();
  nonces_[nonce] = now + policy_.nonce_ms;
  return nonce;
}

Result<payloads::EnrollAnswer> Enrollment::ask(std::string_view body, std::string_view signature,
                                               const std::string& peer, bool is_loopback) {
  const auto now = ports_.now_ms();
  {
    const std::lock_guard lock(mutex_);
    if (auto may = check_rate(peer, now); !may) return fail(std::move(may.error()));
  }
  const auto request = payloads::decode_enroll_request(body);
  if (!request) return fail(request.error());
  const auto public_key = identity::from_base64(request->public_key);
  if (!public_key || !identity::is_public_key(*public_key)) {
    return fail(Code::invalid,
                "enrolment.public_key: the base64 of a P-256 key's DER SubjectPublicKeyInfo is expected");
  }
  const auto signed_by = identity::from_base64(signature);
  if (!signed_by || !identity::verify(*public_key, body, *signed_by)) {
    return fail(Code::denied,
                fmt::format("the field {} must hold the base64 of the key's own ECDSA signature (SHA-256) "
                            "over the body",
                            payloads::signature_field));
  }
  if (std::find(facts_.reserved.begin(), facts_.reserved.end(), request->id.str()) != facts_.reserved.end()) {
    return fail(Code::invalid, fmt::format("enrolment.id: '{}' is not for boxes; leave --id out, it follows "
                                           "from the key",
                                           request->id.str()));
  }
  auto answer = judge(*request, *public_key, peer, is_loopback, now);
  if (!answer || answer->secret.empty() || !facts_.has_accounts) return answer;
  // Outside the lock: the broker may take its time.
  if (auto admitted = ports_.admit(request->id, answer->secret); !admitted)
    return fail(std::move(admitted.error()));
  return answer;
}

Result<payloads::EnrollAnswer> Enrollment::judge(const payloads::EnrollRequest& asked,
                                                 const std::string& public_key, const std::string& peer,
                                                 bool is_loopback, std::int64_t now) {
  const std::lock_guard lock(mutex_);
  if (auto fresh = use_nonce(asked.nonce, now); !fresh) return fail(std::move(fresh.error()));
  drop_stale(now);
  auto found = find_or_add(asked, public_key, peer, is_loopback, now);
  if (!found) return fail(std::move(found.error()));
  NodeKey& key = **found;
  if (auto decided = decide_by_itself(key, asked, is_loopback, now); !decided)
    return fail(std::move(decided.error()));
  switch (key.state) {
    case KeyState::approved:
      return hand_over(key, now);
    case KeyState::pending:
      return payloads::EnrollAnswer{.state = payloads::EnrollState::pending,
                                    .farm = facts_.farm,
                                    .version = facts_.version,
                                    .message = fmt::format("waiting for somebody to approve {}{}",
                                                           identity::fingerprint_of_key(key.public_key),
                                                           key.remark.empty() ? "" : ": " + key.remark)};
    case KeyState::rejected:
    case KeyState::revoked:
      break;
  }
  return fail(Code::denied, fmt::format("{} was {} by {}: `kiln node approve {}` lets it in", describe(key),
                                        to_string(key.state), key.decided_by, key.id.str()));
}

Status Enrollment::check_rate(const std::string& peer, std::int64_t now) {
  const auto minute = now / minute_ms;
  if (asked_.size() >= max_peers)
    std::erase_if(asked_, [minute](const auto& one) { return one.second.minute != minute; });
  if (asked_.size() >= max_peers) asked_.clear();
  auto& asked = asked_[peer];
  if (asked.minute != minute) asked = {minute, 0};
  if (++asked.count <= policy_.asks_per_minute) return {};
  return fail(Code::unavailable,
              fmt::format("{} asks more than {} times a minute: wait", peer, policy_.asks_per_minute));
}

Status Enrollment::use_nonce(const std::string& nonce, std::int64_t now) {
  const auto used = nonces_.extract(nonce);
  if (!used.empty() && used.mapped() >= now) return {};
  return fail(Code::denied,
              "enrolment.nonce: not of this controller, used, or older than a minute; GET /api/v1/enroll "
              "gives one");
}

void Enrollment::drop_stale(std::int64_t now) {
  for (auto key = keys_.begin(); key != keys_.end();) {
    const bool is_stale =
        key->second.state == KeyState::pending && key->second.last_seen_ms + policy_.pending_ms < now;
    if (is_stale && keyring_.erase(key->first)) {
      key = keys_.erase(key);
    } else {
      ++key;
    }
  }
}

Result<NodeKey*> Enrollment::find_or_add(const payloads::EnrollRequest& request,
                                         const std::string& public_key, const std::string& peer,
                                         bool is_loopback, std::int64_t now) {
  const auto same_key = std::find_if(keys_.begin(), keys_.end(),
                                     [&](const auto& one) { return one.second.public_key == public_key; });
  if (same_key != keys_.end() && same_key->first != request.id) {
    return fail(Code::conflict,
                fmt::format("this key is known as {}: a box keeps its id; remove the old one with "
                            "`kiln node forget {}` first",
                            same_key->first.str(), same_key->first.str()));
  }
  if (const auto same_id = keys_.find(request.id); same_id != keys_.end() && same_key == keys_.end()) {
    auto& owner = same_id->second;
    const auto remark = fmt::format("another key ({}) asked for this id from {}",
                                    identity::fingerprint_of_key(public_key), peer);
    if (owner.remark != remark) {
      owner.remark = remark;
      if (auto saved = keyring_.save(owner); !saved) return fail(std::move(saved.error()));
      ports_.on_change();
    }
    return fail(Code::conflict,
                fmt::format("the id {} belongs to another key: give this box an id of its own, or remove "
                            "the old one with `kiln node revoke {}` and `kiln node forget {}`",
                            request.id.str(), request.id.str(), request.id.str()));
  }
  const bool is_new = same_key == keys_.end();
  if (is_new) {
    const auto waiting = std::count_if(keys_.begin(), keys_.end(), [](const auto& one) {
      return one.second.state == KeyState::pending || one.second.state == KeyState::rejected;
    });
    if (static_cast<std::size_t>(waiting) >= policy_.max_pending) {
      return fail(Code::unavailable,
                  fmt::format("{} boxes wait for an answer: approve, reject or forget some first", waiting));
    }
  }
  NodeKey key = is_new ? NodeKey{} : same_key->second;
  if (is_new) {
    key.id = request.id;
    key.public_key = public_key;
    key.first_seen_ms = now;
    const auto twin = std::find_if(keys_.begin(), keys_.end(), [&](const auto& one) {
      return !request.hardware.empty() && one.second.hardware == request.hardware;
    });
    // Several nodes on this very machine are somebody's wish.
    if (twin != keys_.end() && !(is_loopback && policy_.admits_loopback)) {
      key.remark = fmt::format("the same hardware as {}, with another key: reinstalled, or a copy?",
                               describe(twin->second));
    }
  }
  key.name = request.name;
  key.hardware = request.hardware;
  key.peer = peer;
  key.last_seen_ms = now;
  if (auto saved = keyring_.save(key); !saved) return fail(std::move(saved.error()));
  auto& stored = keys_[key.id] = std::move(key);
  if (is_new) ports_.on_change();
  return &stored;
}

// A box that is odd in any way waits for a person.
Status Enrollment::decide_by_itself(NodeKey& key, const payloads::EnrollRequest& request, bool is_loopback,
                                    std::int64_t now) {
  if (key.state != KeyState::pending || !key.remark.empty()) return {};
  const auto known = std::find(known_.begin(), known_.end(), identity::fingerprint_of_key(key.public_key));
  if (known != known_.end()) {
    if (auto used = keyring_.erase_known(*known); !used) return used;
    known_.erase(known);
    return set_state(key, KeyState::approved, "known fingerprint");
  }
  const auto token =
      request.join_token.empty() ? tokens_.end() : tokens_.find(identity::sha256(request.join_token));
  if (token != tokens_.end() && token->second.expires_ms >= now && token->second.uses_left > 0) {
    auto used = token->second;
    --used.uses_left;
    // First the use, then the box: a crash between the two wastes one use, and lets nobody in for free.
    if (auto saved = used.uses_left > 0 ? keyring_.save(used) : keyring_.erase_token(used.id); !saved)
      return saved;
    const auto by = fmt::format("join token {} ({})", used.id, used.label);
    if (used.uses_left > 0) {
      token->second = used;
    } else {
      tokens_.erase(token);
    }
    return set_state(key, KeyState::approved, by);
  }
  if (is_loopback && policy_.admits_loopback) return set_state(key, KeyState::approved, "this machine");
  if (!request.join_token.empty()) {
    // Not stored: a box whose token is put right gets in.
    return fail(Code::denied,
                "the join token is unknown, used up or expired: `kiln node token` makes one; or approve "
                "the box by hand (it asks without a token then)");
  }
  return {};
}

void Enrollment::take_secret(NodeKey& key, std::int64_t now) {
  if (!key.secret_hash.empty()) old_[key.id] = {key.secret_hash, now + policy_.old_secret_ms};
  key.secret_hash.clear();
  key.broker_salt.clear();
  key.broker_hash.clear();
}

Result<payloads::EnrollAnswer> Enrollment::hand_over(NodeKey& key, std::int64_t now) {
  payloads::EnrollAnswer answer;
  answer.state = payloads::EnrollState::approved;
  answer.farm = facts_.farm;
  answer.version = facts_.version;
  answer.secret = identity::random_secret();
  answer.broker = facts_.broker;
  if (facts_.has_accounts) {
    answer.broker.username = key.id.str();
    answer.broker.password = answer.secret;
  }
  if (facts_.certificate) answer.broker.certificate = facts_.certificate(key.public_key, key.id);
  NodeKey next = key;
  take_secret(next, now);
  next.secret_hash = identity::sha256(answer.secret);
  next.broker_salt = identity::random_bytes(salt_bytes);
  next.broker_hash = identity::pbkdf2_sha512(answer.secret, next.broker_salt, broker_iterations);
  if (auto saved = keyring_.save(next); !saved) return fail(std::move(saved.error()));
  key = std::move(next);
  return answer;
}

Result<NodeKey*> Enrollment::find(const NodeId& node) {
  const auto found = keys_.find(node);
  if (found == keys_.end()) {
    return fail(
        Code::not_found,
        fmt::format("no box {} has asked to join; `kiln node keys` lists those that have", node.str()));
  }
  return &found->second;
}

Status Enrollment::set_state(NodeKey& key, KeyState state, const std::string& by) {
  NodeKey next = key;
  next.state = state;
  next.decided_by = by;
  if (state == KeyState::approved) next.remark.clear();
  if (state == KeyState::revoked) {
    next.secret_hash.clear();
    next.broker_salt.clear();
    next.broker_hash.clear();
  }
  if (auto saved = keyring_.save(next); !saved) return saved;
  key = std::move(next);
  ports_.on_change();
  return {};
}

Status Enrollment::approve(const NodeId& node, const std::string& by) {
  const std::lock_guard lock(mutex_);
  auto key = find(node);
  if (!key) return fail(std::move(key.error()));
  if ((*key)->state == KeyState::approved) return {};
  return set_state(**key, KeyState::approved, by);
}

Status Enrollment::reject(const NodeId& node, const std::string& by) {
  const std::lock_guard lock(mutex_);
  auto key = find(node);
  if (!key) return fail(std::move(key.error()));
  if ((*key)->state == KeyState::approved) {
    return fail(Code::conflict, fmt::format("{} belongs to the farm: revoke it instead", node.str()));
  }
  return set_state(**key, KeyState::rejected, by);
}

Status Enrollment::revoke(const NodeId& node, const std::string& by) {
  {
    const std::lock_guard lock(mutex_);
    auto key = find(node);
    if (!key) return fail(std::move(key.error()));
    if ((*key)->state != KeyState::approved) {
      return fail(Code::conflict,
                  fmt::format("{} is {}: there is nothing to revoke", node.str(), to_string((*key)->state)));
    }
    old_.erase(node);
    if (auto set = set_state(**key, KeyState::revoked, by); !set) return set;
  }
  ports_.expel(node);
  ports_.forget(node);
  return {};
}

Status Enrollment::rotate(const NodeId& node) {
  {
    const std::lock_guard lock(mutex_);
    auto key = find(node);
    if (!key) return fail(std::move(key.error()));
    if ((*key)->state != KeyState::approved) {
      return fail(Code::conflict,
                  fmt::format("{} is {}: it has no secret", node.str(), to_string((*key)->state)));
    }
    NodeKey next = **key;
    take_secret(next, ports_.now_ms());
    if (auto saved = keyring_.save(next); !saved) return saved;
    **key = std::move(next);
  }
  ports_.expel(node);
  return {};
}

Status Enrollment::remove(const NodeId& node) {
  const std::lock_guard lock(mutex_);
  auto key = find(node);
  if (!key) return fail(std::move(key.error()));
  if ((*key)->state == KeyState::approved) {
    return fail(Code::conflict, fmt::format("{} belongs to the farm: revoke it first", node.str()));
  }
  if (auto erased = keyring_.erase(node); !erased) return erased;
  keys_.erase(node);
  ports_.on_change();
  return {};
}

std::uint32_t Enrollment::pending() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::uint32_t>(std::count_if(
      keys_.begin(), keys_.end(), [](const auto& one) { return one.second.state == KeyState::pending; }));
}

std::vector<NodeKey> Enrollment::keys() const {
  const std::lock_guard lock(mutex_);
  std::vector<NodeKey> all;
  for (const auto& [id, key] : keys_) all.push_back(key);
  std::stable_partition(all.begin(), all.end(),
                        [](const NodeKey& key) { return key.state == KeyState::pending; });
  return all;
}

Result<Enrollment::NewToken> Enrollment::make_token(const std::string& label, std::int64_t expires_ms,
                                                    std::uint32_t uses, const std::string& by) {
  const auto now = ports_.now_ms();
  if (uses == 0 || uses > max_uses)
    return fail(Code::invalid, fmt::format("uses: 1 to {} boxes are expected, not {}", max_uses, uses));
  if (expires_ms <= now) return fail(Code::invalid, "expires_ms: a moment in the future is expected");
  if (label.size() > max_label_bytes || !is_one_line(label))
    return fail(Code::invalid,
                fmt::format("label: one line of at most {} bytes is expected", max_label_bytes));
  NewToken made;
  made.secret = std::string(token_prefix) + identity::random_secret();
  made.token = {.id = {},
                .hash = identity::sha256(made.secret),
                .label = label,
                .expires_ms = expires_ms,
                .uses_left = uses,
                .made_by = by,
                .made_ms = now};
  made.token.id = identity::to_base32(made.token.hash).substr(0, token_id_letters);
  const std::lock_guard lock(mutex_);
  if (auto saved = keyring_.save(made.token); !saved) return fail(std::move(saved.error()));
  tokens_[made.token.hash] = made.token;
  return made;
}

Status Enrollment::remove_token(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(tokens_.begin(), tokens_.end(), [&](const auto& one) { return one.second.id == id; });
  if (found == tokens_.end()) return fail(Code::not_found, fmt::format("no join token {}", id));
  if (auto erased = keyring_.erase_token(id); !erased) return erased;
  tokens_.erase(found);
  return {};
}

std::vector<JoinToken> Enrollment::tokens() const {
  const auto now = ports_.now_ms();
  const std::lock_guard lock(mutex_);
  std::vector<JoinToken> all;
  for (const auto& [hash, token] : tokens_) {
    if (token.expires_ms >= now) all.push_back(token);
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.made_ms < b.made_ms; });
  return all;
}

Result<KnownFingerprint> Enrollment::add_known(const std::string& text) {
  auto fingerprint = identity::read_fingerprint(text);
  if (!fingerprint) return fingerprint;
  const std::lock_guard lock(mutex_);
  if (std::find(known_.begin(), known_.end(), *fingerprint) != known_.end()) return fingerprint;
  if (known_.size() >= max_known)
    return fail(Code::unavailable, fmt::format("{} fingerprints are known already: remove some", max_known));
  if (auto saved = keyring_.save_known(*fingerprint); !saved) return fail(std::move(saved.error()));
  known_.push_back(*fingerprint);
  return fingerprint;
}

Status Enrollment::remove_known(const std::string& text) {
  auto fingerprint = identity::read_fingerprint(text);
  if (!fingerprint) return fail(std::move(fingerprint.error()));
  const std::lock_guard lock(mutex_);
  const auto found = std::find(known_.begin(), known_.end(), *fingerprint);
  if (found == known_.end()) return fail(Code::not_found, fmt::format("{} is not in the list", *fingerprint));
  if (auto erased = keyring_.erase_known(*fingerprint); !erased) return erased;
  known_.erase(found);
  return {};
}

std::vector<KnownFingerprint> Enrollment::known() const {
  const std::lock_guard lock(mutex_);
  return known_;
}

bool Enrollment::is_node(const NodeId& node, std::string_view secret) const {
  const auto now = ports_.now_ms();
  const auto hash = identity::sha256(secret);
  const std::lock_guard lock(mutex_);
  const auto key = keys_.find(node);
  if (key == keys_.end() || key->second.state != KeyState::approved) return false;
  if (identity::is_same_secret(key->second.secret_hash, hash)) return true;
  const auto old = old_.find(node);
  return old != old_.end() && old->second.until_ms >= now && identity::is_same_secret(old->second.hash, hash);
}

std::vector<BrokerSecret> Enrollment::broker_secrets() const {
  const std::lock_guard lock(mutex_);
  std::vector<BrokerSecret> all;
  for (const auto& [id, key] : keys_) {
    if (key.state == KeyState::approved && !key.broker_hash.empty())
      all.push_back({id, key.broker_salt, key.broker_hash});
  }
  return all;
}

}  // namespace kiln::enrollment
