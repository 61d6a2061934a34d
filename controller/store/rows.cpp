#include "store/rows.h"

#include <fmt/format.h>

#include <array>

#include "store/json_columns.h"

namespace kiln::store {
namespace {

using namespace std::string_view_literals;

// In the order of the enums.
constexpr std::array job_states = {"active"sv, "paused"sv, "done"sv, "failed"sv, "cancelled"sv};
constexpr std::array task_states = {"queued"sv, "assigned"sv, "running"sv,
                                    "done"sv,   "failed"sv,   "cancelled"sv};
constexpr std::array attempt_states = {"assigned"sv, "running"sv,    "done"sv,     "failed"sv,
                                       "lost"sv,     "superseded"sv, "cancelled"sv};
constexpr std::array reviews = {""sv, "held"sv, "accepted"sv};
constexpr std::array blanks = {""sv, "black"sv, "transparent"sv};
constexpr std::array presences = {"unknown"sv, "online"sv, "draining"sv, "offline"sv};

// Reads columns in order and remembers the first that is wrong.
class Columns {
 public:
  Columns(const Row& row, std::string_view table) : row_(row), table_(table) {}

  template <class T>
  void read(T& out) {
    row_.read(column_++, out);
  }
  // A number that may not be set: no_number in the file.
  void read_maybe(std::optional<std::uint32_t>& out) {
    std::int64_t number = no_number;
    row_.read(column_++, number);
    if (number >= 0) out = static_cast<std::uint32_t>(number);
  }
  // An enum by its word.
  template <class Enum, std::size_t n>
  void read(Enum& out, const std::array<std::string_view, n>& words) {
    const auto text = row_.text(column_++);
    for (std::size_t i = 0; i < n; ++i) {
      if (words.at(i) == text) {
        out = static_cast<Enum>(i);
        return;
      }
    }
    reject(fmt::format("'{}' is no state", text));
  }
  // What parse(text) makes of it; "" leaves an id empty.
  template <class T, class Parse>
  void parse(T& out, const Parse& parse_text, bool may_be_empty = false) {
    const auto text = row_.text(column_++);
    if (text.empty() && may_be_empty) return;
    if (auto value = parse_text(text)) {
      out = std::move(*value);
    } else {
      reject(value.error().message);
    }
  }
  template <class T>
  Result<T> finish(T value) {
    if (!error_.empty()) return fail(Code::internal, error_);
    return value;
  }

