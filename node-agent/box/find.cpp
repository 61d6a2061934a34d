#include "box/find.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "box/setup.h"
#include "runtime/clock.h"
#include "runtime/fd.h"
#include "runtime/files.h"
#include "runtime/log.h"

namespace kiln::box {

namespace {

constexpr std::uint16_t mdns_port = 5353;
constexpr std::uint16_t our_port = 8781;  // the one that nft lets answers in to; see setup.cpp
constexpr const char* mdns_group = "224.0.0.251";
constexpr int listen_s = 3;
// Longer than a switch takes to let a port through; then the controller of the last time is taken.
constexpr std::int64_t patience_ms = 20'000;
constexpr std::chrono::seconds look_again{3};
constexpr std::size_t max_url_bytes = 256;

std::vector<in_addr> wired_addresses() {
  std::vector<in_addr> out;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return out;
  constexpr unsigned needed = IFF_UP | IFF_MULTICAST;
  for (const auto* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET ||
        (one->ifa_flags & needed) != needed || (one->ifa_flags & IFF_LOOPBACK) != 0) {
      continue;
    }
    sockaddr_in address{};
    std::copy_n(reinterpret_cast<const char*>(one->ifa_addr), sizeof address,
                reinterpret_cast<char*>(&address));
    out.push_back(address.sin_addr);
  }
  ::freeifaddrs(list);
  return out;
}

runtime::Fd ask_from(const in_addr& address) {
  runtime::Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in from{};
  from.sin_family = AF_INET;
  from.sin_port = htons(our_port);
  from.sin_addr = address;
  sockaddr_in to = from;
  to.sin_port = htons(mdns_port);
  ::inet_pton(AF_INET, mdns_group, &to.sin_addr);
  const unsigned char hops = 255;  // RFC 6762, 11: others are not answered
  const auto query = mdns_query(kiln_service);
  if (fd.get() < 0 || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0 ||
      ::setsockopt(fd.get(), IPPROTO_IP, IP_MULTICAST_IF, &address, sizeof address) != 0 ||
      ::setsockopt(fd.get(), IPPROTO_IP, IP_MULTICAST_TTL, &hops, sizeof hops) != 0 ||
      ::sendto(fd.get(), query.data(), query.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to) <
          0) {
    return {};
  }
  return fd;
}

void hear(const runtime::Fd& fd, std::vector<Candidate>& out) {
  char buffer[9000];  // the largest that RFC 6762 has
  sockaddr_in from{};
  socklen_t size = sizeof from;
  const auto got = ::recvfrom(fd.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size);
  if (got <= 0 || from.sin_port != htons(mdns_port)) return;
  char sender[INET_ADDRSTRLEN] = {};
  ::inet_ntop(AF_INET, &from.sin_addr, sender, sizeof sender);
  const auto answer = read_mdns_answer(std::string_view(buffer, static_cast<std::size_t>(got)), kiln_service);
  if (!answer) {
    log::warn("box", "{} answers by mDNS: {}", sender, answer.error().message);
    return;
  }
  for (const auto& instance : *answer) {
    auto found = candidate_of(instance, sender);
    const bool is_known =
        std::any_of(out.begin(), out.end(), [&](const auto& one) { return one.url == found.url; });
    if (!is_known) out.push_back(std::move(found));
  }
}

}  // namespace

Candidate candidate_of(const Instance& instance, const std::string& sender) {
  // With several addresses the one that answered is on this box's LAN.
  const auto& all = instance.addresses;
  const bool is_named = all.empty() || std::find(all.begin(), all.end(), sender) != all.end();
  return {instance.name, fmt::format("https://{}:{}", is_named ? sender : all.front(), instance.port)};
}

Result<std::string> choose(const std::vector<Candidate>& heard, const std::string& remembered) {
  if (heard.empty()) {
    return fail(Code::not_found,
                "no controller answers on this network (mDNS, _kiln._tcp): write controller = "
                "\"https://...\" into kiln.toml");
  }
  if (heard.size() == 1) return heard.front().url;
  std::string names;
  for (const auto& one : heard) {
    if (one.url == remembered) return remembered;
    names += fmt::format("{}{} ({})", names.empty() ? "" : ", ", one.name, one.url);
  }
  return fail(
      Code::conflict,
      fmt::format("several controllers answer: {}; write controller = \"{}\" or the other into kiln.toml",
                  names, heard.front().url));
}

std::vector<Candidate> ask_lan(int seconds) {
  std::vector<runtime::Fd> sockets;
  std::vector<pollfd> waits;
  for (const auto& address : wired_addresses()) {
    auto fd = ask_from(address);
    if (fd.get() < 0) continue;
    waits.push_back({.fd = fd.get(), .events = POLLIN, .revents = 0});
    sockets.push_back(std::move(fd));
  }
  std::vector<Candidate> heard;
  const auto end_ms = runtime::now().mono_ms + std::int64_t{seconds} * 1000;
  while (!sockets.empty()) {
    const auto left = end_ms - runtime::now().mono_ms;
    if (left <= 0 || ::poll(waits.data(), waits.size(), static_cast<int>(left)) <= 0) break;
    for (std::size_t i = 0; i < waits.size(); ++i) {
      if ((waits[i].revents & POLLIN) != 0) hear(sockets[i], heard);
    }
  }
  return heard;
}

Status find_controller(const Places& places) {
  const auto memory = places.data / "controller";
  auto remembered = runtime::read_file(memory, max_url_bytes).value_or("");
  remembered.erase(remembered.find_last_not_of('\n') + 1);
  const auto began_ms = runtime::now().mono_ms;
  std::string told;
  while (true) {
    const auto chosen = choose(ask_lan(listen_s), remembered);
    if (chosen) {
      log::info("box", "the controller is {}", *chosen);
      if (*chosen != remembered) {
        if (auto done = runtime::write_file_atomically(memory, *chosen + "\n"); !done)
          log::warn("box", "{}", done.error().message);
      }
      return use_controller(places, *chosen);
    }
    if (!remembered.empty() && runtime::now().mono_ms - began_ms > patience_ms) {
      log::warn("box", "{}; the controller of the last time is taken: {}", chosen.error().message,
                remembered);
      return use_controller(places, remembered);
    }
    if (told != chosen.error().message) {
      told = chosen.error().message;
      log::warn("box", "{}", told);
      if (auto done = write_problem(places, "controller", told); !done) return done;
    }
    std::this_thread::sleep_for(look_again);
  }
}

}  // namespace kiln::box
