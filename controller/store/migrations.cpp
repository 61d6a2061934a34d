#include "store/migrations.h"

#include <fmt/format.h>

#include <iterator>

namespace kiln::store {
namespace {

constexpr Migration embedded[] = {
#include "migrations_embedded.inc"
};

}  // namespace

std::span<const Migration> migrations() {
  return embedded;
}

Status migrate(Database& database, std::span<const Migration> steps) {
  const auto version = database.integer("PRAGMA user_version");
  if (!version) return fail(version.error());
  const auto newest = static_cast<std::int64_t>(steps.size());
  if (*version > newest) {
    return fail(
        Code::unsupported,
        fmt::format(
            "{}: written by a newer kiln-controller (schema {}; this one knows up to {}): install that "
            "version again, or restore a backup from before the upgrade",
            database.path().string(), *version, newest));
  }
  for (const auto& step : steps.subspan(static_cast<std::size_t>(*version))) {
    const auto done = database.transaction([&]() -> Status {
      if (auto status = database.execute(step.sql); !status) return status;
      return database.execute(fmt::format("PRAGMA user_version = {}", step.number));
    });
    if (!done)
      return fail(Error(done.error()).with(fmt::format("migration {} ({})", step.number, step.name)));
  }
  return {};
}

}  // namespace kiln::store
