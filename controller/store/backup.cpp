#include "store/backup.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <set>
#include <utility>

#include "runtime/files.h"
#include "store/json_columns.h"
#include "store/migrations.h"
#include "store/queries.h"
#include "store/rows.h"
#include "store/store.h"

namespace kiln::store {
namespace {

namespace fs = std::filesystem;

// Restores that nobody remembers, because the database that knew of them is gone too.
constexpr std::uint64_t forgotten_restores = 10;

Status rename_file(const fs::path& from, const fs::path& to) {
  if (std::rename(from.c_str(), to.c_str()) == 0) return {};
  return fail(
      runtime::os_error(errno, fmt::format("{}: cannot rename it to {}", from.string(), to.string())));
}

void remove_file(const fs::path& path) {
  std::error_code ignored;
  fs::remove(path, ignored);
}

bool is_here(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

fs::path beside(const fs::path& path, std::string_view suffix) {
  return path.string() + std::string(suffix);
}

Result<FileFacts> read_facts(Database& database) {
  FileFacts facts;
  auto statement =
      database.prepare("SELECT farm.id, epoch, last_job_number, (SELECT count(*) FROM job) FROM farm");
  if (!statement) return fail(std::move(statement.error()));
  const auto read = statement->each([&](const Row& row) -> Status {
    row.read(0, facts.farm_id);
    row.read(1, facts.epoch);
    row.read(2, facts.last_job_number);
    row.read(3, facts.jobs);
    return {};
  });
  if (!read) return fail(read.error());
  if (facts.farm_id.empty()) {
    return fail(Code::invalid, fmt::format("{}: it holds no farm", database.path().string()));
  }
  const auto schema = database.integer("PRAGMA user_version");
  if (!schema) return fail(schema.error());
  facts.schema = *schema;
  std::error_code ignored;
  facts.bytes = fs::file_size(database.path(), ignored);
  return facts;
}

// A copy in one file, without a log beside it.
Status copy_database(const fs::path& from, const fs::path& to) {
  remove_file(to);
  auto source = Database::open(from, Access::read);
  if (!source) return fail(std::move(source.error()));
  if (auto ours = check_is_ours(*source); !ours) return ours;
  auto target = Database::open(to, Access::create);
  if (!target) return fail(std::move(target.error()));
  if (auto copied = source->copy_to(*target); !copied) return copied;
  return target->execute("PRAGMA journal_mode = DELETE");
}

// ---- restore ---------------------------------------------------------------------------------------------

// What was out is out no more: its node may have lost it since, or it may have been given to another.
constexpr std::string_view take_back_sql = R"(
  UPDATE attempt SET state = 'lost', error_code = 'restored',
    error_message = 'it was out when the backup was made that the farm was restored from'
    WHERE state IN ('assigned', 'running');
  UPDATE task SET state = 'queued', started_ms = 0 WHERE state IN ('assigned', 'running');
  UPDATE job SET queued = queued + running, running = 0 WHERE running > 0;
)";

// A node that goes to sleep by itself may have done so since the backup: it is taken for asleep, so that work
// wakes it; one that is awake says so. A reboot that was asked for has surely been done.
constexpr std::string_view doubt_nodes_sql = R"(
  UPDATE node SET asleep = 1 WHERE settings <> '' AND json_extract(settings, '$.sleep_after_s') > 0;
  UPDATE node SET settings = json_remove(settings, '$.reboot') WHERE settings <> '';
)";

// The counts of each step, of jobs that have steps: change(counts of a job's steps, its row).
Status change_step_counts(Database& database, std::string_view jobs,
                          const std::function<void(scheduler::JobRow&)>& change) {
  std::vector<scheduler::JobRow> rows;
  auto find =
      database.prepare(fmt::format("SELECT {} FROM job WHERE step_counts <> '' AND {}", job_columns, jobs));
  if (!find) return fail(std::move(find.error()));
  const auto found = find->each([&](const Row& row) -> Status {
    auto job = read_job(row);
    if (!job) return fail(std::move(job.error()));
    rows.push_back(std::move(*job));
    return {};
  });
  if (!found) return found;
  auto save = database.prepare("UPDATE job SET step_counts = ? WHERE number = ?");
  if (!save) return fail(std::move(save.error()));
  for (auto& job : rows) {
    change(job);
    if (auto saved = save->run(counts_text(job.steps), job.number); !saved) return saved;
  }
  return {};
}

Status take_back(Database& database) {
  const auto none_runs = [](scheduler::JobRow& job) {
    for (auto& counts : job.steps) counts.queued += std::exchange(counts.running, 0);
  };
  if (auto counted = change_step_counts(database, "running > 0", none_runs); !counted) return counted;
  return database.execute(std::string(take_back_sql) + std::string(doubt_nodes_sql));
}

struct Missing {
  std::uint64_t job = 0;
  std::uint32_t task = 0;
  friend bool operator<(const Missing& a, const Missing& b) {
    return a.job != b.job ? a.job < b.job : a.task < b.task;
  }
};

Status requeue_missing(Database& database, const FileIsThere& is_there, Restored& out) {
  std::set<Missing> missing;
  std::set<Missing> ended;
  auto results = database.prepare(fmt::format(
      "SELECT {}, job.id, job.number, job.state FROM result CROSS JOIN job ON job.number = result.job",
      result_columns));
  if (!results) return fail(std::move(results.error()));
  const auto looked = results->each([&](const Row& row) -> Status {
    const auto job = read_job_id(row, result_column_count);
    if (!job) return fail(job.error());
    const auto result = read_result(row, *job);
    if (!result) return fail(result.error());
    if (is_there(*result)) return {};
    const auto state = row.text(result_column_count + 2);
    if (state == "active" || state == "paused") {
      missing.insert({static_cast<std::uint64_t>(row.integer(result_column_count + 1)), result->task.index});
    } else {
      ++out.files_missing;
      ended.insert({static_cast<std::uint64_t>(row.integer(result_column_count + 1)), result->task.index});
    }
    return {};
  });
  if (!looked) return looked;
  for (const auto& one : missing) {
    const auto where = fmt::format("job = {} AND task = {}", one.job, one.task);
    const auto task = fmt::format("job = {} AND number = {}", one.job, one.task);
    auto done = database.execute(fmt::format(
        "UPDATE attempt SET state = 'lost', error_code = 'file-missing', error_message = 'its frames were "
        "gone when "
        "the farm was restored' WHERE {0} AND state = 'done';"
        "DELETE FROM unmoved WHERE {0}; DELETE FROM result WHERE {0};"
        "UPDATE job SET done = done - 1, queued = queued + 1, render_s = max(0, render_s - (SELECT seconds "
        "FROM task "
        "WHERE {1})) WHERE number = {2};"
        "UPDATE task SET state = 'queued', seconds = 0, started_ms = 0, finished_ms = 0 WHERE {1};",
        where, task, one.job));
    if (!done) return done;
    const auto count = [&one](scheduler::JobRow& job) {
      const auto step = job.spec.place_of(one.task).step;
      if (step >= job.steps.size() || job.steps[step].done == 0) return;
      --job.steps[step].done;
      ++job.steps[step].queued;
    };
    if (auto counted = change_step_counts(database, fmt::format("number = {}", one.job), count); !counted)
      return counted;
  }
  for (const auto& one : ended) {  // a start would look for them again and again
    auto gone =
        database.execute(fmt::format("DELETE FROM unmoved WHERE job = {} AND task = {}", one.job, one.task));
    if (!gone) return gone;
  }
  out.tasks_requeued = missing.size();
  return {};
}

Status make_safe(const fs::path& path, const std::optional<FileFacts>& old, const FileIsThere& is_there,
                 Restored& out) {
  auto database = Database::open(path, Access::write);
  if (!database) return fail(std::move(database.error()));
  if (auto migrated = migrate(*database, migrations()); !migrated) return migrated;
  const bool is_same_farm = old && old->farm_id == out.backup.farm_id;
  const auto seen = is_same_farm ? std::max(old->epoch, out.backup.epoch) : out.backup.epoch;
  const auto restores = seen / epochs_a_restore + (is_same_farm ? 1 : forgotten_restores);
  out.epoch = restores * epochs_a_restore;
  const auto last_job = is_same_farm ? std::max(old->last_job_number, out.backup.last_job_number) : 0;
  return database->transaction([&]() -> Status {
    if (auto taken = take_back(*database); !taken) return taken;
    if (auto queued = requeue_missing(*database, is_there, out); !queued) return queued;
    return database->execute(fmt::format(
        "UPDATE farm SET epoch = {}, last_job_number = max(last_job_number, {})", out.epoch, last_job));
  });
}

// The database that is there gets a second name, and the log beside it goes with it: SQLite would play an old
// log into a new file.
Result<fs::path> put_aside(const fs::path& path) {
  fs::path aside;
  for (int n = 1; aside.empty() || is_here(aside); ++n)
    aside = beside(path, fmt::format(".before-restore-{}", n));
  {
    // Most often this empties the log and leaves one file. Of a damaged one the parts go as they are.
    auto old = Database::open(path, Access::write);
    if (old) static_cast<void>(old->execute("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE"));
  }
  if (::link(path.c_str(), aside.c_str()) != 0) {
    std::error_code error;
    fs::copy_file(path, aside, error);  // a file system without links
    if (error) {
      return fail(runtime::os_error(error.value(),
                                    fmt::format("{}: cannot keep it as {}", path.string(), aside.string())));
    }
    if (auto synced = runtime::fsync_file(aside); !synced) return fail(synced.error());
  }
  for (const char* suffix : {"-wal", "-shm"}) {
    const auto log = beside(path, suffix);
    if (!is_here(log)) continue;
    if (auto moved = rename_file(log, beside(aside, suffix)); !moved) return fail(moved.error());
  }
  if (auto synced = runtime::fsync_dir(folder_of(path)); !synced) return fail(synced.error());
  return aside;
}

}  // namespace

