#include <fmt/format.h>

#include <chrono>

#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/follow.h"
#include "cli/text.h"

namespace kiln::cli {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds redraw{200};

// One line of JSON an event; of one job only, when an id is given.
bool concerns(const std::string& event, const Json& data, const std::string& job) {
  if (job.empty()) return true;
  if (event == "job" || event == "job_erased") return text_of(data, "id") == job;
  return event == "task" && text_of(data, "job") == job;
}

void print_event(Context& context, const std::string& event, const Json& data) {
  context.out.line(Json::object({{"event", event}, {"data", data}}).dump());
}

Result<Exit> watch_job(Context& context, const std::string& job_text) {
  auto job = find_job(context, job_text);
  if (!job) return fail(job.error());
  const auto id = text_of(*job, "id");
  const bool is_live = context.out.is_tty() && !context.json;
  if (context.json) print_event(context, "job", *job);
  if (!is_over(*job)) {
    if (!context.json)
      context.say(fmt::format("job {}: {}", job_label(*job), harmless(text_of(*job, "state"))));
    job =
        wait_for_job(context, *job, is_live,
                     [&](const std::string& event, const Json& data, const std::vector<std::string>& lines) {
                       if (!concerns(event, data, id)) return true;
                       if (context.json) print_event(context, event, data);
                       if (context.json || event == "job_erased") return true;
                       context.err.end_status(false);
                       for (const auto& line : lines) context.say(clock_text(now_ms()) + " " + line);
                       return true;
                     });
    if (!job) return fail(job.error());
  }
  if (!context.json) say_end(context, *job);
  return exit_of_job(*job);
}

}  // namespace

Result<Exit> wait_job(Context& context, const std::string& job_text) {
  auto job = find_job(context, job_text);
  if (!job) return fail(job.error());
  if (!is_over(*job)) {
    job = wait_for_job(context, *job, !context.json || context.err.is_tty());
    if (!job) return fail(job.error());
  }
  if (context.json) context.print(*job);
  say_end(context, *job);
  return exit_of_job(*job);
}

Result<Exit> watch(Context& context, const std::string& job) {
  if (!job.empty()) return watch_job(context, job);
  FarmView view;
  const bool is_live = context.out.is_tty() && !context.json;
  Clock::time_point drawn;
  const auto draw = [&] {
    if (!is_live || Clock::now() - drawn < redraw || view.farm().is_null()) return;
    drawn = Clock::now();
    // Home, the screen with each line's rest wiped, and everything below wiped: no flicker.
    std::string screen = "\033[H";
    for (const char c :
         view.screen(context.out.width(), context.out.height(), context.out.color(), now_ms())) {
      if (c == '\n') screen += "\033[K";
      screen += c;
    }
    context.out.raw(screen + "\033[J");
  };
  if (is_live) context.out.raw("\033[?1049h\033[?25l\033[H\033[2J");  // the other screen, no cursor
  const auto ended = follow(
      context, view,
      [&](const std::string& event, const Json& data, const std::vector<std::string>& lines) {
        if (context.json) {
          print_event(context, event, data);
        } else if (!is_live) {
          if (event == "snapshot") context.out.raw(view.screen(0, 0, false, now_ms()));
          for (const auto& line : lines) context.say(clock_text(now_ms()) + " " + line);
        }
        draw();
        return true;
      },
      draw);
  if (is_live) context.out.raw("\033[?25h\033[?1049l");
  if (context.client.interrupted()) return Exit::interrupted;
  if (!ended) return fail(ended.error());
  return Exit::ok;
}

}  // namespace kiln::cli
