#include <fmt/format.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/farm_view.h"
#include "cli/fields.h"
#include "cli/text.h"

namespace kiln::cli {

namespace {

constexpr std::uint32_t failures_shown = 10;

template <class Fact>
void show_wishes(const Json& job, const Fact& fact) {
  std::string production;
  for (const char* key : {"project", "sequence", "shot"}) {
    const auto name = harmless(text_of(job, key));
    if (!name.empty()) production += (production.empty() ? "" : " / ") + name;
  }
  fact("project", production);
  std::string limits;
  for (const auto& [key, what] : {std::pair{"slot_limit", "task"}, std::pair{"node_limit", "node"}}) {
    const auto limit = integer_of(job, key);
    if (limit == 0) continue;
    limits +=
        fmt::format("{}{} {}{} at once", limits.empty() ? "" : ", ", limit, what, limit == 1 ? "" : "s");
  }
  fact("limits", limits);
  fact("tags", joined(job, "tags"));
  fact("after", joined(job, "after"));
  if (const auto start = integer_of(job, "start_ms"); start > 0) fact("starts", date_text(start));
  for (const auto& step : array_of(job, "steps")) {
    const auto counts = counts_of(step);
    std::string text =
        fmt::format("{}: {} done of {}", harmless(text_of(step, "name")), counts.done, counts.total());
    if (counts.running > 0) text += fmt::format(", {} running", counts.running);
    if (counts.failed > 0) text += fmt::format(", {} failed", counts.failed);
    fact("step", text);
  }
  const Json& waste = member_of(job, "waste");
  const double wasted =
      number_of(waste, "failed_s") + number_of(waste, "lost_s") + number_of(waste, "superseded_s");
  if (wasted > 0) fact("wasted", duration_text(wasted));
}

void show_facts(Context& context, const Json& job) {
  const bool color = context.out.color();
  const auto fact = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) context.out.line(styled(fmt::format("{:<10}", name), Style::dim, color) + value);
  };
  const auto counts = counts_of(job);
  const auto state = text_of(job, "state");
  context.out.line(styled(fmt::format("job {}", job_label(job)), Style::bold, color));
  fact("id", harmless(text_of(job, "id")));
  std::string progress = fmt::format("{}, {}", harmless(state), percent_text(number_of(job, "percent")));
  if (const auto eta_s = maybe_number(job, "eta_s"); eta_s && !is_over(job))
    progress += ", " + duration_text(*eta_s) + " left";
  fact("state", progress);
  fact("why", harmless(text_of(job, "message")));
  std::string tasks = fmt::format("{} done of {}", counts.done, counts.total());
  for (const auto& [count, name] :
       {std::pair{counts.running, "running"}, std::pair{counts.queued, "waiting"},
        std::pair{counts.failed, "failed"}, std::pair{counts.cancelled, "cancelled"}}) {
    if (count > 0) tasks += fmt::format(", {} {}", count, name);
  }
  fact("tasks", tasks);
  if (const auto held = integer_of(job, "held"); held > 0)
    fact("held",
         styled(fmt::format("{} task{}, for a look", held, held == 1 ? "" : "s"), Style::yellow, color));
  fact("device", harmless(text_of(job, "device")));
  const auto chunk = integer_of(job, "chunk");
  const auto frames = harmless(text_of(job, "frames"));
  fact("frames", frames + (chunk > 1 && !frames.empty() ? fmt::format(", {} a task", chunk) : ""));
  fact("scene", harmless(text_of(job, "scene_file")));
  fact("type", harmless(text_of(job, "type")));
  fact("priority", fmt::format("{}", integer_of(job, "priority")));
  show_wishes(job, fact);
  fact("user", harmless(text_of(job, "user")));
  fact("submitted", date_text(integer_of(job, "created_ms")));
  if (integer_of(job, "finished_ms") > 0) fact("finished", date_text(integer_of(job, "finished_ms")));
  if (number_of(job, "render_s") > 0) fact("rendering", duration_text(number_of(job, "render_s")));
  fact("output", harmless(text_of(job, "output_dir")));
  for (const auto& warning : array_of(job, "warnings")) {
    if (const auto* text = warning.as_string())
      fact("warning", styled(harmless(*text), Style::yellow, color));
  }
}

void show_failures(Context& context, const Json& job, const Json::Array& tasks) {
  for (const auto& task : tasks) {
    const Json& error = member_of(task, "error");
    context.out.line(fmt::format("{} frames {}, {} tries, last on {}: {}",
                                 styled("failed", Style::red, context.out.color()),
                                 harmless(text_of(task, "frames")), integer_of(task, "failures"),
                                 harmless(text_of(task, "node")), harmless(text_of(error, "message"))));
  }
  const auto counts = counts_of(job);
  if (counts.failed > static_cast<std::int64_t>(tasks.size())) {
    context.out.line(fmt::format("and {} more", counts.failed - static_cast<std::int64_t>(tasks.size())));
  }
  if (!tasks.empty()) {
    const auto number = integer_of(job, "number");
    context.out.line(
        fmt::format("`kiln logs {}` shows what Blender said; `kiln retry {}` tries again", number, number));
  }
}

