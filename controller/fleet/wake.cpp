#include "fleet/wake.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "runtime/fd.h"

namespace kiln::fleet {

namespace {

constexpr std::uint16_t discard_port = 9;  // what wake on LAN is sent to: nobody answers there
constexpr std::size_t address_bytes = 6;
constexpr std::size_t max_interfaces = 64;

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Where everybody on one of our networks hears it. 255.255.255.255 alone would leave by the default route
// only. Asked by ioctl: the service may not open the netlink socket that getifaddrs needs.
std::vector<sockaddr_in> broadcast_addresses(int socket) {
  std::array<ifreq, max_interfaces> interfaces{};
  ifconf list{};
  list.ifc_len = sizeof interfaces;
  list.ifc_req = interfaces.data();
  std::vector<sockaddr_in> out;
  if (::ioctl(socket, SIOCGIFCONF, &list) != 0) return out;
  const auto count = static_cast<std::size_t>(list.ifc_len) / sizeof(ifreq);
  for (std::size_t i = 0; i < count; ++i) {
    ifreq one = interfaces[i];
    if (::ioctl(socket, SIOCGIFFLAGS, &one) != 0) continue;
    const auto flags = static_cast<unsigned>(static_cast<unsigned short>(one.ifr_flags));
    if ((flags & IFF_UP) == 0 || (flags & IFF_BROADCAST) == 0) continue;
    if (::ioctl(socket, SIOCGIFBRDADDR, &one) != 0) continue;
    sockaddr_in address{};
    std::memcpy(&address, &one.ifr_broadaddr, sizeof address);
    if (address.sin_family == AF_INET && address.sin_addr.s_addr != 0) out.push_back(address);
  }
  return out;
}

}  // namespace

Result<std::string> magic_packet(std::string_view mac) {
  std::string address;
  const bool has_length = mac.size() == address_bytes * 3 - 1;
  for (std::size_t i = 0; has_length && i < mac.size(); i += 3) {
    const int high = digit(mac[i]);
    const int low = digit(mac[i + 1]);
    const bool is_separated = i + 2 == mac.size() || mac[i + 2] == ':' || mac[i + 2] == '-';
    if (high < 0 || low < 0 || !is_separated) break;
    address.push_back(static_cast<char>(high * 16 + low));
  }
  if (address.size() != address_bytes) {
    return fail(Code::invalid, fmt::format("'{}' is no network address; aa:bb:cc:dd:ee:ff is expected", mac));
  }
  std::string packet(address_bytes, '\xff');
  for (int i = 0; i < 16; ++i) packet += address;
  return packet;
}

Status send_magic_packet(std::string_view mac) {
  const auto packet = magic_packet(mac);
  if (!packet) return fail(packet.error());
  const runtime::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int yes = 1;
  if (socket.get() < 0 || ::setsockopt(socket.get(), SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes) != 0) {
    return fail(Code::unavailable, fmt::format("no socket to wake with: {}", std::strerror(errno)));
  }
  auto targets = broadcast_addresses(socket.get());
  if (targets.empty()) {
    sockaddr_in everybody{};
    everybody.sin_family = AF_INET;
    everybody.sin_addr.s_addr = htonl(INADDR_BROADCAST);
    targets.push_back(everybody);
  }
  bool is_sent = false;
  int error = 0;
  for (auto& target : targets) {
    target.sin_port = htons(discard_port);
    const auto count = ::sendto(socket.get(), packet->data(), packet->size(), 0,
                                reinterpret_cast<const sockaddr*>(&target), sizeof target);
    if (count == static_cast<ssize_t>(packet->size())) {
      is_sent = true;
    } else {
      error = errno;
    }
  }
  if (is_sent) return {};
  return fail(Code::unavailable,
              fmt::format("no network takes the packet that wakes {}: {}", mac, std::strerror(error)));
}

}  // namespace kiln::fleet
