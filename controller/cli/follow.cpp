#include "cli/follow.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>

#include "cli/fields.h"
#include "cli/text.h"

namespace kiln::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr JsonLimits event_limits{16ULL * 1024 * 1024, 24, 1'000'000};
constexpr std::chrono::minutes patience{5};  // a controller's restart and upgrade
constexpr int first_pause_ms = 250, longest_pause_ms = 5'000;
constexpr std::chrono::milliseconds redraw{150};

bool has_unicode() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string_view locale = value;
    return locale.find("UTF-8") != locale.npos || locale.find("utf8") != locale.npos;
  }
  return false;
}

// The bar on a terminal; on anything else a line a tenth.
class ProgressOutput {
 public:
  explicit ProgressOutput(Terminal& terminal) : terminal_(terminal), unicode_(has_unicode()) {}

  void show(const FarmView& view, const Json& job, bool is_forced) {
    const auto now = Clock::now();
    if (terminal_.is_tty()) {
      if (!is_forced && now - drawn_ < redraw) return;
      drawn_ = now;
      terminal_.status(progress_line(view.progress(job), terminal_.width() - 1, unicode_));
      return;
    }
    const int tenth = static_cast<int>(number_of(job, "percent") / 10);
    if (tenth == tenth_) return;
    tenth_ = tenth;
    auto progress = view.progress(job);
    progress.percent = number_of(job, "percent");
    terminal_.line(fmt::format("{}: {} {}", progress.label, percent_text(progress.percent), progress.facts));
  }

 private:
  Terminal& terminal_;
  bool unicode_;
  Clock::time_point drawn_;
  int tenth_ = 0;
};

}  // namespace

Status follow(Context& context, FarmView& view, const OnEvent& on_event, const std::function<void()>& tick) {
  std::string last_id;
  std::optional<Clock::time_point> lost;
  int pause_ms = first_pause_ms;
  if (tick) context.client.on_moving([&](std::uint64_t, std::uint64_t) { tick(); });
  Status ended;
  for (bool goes_on = true; goes_on;) {
    ended = context.client.events(last_id, [&](const runtime::ServerEvent& event) {
      lost.reset();
      pause_ms = first_pause_ms;
      last_id = event.id;
      const auto data = Json::parse(event.data, event_limits);
      if (!data) return true;  // an event that this version cannot read is no reason to stop watching
      goes_on = on_event(event.event, *data, view.apply(event.event, *data));
      return goes_on;
    });
    if (!goes_on || ended || context.client.interrupted() || ended.error().code != Code::unavailable) break;
    if (!lost) lost = Clock::now();
    if (Clock::now() - *lost > patience) break;
    if (context.err.is_tty()) context.err.status("connection to the controller lost, trying again …");
    if (!context.pause_ms(pause_ms)) break;
    pause_ms = std::min(longest_pause_ms, pause_ms * 2);
  }
  context.client.on_moving({});
  return ended;
}

Result<Json> wait_for_job(Context& context, const Json& job, bool shows_progress, const OnEvent& on_event) {
  const auto id = text_of(job, "id");
  FarmView view;
  view.put_job(job);
  ProgressOutput output(context.err);
  std::optional<Error> failure;
  const auto show = [&](bool is_forced) {
    const Json* now = view.job(id);
    if (shows_progress && now != nullptr) output.show(view, *now, is_forced);
  };
  const auto followed = follow(
      context, view,
      [&](const std::string& event, const Json& data, const std::vector<std::string>& lines) {
        if (event == "snapshot" && view.job(id) == nullptr) {
          auto asked = context.client.job(id);  // older than the newest that a snapshot lists
          if (!asked) {
            failure = asked.error();
            return false;
          }
          view.put_job(std::move(*asked));
        }
        if (on_event && !on_event(event, data, lines)) return false;
        show(false);
        const Json* now = view.job(id);
        return now != nullptr && !is_over(*now);
      },
      [&] { show(false); });
  const Json* now = view.job(id);
  if (now != nullptr && is_over(*now)) show(true);
  context.err.end_status(now != nullptr && is_over(*now));
  if (context.client.interrupted()) {
    return fail(Code::timeout,
                fmt::format("stopped watching; job {} goes on: `kiln watch {}` shows it, `kiln cancel {}` "
                            "ends it",
                            job_label(job), integer_of(job, "number"), integer_of(job, "number")));
  }
  if (failure) return fail(*failure);
  if (!followed)
    return fail(Error(followed.error()).with(fmt::format("while watching job {}", job_label(job))));
  if (now == nullptr) return fail(Code::not_found, fmt::format("job {} was deleted", job_label(job)));
  return *now;
}

void say_end(Context& context, const Json& job) {
  const auto state = text_of(job, "state");
  const auto counts = counts_of(job);
  const auto wall_s =
      static_cast<double>(integer_of(job, "finished_ms") - integer_of(job, "created_ms")) / 1000;
  if (state == "done") {
    context.say(fmt::format("{} job {}: {} tasks in {} ({} of rendering)",
                            styled("done", Style::green, context.out.color()), job_label(job), counts.done,
                            duration_text(wall_s), duration_text(number_of(job, "render_s"))));
  } else {
    const auto message = harmless(text_of(job, "message"));
    context.say(fmt::format("{} job {}: {} of {} tasks done{}{}",
                            styled(harmless(state), Style::red, context.out.color()), job_label(job),
                            counts.done, counts.total(), message.empty() ? "" : "; ", message));
  }
  if (context.json) return;
  for (const auto& warning : array_of(job, "warnings")) {
    if (const auto* text = warning.as_string()) context.warn(*text);
  }
}

}  // namespace kiln::cli
