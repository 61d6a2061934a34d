#include "store/rollouts.h"

#include <fmt/format.h>

#include <array>

#include "base/json.h"
#include "store/migrations.h"

namespace kiln::store {

namespace {

constexpr std::array steps{Migration{1, "rollouts", R"sql(
  CREATE TABLE image (
    digest TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, machine TEXT NOT NULL,
    bytes INTEGER NOT NULL, added_ms INTEGER NOT NULL, added_by TEXT NOT NULL) STRICT;
  CREATE TABLE rollout (
    number INTEGER PRIMARY KEY, plan TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'halted', 'done', 'stopped')), reason TEXT NOT NULL,
    started_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL, canary_good_ms INTEGER NOT NULL, is_rest INTEGER NOT NULL)
    STRICT;
  CREATE TABLE member (
    rollout INTEGER NOT NULL REFERENCES rollout, node TEXT NOT NULL, is_canary INTEGER NOT NULL,
    is_excused INTEGER NOT NULL,
    step TEXT NOT NULL CHECK (step IN ('waiting', 'updating', 'good', 'rolled-back', 'failed', 'skipped')),
    attempt INTEGER NOT NULL, seen TEXT NOT NULL, since_ms INTEGER NOT NULL, away_ms INTEGER NOT NULL,
    message TEXT NOT NULL, PRIMARY KEY (rollout, node)) STRICT, WITHOUT ROWID;
)sql"}};

Result<rollout::Rollout> read_rollout(const Row& row) {
  rollout::Rollout out;
  row.read(0, out.number);
  const auto json = Json::parse(row.text(1), {.bytes = 4UL * 1024 * 1024, .depth = 4, .values = 100'000});
  if (!json) return fail(Error(json.error()).with(fmt::format("rollout {}", out.number)));
  auto plan = rollout::parse_plan(*json);
  if (!plan) return fail(std::move(plan.error()).with(fmt::format("rollout {}", out.number)));
  out.plan = std::move(*plan);
  const auto state = rollout::parse_state(row.text(2));
  if (!state) return fail(Code::invalid, fmt::format("rollout {}: no such state", out.number));
  out.state = *state;
  row.read(3, out.reason);
  row.read(4, out.started_ms);
  row.read(5, out.ended_ms);
  row.read(6, out.canary_good_ms);
  out.is_rest = row.integer(7) != 0;
  return out;
}

Result<rollout::Member> read_member(const Row& row) {
  rollout::Member out;
  auto node = NodeId::parse(row.text(0));
  if (!node) return fail(std::move(node.error()));
  out.node = std::move(*node);
  out.is_canary = row.integer(1) != 0;
  out.is_excused = row.integer(2) != 0;
  const auto step = rollout::parse_step(row.text(3));
  const auto seen = payloads::parse_update_state(row.text(5));
  if (!step || !seen) return fail(Code::invalid, fmt::format("member {}: no such state", out.node.str()));
  out.step = *step;
  row.read(4, out.attempt);
  out.seen = *seen;
  row.read(6, out.since_ms);
  row.read(7, out.away_ms);
  row.read(8, out.message);
  return out;
}

}  // namespace

Result<std::unique_ptr<Rollouts>> Rollouts::open(const std::filesystem::path& file) {
  auto database = Database::open(file, Access::create);
  if (!database) return fail(std::move(database.error()));
  if (auto ours = check_is_ours(*database); !ours) return fail(std::move(ours.error()));
  const auto pragmas = fmt::format(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA application_id = {}", application_id);
  if (auto set = database->execute(pragmas); !set) return fail(std::move(set.error()));
  if (auto migrated = migrate(*database, steps); !migrated) return fail(std::move(migrated.error()));
  return std::unique_ptr<Rollouts>(new Rollouts(std::move(*database)));
}

template <class... Args>
Status Rollouts::run(std::string_view sql, const Args&... args) {
  auto statement = database_.prepare(sql);
  if (!statement) return fail(std::move(statement.error()));
  return statement->run(args...);
}

Result<std::vector<rollout::Image>> Rollouts::images() {
  auto statement = database_.prepare(
      "SELECT digest, name, version, machine, bytes, added_ms, added_by FROM image ORDER BY added_ms DESC, "
      "digest");
  if (!statement) return fail(std::move(statement.error()));
  std::vector<rollout::Image> all;
  const auto read = statement->each([&](const Row& row) -> Status {
    auto& image = all.emplace_back();
    row.read(0, image.digest);
    row.read(1, image.name);
    row.read(2, image.version);
    row.read(3, image.machine);
    row.read(4, image.bytes);
    row.read(5, image.added_ms);
    row.read(6, image.added_by);
    return {};
  });
  if (!read) return fail(read.error());
  return all;
}

Status Rollouts::save(const rollout::Image& image) {
  return run(
      "INSERT OR REPLACE INTO image (digest, name, version, machine, bytes, added_ms, added_by) "
      "VALUES (?, ?, ?, ?, ?, ?, ?)",
      image.digest, image.name, image.version, image.machine, image.bytes, image.added_ms, image.added_by);
}

Status Rollouts::erase_image(const std::string& digest) {
  return run("DELETE FROM image WHERE digest = ?", digest);
}

Result<std::vector<rollout::Rollout>> Rollouts::rollouts(std::size_t limit) {
  auto statement = database_.prepare(
      "SELECT number, plan, state, reason, started_ms, ended_ms, canary_good_ms, is_rest FROM rollout "
      "ORDER BY number DESC LIMIT ?");
  if (!statement) return fail(std::move(statement.error()));
  std::vector<rollout::Rollout> all;
  const auto read = statement->each(
      [&](const Row& row) -> Status {
        auto one = read_rollout(row);
        if (!one) return fail(std::move(one.error()));
        all.push_back(std::move(*one));
        return {};
      },
      limit);
  if (!read) return fail(read.error());
  for (auto& one : all) {
    if (auto members = read_members(one); !members) return fail(std::move(members.error()));
  }
  return all;
}

Status Rollouts::read_members(rollout::Rollout& rollout) {
  auto statement = database_.prepare(
      "SELECT node, is_canary, is_excused, step, attempt, seen, since_ms, away_ms, message FROM member "
      "WHERE rollout = ? ORDER BY node");
  if (!statement) return fail(std::move(statement.error()));
  return statement->each(
      [&](const Row& row) -> Status {
        auto member = read_member(row);
        if (!member) return fail(std::move(member.error()));
        auto node = member->node;
        rollout.members.emplace(std::move(node), std::move(*member));
        return {};
      },
      rollout.number);
}

Status Rollouts::save(const rollout::Rollout& rollout, const std::vector<rollout::Member>& members) {
  return database_.transaction([&]() -> Status {
    const auto plan = to_json(rollout.plan).dump();
    auto saved = run(
        "INSERT INTO rollout (number, plan, state, reason, started_ms, ended_ms, canary_good_ms, is_rest) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET state = excluded.state, "
        "reason = excluded.reason, ended_ms = excluded.ended_ms, canary_good_ms = excluded.canary_good_ms, "
        "is_rest = excluded.is_rest",
        rollout.number, plan, to_string(rollout.state), rollout.reason, rollout.started_ms, rollout.ended_ms,
        rollout.canary_good_ms, rollout.is_rest ? 1 : 0);
    if (!saved) return saved;
    for (const auto& member : members) {
      saved =
          run("INSERT OR REPLACE INTO member (rollout, node, is_canary, is_excused, step, attempt, seen, "
              "since_ms, "
              "away_ms, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
              rollout.number, member.node.str(), member.is_canary ? 1 : 0, member.is_excused ? 1 : 0,
              to_string(member.step), member.attempt, to_string(member.seen), member.since_ms, member.away_ms,
              member.message);
      if (!saved) return saved;
    }
    return {};
  });
}

}  // namespace kiln::store
