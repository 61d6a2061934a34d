// The scheduler's rows as columns: each SELECT list and the function that reads it, side by side.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "scheduler/rows.h"
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

// JSON columns.
std::string options_text(const payloads::RenderOptions& options);
std::string warnings_text(const std::vector<std::string>& warnings);

// A column that does not hold what this room writes is an error (internal) that names row and column:
// somebody edited the file.
inline constexpr std::string_view job_columns =
    "job.id, job.number, job.name, job.renderer, job.frames, job.chunk, job.manifest, job.options, job.user, "
    "job.cid, "
    "job.created_ms, job.priority, job.state, job.queued, job.running, job.done, job.failed, job.cancelled, "
    "job.render_s, job.message, job.warnings, job.started_ms, job.finished_ms, job.retries, job.fail_pct, "
    "job.held";
Result<scheduler::JobRow> read_job(const Row& row);

inline constexpr std::string_view task_columns =
    "task.number, task.state, task.attempt, task.failures, task.node, task.error_code, task.error_message, "
    "task.seconds, task.started_ms, task.finished_ms, task.blank, task.review, task.void_up_to";
Result<scheduler::TaskRow> read_task(const Row& row, const JobId& job);
inline constexpr int task_column_count = 13;  // whoever selects more finds it behind these

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
    "quarantine_until_ms";
Result<scheduler::NodeRow> read_node(const Row& row);

// A job's id from a column.
Result<JobId> read_job_id(const Row& row, int column);

}  // namespace kiln::store
