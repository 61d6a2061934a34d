// Copies of the database: made while a controller works on it, and put back while none does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "scheduler/rows.h"

namespace kiln::store {

// What a database file says of itself.
struct FileFacts {
  std::string farm_id;
  std::uint64_t epoch = 0;
  std::uint64_t last_job_number = 0;
  std::int64_t schema = 0;
  std::int64_t jobs = 0;
  std::uint64_t bytes = 0;
};

// Reads the whole file (SQLite's integrity_check) and changes nothing. Errors: not_found; invalid (not a
// database, damaged); conflict (another program's); unsupported (of a newer version); io.
Result<FileFacts> examine(const std::filesystem::path& path);

// A consistent copy of the database as of now in one file of its own: checked, synced, and only then given
// its name. From any thread or process, while a controller writes. A backup that has that name is replaced;
// any other file is left alone. Errors: not_found (no database there), conflict (that name is something
// else's), invalid (the database is damaged), full, io.
Result<FileFacts> backup(const std::filesystem::path& database, const std::filesystem::path& target);

struct Restored {
  FileFacts backup;
  std::uint64_t epoch = 0;           // of the restored farm: above all that nodes may have seen
  std::filesystem::path put_aside;   // where the database that was there went; empty: there was none
  std::string trouble_with_old;      // why that one could not be read; empty: it could
  bool was_other_farm = false;       // it was of another farm
  std::uint64_t tasks_requeued = 0;  // done says the backup, but a file is missing, in a job that goes on
  std::uint64_t files_missing = 0;   // of jobs that have ended: nothing was changed
};

// Puts a backup in the place of `database`, whose folder exists. Locks the folder, checks the backup,
// migrates it, and keeps what was there as <database>.before-restore-<n>. A crash at any moment leaves the
// one or the other.
//
// The restored farm is made safe to go on with nodes that lived on: its epoch and its attempts' numbers are
// raised above those that they may know (epochs_a_restore), what was out is queued again, and so are tasks of
// unfinished jobs that are done but whose files `is_there` does not find.
// Errors: conflict (a controller runs there), and those of examine() and backup().
using FileIsThere = std::function<bool(const scheduler::ResultRow&)>;
Result<Restored> restore(const std::filesystem::path& backup, const std::filesystem::path& database,
                         const FileIsThere& is_there);

}  // namespace kiln::store
