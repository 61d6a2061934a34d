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
    constexpr std::string_view filters[] = {"user", "shown_state", "project", "sequence", "shot"};
    for (unsigned set = 0; set < job_filters; ++set) {
      std::string where;
      for (unsigned bit = 0; bit < std::size(filters); ++bit) {
        if ((set >> bit & 1U) != 0) where += fmt::format("{} = ? AND ", filters[bit]);
      }
      q.jobs.at(set) = fmt::format("SELECT {} FROM job WHERE {}number < ? ORDER BY number DESC LIMIT ?",
                                   job_columns, where);
    }
    q.job_by_id = fmt::format("SELECT {} FROM job WHERE id = ?", job_columns);
    q.job_by_number = fmt::format("SELECT {} FROM job WHERE number = ?", job_columns);

    const auto totals = [](std::string_view names, std::string_view where, std::string_view group) {
      return fmt::format("SELECT {}, {} FROM job {} GROUP BY {} ORDER BY {} LIMIT ? OFFSET ?", names,
                         production_sums, where, group, group);
    };
    q.projects = totals("project, '', ''", "", "project");
    q.sequences = totals("project, sequence, ''", "WHERE project = ?", "sequence");
    q.shots = totals("project, sequence, shot", "WHERE project = ? AND sequence = ?", "shot");

    const auto tasks = [](std::string_view where, std::string_view index = "") {
      return fmt::format(
          "SELECT {} FROM task {} WHERE job = ? AND {}number >= ? AND number < ? ORDER BY number LIMIT ?",
          task_columns, index, where);
    };
    q.tasks = tasks("");
    q.tasks_done = tasks("state = 'done' AND ");
    // By name, since SQLite takes the table where both ends of the numbers are given. The condition of a
    // partial index is said again, so that it applies.
    q.tasks_in_state = tasks("state = ? AND state <> 'done' AND ", "INDEXED BY task_not_done");
    q.tasks_held = tasks("review = 'held' AND ", "INDEXED BY task_held");
    q.last_task = fmt::format(
        "SELECT {} FROM task WHERE job = ? AND number >= ? AND number < ? ORDER BY number DESC LIMIT 1",
        task_columns);
    q.task_times =
        "SELECT number, node, seconds, unit_count FROM task WHERE job = ? AND number >= ? AND number < ? AND "
        "state = 'done'";
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
    q.usage =
        "SELECT '', hour_ms, sum(online_s), sum(busy_s), sum(done_s), sum(failed_s), sum(lost_s), "
        "sum(superseded_s) FROM usage WHERE hour_ms >= ? AND hour_ms < ? GROUP BY hour_ms ORDER BY hour_ms "
        "LIMIT ?";
    q.usage_of_node = fmt::format(
        "SELECT {} FROM usage WHERE node = ? AND hour_ms >= ? AND hour_ms < ? ORDER BY hour_ms LIMIT ?",
        usage_columns);
    q.limits = fmt::format("SELECT {} FROM counted_limit ORDER BY name", limit_columns);
    q.renderers = fmt::format("SELECT {} FROM renderer ORDER BY name", renderer_columns);
    q.fair_share = "SELECT fair_share FROM farm WHERE only_row = 1";
    return q;
  }();
  return all;
}

