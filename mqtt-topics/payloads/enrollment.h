// How a box asks to belong to a farm, and what it is told: POST /api/v1/enroll.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"

namespace kiln::payloads {

inline constexpr std::size_t max_enrollment_bytes = 8ULL * 1024;
// The field that holds the base64 of the key's signature over the request's body, byte by byte.
inline constexpr const char* signature_field = "Kiln-Signature";

struct EnrollRequest {
  NodeId id;
  std::string public_key;  // base64 of its DER
  std::string nonce;       // of GET /api/v1/enroll: once, and for a minute
  std::string name;        // for people
  std::string hardware;    // what tells this board from others: a serial number; "" when it has none
  std::string join_token;  // "" = none
};

enum class EnrollState { pending, approved };

// Over MQTT a box is <username>, or what its certificate says where the broker knows certificates.
struct EnrollBroker {
  std::string host;  // "" = the host that the controller is reached by
  std::uint16_t port = 0;
  bool is_tls = false;
  std::string username;     // "" = the broker takes anybody, or knows certificates
  std::string password;     // the node's secret as well
  std::string certificate;  // PEM, for the node's key
};

struct EnrollAnswer {
  EnrollState state = EnrollState::pending;
  std::string farm;           // its id
  std::string version;        // of the controller
  std::uint32_t again_s = 5;  // while pending: ask again so much later
  std::string message;        // for people: what is waited for
  // When approved:
  std::string secret = {};  // "Authorization: Bearer kilnnode_<id>_<secret>"
  EnrollBroker broker = {};
};

std::string encode(const EnrollRequest&);
std::string encode(const EnrollAnswer&);
Result<EnrollRequest> decode_enroll_request(std::string_view text);
Result<EnrollAnswer> decode_enroll_answer(std::string_view text);

// The value of the Authorization field for a node.
std::string node_authorization(const NodeId& node, std::string_view secret);

}  // namespace kiln::payloads
