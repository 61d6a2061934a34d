// Questions to the database, for any thread: each runs on a read-only connection of a small pool and sees the
// farm as of the last committed batch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "scheduler/rows.h"
#include "scheduler/totals.h"

namespace kiln::store {

inline constexpr std::uint32_t max_rows = 1000;  // of one answer; a larger limit means this one

struct JobQuery {
  std::optional<std::string> state = {};  // as scheduler::shown_state() names it
  std::optional<std::string> user = {};
  std::optional<std::string> project = {};  // "": those in none
  std::optional<std::string> sequence = {};
  std::optional<std::string> shot = {};
  std::uint32_t limit = 100;
  std::uint64_t before = 0;  // job numbers below this one; 0 = newest first from the top
};
// Whose totals: without any, of each project; of a project, of each sequence; of a sequence, of each shot.
struct ProductionQuery {
  std::optional<std::string> project = {};
  std::optional<std::string> sequence = {};  // asked only with a project
  std::uint32_t from = 0;                    // rows to skip
  std::uint32_t limit = 200;
};
struct TaskQuery {
  std::optional<std::uint32_t> step = {};          // only that step's, by its place in the job
  std::optional<scheduler::TaskState> state = {};  // as shown: see tasks()
  bool held = false;                               // only those held for a look; `state` is not asked then
  std::uint32_t from = 0;                          // task index
  std::uint32_t limit = 200;
};
struct ResultQuery {
  std::optional<JobId> job = {};  // absent: of every job, newest first
  // Of a job: only results of the tasks [from_task, to_task), such as a step's.
  std::uint32_t from_task = 0;
  std::uint32_t to_task = 0xffffffffU;
  std::uint32_t from = 0;  // results to skip, in the answer's order
  std::uint32_t limit = 200;
};
struct UsageQuery {
  std::optional<NodeId> node = {};  // absent: of all nodes together, the rows' node is empty
  std::int64_t from_ms = 0;         // hours that begin from here on
  std::int64_t to_ms = 0;           // …and before this
  std::uint32_t limit = max_rows;
};

class Reader {
 public:
  // A Store must have made the file. Errors: as Database::open.
  static Result<Reader> open(const std::filesystem::path& path);
  ~Reader();
  Reader(Reader&&) noexcept;
  Reader& operator=(Reader&&) noexcept;

  Result<std::vector<scheduler::JobRow>> jobs(const JobQuery& query) const;  // newest first
  // By full id, or by number alone ("7") as people type it. Errors: not_found.
  Result<scheduler::JobRow> job(const std::string& id_or_number) const;
  // By name. O(jobs of it); without a project, of all jobs.
  Result<std::vector<scheduler::ProductionRow>> productions(const ProductionQuery& query) const;
  // Tasks in order, those without a row included. A task still queued in a job that was cancelled or failed
  // is shown, and filtered, as cancelled. Of a step with a target, what is not cut yet is shown as if it were
  // cut into the step's chunks now.
  Result<std::vector<scheduler::TaskRow>> tasks(const scheduler::JobRow& job, const TaskQuery& query) const;
  Result<std::vector<scheduler::AttemptRow>> attempts(const TaskId& task) const;  // oldest first
  // Of its tasks that are done, or of those of one step. O(tasks).
  Result<scheduler::JobTimes> frame_times(const scheduler::JobRow& job,
                                          const std::optional<std::uint32_t>& step = {}) const;
  // A job's results in the order of its tasks, then of their paths.
  Result<std::vector<scheduler::ResultRow>> results(const ResultQuery& query) const;
  Result<std::vector<scheduler::NodeRow>> nodes() const;    // by id
  Result<scheduler::NodeRow> node(const NodeId& id) const;  // Errors: not_found
  // One row an hour in which something was, oldest first. Of all nodes: O(nodes × hours).
  Result<std::vector<scheduler::UsageRow>> usage(const UsageQuery& query) const;
  Result<scheduler::FarmSettings> settings() const;
  Result<std::vector<scheduler::RendererRow>> renderers() const;  // by name

 private:
  struct Pool;
  explicit Reader(std::unique_ptr<Pool> pool);
  std::unique_ptr<Pool> pool_;
};

}  // namespace kiln::store
