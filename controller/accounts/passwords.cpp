#include "accounts/passwords.h"

#include <fmt/format.h>
#include <sodium.h>

#include <array>
#include <chrono>

#include "base/text.h"

namespace kiln::accounts {

namespace {

constexpr int at_once = 2;
constexpr int max_waiting = 32;  // connection threads that hang here; the rest learn at once that it is busy
constexpr std::chrono::seconds patience{5};

void init() {
  static const int done = ::sodium_init();
  KILN_ASSERT(done >= 0);
}

Result<std::string> make_hash(std::string_view password) {
  init();
  std::array<char, crypto_pwhash_STRBYTES> text{};
  if (::crypto_pwhash_str(text.data(), password.data(), password.size(), crypto_pwhash_OPSLIMIT_INTERACTIVE,
                          crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0) {
    return fail(Code::unavailable, "there is not enough memory to hash a password; try again in a moment");
  }
  return std::string(text.data());
}

}  // namespace

Status check_password(std::string_view password, std::string_view name) {
  if (password.size() < min_password || password.size() > max_password || !is_one_line(password)) {
    return fail(Code::invalid,
                fmt::format("a password is {} to {} bytes of text on one line; four words that have nothing "
                            "to do with each other are a good one",
                            min_password, max_password));
  }
  std::string rest(password);
  for (std::size_t at = 0; !name.empty() && (at = rest.find(name)) != std::string::npos;)
    rest.erase(at, name.size());
  if (rest.size() < min_password / 2)
    return fail(Code::invalid, "the password is little more than the user's name; take another");
  if (password.find_first_not_of(password.front()) == std::string_view::npos)
    return fail(Code::invalid, "the password is one letter over and over; take another");
  return {};
}

// A place among those that hash now.
class Hasher::Turn {
 public:
  explicit Turn(Hasher& hasher) : hasher_(hasher) {
    std::unique_lock lock(hasher_.mutex_);
    if (hasher_.at_work_ >= at_once && hasher_.waiting_ >= max_waiting) return;
    ++hasher_.waiting_;
    is_taken_ = hasher_.freed_.wait_for(lock, patience, [&] { return hasher_.at_work_ < at_once; });
    --hasher_.waiting_;
    if (is_taken_) ++hasher_.at_work_;
  }
  ~Turn() {
    if (!is_taken_) return;
    {
      const std::lock_guard lock(hasher_.mutex_);
      --hasher_.at_work_;
    }
    hasher_.freed_.notify_one();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  [[nodiscard]] Status taken() const {
    if (is_taken_) return {};
    return fail(Code::unavailable, "too many passwords are being checked; try again in a moment");
  }

 private:
  Hasher& hasher_;
  bool is_taken_ = false;
};

Result<std::string> Hasher::hash(std::string_view password) {
  const Turn turn(*this);
  if (auto taken = turn.taken(); !taken) return fail(std::move(taken.error()));
  return make_hash(password);
}

Result<bool> Hasher::verify(const std::string& hash, std::string_view password) {
  const Turn turn(*this);
  if (auto taken = turn.taken(); !taken) return fail(std::move(taken.error()));
  init();
  std::call_once(decoy_made_, [&] { decoy_ = make_hash("nobody has this password").value_or(""); });
  const std::string& against = hash.empty() ? decoy_ : hash;
  const bool is_right = ::crypto_pwhash_str_verify(against.c_str(), password.data(), password.size()) == 0;
  return is_right && !hash.empty();
}

}  // namespace kiln::accounts
