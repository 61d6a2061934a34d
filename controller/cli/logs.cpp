#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/ids.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/follow.h"
#include "cli/text.h"
#include "payloads/frames.h"

namespace kiln::cli {

namespace {

constexpr std::uint32_t page = 1000;

// The task that holds that frame: tasks are chunks of the job's frames in order.
Result<std::uint32_t> task_of_frame(const Json& job, std::int32_t frame) {
  const auto frames = payloads::FrameSet::parse(text_of(job, "frames"));
  if (!frames) return fail(frames.error());
  const auto chunk = static_cast<std::size_t>(std::max<std::int64_t>(1, integer_of(job, "chunk")));
  for (std::size_t i = 0; i < frames->size(); ++i) {
    if (frames->at(i) == frame) return static_cast<std::uint32_t>(i / chunk);
  }
  return fail(Code::not_found, fmt::format("job {} has no frame {}: its frames are {}", job_label(job), frame,
                                           text_of(job, "frames")));
}

// `--task`: an index, or a task's full id.
Result<std::string> task_id(const Json& job, const std::string& text) {
  const auto id = text_of(job, "id");
  std::uint32_t index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error == std::errc{} && end == text.data() + text.size()) return fmt::format("{}-{}", id, index);
  const auto task = TaskId::parse(text);
  if (!task) return fail(task.error());
  if (task->job.str() != id) {
    return fail(Code::invalid, fmt::format("task {} is not of job {}", text, job_label(job)));
  }
  return text;
}

// The task that one would ask about first: one that failed, else the one that ended last.
Result<std::optional<std::string>> telling_task(Context& context, const Json& job) {
  const auto id = text_of(job, "id");
  if (counts_of(job).failed > 0) {
    const auto failed = context.client.tasks(id, "failed", 0, 1);
    if (!failed) return fail(failed.error());
    if (const auto& tasks = array_of(*failed, "tasks"); !tasks.empty()) return text_of(tasks.front(), "id");
  }
  std::optional<std::string> latest;
  std::int64_t latest_ms = 0;
  for (std::uint32_t from = 0;;) {
    const auto answer = context.client.tasks(id, "", from, page);
    if (!answer) return fail(answer.error());
    const auto& tasks = array_of(*answer, "tasks");
    for (const auto& task : tasks) {
      const auto ended_ms =
          std::max(integer_of(task, "finished_ms"), integer_of(task, "failures") > 0 ? 1 : 0L);
      if (ended_ms > latest_ms) latest_ms = ended_ms, latest = text_of(task, "id");
    }
    if (tasks.size() < page) return latest;
    from += page;
  }
}

// The newest attempt's log, or the one before it while the newest is still at work. nullopt: none yet.
struct Log {
  std::uint32_t attempt = 0;
  std::string node, state, text;
};
Result<std::optional<Log>> newest_log(Context& context, const std::string& task) {
  const auto answer = context.client.task(task);
  if (!answer) return fail(answer.error());
  const auto& attempts = array_of(*answer, "attempts");
  for (auto attempt = attempts.rbegin(); attempt != attempts.rend(); ++attempt) {
    const auto number = static_cast<std::uint32_t>(integer_of(*attempt, "attempt"));
    auto text = context.client.log(task, number);
    if (text) return Log{number, text_of(*attempt, "node"), text_of(*attempt, "state"), std::move(*text)};
    if (text.error().code != Code::not_found) return fail(std::move(text.error()));
  }
  return std::optional<Log>();
}

// A renderer's output on a terminal: line ends and tabs stay, nothing else may steer it.
std::string shown(const Context& context, const std::string& text) {
  return context.out.is_tty() ? harmless_lines(text) : text;
}

void print_log(Context& context, const std::string& task, const Log& log) {
  if (context.json) {
    context.print(Json::object({{"task", task},
                                {"attempt", log.attempt},
                                {"node", log.node},
                                {"state", log.state},
                                {"log", log.text}}));
    return;
  }
  const auto head =
      fmt::format("task {}, try {} on {}: {}", task, log.attempt, harmless(log.node), harmless(log.state));
  context.err.line(styled(head, Style::dim, context.err.color()));
  context.out.raw(shown(context, log.text));
  if (!log.text.empty() && log.text.back() != '\n') context.out.raw("\n");
}

// Prints each log as its attempt ends, until the job does.
Result<Exit> follow_logs(Context& context, const Json& job, const std::string& only) {
  std::optional<Error> failure;
  const auto on_event = [&](const std::string& event, const Json& data, const std::vector<std::string>&) {
    const bool is_start = event == "snapshot" && !only.empty();  // it may have ended before we listened
    const auto task = is_start ? only : text_of(data, "task");
    const auto state = text_of(data, "state");
    if (is_start) {
      const auto log = newest_log(context, task);
      if (!log) failure = log.error();
      if (log && *log) print_log(context, task, **log);
      return log.has_value() && !log->has_value();
    }
    if (event != "task" || text_of(data, "job") != text_of(job, "id") || (!only.empty() && task != only))
      return true;
    const bool has_ended =
        state == "done" || state == "failed" || (state == "queued" && integer_of(data, "attempt") > 0);
    if (!has_ended) return true;
    const auto log = newest_log(context, task);
    if (!log) {
      failure = log.error();
      return false;
    }
    if (*log) print_log(context, task, **log);
    return only.empty() || state == "queued";
  };
  const auto ended = wait_for_job(context, job, false, on_event);
  if (failure) return fail(*failure);
  if (!ended) return fail(ended.error());
  return !is_over(*ended) ? Exit::ok : exit_of_job(*ended);
}

}  // namespace

Result<Exit> show_logs(Context& context, const LogOptions& options) {
  const auto job = find_job(context, options.job);
  if (!job) return fail(job.error());
  std::string task;
  if (options.frame) {
    const auto index = task_of_frame(*job, *options.frame);
    if (!index) return fail(index.error());
    task = fmt::format("{}-{}", text_of(*job, "id"), *index);
  } else if (!options.task.empty()) {
    auto named = task_id(*job, options.task);
    if (!named) return fail(std::move(named.error()));
    task = std::move(*named);
  }
  if (options.follow && task.empty() && !is_over(*job)) return follow_logs(context, *job, task);
  if (task.empty()) {
    auto telling = telling_task(context, *job);
    if (!telling) return fail(std::move(telling.error()));
    if (*telling) task = std::move(**telling);
  }
  auto log = task.empty() ? Result<std::optional<Log>>(std::nullopt) : newest_log(context, task);
  if (!log) return fail(std::move(log.error()));
  if (!*log && options.follow && !is_over(*job)) return follow_logs(context, *job, task);
  if (!*log) {
    return fail(Code::not_found,
                fmt::format("no log yet of {}: a log comes when a task ends; --follow waits for it",
                            task.empty() ? fmt::format("job {}", job_label(*job)) : "task " + task));
  }
  print_log(context, task, **log);
  return Exit::ok;
}

}  // namespace kiln::cli
