#include "mutants.h"

#include <algorithm>
#include <array>

#include "plan.h"

namespace kiln::sim {

namespace {

// clang-format off
constexpr std::array table = {
    //         mutant                               name                          what it breaks                                                     seeds
    MutantInfo{Mutant::publish_before_commit,       "publish-before-commit",       "rule 3: an attempt is stored before its command is published",     50},
    MutantInfo{Mutant::answer_before_commit,        "answer-before-commit",        "rule 1: a frame is done in the database first",                    50},
    MutantInfo{Mutant::older_attempt_as_newest,     "older-attempt-as-newest",     "rule 1: a commit is of the attempt that it names",                500},
    MutantInfo{Mutant::controller_epoch_not_stored, "controller-epoch-not-stored", "rule 2: the controller raises and stores its epoch",               50},
    MutantInfo{Mutant::node_epoch_not_stored,       "node-epoch-not-stored",       "rule 2: a node persists the highest epoch",                        50},
    MutantInfo{Mutant::epoch_ignored,               "epoch-ignored",               "rule 2: a node ignores lower epochs",                             500},
    MutantInfo{Mutant::sid_not_raised,              "sid-not-raised",              "rule 4: a node raises its sid at every connect",                   50},
    MutantInfo{Mutant::no_last_will,                "no-last-will",                "rule 4: a node's last will says that it is gone",                  50},
    MutantInfo{Mutant::seq_ignored,                 "seq-ignored",                 "rule 5: seq orders what a node says",                             500},
    MutantInfo{Mutant::stale_online_left,           "stale-online-left",           "rule 6: a stale retained status is overwritten",                  1000},
    MutantInfo{Mutant::no_resend,                   "no-resend",                   "rule 7: a command is sent until the node lists its task",         500},
    MutantInfo{Mutant::no_rebirth,                  "no-rebirth",                  "rule 8: the controller asks for a rebirth",                        50},
    MutantInfo{Mutant::retained_command_obeyed,     "retained-command-obeyed",     "rule 9: a retained command is ignored",                           500},
    MutantInfo{Mutant::no_grace,                    "no-grace",                    "rule 10: offline, then a grace period, then requeued",            500},
    MutantInfo{Mutant::journal_not_synced,          "journal-not-synced",          "rule 11: results are on disk before anything is said about them",  50},
    MutantInfo{Mutant::journal_not_read_at_start,   "journal-not-read-at-start",   "rule 11: results survive a node's restart",                       500},
    MutantInfo{Mutant::submission_key_ignored,      "submission-key-ignored",      "rule 12: a repeated submission is the same job",                   50},
    MutantInfo{Mutant::moves_not_repeated,          "moves-not-repeated",          "rule 13: what follows a commit is repeated after a crash",        500},
    MutantInfo{Mutant::winner_dropped,              "winner-dropped",              "rule 1: the winner's files are never dropped",                     50},
    MutantInfo{Mutant::double_not_noticed,          "double-not-noticed",          "rule 14: two boxes with one identity are an alarm",               500},
    MutantInfo{Mutant::second_commit_wins,          "second-commit-wins",          "rule 1: the first valid commit wins",                              50},
    MutantInfo{Mutant::held_attempt_started_again,  "held-attempt-started-again",  "rule 3: a node asked for what it holds only reports again",       500},
    MutantInfo{Mutant::foreign_work_not_cancelled,  "foreign-work-not-cancelled",  "rule 8: what the database does not know is cancelled",            500},
    MutantInfo{Mutant::restart_forgets_what_is_out, "restart-forgets-what-is-out", "rule 8: a controller restart kills no running frame",              50},
    MutantInfo{Mutant::slots_overbooked,            "slots-overbooked",            "no slot is over-booked",                                           50},
    MutantInfo{Mutant::priority_ignored,            "priority-ignored",            "jobs are served by priority",                                      50},
    MutantInfo{Mutant::pause_ignored,               "pause-ignored",               "a paused job gets nothing new",                                   500},
    MutantInfo{Mutant::second_start_accepted,       "second-start-accepted",       "rule 1: of a task started twice only the first result counts",     500, first_studio_seed},
    MutantInfo{Mutant::step_starts_early,           "step-starts-early",           "a step waits for the whole of those before it",                    100, first_studio_seed},
    MutantInfo{Mutant::pair_ignored,                "pair-ignored",                "a task waits for its partners",                                    300, first_studio_seed},
    MutantInfo{Mutant::limit_ignored,               "limit-ignored",               "no more is out than counted limits allow",                         100, first_studio_seed},
    MutantInfo{Mutant::heat_ignored,                "heat-ignored",                "a hot GPU gets nothing new",                                       300, first_studio_seed},
    MutantInfo{Mutant::disabled_node_used,          "disabled-node-used",          "a node that is disabled gets nothing",                             100, first_studio_seed},
    MutantInfo{Mutant::restart_forgotten,           "restart-forgotten",           "a node that was told to restart gets nothing",                     300, first_studio_seed},
    MutantInfo{Mutant::cut_moves,                   "cut-moves",                   "a task is what it was cut to be, also after a restart",            100, first_studio_seed},
};
// clang-format on

}  // namespace

thread_local Mutant current_mutant = Mutant::none;

std::span<const MutantInfo> mutants() {
  return table;
}

const MutantInfo* find_mutant(std::string_view name) {
  const auto* found =
      std::find_if(table.begin(), table.end(), [&](const auto& one) { return one.name == name; });
  return found == table.end() ? nullptr : found;
}

}  // namespace kiln::sim
