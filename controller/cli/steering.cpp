#include "cli/steering.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <optional>

#include "base/ids.h"
#include "cli/fields.h"
#include "cli/text.h"
#include "payloads/http_bodies.h"

namespace kiln::cli {

namespace {

template <class Int>
std::optional<Int> number(std::string_view text) {
  Int value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string> split(const std::vector<std::string>& words) {
  std::vector<std::string> out;
  for (const auto& word : words) {
    for (std::size_t at = 0; at < word.size();) {
      const auto end = std::min(word.find(' ', at), word.size());
      if (end > at) out.push_back(word.substr(at, end - at));
      at = end + 1;
    }
  }
  return out;
}

// Local time of the machine; nullopt: no such time.
std::optional<std::int64_t> unix_ms(std::tm parts) {
  parts.tm_isdst = -1;
  const auto day = parts.tm_mday;
  const auto seconds = std::mktime(&parts);
  if (seconds == -1 || parts.tm_mday != day) return std::nullopt;  // the 31st of February
  return static_cast<std::int64_t>(seconds) * 1000;
}

struct Clock {
  int hour = 0, minute = 0;
};
std::optional<Clock> parse_clock(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || text.size() - colon != 3 || colon > 2) return std::nullopt;
  const auto hour = number<int>(text.substr(0, colon));
  const auto minute = number<int>(text.substr(colon + 1));
  if (!hour || !minute || *hour < 0 || *hour > 23 || *minute < 0 || *minute > 59) return std::nullopt;
  return Clock{*hour, *minute};
}

}  // namespace

Result<Json> parse_schedule(const std::vector<std::string>& words) {
  const auto wrong = [](const std::string& word) {
    return fail(Code::invalid,
                fmt::format("'{}' is no part of a schedule: write days and hours, as in mon-fri 20:00-07:00 "
                            "sat,sun; or always",
                            harmless(word)));
  };
  const auto parts = split(words);
  if (parts.size() == 1 && parts.front() == "always") return Json(Json::Array{});
  if (parts.empty()) return wrong("");
  Json windows(Json::Array{});
  std::string days;  // waiting for their hours
  const auto close = [&] {
    if (!days.empty()) windows.push(Json::object({{"days", days}}));
    days.clear();
  };
  for (const auto& part : parts) {
    if (part == "always") return wrong(part);
    if (part.find(':') == std::string::npos) {
      close();
      days = part;
      continue;
    }
    const auto dash = part.find('-');
    if (dash == std::string::npos) return wrong(part);
    const auto from = part.substr(0, dash);
    const auto to = part.substr(dash + 1);
    // 7:30 is what people type, 07:30 what the API takes.
    const auto padded = [](const std::string& time) { return time.find(':') == 1 ? "0" + time : time; };
    Json window(Json::Object{});
    if (!days.empty()) window.set("days", days);
    windows.push(window.set("from", padded(from)).set("to", padded(to)));
    days.clear();
  }
  close();
  return windows;
}

std::string schedule_text(const Json& schedule) {
  std::string out;
  if (const auto* windows = schedule.as_array()) {
    for (const auto& window : *windows) {
      const auto from = harmless(text_of(window, "from"));
      const auto to = harmless(text_of(window, "to"));
      if (!out.empty()) out += "; ";
      out += harmless(text_of(window, "days"));
      if (from != "00:00" || to != "24:00") out += fmt::format(" {}-{}", from, to);
    }
  }
  return out.empty() ? "always" : out;
}

Result<std::int64_t> parse_moment(const std::string& text, std::int64_t now_ms) {
  const auto wrong = [&] {
    return fail(
        Code::invalid,
        fmt::format("'{}' is no time: write now, +2h, +90m, 20:00 or \"2026-11-27 20:00\"", harmless(text)));
  };
  if (text == "now") return 0;
  if (text.size() > 2 && text.front() == '+') {
    const auto count = number<std::uint32_t>(std::string_view(text).substr(1, text.size() - 2));
    const std::int64_t unit_ms = text.back() == 'm' ? 60'000 : text.back() == 'h' ? 3'600'000 : 0;
    if (!count || unit_ms == 0) return wrong();
    return now_ms + *count * unit_ms;
  }
  if (const auto clock = parse_clock(text)) {
    const std::time_t seconds = now_ms / 1000;
    std::tm parts{};
    localtime_r(&seconds, &parts);
    parts.tm_hour = clock->hour;
    parts.tm_min = clock->minute;
    parts.tm_sec = 0;
    const auto today = unix_ms(parts);
    if (today && *today > now_ms) return *today;
    ++parts.tm_mday;
    parts.tm_isdst = -1;
    return static_cast<std::int64_t>(std::mktime(&parts)) * 1000;
  }
  if (text.size() == 16 && text[4] == '-' && text[7] == '-' && (text[10] == ' ' || text[10] == 'T')) {
    const std::string_view all(text);
    const auto year = number<int>(all.substr(0, 4));
    const auto month = number<int>(all.substr(5, 2));
    const auto day = number<int>(all.substr(8, 2));
    const auto clock = parse_clock(all.substr(11));
    if (!year || !month || !day || !clock || *year < 1970 || *month < 1 || *month > 12) return wrong();
    std::tm parts{};
    parts.tm_year = *year - 1900;
    parts.tm_mon = *month - 1;
    parts.tm_mday = *day;
    parts.tm_hour = clock->hour;
    parts.tm_min = clock->minute;
    if (const auto moment = unix_ms(parts)) return *moment;
  }
  return wrong();
}

Result<std::pair<std::string, std::uint32_t>> parse_limit(const std::string& text) {
  const auto equals = std::min(text.find('='), text.size());
  const auto name = text.substr(0, equals);
  const auto digits = text.substr(std::min(equals + 1, text.size()));
  const auto count = number<std::int64_t>(digits).value_or(-1);
  if (!is_id(name) || count < 0 || count > payloads::max_limit_count) {
    return fail(Code::invalid,
                fmt::format("'{}' is no limit: write NAME=N, as in nuke=4; 0 removes it", harmless(text)));
  }
  return std::pair{name, static_cast<std::uint32_t>(count)};
}

}  // namespace kiln::cli
