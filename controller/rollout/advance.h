// Who is offered an update, and when: a function from (rollout, what the nodes say, time) to the rollout as
// it is next and what to tell the nodes. Pure.
//
//   waiting      -> updating     offered: canaries first, then the rest, at most Plan::at_once under way
//   updating     -> good         the node says so
//   updating     -> rolled-back  the node says so; or failed, where it came to nothing before
//   updating     -> failed       it does not come back from its restart, or hangs in its installation
//   updating     -> waiting      it went away before it restarted; a canary's place goes to another
//   waiting      -> good         it runs that version already
//   waiting      -> skipped      it was away for a day when all others were done
//
// The rollout halts when one that goes first is not good, or more than a tenth of the rest is not.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "payloads/messages.h"
#include "rollout/rows.h"

namespace kiln::rollout {

// Each with its reason. Milliseconds.
struct Patience {
  std::int64_t away_ms = 30 * 60'000;      // a node that is off for this long is not waited for
  std::int64_t restart_ms = 45 * 60'000;   // three tries of a new system and the way back take half an hour
  std::int64_t install_ms = 120 * 60'000;  // root gives an installation up after one hour
  std::int64_t skip_ms = 24 * 3600'000;    // a rollout that waits for one box alone ends
};

struct NodeFact {
  bool is_there = false;                       // online, or draining
  bool is_asleep = false;                      // away for a good reason
  bool restart_waits = false;                  // it restarts as soon as it is idle
  std::optional<payloads::NodeUpdate> update;  // absent: no flashed box
};
using NodeFacts = std::map<NodeId, NodeFact>;

struct Moment {
  std::int64_t unix_ms = 0;
  std::int32_t utc_offset_s = 0;  // of the controller's local time
};

struct Offer {
  NodeId node;
  std::uint32_t attempt = 0;
};
// To be carried out after `next` is stored. Until a node shows the effect, each comes again at every call:
// whoever carries them out decides how often that is said.
struct Advice {
  Rollout next;
  std::vector<Offer> offers;
  std::vector<NodeId> restarts;  // as soon as they are idle
  std::vector<NodeId> withdrawals;
};

// O(nodes).
Advice advance(Rollout rollout, const NodeFacts& facts, Moment now, const Patience& patience = {});

// A rollout that begins: its members are the nodes that the image fits. Errors: conflict when there is none
// that needs it, saying why; not_found for a named node that is not there or has no image of Kiln's.
Result<Rollout> begin(Plan plan, std::uint64_t number, const NodeFacts& facts, Moment now);

// What a person may do. Errors: conflict, saying what state it is in.
Result<Rollout> pause(Rollout rollout);
// Of one that halted: those that failed are offered it again, those that rolled back never, and they count no
// more.
Result<Rollout> resume(Rollout rollout, Moment now);
Result<Rollout> stop(Rollout rollout, Moment now, const std::string& reason);

}  // namespace kiln::rollout
