// SQLite behind a small face: a connection, a prepared statement, a transaction. sqlite3.h stays in
// database.cpp.
#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace kiln::store {

// The columns of the row that a statement stands on, counted from 0. Valid inside the callback only.
class Row {
 public:
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] double real(int column) const;
  [[nodiscard]] std::string text(int column) const;
  // The same, as the type of the place it goes to. An integer out of the target's range is cut: only this
  // room writes the file, and what it wrote was in range.
  template <std::integral Int>
  void read(int column, Int& out) const {
    out = static_cast<Int>(integer(column));
  }
  void read(int column, double& out) const { out = real(column); }
  void read(int column, std::string& out) const { out = text(column); }

 private:
  friend class Statement;
  explicit Row(sqlite3_stmt* statement) : statement_(statement) {}
  sqlite3_stmt* statement_;
};

// A prepared statement. Every run binds all parameters anew and leaves the statement reset, so that no read
// transaction stays open behind the caller's back. Errors: full (no space on the disk, or the page bound),
// unavailable (locked by another process), io, internal (a constraint: a bug of the caller).
class Statement {
 public:
  // Runs to the end; rows are dropped.
  template <class... Args>
  Status run(const Args&... args) {
    return each([](const Row&) { return Status(); }, args...);
  }
  // Calls on_row for every row until it fails.
  template <class... Args>
  Status each(const std::function<Status(const Row&)>& on_row, const Args&... args) {
    begin();
    int place = 0;
    (bind_next(place, args), ...);
    return finish(on_row, place);
  }
  // Calls on_row for every row until it returns false.
  template <class... Args>
  Status each_while(const std::function<Result<bool>(const Row&)>& on_row, const Args&... args) {
    begin();
    int place = 0;
    (bind_next(place, args), ...);
    return finish_while(on_row, place);
  }

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}

  void begin();
  void bind_integer(int place, std::int64_t value);
  void bind(int place, double value);
  void bind(int place, std::string_view value);  // must live until the run ends
  template <std::integral Int>
  void bind(int place, Int value) {
    bind_integer(place, static_cast<std::int64_t>(value));
  }
  template <class Value>
  void bind_next(int& place, const Value& value) {
    bind(++place, value);
  }
  // As many parameters as there are texts.
  void bind_next(int& place, const std::vector<std::string_view>& texts) {
    for (const auto text : texts) bind(++place, text);
  }
  Status finish(const std::function<Status(const Row&)>& on_row, int bound);
  Status finish_while(const std::function<Result<bool>(const Row&)>& on_row, int bound);

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

enum class Access {
  create,  // read and write; made if missing
  write,   // read and write; an error if missing
  read,    // never writes
};

// One connection, for one thread at a time.
class Database {
 public:
  // Waits up to 5 s for another process's lock. Errors: not_found, io; the file is not looked into yet.
  static Result<Database> open(const std::filesystem::path& path, Access access);

  Result<Statement> prepare(std::string_view sql);
  // Any number of statements, without parameters.
  Status execute(const std::string& sql);
  // The first column of the first row. Errors: not_found when there is no row.
  Result<std::int64_t> integer(std::string_view sql);
  Result<std::string> text(std::string_view sql);

  // BEGIN IMMEDIATE, work, COMMIT; all undone when work or the commit fails.
  Status transaction(const std::function<Status()>& work);

  // Copies the whole database as it is now into an empty connection, in one read transaction: writers go on.
  Status copy_to(Database& target);

  // Rows that the last statement changed.
  [[nodiscard]] std::int64_t changes() const;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  Database(sqlite3* handle, std::filesystem::path path) : handle_(handle), path_(std::move(path)) {}
  [[nodiscard]] Error error(std::string_view doing) const;

  std::unique_ptr<sqlite3, Close> handle_;
  std::filesystem::path path_;
};

// "Kiln", as SQLite's application_id: what `file` and we ourselves know a database of Kiln's by.
inline constexpr std::int64_t application_id = 0x4b696c6e;
// Errors: conflict when the file is another program's; those of reading it. An empty one is fine.
Status check_is_ours(Database& database);

std::filesystem::path folder_of(const std::filesystem::path& file);

}  // namespace kiln::store