void show_held(Context& context, const Json& job, const Json::Array& tasks) {
  for (const auto& task : tasks) {
    context.out.line(fmt::format("{} frames {}, on {}, task {}: {}",
                                 styled("held", Style::yellow, context.out.color()),
                                 harmless(text_of(task, "frames")), harmless(text_of(task, "node")),
                                 harmless(text_of(task, "id")), harmless(text_of(task, "held"))));
  }
  const auto more = integer_of(job, "held") - static_cast<std::int64_t>(tasks.size());
  if (more > 0) context.out.line(fmt::format("and {} more", more));
  if (!tasks.empty()) {
    const auto number = integer_of(job, "number");
    context.out.line(fmt::format(
        "`kiln accept {}` takes them as they are, `kiln requeue {}` renders them again", number, number));
  }
}

// Tasks in that state, as many as are shown; none are asked for when there are none.
Result<Json::Array> tasks_in(Context& context, const Json& job, const char* state, std::int64_t count) {
  if (count == 0) return Json::Array();
  const auto tasks = context.client.tasks(text_of(job, "id"), state, 0, context.json ? 1000 : failures_shown);
  if (!tasks) return fail(tasks.error());
  return array_of(*tasks, "tasks");
}

}  // namespace

Result<Exit> list_jobs(Context& context, const Client::JobFilter& filter) {
  const auto answer = context.client.jobs(filter);
  if (!answer) return fail(answer.error());
  if (context.json) {
    context.print(*answer);
    return Exit::ok;
  }
  std::vector<const Json*> jobs;
  for (const auto& job : array_of(*answer, "jobs")) jobs.push_back(&job);
  if (jobs.empty()) {
    const bool is_filtered = !filter.project.empty() || !filter.sequence.empty() || !filter.shot.empty();
    context.say(is_filtered            ? "no such jobs"
                : filter.state.empty() ? "no jobs yet: kiln submit scene.blend"
                                       : fmt::format("no {} jobs", filter.state));
    return Exit::ok;
  }
  context.out.raw(jobs_table(jobs, context.out.width(), context.out.color(), now_ms()));
  return Exit::ok;
}

Result<Exit> show_job(Context& context, const std::string& job_text) {
  const auto job = find_job(context, job_text);
  if (!job) return fail(job.error());
  auto failed = tasks_in(context, *job, "failed", counts_of(*job).failed);
  if (!failed) return fail(std::move(failed.error()));
  auto held = tasks_in(context, *job, "held", integer_of(*job, "held"));
  if (!held) return fail(std::move(held.error()));
  if (context.json) {
    Json document = *job;
    document.set("failed_tasks", std::move(*failed));
    document.set("held_tasks", std::move(*held));
    context.print(document);
    return Exit::ok;
  }
  show_facts(context, *job);
  show_failures(context, *job, *failed);
  show_held(context, *job, *held);
  return Exit::ok;
}

Result<Exit> judge(Context& context, const std::string& what, Look look) {
  std::vector<std::string> tasks;
  if (const auto task = TaskId::parse(what)) {
    tasks.push_back(task->str());
  } else {
    const auto job = find_job(context, what);
    if (!job) return fail(job.error());
    // A page at a time; those judged are not held any more.
    for (std::uint32_t from = 0;;) {
      const auto page = context.client.tasks(text_of(*job, "id"), "held", from, 1000);
      if (!page) return fail(page.error());
      const auto& rows = array_of(*page, "tasks");
      for (const auto& row : rows) tasks.push_back(text_of(row, "id"));
      if (rows.size() < 1000) break;
      from = static_cast<std::uint32_t>(integer_of(rows.back(), "index")) + 1;
    }
    if (tasks.empty()) {
      return fail(Code::conflict, fmt::format("job {} holds no frame for a look", job_label(*job)));
    }
  }
  Json::Array judged;
  for (const auto& id : tasks) {
    auto task = look == Look::accept ? context.client.accept(id) : context.client.requeue(id);
    if (!task) return fail(std::move(task.error()));
    context.say(fmt::format("task {} (frames {}): {}", harmless(id), harmless(text_of(*task, "frames")),
                            look == Look::accept ? "accepted" : "renders again"));
    judged.push_back(std::move(*task));
  }
  if (context.json) context.print(Json::object({{"tasks", std::move(judged)}}));
  return Exit::ok;
}

Result<Exit> act_on_job(Context& context, const std::string& job_text, JobAction action) {
  const auto job = find_job(context, job_text);
  if (!job) return fail(job.error());
  const auto id = text_of(*job, "id");
  if (action == JobAction::erase) {
    if (auto removed = context.client.remove(id); !removed) return fail(std::move(removed.error()));
    context.say(fmt::format("deleted job {}", job_label(*job)));
    if (context.json) context.print(Json::object({{"deleted", id}}));
    return Exit::ok;
  }
  const auto changed =
      action == JobAction::cancel ? context.client.cancel(id)
      : action == JobAction::retry
          ? context.client.retry(id)
          : context.client.patch_job(id, Json::object({{"paused", action == JobAction::pause}}));
  if (!changed) return fail(changed.error());
  if (context.json) context.print(*changed);
  context.say(fmt::format("job {}: {}", job_label(*changed), harmless(text_of(*changed, "state"))));
  return Exit::ok;
}

Result<Exit> set_priority(Context& context, const std::string& job_text, int priority) {
  const auto job = find_job(context, job_text);
  if (!job) return fail(job.error());
  const auto changed = context.client.patch_job(text_of(*job, "id"), Json::object({{"priority", priority}}));
  if (!changed) return fail(changed.error());
  if (context.json) context.print(*changed);
  context.say(fmt::format("job {}: priority {}", job_label(*changed), integer_of(*changed, "priority")));
  return Exit::ok;
}

}  // namespace kiln::cli
