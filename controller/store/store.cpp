#include "store/store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <set>
#include <utility>

#include "runtime/files.h"
#include "store/database.h"
#include "store/json_columns.h"
#include "store/migrations.h"
#include "store/rows.h"

namespace kiln::store {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t wal_keep_bytes = 64LL << 20U;  // a burst's log is cut back to this
// A year and a month: this month beside the same one of last year. 100 nodes fill 100 MB in that time.
constexpr std::int64_t usage_kept_ms = 400LL * 24 * 3'600'000;

constexpr std::string_view restore_hint =
    "put a backup in its place with `kiln-controller restore FILE` (or move the file away to begin an empty "
    "farm; "
    "the frames under jobs/ stay)";

// Damage shows as `invalid`, in whichever statement reads the file first.
Error opening_error(Error error) {
  if (error.code == Code::invalid) error.message += fmt::format(": {}", restore_hint);
  return error;
}

Status check_integrity(Database& database) {
  const auto verdict = database.text("PRAGMA quick_check(1)");
  if (!verdict) return fail(verdict.error());
  if (*verdict == "ok") return {};
  return fail(Code::invalid,
              fmt::format("{}: the database is damaged ({})", database.path().string(), *verdict));
}

// The INSERT of an absolute row: written again, it becomes what the row says.
constexpr std::string_view save_job_sql =
    "INSERT INTO job (id, number, name, renderer, frames, chunk, manifest, options, user, cid, created_ms, "
    "priority, "
    "state, shown_state, queued, running, done, failed, cancelled, render_s, message, warnings, started_ms, "
    "finished_ms, retries, fail_pct, held, type, document, steps, project, sequence, shot, wishes, failed_s, "
    "lost_s, superseded_s, step_counts, limits, bundle) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
    "?, ?, "
    "?, ?, ?, ?, "
    "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET priority = excluded.priority, state = excluded.state, "
    "shown_state = excluded.shown_state, queued = excluded.queued, running = excluded.running, "
    "done = excluded.done, failed = excluded.failed, cancelled = excluded.cancelled, "
    "render_s = excluded.render_s, message = excluded.message, warnings = excluded.warnings, "
    "started_ms = excluded.started_ms, finished_ms = excluded.finished_ms, held = excluded.held, "
    "wishes = excluded.wishes, failed_s = excluded.failed_s, lost_s = excluded.lost_s, "
    "superseded_s = excluded.superseded_s, step_counts = excluded.step_counts";
constexpr std::string_view raise_job_number_sql = "UPDATE farm SET last_job_number = max(last_job_number, ?)";
constexpr std::string_view save_task_sql =
    "INSERT INTO task (job, number, state, attempt, failures, node, error_code, error_message, seconds, "
    "started_ms, "
    "finished_ms, blank, review, void_up_to, first_unit, unit_count) VALUES ((SELECT number FROM job WHERE "
    "id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job, number) DO UPDATE SET state = "
    "excluded.state, attempt = excluded.attempt, "
    "failures = excluded.failures, node = excluded.node, error_code = excluded.error_code, "
    "error_message = excluded.error_message, seconds = excluded.seconds, started_ms = excluded.started_ms, "
    "finished_ms = excluded.finished_ms, blank = excluded.blank, review = excluded.review, "
    "void_up_to = excluded.void_up_to, first_unit = excluded.first_unit, unit_count = excluded.unit_count";
constexpr std::string_view save_attempt_sql =
    "INSERT INTO attempt (job, task, number, node, state, error_code, error_message, assigned_ms, "
    "started_ms, "
    "finished_ms) VALUES ((SELECT number FROM job WHERE id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (job, task, number) DO UPDATE SET node = excluded.node, state = excluded.state, "
    "error_code = excluded.error_code, error_message = excluded.error_message, assigned_ms = "
    "excluded.assigned_ms, "
    "started_ms = excluded.started_ms, finished_ms = excluded.finished_ms";
constexpr std::string_view save_result_sql =
    "INSERT INTO result (job, task, path, attempt, node, frame, digest, size, width, height, seconds, "
    "finished_ms, blank) "
    "VALUES ((SELECT number FROM job WHERE id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (job, task, path) DO UPDATE SET attempt = excluded.attempt, node = excluded.node, "
    "frame = excluded.frame, digest = excluded.digest, size = excluded.size, width = excluded.width, "
    "height = excluded.height, seconds = excluded.seconds, finished_ms = excluded.finished_ms, "
    "blank = excluded.blank";
constexpr std::string_view save_node_sql =
    "INSERT INTO node (id, info, drained, presence, sid, tasks_done, tasks_failed, first_seen_ms, "
    "last_seen_ms, quarantine, quarantine_until_ms, settings, asleep, online_s, busy_s, done_s, failed_s, "
    "lost_s, superseded_s) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET info = excluded.info, drained = excluded.drained, presence = "
    "excluded.presence, "
    "sid = excluded.sid, tasks_done = excluded.tasks_done, tasks_failed = excluded.tasks_failed, "
    "first_seen_ms = excluded.first_seen_ms, last_seen_ms = excluded.last_seen_ms, quarantine = "
    "excluded.quarantine, quarantine_until_ms = excluded.quarantine_until_ms, settings = excluded.settings, "
    "asleep = excluded.asleep, online_s = excluded.online_s, busy_s = excluded.busy_s, "
    "done_s = excluded.done_s, failed_s = excluded.failed_s, lost_s = excluded.lost_s, "
    "superseded_s = excluded.superseded_s";
constexpr std::string_view save_usage_sql =
    "INSERT INTO usage (node, hour_ms, online_s, busy_s, done_s, failed_s, lost_s, superseded_s) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (hour_ms, node) DO UPDATE SET online_s = excluded.online_s, busy_s = excluded.busy_s, "
    "done_s = excluded.done_s, failed_s = excluded.failed_s, lost_s = excluded.lost_s, "
    "superseded_s = excluded.superseded_s";
// One hour at a time: a clock that is wrong for a minute does not take the whole past with it.
constexpr std::string_view forget_usage_sql =
    "DELETE FROM usage WHERE hour_ms = (SELECT min(hour_ms) FROM usage) AND hour_ms < ?";
constexpr std::string_view save_fair_share_sql = "UPDATE farm SET fair_share = ?";
constexpr std::string_view clear_limits_sql = "DELETE FROM counted_limit";
constexpr std::string_view save_limit_sql = "INSERT INTO counted_limit (name, count) VALUES (?, ?)";
constexpr std::string_view save_renderer_sql =
    "INSERT INTO renderer (name, version, digest, size, unpacked_bytes, program, file, user, added_ms) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (name) DO UPDATE SET version = excluded.version, digest = excluded.digest, "
    "size = excluded.size, unpacked_bytes = excluded.unpacked_bytes, program = excluded.program, "
    "file = excluded.file, user = excluded.user, added_ms = excluded.added_ms";
constexpr std::string_view erase_renderer_sql = "DELETE FROM renderer WHERE name = ?";
constexpr std::string_view erase_node_sql = "DELETE FROM node WHERE id = ?";
constexpr std::string_view erase_job_sql = "DELETE FROM job WHERE id = ?";
constexpr std::string_view note_unmoved_sql =
    "INSERT INTO unmoved (job, task, attempt) VALUES ((SELECT number FROM job WHERE id = ?), ?, ?) "
    "ON CONFLICT DO NOTHING";
constexpr std::string_view forget_unmoved_sql =
    "DELETE FROM unmoved WHERE job = (SELECT number FROM job WHERE id = ?) AND task = ? AND attempt = ?";
constexpr std::string_view rename_result_sql =
    "UPDATE result SET path = ? WHERE job = (SELECT number FROM job WHERE id = ?) AND task = ? AND path = ?";

constexpr std::string_view forget_results_sql =
    "DELETE FROM result WHERE job = (SELECT number FROM job WHERE id = ?) AND task = ? AND attempt <= ?";

struct Statements {
  Statement save_job, raise_job_number, save_task, save_attempt, save_result, save_node, erase_job,
      note_unmoved, forget_unmoved, rename_result, forget_results, save_usage, forget_usage, save_fair_share,
      clear_limits, save_limit, erase_node, save_renderer, erase_renderer;

