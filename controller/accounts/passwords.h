// Passwords: argon2id, which costs whoever guesses memory as well as time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kiln::accounts {

inline constexpr std::size_t min_password =
    10;  // bytes; NIST SP 800-63B asks for 8 and no rules of composition
inline constexpr std::size_t max_password = 256;

// Long enough, text, and not the user's own name over again. Errors: invalid.
Status check_password(std::string_view password, std::string_view name);

// Each hashing takes 64 MiB for some tens of milliseconds: two at a time, the rest wait up to 5 s.
// Thread-safe. Errors of both: unavailable when too many wait, or there is no memory.
class Hasher {
 public:
  Result<std::string> hash(std::string_view password);
  // `hash`: "" for a user that is not there or has no password; takes as long as a wrong one, so that nobody
  // learns names by the time.
  Result<bool> verify(const std::string& hash, std::string_view password);

 private:
  class Turn;
  std::mutex mutex_;
  std::condition_variable freed_;
  int at_work_ = 0;
  int waiting_ = 0;
  std::once_flag decoy_made_;
  std::string decoy_;
};

}  // namespace kiln::accounts
