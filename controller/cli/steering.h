// What people type for hours, moments and names with numbers, and how hours are shown. Pure, but for the
// machine's time zone.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace kiln::cli {

// The arguments of `kiln node schedule`, quoted or not: `mon-fri 20:00-07:00 sat,sun`, `20:00-07:00`,
// `always`. Days without hours are whole days, hours without days are every day's. As the controller's API
// has it: it checks the names of days and the hours. Errors: invalid.
Result<Json> parse_schedule(const std::vector<std::string>& words);
std::string schedule_text(const Json& schedule);  // "mon-fri 20:00-07:00, sat,sun"; "always"

// "now", "+90m", "+2h", "20:00" (the next time that it is), "2026-11-27 20:00": unix ms, of this machine's
// local time; 0 for now. Errors: invalid, saying what goes.
Result<std::int64_t> parse_moment(const std::string& text, std::int64_t now_ms);

// "nuke=4". Errors: invalid.
Result<std::pair<std::string, std::uint32_t>> parse_limit(const std::string& text);

}  // namespace kiln::cli