  static Result<Statements> prepare(Database& database) {
    std::vector<Statement> ready;
    for (const auto sql :
         {save_job_sql, raise_job_number_sql, save_task_sql, save_attempt_sql, save_result_sql, save_node_sql,
          erase_job_sql, note_unmoved_sql, forget_unmoved_sql, rename_result_sql, forget_results_sql,
          save_usage_sql, forget_usage_sql, save_fair_share_sql, clear_limits_sql, save_limit_sql,
          erase_node_sql, save_renderer_sql, erase_renderer_sql}) {
      auto statement = database.prepare(sql);
      if (!statement) return fail(std::move(statement.error()));
      ready.push_back(std::move(*statement));
    }
    return Statements{std::move(ready[0]),  std::move(ready[1]),  std::move(ready[2]),  std::move(ready[3]),
                      std::move(ready[4]),  std::move(ready[5]),  std::move(ready[6]),  std::move(ready[7]),
                      std::move(ready[8]),  std::move(ready[9]),  std::move(ready[10]), std::move(ready[11]),
                      std::move(ready[12]), std::move(ready[13]), std::move(ready[14]), std::move(ready[15]),
                      std::move(ready[16]), std::move(ready[17]), std::move(ready[18])};
  }
};

struct Moved {
  TaskId task;
  std::uint32_t attempt = 0;
  std::vector<Store::Rename> renames;
};

// What a batch says last about each job, node and hour of a node: these rows are written once a batch,
// however often the scheduler counted a task up. Points into the batch.
struct Newest {
  std::map<JobId, const scheduler::JobRow*> jobs;
  std::map<NodeId, const scheduler::NodeRow*> nodes;
  std::map<std::pair<std::int64_t, NodeId>, const scheduler::UsageRow*> usage;
  std::set<JobId> erased;
};

Newest newest_of(const std::vector<scheduler::Effect>& effects) {
  Newest newest;
  for (const auto& effect : effects) {
    if (const auto* job = std::get_if<scheduler::SaveJob>(&effect)) newest.jobs[job->row.id] = &job->row;
    if (const auto* node = std::get_if<scheduler::SaveNode>(&effect)) newest.nodes[node->row.id] = &node->row;
    if (const auto* usage = std::get_if<scheduler::SaveUsage>(&effect))
      newest.usage[{usage->row.hour_ms, usage->row.node}] = &usage->row;
    if (const auto* erase = std::get_if<scheduler::EraseJob>(&effect)) newest.erased.insert(erase->job);
  }
  return newest;
}

bool is_kept(const scheduler::Effect& effect) {
  return std::holds_alternative<scheduler::SaveJob>(effect) ||
         std::holds_alternative<scheduler::SaveTask>(effect) ||
         std::holds_alternative<scheduler::SaveAttempt>(effect) ||
         std::holds_alternative<scheduler::SaveResult>(effect) ||
         std::holds_alternative<scheduler::SaveNode>(effect) ||
         std::holds_alternative<scheduler::SaveFarm>(effect) ||
         std::holds_alternative<scheduler::SaveUsage>(effect) ||
         std::holds_alternative<scheduler::EraseNode>(effect) ||
         std::holds_alternative<scheduler::SaveRenderer>(effect) ||
         std::holds_alternative<scheduler::EraseRenderer>(effect) ||
         std::holds_alternative<scheduler::EraseJob>(effect) ||
         std::holds_alternative<scheduler::AcceptFiles>(effect);
}

// Writes one effect; an effect of another kind is nothing to it.
class Writer {
 public:
  Writer(Statements& statements, Newest& newest) : sql_(statements), newest_(newest) {}

