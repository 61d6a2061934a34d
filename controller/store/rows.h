// The scheduler's rows as columns: each SELECT list and the function that reads it, side by side.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "scheduler/rows.h"
#include "scheduler/totals.h"
#include "store/database.h"

namespace kiln::store {

// The words that the schema's CHECKs list.
std::string_view word(scheduler::JobState state);
std::string_view word(scheduler::TaskState state);
std::string_view word(scheduler::AttemptState state);
std::string_view word(scheduler::Review review);
std::string_view word(scheduler::NodePresence presence);

inline constexpr std::int64_t no_number = -1;  // where a number may be missing
std::int64_t number(const std::optional<std::uint32_t>& value);

// A column that does not hold what this room writes is an error (internal) that names row and column:
// somebody edited the file.
inline constexpr std::string_view job_columns =
    "job.id, job.number, job.name, job.renderer, job.frames, job.chunk, job.manifest, job.options, job.user, "
    "job.cid, "
    "job.created_ms, job.priority, job.state, job.queued, job.running, job.done, job.failed, job.cancelled, "
    "job.render_s, job.message, job.warnings, job.started_ms, job.finished_ms, job.retries, job.fail_pct, "
    "job.held, job.type, job.document, job.steps, job.project, job.sequence, job.shot, job.wishes, "
    "job.failed_s, job.lost_s, job.superseded_s, job.step_counts, job.limits, job.bundle";
Result<scheduler::JobRow> read_job(const Row& row);

inline constexpr std::string_view task_columns =
    "task.number, task.state, task.attempt, task.failures, task.node, task.error_code, task.error_message, "
    "task.seconds, task.started_ms, task.finished_ms, task.blank, task.review, task.void_up_to, "
    "task.first_unit, task.unit_count";
Result<scheduler::TaskRow> read_task(const Row& row, const JobId& job);
inline constexpr int task_column_count = 15;  // whoever selects more finds it behind these

inline constexpr std::string_view attempt_columns =
    "attempt.task, attempt.number, attempt.node, attempt.state, attempt.error_code, attempt.error_message, "
    "attempt.assigned_ms, attempt.started_ms, attempt.finished_ms";
Result<scheduler::AttemptRow> read_attempt(const Row& row, const JobId& job);
inline constexpr int attempt_column_count = 9;

inline constexpr std::string_view result_columns =
    "result.task, result.path, result.attempt, result.node, result.frame, result.digest, result.size, "
    "result.width, "
    "result.height, result.seconds, result.finished_ms, result.blank, "
    "(SELECT review FROM task WHERE task.job = result.job AND task.number = result.task)";
Result<scheduler::ResultRow> read_result(const Row& row, const JobId& job);
inline constexpr int result_column_count = 13;

inline constexpr std::string_view node_columns =
    "id, info, drained, presence, sid, tasks_done, tasks_failed, first_seen_ms, last_seen_ms, quarantine, "
    "quarantine_until_ms, settings, asleep, online_s, busy_s, done_s, failed_s, lost_s, superseded_s";
Result<scheduler::NodeRow> read_node(const Row& row);

inline constexpr std::string_view usage_columns =
    "node, hour_ms, online_s, busy_s, done_s, failed_s, lost_s, superseded_s";
Result<scheduler::UsageRow> read_usage(const Row& row);

inline constexpr std::string_view renderer_columns =
    "name, version, digest, size, unpacked_bytes, program, file, user, added_ms";
Result<scheduler::RendererRow> read_renderer(const Row& row);

inline constexpr std::string_view limit_columns = "name, count";
Result<std::pair<std::string, std::uint32_t>> read_limit(const Row& row);

// Of jobs in one group; the first three columns are the group's production.
inline constexpr std::string_view production_sums =
    "count(*), sum(state IN ('active', 'paused')), sum(queued), sum(running), sum(done), sum(failed), "
    "sum(cancelled), sum(render_s), sum(failed_s), sum(lost_s), sum(superseded_s), "
    "max(max(created_ms, started_ms, finished_ms))";
Result<scheduler::ProductionRow> read_production(const Row& row);

// A job's id from a column.
Result<JobId> read_job_id(const Row& row, int column);

}  // namespace kiln::store
