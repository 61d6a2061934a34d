#include "store/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <limits>
#include <map>
#include <mutex>
#include <utility>

#include "store/database.h"
#include "store/queries.h"
#include "store/rows.h"

namespace kiln::store {

// ---- the SQL ---------------------------------------------------------------------------------------------

const Queries& queries() {
  static const Queries all = [] {
    Queries q;
    const auto jobs = [](std::string_view where) {
      return fmt::format("SELECT {} FROM job WHERE {}number < ? ORDER BY number DESC LIMIT ?", job_columns,
                         where);
    };
    q.jobs = jobs("");
    q.jobs_by_state = jobs("shown_state = ? AND ");
    q.jobs_by_user = jobs("user = ? AND ");
    q.jobs_by_user_state = jobs("user = ? AND shown_state = ? AND ");
    q.job_by_id = fmt::format("SELECT {} FROM job WHERE id = ?", job_columns);
    q.job_by_number = fmt::format("SELECT {} FROM job WHERE number = ?", job_columns);

    const auto tasks = [](std::string_view where) {
      return fmt::format("SELECT {} FROM task WHERE job = ? AND {}number >= ? ORDER BY number LIMIT ?",
                         task_columns, where);
    };
    q.tasks = tasks("");
    q.tasks_done = tasks("state = 'done' AND ");
    q.tasks_in_state =
        tasks("state = ? AND state <> 'done' AND ");  // said twice: so the partial index applies

    q.tasks_held = tasks("review = 'held' AND ");
    q.attempts = fmt::format(
        "SELECT {} FROM attempt WHERE job = (SELECT number FROM job WHERE id = ?) AND task = ? ORDER BY "
        "number",
        attempt_columns);
    q.results = fmt::format(
        "SELECT {}, job.id FROM result CROSS JOIN job ON job.number = result.job ORDER BY seq DESC LIMIT ? "
        "OFFSET ?",
        result_columns);
    q.results_of_job = fmt::format(
        "SELECT {} FROM result WHERE job = (SELECT number FROM job WHERE id = ?) AND task >= ? AND task < ? "
        "ORDER BY task, path LIMIT ? OFFSET ?",
        result_columns);
    q.nodes = fmt::format("SELECT {} FROM node ORDER BY id", node_columns);
    q.node = fmt::format("SELECT {} FROM node WHERE id = ?", node_columns);
    return q;
  }();
  return all;
}

std::vector<std::string> all_queries() {
  const auto& q = queries();
  return {q.jobs,           q.jobs_by_state, q.jobs_by_user, q.jobs_by_user_state,
          q.job_by_id,      q.job_by_number, q.tasks,        q.tasks_done,
          q.tasks_in_state, q.tasks_held,    q.attempts,     q.results,
          q.results_of_job, q.nodes,         q.node};
}

// ---- connections -----------------------------------------------------------------------------------------

namespace {

constexpr std::size_t max_connections = 8;  // answers take milliseconds; a ninth asker waits for one

// A connection and the statements that it has prepared so far.
struct Connection {
  Database database;
  std::map<std::string, Statement> statements;

  Result<Statement*> statement(const std::string& sql) {
    auto found = statements.find(sql);
    if (found == statements.end()) {
      auto made = database.prepare(sql);
      if (!made) return fail(std::move(made.error()));
      found = statements.emplace(sql, std::move(*made)).first;
    }
    return &found->second;
  }

  // The rows of a query as values.
  template <class Value, class Read, class... Args>
  Result<std::vector<Value>> rows(const std::string& sql, const Read& read, const Args&... args) {
    auto query = statement(sql);
    if (!query) return fail(std::move(query.error()));
    std::vector<Value> values;
    const auto on_row = [&](const Row& row) -> Status {
      auto value = read(row);
      if (!value) return fail(std::move(value.error()));
      values.push_back(std::move(*value));
      return {};
    };
    if (auto status = (*query)->each(on_row, args...); !status) return fail(std::move(status.error()));
    return values;
  }
};

std::uint32_t bounded(std::uint32_t limit) {
  return std::min(limit, max_rows);
}

template <class Value>
Result<Value> only(Result<std::vector<Value>> values, const std::string& none) {
  if (!values) return fail(std::move(values.error()));
  if (values->empty()) return fail(Code::not_found, none);
  return std::move(values->front());
}

}  // namespace

struct Reader::Pool {
  std::filesystem::path path;
  std::mutex mutex;
  std::condition_variable returned;
  std::vector<std::unique_ptr<Connection>> idle;
  std::size_t lent = 0;

