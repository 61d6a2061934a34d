// How long a login lasts.
#pragma once

#include <cstdint>

#include "accounts/book.h"

namespace kiln::accounts {

// A farm is looked at daily: who comes back the next morning is still logged in, who was away for a week's
// holiday types the password again.
inline constexpr std::int64_t idle_ms = 3LL * 24 * 3'600'000;
inline constexpr std::int64_t longest_ms = 30LL * 24 * 3'600'000;
// "Seen" is kept to the minute: a page asks several times a second.
inline constexpr std::int64_t seen_every_ms = 60'000;

inline bool is_alive(const Session& session, std::int64_t now_ms) {
  return now_ms - session.seen_ms < idle_ms && now_ms - session.created_ms < longest_ms;
}
inline bool is_alive(const Token& token, std::int64_t now_ms) {
  return token.expires_ms == 0 || now_ms < token.expires_ms;
}

}  // namespace kiln::accounts