Result<FileFacts> examine(const fs::path& path) {
  auto database = Database::open(path, Access::read);
  if (!database) return fail(std::move(database.error()));
  if (auto ours = check_is_ours(*database); !ours) return fail(ours.error());
  const auto verdict = database->text("PRAGMA integrity_check(1)");
  if (!verdict) return fail(verdict.error());
  if (*verdict != "ok") {
    return fail(Code::invalid, fmt::format("{}: the database is damaged ({})", path.string(), *verdict));
  }
  auto facts = read_facts(*database);
  if (!facts) return facts;
  const auto newest = static_cast<std::int64_t>(migrations().size());
  if (facts->schema > newest) {
    return fail(
        Code::unsupported,
        fmt::format("{}: of a newer kiln-controller (schema {}; this one knows up to {}): use that version",
                    path.string(), facts->schema, newest));
  }
  return facts;
}

Result<FileFacts> backup(const fs::path& database, const fs::path& target) {
  std::error_code error;
  if (fs::equivalent(database, target, error)) {
    return fail(Code::conflict, fmt::format("{} is the database itself: name another file", target.string()));
  }
  if (is_here(target)) {
    if (const auto there = examine(target); !there && there.error().code != Code::unsupported) {
      return fail(Code::conflict,
                  fmt::format("{} exists and is no backup of Kiln's: it stays as it is; name another "
                              "file or remove it",
                              target.string()));
    }
  }
  const auto part = beside(target, ".part");
  const auto make = [&]() -> Result<FileFacts> {
    if (auto copied = copy_database(database, part); !copied) return fail(copied.error());
    auto facts = examine(part);
    if (!facts) return facts;
    if (auto synced = runtime::fsync_file(part); !synced) return fail(synced.error());
    if (auto placed = rename_file(part, target); !placed) return fail(placed.error());
    if (auto synced = runtime::fsync_dir(folder_of(target)); !synced) return fail(synced.error());
    return facts;
  };
  auto facts = make();
  if (!facts) remove_file(part);
  return facts;
}

