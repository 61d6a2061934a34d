#include "box/clock.h"

#include <sys/time.h>
#include <time.h>

#include <charconv>
#include <filesystem>

#include "runtime/clock.h"
#include "runtime/files.h"
#include "runtime/http_client.h"
#include "runtime/log.h"

namespace kiln::box {

namespace {

constexpr std::int64_t day_s = 86'400;

std::int64_t built_s(const Places& places) {
  const auto text = image_fact(places, "BUILT");
  std::int64_t seconds = 0;
  std::from_chars(text.data(), text.data() + text.size(), seconds);
  return seconds;
}

}  // namespace

std::optional<std::int64_t> parse_http_date(std::string_view text) {
  tm parts{};
  const std::string copy(text);
  // The C locale: this program never calls setlocale.
  const char* end = ::strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return ::timegm(&parts);
}

Status set_clock(const Places& places) {
  const auto built = built_s(places);
  const auto now = runtime::now().unix_ms / 1000;
  std::error_code ignored;
  if (now > built + day_s || std::filesystem::exists("/run/systemd/timesync/synchronized", ignored))
    return {};
  const auto controller = read_box_state(places).controller;
  if (controller.empty()) return {};
  // A certificate cannot be judged yet. A liar can only make this box's clock run ahead, and then it joins
  // nobody.
  runtime::HttpOptions options;
  options.overall = std::chrono::seconds(20);
  options.trusts_anyone = true;
  const auto url = controller.find("://") == controller.npos ? "https://" + controller : controller;
  runtime::HttpClient client(url, options);
  const auto answer = client.get("/healthz");
  if (!answer) return fail(answer.error());
  const auto date = answer->headers.find("date");
  const auto seconds = date == answer->headers.end() ? std::nullopt : parse_http_date(date->second);
  if (!seconds) return fail(Code::unavailable, "the controller's answer names no date");
  if (*seconds <= now) return {};
  const timeval time{.tv_sec = *seconds, .tv_usec = 0};
  if (::settimeofday(&time, nullptr) != 0) return fail(runtime::os_error(errno, "cannot set the clock"));
  log::info("box", "the clock was behind; it now has the controller's time");
  return {};
}

}  // namespace kiln::box
