// What jobs, productions and nodes took.
#include <fmt/format.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/table.h"
#include "cli/text.h"

namespace kiln::cli {

namespace {

constexpr int longest_bar = 30;

double wasted_s(const Json& waste) {
  return number_of(waste, "failed_s") + number_of(waste, "lost_s") + number_of(waste, "superseded_s");
}

std::string seconds_or_nothing(double seconds) {
  return seconds > 0 ? duration_text(seconds) : "";
}

Row times_row(const std::string& name, const Json& times, Style style) {
  const auto seconds = [&](const char* key) { return Cell{duration_text(number_of(times, key))}; };
  return {{name, style},     {fmt::format("{}", integer_of(times, "tasks"))},
          seconds("unit_s"), seconds("median_s"),
          seconds("p95_s"),  seconds("total_s")};
}

void show_histogram(Context& context, const Json::Array& classes) {
  std::int64_t most = 1;
  for (const auto& one : classes) most = std::max(most, integer_of(one, "tasks"));
  for (const auto& one : classes) {
    const auto tasks = integer_of(one, "tasks");
    const auto length = static_cast<std::size_t>((tasks * longest_bar + most - 1) / most);
    context.out.line(fmt::format("{:>12} {}{}{}", "≤ " + duration_text(number_of(one, "up_to_s")),
                                 styled(std::string(length, '#'), Style::blue, context.out.color()),
                                 length > 0 ? " " : "", tasks));
  }
}

Result<Exit> job_statistics(Context& context, const StatsOptions& options) {
  const auto job = find_job(context, options.job);
  if (!job) return fail(job.error());
  const auto answer = context.client.statistics(text_of(*job, "id"), options.step);
  if (!answer) return fail(answer.error());
  if (context.json) {
    context.print(*answer);
    return Exit::ok;
  }
  const bool color = context.out.color();
  context.out.line(styled(fmt::format("job {}: {}", job_label(*job), harmless(text_of(*job, "state"))),
                          Style::bold, color));
  const Json& all = member_of(*answer, "all");
  if (integer_of(all, "tasks") == 0) {
    context.out.line("none of its tasks is done yet");
  } else {
    std::vector<Row> rows = {times_row("all", all, Style::bold)};
    for (const auto& node : array_of(*answer, "nodes"))
      rows.push_back(times_row(harmless(text_of(node, "node")), node, Style::plain));
    context.out.raw(table_text({{"NODE", false, 8},
                                {"TASKS", true},
                                {"A FRAME", true},
                                {"MEDIAN TASK", true, 0, 1},
                                {"95% WITHIN", true, 0, 2},
                                {"IN ALL", true}},
                               rows, context.out.width(), color));
    show_histogram(context, array_of(*answer, "histogram"));
  }
  const Json& waste = member_of(*answer, "waste");
  if (wasted_s(waste) > 0) {
    context.out.line(fmt::format(
        "wasted {}: {} in attempts that failed, {} lost with nodes, {} outrun by others",
        duration_text(wasted_s(waste)), duration_text(number_of(waste, "failed_s")),
        duration_text(number_of(waste, "lost_s")), duration_text(number_of(waste, "superseded_s"))));
  }
  return Exit::ok;
}

std::string percent_of(double part, double whole) {
  return whole > 0 ? percent_text(100 * part / whole) : "-";
}

Result<Exit> farm_statistics(Context& context, std::uint32_t hours) {
  const auto usage = context.client.usage(hours);
  if (!usage) return fail(usage.error());
  const auto nodes = context.client.nodes();
  if (!nodes) return fail(nodes.error());
  if (context.json) {
    Json document = *usage;
    document.set("nodes", Json(array_of(*nodes, "nodes")));
    context.print(document);
    return Exit::ok;
  }
  const bool color = context.out.color();
  const Json& total = member_of(*usage, "total");
  context.out.line(
      styled(fmt::format("the last {} hour{}", hours, hours == 1 ? "" : "s"), Style::bold, color));
  const double online_s = number_of(total, "online_s");
  if (online_s > 0) {
    context.out.line(fmt::format("slots were busy {} of their time online ({} of {}), {} of it wasted",
                                 percent_of(number_of(total, "busy_s"), online_s),
                                 duration_text(number_of(total, "busy_s")), duration_text(online_s),
                                 duration_text(wasted_s(member_of(total, "waste")))));
  } else {
    context.out.line("no node was online");
  }
  std::vector<Row> rows;
  for (const auto& node : array_of(*nodes, "nodes")) {
    const Json& use = member_of(node, "use");
    const Json& waste = member_of(use, "waste");
    rows.push_back({{harmless(text_of(node, "id")), Style::bold},
                    {percent_of(number_of(use, "busy_s"), number_of(use, "online_s"))},
                    {duration_text(number_of(use, "online_s"))},
                    {duration_text(number_of(use, "done_s"))},
                    {seconds_or_nothing(number_of(waste, "failed_s"))},
                    {seconds_or_nothing(number_of(waste, "lost_s"))},
                    {seconds_or_nothing(number_of(waste, "superseded_s"))},
                    {fmt::format("{}", integer_of(node, "tasks_done"))},
                    {fmt::format("{}", integer_of(node, "tasks_failed"))}});
  }
  if (rows.empty()) return Exit::ok;
  context.out.line(styled("each node since it is known", Style::dim, color));
  context.out.raw(table_text({{"NODE", false, 8},
                              {"BUSY", true},
                              {"ONLINE", true, 0, 4},
                              {"RENDERED", true},
                              {"FAILED", true, 0, 1},
                              {"LOST", true, 0, 2},
                              {"OUTRUN", true, 0, 3},
                              {"TASKS DONE", true, 0, 5},
                              {"TASKS FAILED", true, 0, 6}},
                             rows, context.out.width(), color));
  return Exit::ok;
}

}  // namespace

Result<Exit> show_statistics(Context& context, const StatsOptions& options) {
  return options.job.empty() ? farm_statistics(context, options.hours) : job_statistics(context, options);
}

Result<Exit> list_productions(Context& context, const std::string& project, const std::string& sequence) {
  if (!sequence.empty() && project.empty())
    return fail(Code::invalid, "--sequence goes with --project: two projects may have one of that name");
  const auto answer = context.client.productions(project, sequence);
  if (!answer) return fail(answer.error());
  if (context.json) {
    context.print(*answer);
    return Exit::ok;
  }
  const char* level = project.empty() ? "project" : sequence.empty() ? "sequence" : "shot";
  std::vector<Row> rows;
  for (const auto& row : array_of(*answer, "productions")) {
    const auto counts = counts_of(row);
    const auto name = harmless(text_of(row, level));
    const double done = counts.total() > 0
                            ? 100.0 * static_cast<double>(counts.done) / static_cast<double>(counts.total())
                            : 0;
    rows.push_back(
        {{name.empty() ? fmt::format("(no {})", level) : name, name.empty() ? Style::dim : Style::bold},
         {fmt::format("{}", integer_of(row, "jobs"))},
         {fmt::format("{}", integer_of(row, "jobs_open"))},
         {percent_text(done)},
         {fmt::format("{}/{}", counts.done, counts.total())},
         {counts.failed > 0 ? fmt::format("{}", counts.failed) : "", Style::red},
         {duration_text(number_of(row, "render_s"))},
         {seconds_or_nothing(wasted_s(member_of(row, "waste")))},
         {ago_text(integer_of(row, "newest_ms"), now_ms()), Style::dim}});
  }
  if (rows.empty()) {
    context.say("no jobs there");
    return Exit::ok;
  }
  std::string title(level);
  std::transform(title.begin(), title.end(), title.begin(), [](unsigned char c) { return std::toupper(c); });
  context.out.raw(table_text({{title, false, 10},
                              {"JOBS", true},
                              {"OPEN", true},
                              {"DONE", true},
                              {"TASKS", true, 0, 1},
                              {"FAILED", true, 0, 2},
                              {"RENDERED", true, 0, 3},
                              {"WASTED", true, 0, 4},
                              {"LAST", true, 0, 5}},
                             rows, context.out.width(), context.out.color()));
  return Exit::ok;
}

}  // namespace kiln::cli
