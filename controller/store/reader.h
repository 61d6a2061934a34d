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

namespace kiln::store {

inline constexpr std::uint32_t max_rows = 1000;  // of one answer; a larger limit means this one

struct JobQuery {
  std::optional<std::string> state = {};  // as scheduler::shown_state() names it
  std::optional<std::string> user = {};
  std::uint32_t limit = 100;
  std::uint64_t before = 0;  // job numbers below this one; 0 = newest first from the top
};
struct TaskQuery {
  std::optional<scheduler::TaskState> state = {};  // as shown: see tasks()
  bool held = false;                               // only those held for a look; `state` is not asked then
  std::uint32_t from = 0;                          // task index
  std::uint32_t limit = 200;
};
struct ResultQuery {
  std::optional<JobId> job = {};  // absent: of every job, newest first
  std::uint32_t from = 0;         // results to skip, in the answer's order
  std::uint32_t limit = 200;
  std::uint32_t from_task = 0;          // of a job: only tasks from this number on…
  std::uint32_t to_task = 0xffffffffU;  // …and below this one
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
  // Tasks in order, those without a row included. A task still queued in a job that was cancelled or failed
  // is shown, and filtered, as cancelled.
  Result<std::vector<scheduler::TaskRow>> tasks(const scheduler::JobRow& job, const TaskQuery& query) const;
  Result<std::vector<scheduler::AttemptRow>> attempts(const TaskId& task) const;  // oldest first
  // A job's results in the order of its tasks, then of their paths.
  Result<std::vector<scheduler::ResultRow>> results(const ResultQuery& query) const;
  Result<std::vector<scheduler::NodeRow>> nodes() const;    // by id
  Result<scheduler::NodeRow> node(const NodeId& id) const;  // Errors: not_found

 private:
  struct Pool;
  explicit Reader(std::unique_ptr<Pool> pool);
  std::unique_ptr<Pool> pool_;
};

}  // namespace kiln::store