  // At its first mention, so that the rows that refer to it find it; with its last content.
  Status operator()(const scheduler::SaveJob& save) {
    if (is_gone(save.row.id)) return {};
    const auto*& newest = newest_.jobs[save.row.id];
    if (newest == nullptr) return {};
    const auto& row = *std::exchange(newest, nullptr);
    if (auto status = write(row); !status) return status;
    return sql_.raise_job_number.run(row.number);
  }
  Status operator()(const scheduler::SaveTask& save) {
    const auto& row = save.row;
    if (is_gone(row.id.job)) return {};
    // Done again: its earlier frames count no more.
    if (row.state == scheduler::TaskState::done && row.void_up_to > 0) {
      const auto done = sql_.forget_results.run(row.id.job.str(), row.id.index, row.void_up_to);
      if (!done) return named(done, row.id);
    }
    return named(
        sql_.save_task.run(row.id.job.str(), row.id.index, word(row.state), row.attempt, row.failures,
                           row.node.str(), row.error_code, row.error_message, row.seconds, row.started_ms,
                           row.finished_ms, payloads::to_string(row.blank), word(row.review), row.void_up_to,
                           row.first_unit, row.unit_count),
        row.id);
  }
  Status operator()(const scheduler::SaveAttempt& save) {
    const auto& row = save.row;
    if (is_gone(row.task.job)) return {};
    return named(sql_.save_attempt.run(row.task.job.str(), row.task.index, row.attempt, row.node.str(),
                                       word(row.state), row.error_code, row.error_message, row.assigned_ms,
                                       row.started_ms, row.finished_ms),
                 row.task);
  }
  Status operator()(const scheduler::SaveResult& save) {
    const auto& row = save.row;
    if (is_gone(row.task.job)) return {};
    return named(
        sql_.save_result.run(row.task.job.str(), row.task.index, row.file.path, row.attempt, row.node.str(),
                             row.file.frame, row.file.digest, row.file.size, row.file.width, row.file.height,
                             row.file.seconds, row.finished_ms, payloads::to_string(row.file.blank)),
        row.task);
  }
  // At its last mention, since the batch may erase the node before: it spoke again.
  Status operator()(const scheduler::SaveNode& save) {
    const auto& row = save.row;
    if (newest_.nodes[row.id] != &row) return {};
    const auto& use = row.use;
    return sql_.save_node.run(
        row.id.str(), row.info == payloads::NodeInfo() ? "" : payloads::encode(row.info), row.drained,
        word(row.presence), row.sid, row.tasks_done, row.tasks_failed, row.first_seen_ms, row.last_seen_ms,
        row.quarantine, row.quarantine_until_ms, settings_text(row.settings), row.asleep, use.online_s,
        use.busy_s, use.done_s, use.waste.failed_s, use.waste.lost_s, use.waste.superseded_s);
  }
  Status operator()(const scheduler::EraseNode& erase) { return sql_.erase_node.run(erase.node.str()); }
  Status operator()(const scheduler::SaveUsage& save) {
    const auto& row = save.row;
    if (newest_.usage[{row.hour_ms, row.node}] != &row) return {};
    const auto& use = row.use;
    const auto saved = sql_.save_usage.run(row.node.str(), row.hour_ms, use.online_s, use.busy_s, use.done_s,
                                           use.waste.failed_s, use.waste.lost_s, use.waste.superseded_s);
    if (!saved) return saved;
    return sql_.forget_usage.run(row.hour_ms - usage_kept_ms);
  }
  Status operator()(const scheduler::SaveRenderer& save) {
    const auto& [bundle, file, user, added_ms] = save.row;
    return sql_.save_renderer.run(bundle.name, bundle.version, bundle.digest, bundle.size,
                                  bundle.unpacked_bytes, bundle.program, file, user, added_ms);
  }
  Status operator()(const scheduler::EraseRenderer& erase) { return sql_.erase_renderer.run(erase.name); }
  Status operator()(const scheduler::SaveFarm& save) {
    if (auto status = sql_.save_fair_share.run(save.settings.fair_share); !status) return status;
    if (auto status = sql_.clear_limits.run(); !status) return status;
    for (const auto& [name, count] : save.settings.limits) {
      if (auto status = sql_.save_limit.run(name, count); !status) return status;
    }
    return {};
  }
  Status operator()(const scheduler::EraseJob& erase) { return sql_.erase_job.run(erase.job.str()); }
  Status operator()(const scheduler::AcceptFiles& accept) {
    if (accept.files.empty() || is_gone(accept.task.job)) return {};
    return named(sql_.note_unmoved.run(accept.task.job.str(), accept.task.index, accept.attempt),
                 accept.task);
  }
  template <class Other>
  Status operator()(const Other&) {
    return {};
  }

