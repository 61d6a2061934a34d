#include "store/rows.h"

#include <fmt/format.h>

#include <array>

#include "base/json.h"

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

constexpr JsonLimits stored{
    .bytes = 1024UL * 1024, .depth = 16, .values = 100'000};  // our own text, not a message

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

Result<payloads::RenderOptions> parse_options(std::string_view text) {
  const auto json = Json::parse(text, stored);
  if (!json) return fail(json.error());
  JsonReader in(*json, "options");
  payloads::RenderOptions options;
  in.optional("scene_file", options.scene_file, payloads::max_manifest_bytes);
  in.optional("format", options.format);
  in.optional("autoexec", options.autoexec);
  std::string device = "any";
  in.optional("device", device);
  in.optional("max_run_s", options.max_run_s);
  in.optional("stall_s", options.stall_s);
  const auto known = payloads::parse_device(device);
  if (!known) return fail(Code::invalid, fmt::format("options.device: '{}' is no device", device));
  options.device = *known;
  return in.finish(options);
}

Result<std::vector<std::string>> parse_warnings(std::string_view text) {
  const auto json = Json::parse(text, stored);
  if (!json) return fail(json.error());
  const auto* array = json->as_array();
  if (array == nullptr) return fail(Code::invalid, "warnings: an array is expected");
  std::vector<std::string> warnings;
  for (const auto& one : *array) {
    if (one.as_string() == nullptr) return fail(Code::invalid, "warnings: a text is expected");
    warnings.push_back(*one.as_string());
  }
  return warnings;
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

std::string options_text(const payloads::RenderOptions& options) {
  return Json::object({{"scene_file", options.scene_file},
                       {"format", options.format},
                       {"autoexec", options.autoexec},
                       {"device", payloads::to_string(options.device)},
                       {"max_run_s", options.max_run_s},
                       {"stall_s", options.stall_s}})
      .dump();
}

std::string warnings_text(const std::vector<std::string>& warnings) {
  return Json(Json::Array(warnings.begin(), warnings.end())).dump();
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
  return in.finish(std::move(node));
}

}  // namespace kiln::store
