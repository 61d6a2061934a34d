// Ways to break the protocol, one at a time: each shows that the checkers can fail. mutants.cpp is the table.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace kiln::sim {

enum class Mutant : std::uint8_t {
  none,
  // ---- in the shells around the cores
  publish_before_commit,
  answer_before_commit,
  controller_epoch_not_stored,
  node_epoch_not_stored,
  epoch_ignored,
  older_attempt_as_newest,
  journal_not_synced,
  journal_not_read_at_start,
  no_last_will,
  sid_not_raised,
  seq_ignored,
  stale_online_left,
  no_resend,
  no_rebirth,
  retained_command_obeyed,
  no_grace,
  submission_key_ignored,
  moves_not_repeated,
  winner_dropped,
  double_not_noticed,
  // ---- in the cores themselves: core_mutants.txt
  second_commit_wins,
  foreign_work_not_cancelled,
  restart_forgets_what_is_out,
  slots_overbooked,
  priority_ignored,
  pause_ignored,
  held_attempt_started_again,
  second_start_accepted,
  step_starts_early,
  pair_ignored,
  limit_ignored,
  heat_ignored,
  disabled_node_used,
  restart_forgotten,
  cut_moves,
};

// Of the simulation that this thread runs; for the cores, which nobody passes it to.
extern thread_local Mutant current_mutant;
#define MUTANT(name) (::kiln::sim::current_mutant == ::kiln::sim::Mutant::name)

struct MutantInfo {
  Mutant mutant;
  std::string_view name;
  std::string_view rule;       // of protocol.md, or the promise it breaks
  std::uint32_t found_within;  // seeds, counted from `from`
  std::uint64_t from = 1;
};

std::span<const MutantInfo> mutants();
// nullptr: no such name.
const MutantInfo* find_mutant(std::string_view name);

}  // namespace kiln::sim
