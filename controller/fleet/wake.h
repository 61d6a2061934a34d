// Wake on LAN: the packet that a sleeping box's network card waits for.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace kiln::fleet {

// Six bytes FF, then sixteen times the address ("aa:bb:cc:dd:ee:ff"; dashes and capitals go as well).
// Errors: invalid, with what would be right. Pure.
Result<std::string> magic_packet(std::string_view mac);

// Sends it by UDP to port 9 of every network that this machine stands in. Does not wait; nobody says whether
// it arrived. Errors: invalid; unavailable when no network takes it.
Status send_magic_packet(std::string_view mac);

}  // namespace kiln::fleet
