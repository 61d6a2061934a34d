// How often somebody may ask. Time is passed in (mono_ms); thread-safe; the memory is bounded.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace kiln::accounts {

// Each failure beyond the free ones doubles the wait. An attempt counts as failed until it succeeds, so that
// many at once count as well.
class Backoff {
 public:
  struct Rule {
    int free = 5;
    std::int64_t first_ms = 1'000;
    std::int64_t longest_ms = 15 * 60'000;
    std::int64_t forgotten_ms = 60 * 60'000;  // after the last attempt
  };
  explicit Backoff(Rule rule) : rule_(rule) {}

  // 0: the attempt may be made, and is counted; otherwise for how long to wait.
  std::int64_t begin(const std::string& key, std::int64_t now_ms);
  void succeeded(const std::string& key);

 private:
  struct Record {
    int failures = 0;
    std::int64_t last_ms = 0;
  };
  [[nodiscard]] std::int64_t wait_ms(const Record& record) const;
  Rule rule_;
  std::mutex mutex_;
  std::map<std::string, Record> records_;
};

// So many requests a second, and a burst.
class Bucket {
 public:
  struct Rule {
    double per_s = 20;
    double burst = 120;
  };
  explicit Bucket(Rule rule) : rule_(rule) {}
  bool take(const std::string& key, std::int64_t now_ms);

 private:
  struct Level {
    double left = 0;
    std::int64_t at_ms = 0;
  };
  Rule rule_;
  std::mutex mutex_;
  std::map<std::string, Level> levels_;
};

// What a peer's address counts as: of IPv6 the network of 64 bits, which one household has whole.
std::string peer_key(std::string_view address);
// 127.0.0.0/8, ::1 and what of it is mapped into IPv6.
bool is_loopback(std::string_view address);

}  // namespace kiln::accounts