  Status forget(const Moved& moved) {
    const auto& [task, attempt, renames] = moved;
    for (const auto& rename : renames) {
      const auto done = sql_.rename_result.run(rename.placed, task.job.str(), task.index, rename.path);
      if (!done) return named(done, task);
    }
    return named(sql_.forget_unmoved.run(task.job.str(), task.index, attempt), task);
  }

 private:
  // A job that this batch erases leaves nothing, whatever the batch says of it.
  [[nodiscard]] bool is_gone(const JobId& job) const { return newest_.erased.contains(job); }
  static Status named(Status status, const TaskId& task) {
    if (status) return status;
    return fail(Error(std::move(status.error())).with(fmt::format("saving task {}", task.str())));
  }
  Status write(const scheduler::JobRow& row) {
    const auto& spec = row.spec;
    const auto& counts = row.counts;
    auto status = sql_.save_job.run(
        row.id.str(), row.number, spec.name, spec.renderer, spec.frames.str(), spec.chunk, spec.manifest,
        options_text(spec.options), row.user, row.cid, row.created_ms, row.priority, word(row.state),
        scheduler::shown_state(row), counts.queued, counts.running, counts.done, counts.failed,
        counts.cancelled, row.render_s, row.message, warnings_text(row.warnings), row.started_ms,
        row.finished_ms, number(spec.retries), number(spec.fail_pct), row.held, spec.type, spec.document,
        steps_text(spec.steps), spec.production.project, spec.production.sequence, spec.production.shot,
        wishes_text(row.wishes), row.waste.failed_s, row.waste.lost_s, row.waste.superseded_s,
        counts_text(row.steps), limits_text(spec.limits), bundle_text(spec.bundle));
    if (status) return status;
    return fail(Error(std::move(status.error())).with(fmt::format("saving job {}", row.id.str())));
  }

