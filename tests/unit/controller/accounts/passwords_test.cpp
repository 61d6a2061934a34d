#include "accounts/passwords.h"

#include <atomic>
#include <thread>
#include <vector>

#include "check.h"

using namespace kiln;  // NOLINT(google-build-using-namespace)

namespace {

void a_password_is_kept_as_argon2id_and_only_it_fits() {
  accounts::Hasher hasher;
  const auto hash = hasher.hash("correct horse battery");
  check_ok(hash);
  check(hash->starts_with("$argon2id$v=19$m=65536,t=2,p=1$"));
  check(*hasher.hash("correct horse battery") != *hash);  // salted
  check(*hasher.verify(*hash, "correct horse battery"));
  check(!*hasher.verify(*hash, "correct horse batterz"));
  check(!*hasher.verify(*hash, ""));
  check(!*hasher.verify("", "correct horse battery"));
  check(!*hasher.verify("", "nobody has this password"));  // what no user is compared with lets nobody in
  check(!*hasher.verify("nonsense", "correct horse battery"));
}

void many_at_once_all_get_their_turn() {
  accounts::Hasher hasher;
  const auto hash = *hasher.hash("correct horse battery");
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      const auto verified = hasher.verify(hash, "correct horse battery");
      if (verified && *verified) ++right;
    });
  }
  for (auto& thread : threads) thread.join();
  check_equal(right.load(), 6);
}

void a_password_is_long_text_and_not_the_name() {
  for (const auto* good : {"correct horse", "ten-bytes!", "grüße aus köln", "ada and a secret"})
    check_ok(accounts::check_password(good, "ada"));
  for (const auto& bad :
       {std::string("short"), std::string(9, 'x'), std::string(10, 'x'), std::string(257, 'x'),
        std::string("two\nlines of it"), std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        std::string("adaadaadaada"), std::string("ada-ada-ada-1")}) {
    if (accounts::check_password(bad, "ada")) print_error("%s\n", bad.c_str());
    check(!accounts::check_password(bad, "ada").has_value());
  }
}

}  // namespace

int main() {
  return test::run(
      "passwords",
      {{"a password is kept as argon2id, and only it fits", a_password_is_kept_as_argon2id_and_only_it_fits},
       {"many at once all get their turn", many_at_once_all_get_their_turn},
       {"a password is long, text and not the name", a_password_is_long_text_and_not_the_name}});
}
