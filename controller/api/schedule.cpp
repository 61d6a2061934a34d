#include "api/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace kiln::api {

namespace {

constexpr std::array<std::string_view, 7> day_names = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
constexpr std::uint8_t all_days = 0x7F;

std::optional<unsigned> day_of(std::string_view name) {
  const auto found = std::find(day_names.begin(), day_names.end(), name);
  if (found == day_names.end()) return std::nullopt;
  return static_cast<unsigned>(found - day_names.begin());
}

Result<std::uint8_t> parse_days(std::string_view text) {
  const auto wrong = [&] {
    return fail(Code::invalid, fmt::format("'{}' are no days; daily, mon-fri or sat,sun is expected", text));
  };
  if (text == "daily") return all_days;
  unsigned days = 0;
  for (std::string_view rest = text;;) {
    const auto comma = rest.find(',');
    const auto part = rest.substr(0, comma);
    const auto dash = part.find('-');
    const auto first = day_of(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : day_of(part.substr(dash + 1));
    if (!first || !last) return wrong();
    for (unsigned day = *first;; day = (day + 1) % 7) {  // fri-mon goes over the weekend
      days |= 1U << day;
      if (day == *last) break;
    }
    if (comma == std::string_view::npos) return static_cast<std::uint8_t>(days);
    rest.remove_prefix(comma + 1);
  }
}

// Minutes since midnight, up to 24:00.
Result<std::uint16_t> parse_hour(std::string_view text) {
  const auto is_digit = [&](std::size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  if (text.size() == 5 && text[2] == ':' && is_digit(0) && is_digit(1) && is_digit(3) && is_digit(4)) {
    const int hours = (text[0] - '0') * 10 + (text[1] - '0');
    const int minutes = (text[3] - '0') * 10 + (text[4] - '0');
    if (minutes < 60 && hours * 60 + minutes <= scheduler::day_min)
      return static_cast<std::uint16_t>(hours * 60 + minutes);
  }
  return fail(Code::invalid, fmt::format("'{}' is no time of day; 00:00 to 24:00 is expected", text));
}

}  // namespace

Result<scheduler::Window> parse_window(std::string_view days, std::string_view from, std::string_view to) {
  const auto which = parse_days(days);
  if (!which) return fail(which.error());
  const auto begin = parse_hour(from);
  if (!begin) return fail(begin.error());
  const auto end = parse_hour(to);
  if (!end) return fail(end.error());
  if (*begin == scheduler::day_min)
    return fail(Code::invalid, "24:00 begins no window: write the next day and 00:00");
  scheduler::Window window;
  window.days = *which;
  window.from_min = *begin;
  window.to_min = *end == 0 ? scheduler::day_min : *end;
  return window;
}

std::string days_text(std::uint8_t days) {
  if ((days & all_days) == all_days) return "daily";
  std::string out;
  for (unsigned day = 0; day < 7;) {
    if (((days >> day) & 1U) == 0) {
      ++day;
      continue;
    }
    unsigned last = day;
    while (last < 6 && ((days >> (last + 1)) & 1U) != 0) ++last;
    if (!out.empty()) out += ',';
    out += day_names[day];
    if (last > day) (out += last == day + 1 ? ',' : '-') += day_names[last];
    day = last + 1;
  }
  return out;
}

std::string hour_text(std::uint16_t minutes) {
  return fmt::format("{:02}:{:02}", minutes / 60, minutes % 60);
}

Json to_json(const scheduler::Window& window) {
  return Json::object({{"days", days_text(window.days)},
                       {"from", hour_text(window.from_min)},
                       {"to", hour_text(window.to_min)}});
}

Result<std::vector<scheduler::Window>> read_schedule(const Json& list) {
  const auto* windows = list.as_array();
  if (windows == nullptr || windows->size() > max_windows) {
    return fail(Code::invalid, fmt::format(R"(a list of at most {} windows is expected, each as in )"
                                           R"({{"days":"mon-fri","from":"20:00","to":"07:00"}})",
                                           max_windows));
  }
  std::vector<scheduler::Window> out;
  for (std::size_t i = 0; i < windows->size(); ++i) {
    JsonReader in((*windows)[i], fmt::format("[{}]", i));
    std::string days = "daily";
    std::string from = "00:00";
    std::string to = "24:00";
    in.optional("days", days, 64);
    in.optional("from", from, 16);
    in.optional("to", to, 16);
    if (auto read = in.finish(0); !read) return fail(std::move(read.error()));
    auto window = parse_window(days, from, to);
    if (!window) return fail(std::move(window.error()).with(fmt::format("[{}]", i)));
    out.push_back(*window);
  }
  return out;
}

}  // namespace kiln::api