Result<Restored> restore(const fs::path& from, const fs::path& path, const FileIsThere& is_there) {
  const auto lock = runtime::lock_folder(folder_of(path), "kiln-controller");
  if (!lock) return fail(Error(lock.error()).with("stop the controller first"));
  std::error_code error;
  if (fs::equivalent(from, path, error)) {
    return fail(Code::conflict, fmt::format("{} is the farm's own database: name a backup", from.string()));
  }
  auto facts = examine(from);
  if (!facts) return fail(std::move(facts.error()));
  Restored out;
  out.backup = *facts;

  std::optional<FileFacts> old;
  if (is_here(path)) {
    auto database = Database::open(path, Access::write);
    auto read = database ? read_facts(*database) : Result<FileFacts>(fail(database.error()));
    if (read) {
      old = *read;
      out.was_other_farm = old->farm_id != facts->farm_id;
    } else {
      out.trouble_with_old = read.error().message;
    }
  }
  const auto part = beside(path, ".restoring");
  const auto put = [&]() -> Status {
    if (auto copied = copy_database(from, part); !copied) return copied;
    if (auto safe = make_safe(part, old, is_there, out); !safe) return safe;
    if (auto synced = runtime::fsync_file(part); !synced) return synced;
    if (is_here(path)) {
      auto aside = put_aside(path);
      if (!aside) return fail(std::move(aside.error()));
      out.put_aside = *aside;
    }
    for (const char* suffix : {"-wal", "-shm"}) remove_file(beside(path, suffix));
    if (auto placed = rename_file(part, path); !placed) return placed;
    return runtime::fsync_dir(folder_of(path));
  };
  if (auto done = put(); !done) {
    remove_file(part);
    return fail(done.error());
  }
  return out;
}

}  // namespace kiln::store
