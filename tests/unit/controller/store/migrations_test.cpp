#include "store/migrations.h"

#include <cstdio>
#include <fstream>
#include <iterator>

#include "check.h"
#include "controller/store/scratch.h"
#include "source_dir.h"

namespace fs = std::filesystem;
using namespace kiln;  // NOLINT(google-build-using-namespace)
using store::Access;
using store::Database;
using store::Migration;
using test::Scratch;

namespace {

Database empty_database(const fs::path& path) {
  auto database = Database::open(path, Access::create);
  check_ok(database);
  return std::move(*database);
}

std::string schema(Database& database) {
  auto statement =
      database.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name");
  check_ok(statement);
  std::string text;
  check_ok(statement->each([&text](const store::Row& row) -> Status {
    text += row.text(0) + ";\n";
    return {};
  }));
  return text;
}

// schemas/0001.sql: what a released version 1 has on its users' disks. A new migration adds the file that
// this test prints; a released one never changes.
std::string released_schema(std::size_t version) {
  std::ifstream file(kiln::test::source_dir() / "tests/unit/controller/store/schemas" /
                     fmt::format("{:04}.sql", version));
  return {std::istreambuf_iterator<char>(file), {}};
}

void a_released_schema_stays_as_it_was_released() {
  const auto all = store::migrations();
  check(!all.empty());
  for (std::size_t version = 1; version <= all.size(); ++version) {
    const Scratch scratch;
    auto database = empty_database(scratch / "a.db");
    check_ok(store::migrate(database, all.first(version)));
    if (schema(database) != released_schema(version)) std::fputs(schema(database).c_str(), stderr);
    check(schema(database) == released_schema(version));
  }
}

void migrating_from_any_version_equals_creating() {
  const auto all = store::migrations();
  const Scratch scratch;
  auto fresh = empty_database(scratch / "fresh.db");
  check_ok(store::migrate(fresh, all));
  check_equal(*fresh.integer("PRAGMA user_version"), static_cast<std::int64_t>(all.size()));
  for (std::size_t version = 0; version <= all.size(); ++version) {
    auto old = empty_database(scratch / fmt::format("{}.db", version));
    check_ok(old.execute(version == 0 ? "" : released_schema(version)));
    check_ok(old.execute(fmt::format("PRAGMA user_version = {}", version)));
    check_ok(store::migrate(old, all));
    check_equal(schema(old), schema(fresh));
    check_equal(*old.integer("PRAGMA user_version"), static_cast<std::int64_t>(all.size()));
  }
}

void a_migration_that_fails_leaves_the_version_before_it() {
  const Scratch scratch;
  auto database = empty_database(scratch / "a.db");
  const Migration steps[] = {{1, "one", "CREATE TABLE a (x) STRICT;"}};
  const Migration good[] = {{1, "one", "CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1);"},
                            {2, "two", "ALTER TABLE a ADD COLUMN y INTEGER;"},
                            {3, "three", "CREATE TABLE b (x INTEGER); INSERT INTO nowhere VALUES (1);"}};
  check(!store::migrate(database, steps).has_value());
  check_equal(*database.integer("PRAGMA user_version"), 0);
  const auto status = store::migrate(database, good);
  check(!status.has_value());
  check_contains(status.error().message, "migration 3 (three)");
  check_equal(*database.integer("PRAGMA user_version"), 2);
  check_equal(*database.integer("SELECT count(*) FROM sqlite_master WHERE name = 'b'"), 0);
  check_equal(*database.integer("SELECT x FROM a"), 1);
}

void a_newer_file_is_refused() {
  const Scratch scratch;
  auto database = empty_database(scratch / "a.db");
  check_ok(database.execute("PRAGMA user_version = 3"));
  const Migration steps[] = {{1, "one", "CREATE TABLE a (x)"}};
  const auto status = store::migrate(database, steps);
  check(!status.has_value());
  check(status.error().code == Code::unsupported);
  check_contains(status.error().message, "schema 3; this one knows up to 1");
}

}  // namespace

int main() {
  return test::run(
      "migrations",
      {{"a released schema stays as it was released", a_released_schema_stays_as_it_was_released},
       {"migrating from any version equals creating", migrating_from_any_version_equals_creating},
       {"a migration that fails leaves the version before it",
        a_migration_that_fails_leaves_the_version_before_it},
       {"a newer file is refused", a_newer_file_is_refused}});
}