 private:
  void reject(std::string_view why) {
    if (error_.empty()) error_ = fmt::format("database: table {}: column {}: {}", table_, column_, why);
  }
  const Row& row_;
  std::string_view table_;
  int column_ = 0;
  std::string error_;
};

void read_waste(Columns& in, scheduler::Waste& waste) {
  in.read(waste.failed_s);
  in.read(waste.lost_s);
  in.read(waste.superseded_s);
}

void read_use(Columns& in, scheduler::NodeUse& use) {
  in.read(use.online_s);
  in.read(use.busy_s);
  in.read(use.done_s);
  read_waste(in, use.waste);
}

}  // namespace

std::string_view word(scheduler::JobState state) {
  return job_states.at(static_cast<std::size_t>(state));
}
std::string_view word(scheduler::TaskState state) {
  return task_states.at(static_cast<std::size_t>(state));
}
std::string_view word(scheduler::AttemptState state) {
  return attempt_states.at(static_cast<std::size_t>(state));
}
std::string_view word(scheduler::Review review) {
  return reviews.at(static_cast<std::size_t>(review));
}
std::int64_t number(const std::optional<std::uint32_t>& value) {
  return value ? *value : no_number;
}
std::string_view word(scheduler::NodePresence presence) {
  return presences.at(static_cast<std::size_t>(presence));
}

Result<JobId> read_job_id(const Row& row, int column) {
  return JobId::parse(row.text(column));
}

Result<scheduler::JobRow> read_job(const Row& row) {
  scheduler::JobRow job;
  Columns in(row, "job");
  in.parse(job.id, JobId::parse);
  in.read(job.number);
  in.read(job.spec.name);
  in.read(job.spec.renderer);
  in.parse(job.spec.frames, payloads::FrameSet::parse, true);
  in.read(job.spec.chunk);
  in.read(job.spec.manifest);
  in.parse(job.spec.options, parse_options);
  in.read(job.user);
  in.read(job.cid);
  in.read(job.created_ms);
  in.read(job.priority);
  in.read(job.state, job_states);
  in.read(job.counts.queued);
  in.read(job.counts.running);
  in.read(job.counts.done);
  in.read(job.counts.failed);
  in.read(job.counts.cancelled);
  in.read(job.render_s);
  in.read(job.message);
  in.parse(job.warnings, parse_warnings);
  in.read(job.started_ms);
  in.read(job.finished_ms);
  in.read_maybe(job.spec.retries);
  in.read_maybe(job.spec.fail_pct);
  in.read(job.held);
  in.read(job.spec.type);
  in.read(job.spec.document);
  in.parse(job.spec.steps, parse_steps, true);
  in.read(job.spec.production.project);
  in.read(job.spec.production.sequence);
  in.read(job.spec.production.shot);
  in.parse(job.wishes, parse_wishes, true);
  read_waste(in, job.waste);
  in.parse(job.steps, parse_counts, true);
  in.parse(job.spec.limits, parse_limits, true);
  in.parse(job.spec.bundle, parse_bundle, true);
  return in.finish(std::move(job));
}

Result<scheduler::TaskRow> read_task(const Row& row, const JobId& job) {
  scheduler::TaskRow task;
  task.id.job = job;
  Columns in(row, "task");
  in.read(task.id.index);
  in.read(task.state, task_states);
  in.read(task.attempt);
  in.read(task.failures);
  in.parse(task.node, NodeId::parse, true);
  in.read(task.error_code);
  in.read(task.error_message);
  in.read(task.seconds);
  in.read(task.started_ms);
  in.read(task.finished_ms);
  in.read(task.blank, blanks);
  in.read(task.review, reviews);
  in.read(task.void_up_to);
  in.read(task.first_unit);
  in.read(task.unit_count);
  return in.finish(std::move(task));
}

Result<scheduler::AttemptRow> read_attempt(const Row& row, const JobId& job) {
  scheduler::AttemptRow attempt;
  attempt.task.job = job;
  Columns in(row, "attempt");
  in.read(attempt.task.index);
  in.read(attempt.attempt);
  in.parse(attempt.node, NodeId::parse, true);
  in.read(attempt.state, attempt_states);
  in.read(attempt.error_code);
  in.read(attempt.error_message);
  in.read(attempt.assigned_ms);
  in.read(attempt.started_ms);
  in.read(attempt.finished_ms);
  return in.finish(std::move(attempt));
}

Result<scheduler::ResultRow> read_result(const Row& row, const JobId& job) {
  scheduler::ResultRow result;
  result.task.job = job;
  Columns in(row, "result");
  in.read(result.task.index);
  in.read(result.file.path);
  in.read(result.attempt);
  in.parse(result.node, NodeId::parse, true);
  in.read(result.file.frame);
  in.read(result.file.digest);
  in.read(result.file.size);
  in.read(result.file.width);
  in.read(result.file.height);
  in.read(result.file.seconds);
  in.read(result.finished_ms);
  in.read(result.file.blank, blanks);
  auto review = scheduler::Review::none;
  in.read(review, reviews);
  result.held = review == scheduler::Review::held;
  return in.finish(std::move(result));
}

Result<scheduler::NodeRow> read_node(const Row& row) {
  scheduler::NodeRow node;
  Columns in(row, "node");
  in.parse(node.id, NodeId::parse);
  in.parse(node.info, payloads::decode_node_info, true);  // "": the node has not introduced itself yet
  in.read(node.drained);
  in.read(node.presence, presences);
  in.read(node.sid);
  in.read(node.tasks_done);
  in.read(node.tasks_failed);
  in.read(node.first_seen_ms);
  in.read(node.last_seen_ms);
  in.read(node.quarantine);
  in.read(node.quarantine_until_ms);
  in.parse(node.settings, parse_settings, true);
  in.read(node.asleep);
  read_use(in, node.use);
  return in.finish(std::move(node));
}

Result<scheduler::UsageRow> read_usage(const Row& row) {
  scheduler::UsageRow usage;
  Columns in(row, "usage");
  in.parse(usage.node, NodeId::parse, true);  // "": of all
  in.read(usage.hour_ms);
  read_use(in, usage.use);
  return in.finish(std::move(usage));
}

Result<scheduler::RendererRow> read_renderer(const Row& row) {
  scheduler::RendererRow renderer;
  Columns in(row, "renderer");
  in.read(renderer.bundle.name);
  in.read(renderer.bundle.version);
  in.read(renderer.bundle.digest);
  in.read(renderer.bundle.size);
  in.read(renderer.bundle.unpacked_bytes);
  in.read(renderer.bundle.program);
  in.read(renderer.file);
  in.read(renderer.user);
  in.read(renderer.added_ms);
  return in.finish(std::move(renderer));
}

Result<std::pair<std::string, std::uint32_t>> read_limit(const Row& row) {
  std::pair<std::string, std::uint32_t> limit;
  Columns in(row, "counted_limit");
  in.read(limit.first);
  in.read(limit.second);
  return in.finish(std::move(limit));
}

Result<scheduler::ProductionRow> read_production(const Row& row) {
  scheduler::ProductionRow total;
  Columns in(row, "job");
  in.read(total.production.project);
  in.read(total.production.sequence);
  in.read(total.production.shot);
  in.read(total.jobs);
  in.read(total.jobs_open);
  in.read(total.counts.queued);
  in.read(total.counts.running);
  in.read(total.counts.done);
  in.read(total.counts.failed);
  in.read(total.counts.cancelled);
  in.read(total.render_s);
  read_waste(in, total.waste);
  in.read(total.newest_ms);
  return in.finish(std::move(total));
}

}  // namespace kiln::store
