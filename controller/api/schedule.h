// When a node may render, as people write it: days and hours of the controller's local time. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "scheduler/rows.h"

namespace kiln::api {

inline constexpr std::size_t max_windows = 32;  // of one node: a week of days with lunch breaks, and room

// `days`: "daily", or days and ranges of days ("mon-fri", "sat,sun", "fri-mon"). `from` "00:00" to "23:59",
// `to` "00:01" to "24:00" ("00:00" means 24:00); a `to` that is not later than `from` lies on the next day.
// Errors: invalid, saying what would be right.
Result<scheduler::Window> parse_window(std::string_view days, std::string_view from, std::string_view to);

std::string days_text(std::uint8_t days);                                // "mon-fri", "sat,sun", "daily"
std::string hour_text(std::uint16_t minutes);                            // 450: "07:30"; 1440: "24:00"
Json to_json(const scheduler::Window& window);                           // {"days","from","to"}
Result<std::vector<scheduler::Window>> read_schedule(const Json& list);  // as to_json writes them

}  // namespace kiln::api
