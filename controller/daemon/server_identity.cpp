#include "daemon/server_identity.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <set>

#include "runtime/files.h"

namespace kiln::controller {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t max_pem_bytes = 64ULL * 1024;
constexpr std::size_t max_addresses = 64;  // a certificate is no phone book

std::set<std::string> own_names() {
  std::set<std::string> names{"localhost", "127.0.0.1", "::1"};
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) == 0 && host[0] != '\0') {
    const std::string name(host.data());
    names.insert(name);
    names.insert(name.substr(0, name.find('.')) + ".local");
  }
  ifaddrs* found = nullptr;
  if (::getifaddrs(&found) != 0) return names;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> list(found, &::freeifaddrs);
  for (const auto* one = found; one != nullptr && names.size() < max_addresses; one = one->ifa_next) {
    if (one->ifa_addr == nullptr) continue;
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (one->ifa_addr->sa_family == AF_INET) {
      const auto* v4 = reinterpret_cast<const sockaddr_in*>(one->ifa_addr);
      if (::inet_ntop(AF_INET, &v4->sin_addr, text.data(), text.size()) != nullptr) names.insert(text.data());
    } else if (one->ifa_addr->sa_family == AF_INET6) {
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(one->ifa_addr);
      // A link-local one needs a zone, which no certificate holds.
      if (!IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) &&
          ::inet_ntop(AF_INET6, &v6->sin6_addr, text.data(), text.size()) != nullptr) {
        names.insert(text.data());
      }
    }
  }
  return names;
}

}  // namespace

Result<ServerIdentity> ServerIdentity::open(const fs::path& folder, std::vector<std::string> more_names) {
  if (auto made = runtime::make_folders(folder); !made) return fail(std::move(made.error()));
  std::error_code ignored;
  fs::permissions(folder, fs::perms::owner_all, ignored);
  auto authority = identity::Authority::open(folder);
  if (!authority) return fail(std::move(authority.error()));
  auto key = identity::Key::load_or_make(folder / "server.key");
  if (!key) return fail(std::move(key.error()));
  ServerIdentity made(folder, std::move(more_names), std::move(*authority), std::move(*key));
  if (auto pem = runtime::read_file(made.certificate_file(), max_pem_bytes))
    made.certificate_ = std::move(*pem);
  if (auto renewed = made.renew(); !renewed) return fail(std::move(renewed.error()));
  return made;
}

Result<bool> ServerIdentity::renew() {
  auto names = own_names();
  names.insert(more_names_.begin(), more_names_.end());
  const auto said = identity::names_of_certificate(certificate_);
  const auto fingerprint = identity::fingerprint_of_certificate(certificate_);
  const bool is_ours = fingerprint && *fingerprint == identity::fingerprint_of_key(key_.public_key());
  // Addresses that are gone do no harm: a lease that ends must not cut the connections of the next one.
  if (said && is_ours) {
    const std::set<std::string> known(said->begin(), said->end());
    const bool is_covered =
        std::all_of(names.begin(), names.end(), [&known](const auto& name) { return known.contains(name); });
    if (is_covered) return false;
  }
  auto made = authority_.issue_server(key_, {names.begin(), names.end()});
  if (auto written = runtime::write_file_atomically(certificate_file(), made); !written)
    return fail(std::move(written.error()));
  certificate_ = std::move(made);
  return true;
}

}  // namespace kiln::controller