std::vector<std::string> all_queries() {
  const auto& q = queries();
  std::vector<std::string> all(q.jobs.begin(), q.jobs.end());
  all.insert(all.end(),
             {q.job_by_id,  q.job_by_number,  q.projects,   q.sequences, q.shots,      q.tasks,
              q.tasks_done, q.tasks_in_state, q.tasks_held, q.last_task, q.task_times, q.attempts,
              q.results,    q.results_of_job, q.nodes,      q.node,      q.usage,      q.usage_of_node,
              q.limits,     q.fair_share,     q.renderers});
  return all;
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
  unsigned filters = 0;
  std::vector<std::string_view> values;
  const auto filter = [&](JobFilter bit, const std::optional<std::string>& value) {
    if (!value) return;
    filters |= bit;
    values.push_back(*value);
  };
  filter(by_user, query.user);
  filter(by_state, query.state);
  filter(by_project, query.project);
  filter(by_sequence, query.sequence);
  filter(by_shot, query.shot);
  return pool_->with([&](Connection& connection) {
    return connection.rows<scheduler::JobRow>(queries().jobs.at(filters), read_job, values, before, limit);
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

Result<std::vector<scheduler::ProductionRow>> Reader::productions(const ProductionQuery& query) const {
  const auto limit = bounded(query.limit);
  const auto& q = queries();
  std::vector<std::string_view> names;
  if (query.project) names.push_back(*query.project);
  if (query.project && query.sequence) names.push_back(*query.sequence);
  const auto& sql = names.empty() ? q.projects : names.size() == 1 ? q.sequences : q.shots;
  return pool_->with([&](Connection& connection) {
    return connection.rows<scheduler::ProductionRow>(sql, read_production, names, limit, query.from);
  });
}

namespace {

// Numbers of a job's tasks.
struct Span {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

// Where tasks without a row are shown, and what of a step with a target such a task would be cut from.
struct Fresh {
  Span numbers;
  std::uint32_t first_unit = 0, chunk = 0, units = 0;  // chunk 0: of fixed chunks

  [[nodiscard]] scheduler::TaskRow task(const JobId& job, std::uint32_t number,
                                        scheduler::TaskState state) const {
    scheduler::TaskRow row;
    row.id = {job, number};
    row.state = state;
    if (chunk != 0) {
      row.first_unit = first_unit + (number - numbers.begin) * chunk;
      row.unit_count = std::min(chunk, units - row.first_unit);
    }
    return row;
  }
};

Span span_of_step(const scheduler::JobSpec& spec, std::uint32_t step) {
  if (spec.steps.empty()) return step == 0 ? Span{0, spec.task_count()} : Span{};
  if (step >= spec.steps.size()) return {};
  Span span;
  for (std::uint32_t i = 0; i < step; ++i) span.begin += spec.steps[i].max_tasks();
  span.end = span.begin + spec.steps[step].max_tasks();
  return span;
}

// Of a step with a target: what its last cut task leaves.
Result<Fresh> fresh_of(Connection& connection, const scheduler::JobRow& job, const scheduler::StepSpec& step,
                       Span numbers) {
  const auto read = [&job](const Row& row) { return read_task(row, job.id); };
  const auto last =
      connection.rows<scheduler::TaskRow>(queries().last_task, read, job.number, numbers.begin, numbers.end);
  if (!last) return fail(last.error());
  Fresh fresh;
  fresh.chunk = std::max<std::uint32_t>(step.chunk, 1);
  fresh.units = step.units;
  fresh.numbers.begin = numbers.begin;
  if (!last->empty()) {
    const auto& row = last->front();
    fresh.numbers.begin = row.id.index + 1;
    // Without units of its own it is one of the step's chunks, and so are those before it.
    const std::uint64_t end = row.unit_count == 0
                                  ? std::uint64_t{row.id.index + 1 - numbers.begin} * fresh.chunk
                                  : std::uint64_t{row.first_unit} + row.unit_count;
    fresh.first_unit = static_cast<std::uint32_t>(std::min<std::uint64_t>(end, step.units));
  }
  const auto left = step.units - fresh.first_unit;
  const auto tasks = left / fresh.chunk + (left % fresh.chunk == 0 ? 0 : 1);
  fresh.numbers.end = std::min(fresh.numbers.begin + tasks, numbers.end);
  return fresh;
}

// In order, as far as they lie in `wanted`.
Result<std::vector<Fresh>> fresh_tasks(Connection& connection, const scheduler::JobRow& job, Span wanted) {
  std::vector<Fresh> all;
  if (job.spec.steps.empty()) all.push_back({{0, job.spec.task_count()}});
  std::uint32_t first = 0;
  for (const auto& step : job.spec.steps) {
    const Span numbers{first, first + step.max_tasks()};
    first = numbers.end;
    if (numbers.end <= wanted.begin || numbers.begin >= wanted.end) continue;
    if (step.target_s == 0) {
      all.push_back({numbers});
      continue;
    }
    auto fresh = fresh_of(connection, job, step, numbers);
    if (!fresh) return fail(std::move(fresh.error()));
    all.push_back(*fresh);
  }
  return all;
}

}  // namespace

Result<std::vector<scheduler::TaskRow>> Reader::tasks(const scheduler::JobRow& job,
                                                      const TaskQuery& query) const {
  using scheduler::TaskState;
  const std::size_t limit = bounded(query.limit);
  auto wanted = query.step ? span_of_step(job.spec, *query.step) : Span{0, job.spec.task_count()};
  wanted.begin = std::max(wanted.begin, query.from);
  const bool has_ended =
      job.state == scheduler::JobState::cancelled || job.state == scheduler::JobState::failed;
  const auto untouched_as = has_ended ? TaskState::cancelled : TaskState::queued;
  const auto read = [&job](const Row& row) { return read_task(row, job.id); };

  return pool_->with([&](Connection& connection) -> Result<std::vector<scheduler::TaskRow>> {
    const auto listed = [&](const std::string& sql, const auto&... state) {
      return connection.rows<scheduler::TaskRow>(sql, read, job.number, state..., wanted.begin, wanted.end,
                                                 limit);
    };
    if (query.held) return listed(queries().tasks_held);
    // States in which an untouched task is never shown come straight from an index.
    if (query.state && *query.state != untouched_as) {
      if (*query.state == TaskState::queued)
        return std::vector<scheduler::TaskRow>();  // of a job that has ended
      if (*query.state == TaskState::done) return listed(queries().tasks_done);
      return listed(queries().tasks_in_state, word(*query.state));
    }
    if (query.state == TaskState::queued && job.counts.queued == 0) return std::vector<scheduler::TaskRow>();

    // The rows in order, with the tasks between them that have none.
    const auto fresh = fresh_tasks(connection, job, wanted);
    if (!fresh) return fail(fresh.error());
    auto gap = fresh->begin();
    std::vector<scheduler::TaskRow> tasks;
    std::uint32_t next = wanted.begin;
    const auto fill_up_to = [&](std::uint32_t end) {
      for (; gap != fresh->end() && gap->numbers.begin < end; ++gap) {
        const auto stop = std::min(end, gap->numbers.end);
        for (auto number = std::max(next, gap->numbers.begin); number < stop; ++number) {
          if (tasks.size() == limit) return;
          tasks.push_back(gap->task(job.id, number, untouched_as));
        }
        if (gap->numbers.end > end) return;  // more of it may come
      }
    };
    const auto on_row = [&](const Row& row) -> Result<bool> {
      const auto index = static_cast<std::uint32_t>(row.integer(0));
      fill_up_to(index);
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
    if (auto status = (*statement)->each_while(on_row, job.number, wanted.begin, wanted.end, no_limit);
        !status) {
      return fail(std::move(status.error()));
    }
    fill_up_to(wanted.end);
    return tasks;
  });
}

// ---- times ----

namespace {

// Gathers the times of tasks that are done and orders them at the end.
class Times {
 public:
  void add(float seconds, std::uint32_t units) {
    seconds_.push_back(seconds);
    units_ += units;
  }
  void finish() { std::sort(seconds_.begin(), seconds_.end()); }
  // After finish().
  [[nodiscard]] scheduler::TaskTimes times() const {
    scheduler::TaskTimes out;
    out.tasks = static_cast<std::uint32_t>(seconds_.size());
    out.units = units_;
    for (const double one : seconds_) out.total_s += one;
    out.median_s = share(50);
    out.p95_s = share(95);
    return out;
  }
  [[nodiscard]] std::vector<scheduler::TimeClass> histogram() const {
    std::vector<scheduler::TimeClass> classes;
    std::uint64_t up_to_ms = 1;
    for (std::size_t taken = 0, step = 0; taken < seconds_.size(); ++step) {
      const double up_to_s = static_cast<double>(up_to_ms) / 1000;
      const auto end = static_cast<std::size_t>(
          std::upper_bound(seconds_.begin(), seconds_.end(), static_cast<float>(up_to_s)) - seconds_.begin());
      if (end > taken || !classes.empty())
        classes.push_back({up_to_s, static_cast<std::uint32_t>(end - taken)});
      taken = end;
      up_to_ms = step % 3 == 1 ? up_to_ms / 2 * 5 : up_to_ms * 2;  // 1, 2, 5, 10, …
    }
    return classes;
  }

 private:
  // The time that so many of 100 did not exceed (nearest rank).
  [[nodiscard]] double share(std::size_t percent) const {
    if (seconds_.empty()) return 0;
    return seconds_[(seconds_.size() * percent + 99) / 100 - 1];
  }
  std::vector<float> seconds_;
  std::uint64_t units_ = 0;
};

// Units of a task that says none itself.
std::uint32_t fixed_units(const scheduler::StepSpec& step, std::uint32_t place) {
  const auto chunk = std::max<std::uint32_t>(step.chunk, 1);
  const auto before = std::uint64_t{place} * chunk;
  return before >= step.units
             ? 0
             : static_cast<std::uint32_t>(std::min<std::uint64_t>(chunk, step.units - before));
}

}  // namespace

Result<scheduler::JobTimes> Reader::frame_times(const scheduler::JobRow& job,
                                                const std::optional<std::uint32_t>& step) const {
  const auto steps = job.spec.all_steps();
  const auto wanted = step ? span_of_step(job.spec, *step) : Span{0, job.spec.task_count()};
  Times all;
  std::map<std::string, Times> by_node;
  const auto on_row = [&](const Row& row) -> Status {
    const auto number = static_cast<std::uint32_t>(row.integer(0));
    const auto seconds = static_cast<float>(row.real(2));
    auto units = static_cast<std::uint32_t>(row.integer(3));
    if (units == 0) {
      const auto place = job.spec.place_of(number);
      units = fixed_units(steps[place.step], number - place.first);
    }
    all.add(seconds, units);
    by_node[row.text(1)].add(seconds, units);
    return {};
  };
  const auto read = pool_->with([&](Connection& connection) -> Status {
    auto statement = connection.statement(queries().task_times);
    if (!statement) return fail(std::move(statement.error()));
    return (*statement)->each(on_row, job.number, wanted.begin, wanted.end);
  });
  if (!read) return fail(read.error());
  all.finish();
  scheduler::JobTimes out{all.times(), {}, all.histogram()};
  for (auto& [node, times] : by_node) {
    times.finish();
    out.by_node.push_back(times.times());
    if (auto id = NodeId::parse(node)) out.by_node.back().node = std::move(*id);
  }
  return out;
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

Result<std::vector<scheduler::UsageRow>> Reader::usage(const UsageQuery& query) const {
  const auto limit = bounded(query.limit);
  return pool_->with([&](Connection& connection) {
    if (!query.node) {
      return connection.rows<scheduler::UsageRow>(queries().usage, read_usage, query.from_ms, query.to_ms,
                                                  limit);
    }
    return connection.rows<scheduler::UsageRow>(queries().usage_of_node, read_usage, query.node->str(),
                                                query.from_ms, query.to_ms, limit);
  });
}

Result<std::vector<scheduler::RendererRow>> Reader::renderers() const {
  return pool_->with([](Connection& connection) {
    return connection.rows<scheduler::RendererRow>(queries().renderers, read_renderer);
  });
}

Result<scheduler::FarmSettings> Reader::settings() const {
  return pool_->with([](Connection& connection) -> Result<scheduler::FarmSettings> {
    const auto read_flag = [](const Row& row) -> Result<std::int64_t> { return row.integer(0); };
    auto fair_share =
        only(connection.rows<std::int64_t>(queries().fair_share, read_flag), "no farm in this database");
    if (!fair_share) return fail(std::move(fair_share.error()));
    using Limit = std::pair<std::string, std::uint32_t>;
    auto limits = connection.rows<Limit>(queries().limits, read_limit);
    if (!limits) return fail(std::move(limits.error()));
    scheduler::FarmSettings settings;
    settings.fair_share = *fair_share != 0;
    settings.limits.insert(limits->begin(), limits->end());
    return settings;
  });
}

}  // namespace kiln::store
