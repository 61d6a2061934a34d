// The time, where the box's own clock has none: certificates are judged by it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "box/facts.h"

namespace kiln::box {

// "Fri, 27 Nov 2026 04:23:54 GMT" (RFC 9110, IMF-fixdate) in seconds since 1970; nullopt for anything else.
std::optional<std::int64_t> parse_http_date(std::string_view text);

// Takes the controller's time from its answer's Date where the clock stands at the image's build time still,
// as process 1 left it, and no time server has answered. Only ever forward. Errors: unavailable, when the
// controller says none.
Status set_clock(const Places& places);

}  // namespace kiln::box