  Result<std::unique_ptr<Connection>> take() {
    std::unique_lock lock(mutex);
    returned.wait(lock, [this] { return !idle.empty() || lent < max_connections; });
    ++lent;
    if (!idle.empty()) {
      auto connection = std::move(idle.back());
      idle.pop_back();
      return connection;
    }
    lock.unlock();
    auto database = Database::open(path, Access::read);
    if (database) return std::make_unique<Connection>(Connection{std::move(*database), {}});
    give_back(nullptr);
    return fail(std::move(database.error()));
  }

  void give_back(std::unique_ptr<Connection> connection) {
    {
      const std::lock_guard lock(mutex);
      --lent;
      if (connection) idle.push_back(std::move(connection));
    }
    returned.notify_one();
  }

  // work(connection), with a connection of the pool.
  template <class Work>
  auto with(const Work& work) -> decltype(work(std::declval<Connection&>())) {
    auto connection = take();
    if (!connection) return fail(std::move(connection.error()));
    auto answer = work(**connection);
    give_back(std::move(*connection));
    return answer;
  }
};

Reader::Reader(std::unique_ptr<Pool> pool) : pool_(std::move(pool)) {}
Reader::~Reader() = default;
Reader::Reader(Reader&&) noexcept = default;
Reader& Reader::operator=(Reader&&) noexcept = default;

Result<Reader> Reader::open(const std::filesystem::path& path) {
  auto pool = std::make_unique<Pool>();
  pool->path = path;
  auto first = pool->take();
  if (!first) return fail(std::move(first.error()));
  pool->give_back(std::move(*first));
  return Reader(std::move(pool));
}

// ---- questions -------------------------------------------------------------------------------------------

Result<std::vector<scheduler::JobRow>> Reader::jobs(const JobQuery& query) const {
  constexpr auto top = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const auto before = query.before == 0 ? top : std::min(query.before, top);
  const auto limit = bounded(query.limit);
  const auto& q = queries();
  return pool_->with([&](Connection& connection) {
    const auto rows = [&](const std::string& sql, const auto&... args) {
      return connection.rows<scheduler::JobRow>(sql, read_job, args..., before, limit);
    };
    if (query.user && query.state) return rows(q.jobs_by_user_state, *query.user, *query.state);
    if (query.user) return rows(q.jobs_by_user, *query.user);
    if (query.state) return rows(q.jobs_by_state, *query.state);
    return rows(q.jobs);
  });
}

Result<scheduler::JobRow> Reader::job(const std::string& id_or_number) const {
  std::int64_t number = 0;
  const auto* end = id_or_number.data() + id_or_number.size();
  const auto [stop, error] = std::from_chars(id_or_number.data(), end, number);
  const bool is_number = error == std::errc{} && stop == end;
  return pool_->with([&](Connection& connection) {
    auto rows = is_number ? connection.rows<scheduler::JobRow>(queries().job_by_number, read_job, number)
                          : connection.rows<scheduler::JobRow>(queries().job_by_id, read_job, id_or_number);
    return only(std::move(rows),
                fmt::format("no job '{}' on this farm: a job is named by its id (7-k3fqa) or its "
                            "number (7)",
                            id_or_number.substr(0, 64)));
  });
}

Result<std::vector<scheduler::TaskRow>> Reader::tasks(const scheduler::JobRow& job,
                                                      const TaskQuery& query) const {
  using scheduler::TaskState;
  const std::size_t limit = bounded(query.limit);
  const auto count = job.spec.task_count();
  const bool has_ended =
      job.state == scheduler::JobState::cancelled || job.state == scheduler::JobState::failed;
  const auto untouched_as = has_ended ? TaskState::cancelled : TaskState::queued;
  const auto read = [&job](const Row& row) { return read_task(row, job.id); };

  return pool_->with([&](Connection& connection) -> Result<std::vector<scheduler::TaskRow>> {
    if (query.held) {
      return connection.rows<scheduler::TaskRow>(queries().tasks_held, read, job.number, query.from, limit);
    }
    // States in which an untouched task is never shown come straight from an index.
    if (query.state && *query.state != untouched_as) {
      if (*query.state == TaskState::queued)
        return std::vector<scheduler::TaskRow>();  // of a job that has ended
      if (*query.state == TaskState::done) {
        return connection.rows<scheduler::TaskRow>(queries().tasks_done, read, job.number, query.from, limit);
      }
      return connection.rows<scheduler::TaskRow>(queries().tasks_in_state, read, job.number,
                                                 word(*query.state), query.from, limit);
    }
    if (query.state == TaskState::queued && job.counts.queued == 0) return std::vector<scheduler::TaskRow>();

    // The rows in order, with the tasks between them that have none.
    std::vector<scheduler::TaskRow> tasks;
    std::uint32_t next = query.from;
    const auto fill_up_to = [&](std::uint32_t end) {
      for (; next < end && tasks.size() < limit; ++next) {
        scheduler::TaskRow untouched;
        untouched.id = {job.id, next};
        untouched.state = untouched_as;
        tasks.push_back(std::move(untouched));
      }
    };
    const auto on_row = [&](const Row& row) -> Result<bool> {
      const auto index = static_cast<std::uint32_t>(row.integer(0));
      fill_up_to(std::min(index, count));
      if (tasks.size() == limit) return false;
      next = index + 1;
      const auto state = row.text(1);  // before all columns are read: a scan for gaps passes many done tasks
      if (query.state && state != word(TaskState::queued) && state != word(untouched_as)) return true;
      auto task = read(row);
      if (!task) return fail(std::move(task.error()));
      if (task->state == TaskState::queued) task->state = untouched_as;
      tasks.push_back(std::move(*task));
      return tasks.size() < limit;
    };
    auto statement = connection.statement(queries().tasks);
    if (!statement) return fail(std::move(statement.error()));
    constexpr std::int64_t no_limit = -1;  // on_row stops it
    if (auto status = (*statement)->each_while(on_row, job.number, query.from, no_limit); !status) {
      return fail(std::move(status.error()));
    }
    fill_up_to(count);
    return tasks;
  });
}

Result<std::vector<scheduler::AttemptRow>> Reader::attempts(const TaskId& task) const {
  const auto read = [&task](const Row& row) { return read_attempt(row, task.job); };
  return pool_->with([&](Connection& connection) {
    return connection.rows<scheduler::AttemptRow>(queries().attempts, read, task.job.str(), task.index);
  });
}

Result<std::vector<scheduler::ResultRow>> Reader::results(const ResultQuery& query) const {
  const auto limit = bounded(query.limit);
  return pool_->with([&](Connection& connection) {
    if (query.job) {
      const auto read = [&query](const Row& row) { return read_result(row, *query.job); };
      return connection.rows<scheduler::ResultRow>(queries().results_of_job, read, query.job->str(),
                                                   query.from_task, query.to_task, limit, query.from);
    }
    const auto read = [](const Row& row) -> Result<scheduler::ResultRow> {
      const auto job = read_job_id(row, result_column_count);
      if (!job) return fail(job.error());
      return read_result(row, *job);
    };
    return connection.rows<scheduler::ResultRow>(queries().results, read, limit, query.from);
  });
}

Result<std::vector<scheduler::NodeRow>> Reader::nodes() const {
  return pool_->with(
      [](Connection& connection) { return connection.rows<scheduler::NodeRow>(queries().nodes, read_node); });
}

Result<scheduler::NodeRow> Reader::node(const NodeId& id) const {
  return pool_->with([&](Connection& connection) {
    return only(connection.rows<scheduler::NodeRow>(queries().node, read_node, id.str()),
                fmt::format("no node '{}' on this farm", id.str()));
  });
}

}  // namespace kiln::store
