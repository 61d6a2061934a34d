// Asking the LAN who serves something, in the words of multicast DNS (RFC 6762) and DNS-SD (RFC 6763). Pure:
// packets are made and read here, and sent elsewhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kiln::box {

// "_kiln._tcp.local": what the controller's machine announces (systemd/kiln.service.avahi).
inline constexpr std::string_view kiln_service = "_kiln._tcp.local";

// One question for the service's instances. Sent from a port other than 5353 it is a one-shot query (RFC
// 6762, 5.1): whoever knows answers to that port alone, so that this box listens nowhere.
std::string mdns_query(std::string_view service);

struct Instance {
  std::string name;  // "farm", as people see it; any UTF-8
  std::string host;  // "farm.local"
  std::uint16_t port = 0;
  std::vector<std::string> addresses;  // IPv4; of the host, as far as the packet holds them
};
// What one answer says of the service; none for the answer to another question. Errors: invalid, for a packet
// that is none or holds more records than an answer has.
Result<std::vector<Instance>> read_mdns_answer(std::string_view packet, std::string_view service);

}  // namespace kiln::box
