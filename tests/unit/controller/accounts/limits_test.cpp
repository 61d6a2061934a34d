#include "accounts/limits.h"

#include "check.h"

using namespace kiln;  // NOLINT(google-build-using-namespace)
using accounts::Backoff;
using accounts::Bucket;

namespace {

void failures_double_the_wait_up_to_the_longest() {
  Backoff limit({.free = 3, .first_ms = 1'000, .longest_ms = 5'000, .forgotten_ms = 100'000});
  std::int64_t now = 0;
  for (int i = 0; i < 3; ++i) check_equal(limit.begin("ada", now), 0);
  for (const std::int64_t wait : {1'000, 2'000, 4'000, 5'000, 5'000}) {
    check_equal(limit.begin("ada", now), wait);
    check_equal(limit.begin("ada", now + wait - 1), 1);  // to have asked too early costs nothing
    now += wait;
    check_equal(limit.begin("ada", now), 0);
  }
  check_equal(limit.begin("bob", now), 0);  // somebody else is not kept waiting
}

void a_success_and_time_forgive() {
  Backoff limit({.free = 1, .first_ms = 1'000, .longest_ms = 60'000, .forgotten_ms = 10'000});
  check_equal(limit.begin("ada", 0), 0);
  check(limit.begin("ada", 0) > 0);
  limit.succeeded("ada");
  check_equal(limit.begin("ada", 0), 0);
  check(limit.begin("ada", 999) > 0);
  check_equal(limit.begin("ada", 10'000), 0);
  check(limit.begin("ada", 10'500) > 0);
}

void keys_without_end_are_forgotten_oldest_first() {
  Backoff limit({.free = 1, .first_ms = 1'000'000, .longest_ms = 1'000'000, .forgotten_ms = 10'000'000});
  check_equal(limit.begin("first", 0), 0);
  check_equal(limit.begin("second", 1), 0);
  for (int i = 0; i < 9'999; ++i) check_equal(limit.begin(fmt::format("{}", i), 2 + i), 0);
  check_equal(limit.begin("first", 20'000), 0);  // forgotten: there was no room
  check(limit.begin("9998", 20'000) > 0);
}

void a_bucket_gives_its_burst_then_its_rate() {
  Bucket limit({.per_s = 2, .burst = 4});
  for (int i = 0; i < 4; ++i) check(limit.take("a", 0));
  check(!limit.take("a", 0));
  check(limit.take("b", 0));
  check(!limit.take("a", 400));
  for (int i = 0; i < 2; ++i) check(limit.take("a", 1'000));
  check(!limit.take("a", 1'000));
  for (int i = 0; i < 4; ++i) check(limit.take("a", 1'000'000));  // no more than the burst, however long
  check(!limit.take("a", 1'000'000));
  check(!limit.take("a", 0));  // a clock that runs back gives nothing
}

void addresses_count_by_who_has_them() {
  const struct {
    const char* address;
    const char* key;
    bool is_loopback;
  } cases[] = {
      {"192.168.1.7", "192.168.1.7", false},
      {"127.0.0.1", "127.0.0.1", true},
      {"127.9.9.9", "127.9.9.9", true},
      {"::1", "::/64", true},
      {"::ffff:127.0.0.1", "127.0.0.1", true},
      {"::ffff:10.0.0.1", "10.0.0.1", false},
      {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", false},
      {"2001:db8:1:2::9", "2001:db8:1:2::/64", false},
      {"fe80::1%eth0", "fe80::1%eth0", false},
      {"127.0.0.1.evil.example", "127.0.0.1.evil.example", false},
      {"", "", false},
  };
  for (const auto& one : cases) {
    check_equal(accounts::peer_key(one.address), one.key);
    check_equal(accounts::is_loopback(one.address), one.is_loopback);
  }
}

}  // namespace

int main() {
  return test::run(
      "limits",
      {{"failures double the wait, up to the longest", failures_double_the_wait_up_to_the_longest},
       {"a success forgives, and so does time", a_success_and_time_forgive},
       {"keys without end are forgotten, oldest first", keys_without_end_are_forgotten_oldest_first},
       {"a bucket gives its burst, then its rate", a_bucket_gives_its_burst_then_its_rate},
       {"addresses count by who has them", addresses_count_by_who_has_them}});
}
