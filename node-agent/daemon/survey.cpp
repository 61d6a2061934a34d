#include "daemon/survey.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>

#include "base/version.h"
#include "daemon/identity.h"
#include "daemon/slots.h"
#include "runtime/fd.h"
#include "runtime/log.h"
#include "telemetry/sysfs.h"

namespace kiln::agent {

namespace {

constexpr std::size_t max_info_bytes = 4UL * 1024;  // protocol.md

// What decides least goes first.
void shorten(payloads::NodeInfo& info) {
  const auto fits = [&] { return payloads::encode(info).size() <= max_info_bytes; };
  if (fits()) return;
  for (auto& gpu : info.gpus) gpu.driver.clear();
  if (!fits()) {
    for (auto& gpu : info.gpus) gpu.uuid.clear();
  }
  const auto found = info.renderers.size();
  while (!fits() && !info.renderers.empty()) info.renderers.pop_back();
  while (!fits() && !info.bundles.empty()) info.bundles.pop_back();
  static std::atomic<bool> is_said = false;  // it comes again every minute
  if (info.renderers.size() < found && !is_said.exchange(true)) {
    log::warn("agent", "{} of {} programs are left out: what a box says of itself must stay below {} bytes",
              found - info.renderers.size(), found, max_info_bytes);
  }
}

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
struct FreeInterfaces {
  void operator()(ifaddrs* list) const { ::freeifaddrs(list); }
};

// The address as bytes; "" for what is none of the internet's.
std::string bytes_of(const sockaddr* address) {
  if (address == nullptr) return {};
  if (address->sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, address, sizeof in);
    return {reinterpret_cast<const char*>(&in.sin_addr), sizeof in.sin_addr};
  }
  if (address->sa_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, address, sizeof in);
    return {reinterpret_cast<const char*>(&in.sin6_addr), sizeof in.sin6_addr};
  }
  return {};
}

// Our own end of a way to that address: connecting a datagram socket asks the kernel's routes and sends
// nothing.
std::string local_end(const addrinfo& to) {
  const runtime::Fd socket(::socket(to.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket || ::connect(socket.get(), to.ai_addr, to.ai_addrlen) != 0) return {};
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0) return {};
  return bytes_of(reinterpret_cast<const sockaddr*>(&own));
}

std::string interface_of(const std::string& address) {
  ifaddrs* found = nullptr;
  if (address.empty() || ::getifaddrs(&found) != 0) return {};
  const std::unique_ptr<ifaddrs, FreeInterfaces> list(found);
  for (const auto* one = list.get(); one != nullptr; one = one->ifa_next) {
    if (bytes_of(one->ifa_addr) == address) return one->ifa_name;
  }
  return {};
}

}  // namespace

payloads::NodeInfo describe(const Config& config, const telemetry::Hardware& hardware,
                            std::vector<payloads::RendererInfo> renderers, std::string mac, Fetched fetched) {
  payloads::NodeInfo info;
  info.name = config.name.empty() ? host_name() : config.name;
  info.os = hardware.os;
  info.agent_version = version;
  info.cpu = hardware.cpu;
  info.cores = hardware.cores;
  info.memory_mib = hardware.memory_mib;
  const auto slots = slots_of(config, hardware.gpus);
  info.slots = slots.count;
  info.gpu_slots = slots.with_gpu;
  info.renderers = std::move(renderers);
  if (info.renderers.size() > payloads::max_renderers) info.renderers.resize(payloads::max_renderers);
  info.gpus = hardware.gpus;
  info.tags = config.tags;
  info.mac = std::move(mac);
  info.bundles = std::move(fetched.bundles);
  info.bundles_max_mib = fetched.max_mib;
  shorten(info);
  return info;
}

std::string mac_of(const std::filesystem::path& sysfs, const std::string& interface) {
  if (interface.empty() || interface.find('/') != std::string::npos) return {};
  auto text = telemetry::read_text(sysfs / "class/net" / interface / "address", 64).value_or("");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  constexpr std::string_view pattern = "xx:xx:xx:xx:xx:xx";
  const bool is_mac = text.size() == pattern.size() &&
                      std::equal(text.begin(), text.end(), pattern.begin(), [](char c, char want) {
                        const bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                        return want == 'x' ? is_hex : c == want;
                      });
  return is_mac && text != "00:00:00:00:00:00" ? text : std::string();
}

std::string mac_towards(const std::string& host, const std::filesystem::path& sysfs) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  constexpr const char* any_port = "9";  // nothing is sent there
  if (::getaddrinfo(host.c_str(), any_port, &hints, &found) != 0) return {};
  const std::unique_ptr<addrinfo, FreeAddresses> list(found);
  for (const auto* to = list.get(); to != nullptr; to = to->ai_next) {
    if (const auto own = local_end(*to); !own.empty()) return mac_of(sysfs, interface_of(own));
  }
  return {};
}

std::string no_renderer(const std::string& blender) {
  return fmt::format(
      "no Blender was found as '{}': install it (apt install blender) or name the program with "
      "--blender or `blender = …` in /etc/kiln/agent.toml; until then this box renders nothing with it",
      blender);
}

}  // namespace kiln::agent
