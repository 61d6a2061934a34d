#include "store/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cerrno>
#include <cstring>

namespace kiln::store {
namespace {

constexpr int busy_timeout_ms =
    5'000;  // a backup tool that holds the lock is waited for; a stuck one is named

Error describe(sqlite3* handle, std::string_view doing) {
  const int code = sqlite3_errcode(handle) & 0xff;
  const bool no_space =
      code == SQLITE_FULL || (code == SQLITE_IOERR && sqlite3_system_errno(handle) == ENOSPC);
  const char* file = sqlite3_db_filename(handle, "main");
  std::string message = fmt::format("{}: {}: {}", file != nullptr && *file != 0 ? file : "database", doing,
                                    no_space ? "no space left" : sqlite3_errmsg(handle));
  if (no_space) return {Code::full, std::move(message)};
  switch (code) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Code::unavailable, std::move(message)};
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return {Code::invalid, std::move(message)};
    case SQLITE_CONSTRAINT:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_ERROR:
      return {Code::internal, std::move(message)};
    default:
      return {Code::io, std::move(message)};
  }
}

}  // namespace

// ---- Row -------------------------------------------------------------------------------------------------

std::int64_t Row::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}
double Row::real(int column) const {
  return sqlite3_column_double(statement_, column);
}
std::string Row::text(int column) const {
  // In this order: the text's conversion comes before its size.
  const void* bytes = sqlite3_column_text(statement_, column);
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
  return bytes == nullptr ? std::string() : std::string(static_cast<const char*>(bytes), size);
}

// ---- Statement -------------------------------------------------------------------------------------------

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

void Statement::begin() {
  sqlite3_clear_bindings(statement_.get());
}

// A bind fails for a wrong place only, which finish() asserts, or for lack of memory, which the null that
// stays bound turns into a NOT NULL failure.
void Statement::bind_integer(int place, std::int64_t value) {
  sqlite3_bind_int64(statement_.get(), place, value);
}
void Statement::bind(int place, double value) {
  sqlite3_bind_double(statement_.get(), place, value);
}
void Statement::bind(int place, std::string_view value) {
  // An empty view may hold a null pointer, which SQLite takes for NULL.
  sqlite3_bind_text64(statement_.get(), place, value.empty() ? "" : value.data(), value.size(), SQLITE_STATIC,
                      SQLITE_UTF8);
}

Status Statement::finish(const std::function<Status(const Row&)>& on_row, int bound) {
  const auto go_on = [&](const Row& row) -> Result<bool> {
    if (auto status = on_row(row); !status) return fail(std::move(status.error()));
    return true;
  };
  return finish_while(go_on, bound);
}

Status Statement::finish_while(const std::function<Result<bool>(const Row&)>& on_row, int bound) {
  sqlite3_stmt* statement = statement_.get();
  KILN_ASSERT(bound == sqlite3_bind_parameter_count(statement));
  Status status;
  int code = SQLITE_ROW;
  while (status && (code = sqlite3_step(statement)) == SQLITE_ROW) {
    const auto more = on_row(Row(statement));
    if (!more) status = fail(more.error());
    if (more && !*more) break;
  }
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    status = fail(describe(sqlite3_db_handle(statement), "statement failed"));
  }
  sqlite3_reset(statement);
  return status;
}

// ---- Database --------------------------------------------------------------------------------------------

void Database::Close::operator()(sqlite3* handle) const {
  sqlite3_close_v2(handle);
}

Error Database::error(std::string_view doing) const {
  return describe(handle_.get(), doing);
}

Result<Database> Database::open(const std::filesystem::path& path, Access access) {
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  switch (access) {
    case Access::create:
      flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
      break;
    case Access::write:
      flags |= SQLITE_OPEN_READWRITE;
      break;
    case Access::read:
      flags |= SQLITE_OPEN_READONLY;
      break;
  }
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  Database database(handle, path);  // a failed open leaves a handle that must be closed
  if (code != SQLITE_OK) {
    const int cause = handle == nullptr ? ENOMEM : sqlite3_system_errno(handle);
    return fail(cause == ENOENT ? Code::not_found : Code::io,
                fmt::format("{}: cannot open the database: {}", path.string(),
                            cause != 0 ? std::strerror(cause) : sqlite3_errstr(code)));
  }
  sqlite3_busy_timeout(handle, busy_timeout_ms);
  return database;
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                         &statement, nullptr) != SQLITE_OK) {
    return fail(error(sql));
  }
  return Statement(statement);
}

Status Database::execute(const std::string& sql) {
  if (sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
    return fail(error(sql));
  return {};
}

Result<std::int64_t> Database::integer(std::string_view sql) {
  const auto value = text(sql);
  if (!value) return fail(value.error());
  return std::strtoll(value->c_str(), nullptr, 10);
}

Result<std::string> Database::text(std::string_view sql) {
  auto statement = prepare(sql);
  if (!statement) return fail(std::move(statement.error()));
  Result<std::string> value = fail(Code::not_found, fmt::format("{}: no row", sql));
  // To the end: what a RETURNING changed is committed there.
  const auto status = statement->each([&](const Row& row) -> Status {
    if (!value) value = row.text(0);
    return {};
  });
  if (!status) return fail(status.error());
  return value;
}

Status Database::transaction(const std::function<Status()>& work) {
  if (auto status = execute("BEGIN IMMEDIATE"); !status) return status;
  auto status = work();
  if (status) status = execute("COMMIT");
  // SQLite has rolled back by itself after some errors (a full disk, say).
  if (!status && sqlite3_get_autocommit(handle_.get()) == 0) {
    if (auto undone = execute("ROLLBACK"); !undone) return undone;
  }
  return status;
}

Status Database::copy_to(Database& target) {
  sqlite3_backup* backup = sqlite3_backup_init(target.handle_.get(), "main", handle_.get(), "main");
  if (backup == nullptr) return fail(target.error("cannot start the copy"));
  constexpr int all_pages = -1;
  sqlite3_backup_step(backup, all_pages);
  if (sqlite3_backup_finish(backup) != SQLITE_OK) return fail(target.error("cannot copy"));
  return {};
}

std::int64_t Database::changes() const {
  return sqlite3_changes64(handle_.get());
}

// ---- Kiln's own ------------------------------------------------------------------------------------------

std::filesystem::path folder_of(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
}

Status check_is_ours(Database& database) {
  const auto id = database.integer("PRAGMA application_id");
  if (!id) return fail(id.error());
  const auto tables = database.integer("SELECT count(*) FROM sqlite_master");
  if (!tables) return fail(tables.error());
  if (*id == application_id || (*id == 0 && *tables == 0)) return {};
  return fail(Code::conflict,
              fmt::format("{}: this SQLite database belongs to another program: name another data "
                          "directory, or move the file away",
                          database.path().string()));
}

}  // namespace kiln::store
