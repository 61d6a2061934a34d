#include "enrollment/rows.h"

namespace kiln::enrollment {

std::string_view to_string(KeyState state) {
  switch (state) {
    case KeyState::pending:
      return "pending";
    case KeyState::approved:
      return "approved";
    case KeyState::rejected:
      return "rejected";
    case KeyState::revoked:
      return "revoked";
  }
  return "pending";
}

std::optional<KeyState> parse_key_state(std::string_view text) {
  for (const auto state : {KeyState::pending, KeyState::approved, KeyState::rejected, KeyState::revoked}) {
    if (text == to_string(state)) return state;
  }
  return std::nullopt;
}

}  // namespace kiln::enrollment
