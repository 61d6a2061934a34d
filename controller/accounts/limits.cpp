#include "accounts/limits.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

namespace kiln::accounts {

namespace {

// Keys come from outside: beyond this the one that was quiet longest is forgotten.
constexpr std::size_t max_keys = 10'000;

template <class Map, class Age>
void make_room(Map& map, const Age& age) {
  if (map.size() < max_keys) return;
  map.erase(std::min_element(map.begin(), map.end(),
                             [&](const auto& a, const auto& b) { return age(a.second) < age(b.second); }));
}

}  // namespace

std::int64_t Backoff::wait_ms(const Record& record) const {
  if (record.failures < rule_.free) return 0;
  std::int64_t wait = rule_.first_ms;
  for (int i = rule_.free; i < record.failures && wait < rule_.longest_ms; ++i) wait *= 2;
  return std::min(wait, rule_.longest_ms);
}

std::int64_t Backoff::begin(const std::string& key, std::int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  auto found = records_.find(key);
  if (found == records_.end()) {
    make_room(records_, [](const Record& record) { return record.last_ms; });
    found = records_.emplace(key, Record()).first;
  }
  Record& record = found->second;
  if (record.failures > 0 && now_ms - record.last_ms >= rule_.forgotten_ms) record = Record();
  if (record.failures > 0) {
    const std::int64_t left = record.last_ms + wait_ms(record) - now_ms;
    if (left > 0) return left;
  }
  ++record.failures;
  record.last_ms = now_ms;
  return 0;
}

void Backoff::succeeded(const std::string& key) {
  const std::lock_guard lock(mutex_);
  records_.erase(key);
}

bool Bucket::take(const std::string& key, std::int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  auto found = levels_.find(key);
  if (found == levels_.end()) {
    make_room(levels_, [](const Level& level) { return level.at_ms; });
    found = levels_.emplace(key, Level{rule_.burst, now_ms}).first;
  }
  Level& level = found->second;
  const auto passed_s = static_cast<double>(std::max<std::int64_t>(now_ms - level.at_ms, 0)) / 1000;
  level.left = std::min(rule_.burst, level.left + passed_s * rule_.per_s);
  level.at_ms = now_ms;
  if (level.left < 1) return false;
  level.left -= 1;
  return true;
}

std::string peer_key(std::string_view address) {
  const std::string text(address);
  std::array<unsigned char, 16> bytes{};
  if (text.find(':') == std::string::npos || ::inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1)
    return text;
  const bool is_mapped = std::all_of(bytes.begin(), bytes.begin() + 10, [](auto b) { return b == 0; }) &&
                         bytes[10] == 0xff && bytes[11] == 0xff;
  if (is_mapped) return text.substr(text.rfind(':') + 1);
  std::fill(bytes.begin() + 8, bytes.end(), 0);
  std::array<char, INET6_ADDRSTRLEN> out{};
  ::inet_ntop(AF_INET6, bytes.data(), out.data(), out.size());
  return std::string(out.data()) + "/64";
}

bool is_loopback(std::string_view address) {
  constexpr std::string_view mapped = "::ffff:";
  if (address == "::1") return true;
  if (address.starts_with(mapped)) address.remove_prefix(mapped.size());
  std::array<unsigned char, 4> bytes{};
  return ::inet_pton(AF_INET, std::string(address).c_str(), bytes.data()) == 1 && bytes[0] == 127;
}

}  // namespace kiln::accounts