  Statements& sql_;
  Newest& newest_;
};

}  // namespace

struct Store::State {
  runtime::Fd lock;
  Database database;
  Statements statements;
  std::string farm_id;
  std::vector<Moved> moved;  // not yet written; bounded by what one pause between batches moves

  Status write(const std::vector<scheduler::Effect>& effects) {
    Newest newest = newest_of(effects);
    const auto done = database.transaction([&]() -> Status {
      Writer writer(statements, newest);
      for (const auto& one : moved) {
        if (auto status = writer.forget(one); !status) return status;
      }
      for (const auto& effect : effects) {
        if (auto status = std::visit(writer, effect); !status) return status;
      }
      return {};
    });
    if (done) moved.clear();
    return done;
  }
};

Store::Store(std::unique_ptr<State> state) : state_(std::move(state)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() {
  // A failure loses nothing: the files are found in their place at the next start.
  if (state_ && !state_->moved.empty()) static_cast<void>(state_->write({}));
}

Result<Store> Store::open(const fs::path& path, const std::string& new_farm_id) {
  auto lock = runtime::lock_folder(folder_of(path), "kiln-controller");
  if (!lock) return fail(std::move(lock.error()));
  auto database = Database::open(path, Access::create);
  if (!database) return fail(std::move(database.error()));

  const auto prepare = [&]() -> Status {
    if (auto status = check_is_ours(*database); !status) return status;
    if (auto status = check_integrity(*database); !status) return status;
    const auto mode = database->text("PRAGMA journal_mode = WAL");
    if (!mode) return fail(mode.error());
    if (*mode != "wal") {
      return fail(
          Code::unsupported,
          fmt::format(
              "{}: the file system cannot share memory between readers (SQLite's WAL mode): put the data "
              "directory on a local disk",
              path.string()));
    }
    // FULL: a commit that was answered is on disk, whatever happens to the power.
    if (auto status =
            database->execute(fmt::format("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = {}; "
                                          "PRAGMA trusted_schema = OFF",
                                          wal_keep_bytes));
        !status) {
      return status;
    }
    const auto id = database->integer("PRAGMA application_id");
    if (!id) return fail(id.error());
    if (*id == 0) {
      if (auto status = database->execute(fmt::format("PRAGMA application_id = {}", application_id));
          !status) {
        return status;
      }
    }
    if (auto status = migrate(*database, migrations()); !status) return status;
    return database->execute("PRAGMA foreign_keys = ON");  // after the migrations, which may rebuild a table
  };
  if (auto status = prepare(); !status) return fail(opening_error(std::move(status.error())));

  auto made = database->prepare(
      "INSERT INTO farm (only_row, id, epoch, last_job_number) VALUES (1, ?, 0, 0) ON CONFLICT DO NOTHING");
  if (!made) return fail(std::move(made.error()));
  if (auto status = made->run(new_farm_id); !status) return fail(std::move(status.error()));
  auto farm_id = database->text("SELECT id FROM farm");
  if (!farm_id) return fail(std::move(farm_id.error()));
  auto statements = Statements::prepare(*database);
  if (!statements) return fail(std::move(statements.error()));
  return Store(std::make_unique<State>(
      State{std::move(*lock), std::move(*database), std::move(*statements), std::move(*farm_id), {}}));
}

const std::string& Store::farm_id() const {
  return state_->farm_id;
}

Result<std::uint64_t> Store::raise_epoch() {
  const auto epoch = state_->database.integer("UPDATE farm SET epoch = epoch + 1 RETURNING epoch");
  if (!epoch) return fail(epoch.error());
  return static_cast<std::uint64_t>(*epoch);
}

Result<scheduler::FarmRows> Store::load() {
  scheduler::FarmRows rows;
  auto& database = state_->database;
  // Reads all rows of one query into `out`.
  const auto load_into = [&database](auto& out, const std::string& sql, const auto& read) -> Status {
    auto statement = database.prepare(sql);
    if (!statement) return fail(std::move(statement.error()));
    return statement->each([&](const Row& row) -> Status {
      auto one = read(row);
      if (!one) return fail(std::move(one.error()));
      out.push_back(std::move(*one));
      return {};
    });
  };
  const auto of_job = [](const Row& row, int id_column, const auto& read) {
    using Value = decltype(read(row, JobId()));
    const auto job = read_job_id(row, id_column);
    return job ? read(row, *job) : Value(fail(job.error()));
  };

  auto status =
      load_into(rows.jobs, fmt::format("SELECT {} FROM job ORDER BY number", job_columns), read_job);
  if (status) {
    status = load_into(
        rows.tasks,
        fmt::format("SELECT {}, job.id FROM job CROSS JOIN task ON task.job = job.number WHERE job.state "
                    "IN ('active', 'paused', 'failed') OR job.held > 0 ORDER BY job.number, task.number",
                    task_columns),
        [&](const Row& row) { return of_job(row, task_column_count, read_task); });
  }
  if (status) {
    status = load_into(
        rows.attempts,
        fmt::format("SELECT {}, job.id FROM attempt CROSS JOIN job ON job.number = attempt.job WHERE "
                    "attempt.state IN ('assigned', 'running') ORDER BY attempt.job, attempt.task, "
                    "attempt.number",
                    attempt_columns),
        [&](const Row& row) { return of_job(row, attempt_column_count, read_attempt); });
  }
  if (status)
    status = load_into(rows.nodes, fmt::format("SELECT {} FROM node ORDER BY id", node_columns), read_node);
  if (status) {
    status = load_into(rows.usage,
                       fmt::format("SELECT {} FROM usage WHERE hour_ms = (SELECT max(hour_ms) FROM usage) "
                                   "ORDER BY node",
                                   usage_columns),
                       read_usage);
  }
  if (status) {
    status = load_into(rows.renderers, fmt::format("SELECT {} FROM renderer ORDER BY name", renderer_columns),
                       read_renderer);
  }
  std::vector<std::pair<std::string, std::uint32_t>> limits;
  if (status) {
    status = load_into(limits, fmt::format("SELECT {} FROM counted_limit ORDER BY name", limit_columns),
                       read_limit);
  }
  if (!status) return fail(std::move(status.error()));
  rows.settings.limits.insert(limits.begin(), limits.end());
  const auto fair_share = database.integer("SELECT fair_share FROM farm");
  if (!fair_share) return fail(fair_share.error());
  rows.settings.fair_share = *fair_share != 0;
  const auto last = database.integer("SELECT last_job_number FROM farm");
  if (!last) return fail(last.error());
  rows.last_job_number = static_cast<std::uint64_t>(*last);
  const auto epoch = database.integer("SELECT epoch FROM farm");
  if (!epoch) return fail(epoch.error());
  constexpr std::uint64_t most_restores = 1'000'000;  // more is a damaged number, and would not fit
  const auto restores = std::min(static_cast<std::uint64_t>(*epoch) / epochs_a_restore, most_restores);
  rows.attempt_floor = static_cast<std::uint32_t>(restores) * attempts_a_restore;
  return rows;
}

Status Store::apply(const std::vector<scheduler::Effect>& effects) {
  // Most ticks: no transaction, no sync.
  if (std::none_of(effects.begin(), effects.end(), is_kept)) return {};
  return state_->write(effects);
}

void Store::mark_moved(const TaskId& task, std::uint32_t attempt, const std::vector<Rename>& renames) {
  state_->moved.push_back({task, attempt, renames});
}

Result<std::vector<scheduler::AcceptFiles>> Store::unmoved() {
  auto statement = state_->database.prepare(fmt::format(
      "SELECT {}, job.id, (SELECT void_up_to FROM task WHERE task.job = unmoved.job AND task.number = "
      "unmoved.task) FROM unmoved CROSS JOIN job ON job.number = unmoved.job CROSS JOIN result ON "
      "result.job = unmoved.job AND result.task = unmoved.task AND result.attempt = unmoved.attempt "
      "ORDER BY unmoved.job, unmoved.task, unmoved.attempt, result.path",
      result_columns));
  if (!statement) return fail(std::move(statement.error()));
  std::vector<scheduler::AcceptFiles> accepts;
  const auto status = statement->each([&](const Row& row) -> Status {
    const auto job = read_job_id(row, result_column_count);
    if (!job) return fail(job.error());
    const auto result = read_result(row, *job);
    if (!result) return fail(result.error());
    if (accepts.empty() || accepts.back().task != result->task || accepts.back().attempt != result->attempt) {
      const bool replaces = row.integer(result_column_count + 1) > 0;
      accepts.push_back({result->task, result->attempt, {}, replaces});
    }
    accepts.back().files.push_back(result->file);
    return {};
  });
  if (!status) return fail(status.error());
  return accepts;
}

Result<bool> Store::is_of_another_task(const TaskId& task, const std::string& path) {
  auto statement = state_->database.prepare(
      "SELECT count(*) FROM result WHERE job = (SELECT number FROM job WHERE id = ?) AND path = ? AND task "
      "<> ?");
  if (!statement) return fail(std::move(statement.error()));
  bool is_anothers = false;
  const auto on_row = [&](const Row& row) -> Status {
    is_anothers = row.integer(0) > 0;
    return {};
  };
  if (auto status = statement->each(on_row, task.job.str(), path, task.index); !status) {
    return fail(std::move(status.error()));
  }
  return is_anothers;
}

}  // namespace kiln::store
