// Changing jobs and the farm while they live, and why a job waits.
#include <fmt/format.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/farm_view.h"
#include "cli/fields.h"
#include "cli/steering.h"
#include "cli/table.h"
#include "cli/text.h"

namespace kiln::cli {

namespace {

// "" takes all away.
Json list_of(const std::vector<std::string>& texts) {
  Json list(Json::Array{});
  for (const auto& text : texts) {
    if (!text.empty()) list.push(text);
  }
  return list;
}

std::string tasks_text(std::int64_t count) {
  return fmt::format("{} task{}", count, count == 1 ? "" : "s");
}

std::string limit_text(std::int64_t limit) {
  return limit == 0 ? "no limit" : fmt::format("{}", limit);
}

}  // namespace

Result<Exit> show_why(Context& context, const std::string& job_text) {
  const auto job = find_job(context, job_text);
  if (!job) return fail(job.error());
  const auto answer = context.client.why(text_of(*job, "id"));
  if (!answer) return fail(answer.error());
  if (context.json) {
    context.print(*answer);
    return Exit::ok;
  }
  const auto& reasons = array_of(*answer, "reasons");
  const bool color = context.out.color();
  const auto state = text_of(*job, "state");
  context.out.line(styled(fmt::format("job {}: {}", job_label(*job), harmless(state)), Style::bold, color));
  if (reasons.empty()) context.out.line(is_over(*job) ? "it has ended" : "nothing of it waits");
  std::vector<Row> rows;
  bool has_steps = false;
  for (const auto& reason : reasons) {
    const auto step = harmless(text_of(reason, "step"));
    const auto node = harmless(text_of(reason, "node"));
    const auto tasks = integer_of(reason, "tasks");
    const auto what = harmless(text_of(reason, "what"));
    if (node.empty()) {
      std::string line = step.empty() ? "" : "step " + step + ": ";
      line += what;
      if (tasks > 0) line += styled(" (" + tasks_text(tasks) + ")", Style::dim, color);
      context.out.line(line);
      continue;
    }
    has_steps = has_steps || !step.empty();
    rows.push_back({{node, Style::bold}, {step}, {tasks > 0 ? fmt::format("{}", tasks) : ""}, {what}});
  }
  if (rows.empty()) return Exit::ok;
  std::vector<Column> columns = {{"NODE"}, {"STEP"}, {"TASKS", true}, {"WHY", false, 20}};
  const auto drop = [&](std::size_t i) {
    columns.erase(columns.begin() + static_cast<std::ptrdiff_t>(i));
    for (auto& row : rows) row.erase(row.begin() + static_cast<std::ptrdiff_t>(i));
  };
  const bool has_tasks =
      std::any_of(rows.begin(), rows.end(), [](const Row& row) { return !row[2].text.empty(); });
  if (!has_tasks) drop(2);
  if (!has_steps) drop(1);
  context.out.raw(table_text(columns, rows, context.out.width(), color));
  return Exit::ok;
}

Result<Exit> requeue(Context& context, const RequeueOptions& options) {
  const bool is_of_many =
      options.only_failed || options.all || !options.frames.empty() || !options.step.empty();
  if (!is_of_many) return judge(context, options.what, Look::requeue);
  if (options.only_failed && options.all) return fail(Code::invalid, "--failed and --all: which of the two?");
  if (TaskId::parse(options.what)) {
    return fail(Code::invalid,
                fmt::format("{} is one task: give a job with --failed, --all, --frames or --step",
                            harmless(options.what)));
  }
  const auto job = find_job(context, options.what);
  if (!job) return fail(job.error());
  Json wish = Json::object({{"which", options.only_failed ? "failed" : "all"}});
  if (!options.step.empty()) wish.set("step", options.step);
  if (!options.frames.empty()) wish.set("frames", options.frames);
  const auto answer = context.client.requeue_many(text_of(*job, "id"), wish);
  if (!answer) return fail(answer.error());
  if (context.json) context.print(*answer);
  context.say(
      fmt::format("job {}: {} queued again", job_label(*job), tasks_text(integer_of(*answer, "tasks"))));
  return Exit::ok;
}

Result<Exit> set_job(Context& context, const std::string& job_text, const JobSettings& settings) {
  Json changes(Json::Object{});
  if (settings.priority) changes.set("priority", *settings.priority);
  if (settings.slot_limit) changes.set("slot_limit", *settings.slot_limit);
  if (settings.node_limit) changes.set("node_limit", *settings.node_limit);
  if (!settings.tags.empty()) changes.set("tags", list_of(settings.tags));
  if (!settings.after.empty()) changes.set("after", list_of(settings.after));
  if (!settings.start.empty()) {
    const auto start = parse_moment(settings.start, now_ms());
    if (!start) return fail(start.error());
    changes.set("start_ms", *start);
  }
  if (changes.as_object()->empty()) {
    return fail(Code::invalid,
                "what should change? --priority, --max-slots, --max-nodes, --tag, --after or --start");
  }
  const auto job = find_job(context, job_text);
  if (!job) return fail(job.error());
  const auto changed = context.client.patch_job(text_of(*job, "id"), changes);
  if (!changed) return fail(changed.error());
  if (context.json) context.print(*changed);
  std::string now = fmt::format("priority {}", integer_of(*changed, "priority"));
  if (settings.slot_limit)
    now += fmt::format(", tasks at once: {}", limit_text(integer_of(*changed, "slot_limit")));
  if (settings.node_limit)
    now += fmt::format(", nodes at once: {}", limit_text(integer_of(*changed, "node_limit")));
  if (!settings.tags.empty()) now += ", tags " + joined(*changed, "tags", "none");
  if (!settings.after.empty()) now += ", after " + joined(*changed, "after", "none");
  if (!settings.start.empty()) {
    const auto start = integer_of(*changed, "start_ms");
    now += ", starts " + (start == 0 ? "at once" : date_text(start));
  }
  context.say(fmt::format("job {}: {}", job_label(*changed), now));
  return Exit::ok;
}

Result<Exit> farm(Context& context, const FarmOptions& options) {
  Json changes(Json::Object{});
  if (!options.fair_share.empty()) changes.set("fair_share", options.fair_share == "on");
  if (!options.limits.empty()) {
    Json limits(Json::Object{});
    for (const auto& text : options.limits) {
      const auto limit = parse_limit(text);
      if (!limit) return fail(limit.error());
      if (limits.find(limit->first) != nullptr)
        return fail(Code::invalid, fmt::format("--limit {} stands there twice", limit->first));
      limits.set(limit->first, limit->second);
    }
    changes.set("limits", std::move(limits));
  }
  const auto answer =
      changes.as_object()->empty() ? context.client.farm() : context.client.patch_farm(changes);
  if (!answer) return fail(answer.error());
  if (context.json) {
    context.print(*answer);
    return Exit::ok;
  }
  const bool color = context.out.color();
  const auto fact = [&](std::string_view name, const std::string& value) {
    context.out.line(styled(fmt::format("{:<11}", name), Style::dim, color) + value);
  };
  const Json& summary = member_of(*answer, "summary");
  const Json& settings = member_of(*answer, "settings");
  context.out.line(styled(fmt::format("farm {}, Kiln {}", harmless(text_of(*answer, "farm")),
                                      harmless(text_of(*answer, "version"))),
                          Style::bold, color));
  fact("nodes", fmt::format("{} online, {} of {} slots busy", integer_of(summary, "nodes_online"),
                            integer_of(summary, "slots_busy"), integer_of(summary, "slots")));
  fact("tasks", fmt::format("{} waiting, {} running", integer_of(summary, "tasks_queued"),
                            integer_of(summary, "tasks_running")));
  fact("fair share", flag_of(settings, "fair_share")
                         ? "on: jobs of one priority take turns between users"
                         : "off: jobs of one priority in the order of submission");
  if (const auto soft_c = maybe_number(*answer, "soft_c")) {
    fact("heat", fmt::format("no new work above {:.0f} °C, moved away above {:.0f} °C", *soft_c,
                             number_of(*answer, "hard_c")));
  }
  const auto* limits = member_of(settings, "limits").as_object();
  if (limits == nullptr || limits->empty()) {
    fact("limits", "none");
  } else {
    for (const auto& [name, count] : *limits)
      fact(&name == &limits->front().first ? "limits" : "",
           fmt::format("{} {}", harmless(name), count.dump()));
  }
  for (const auto& alarm : array_of(*answer, "alarms")) {
    if (const auto* text = alarm.as_string()) fact("alarm", styled(harmless(*text), Style::red, color));
  }
  return Exit::ok;
}

}  // namespace kiln::cli
