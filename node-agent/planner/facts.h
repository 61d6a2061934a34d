// What happens to a node, as values. The shell makes them; step() consumes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "payloads/http_bodies.h"
#include "payloads/messages.h"

namespace kiln::planner {

// ---- from the broker ----------------------------------------------------------------------------

// A message on cmd/<id> or cmd/all, decoded or not.
struct CommandReceived {
  Result<payloads::Command> command;
  std::string cid;           // of a command that did not decode, where one can be read; else ""
  bool retained = false;     // rule 9: ignored
  std::uint32_t random = 0;  // spreads the answers to a rebirth
};
// Connected and subscribed, with the sid that the last will carries. The shell stored it before connecting.
struct BrokerConnected {
  std::uint64_t sid = 0;
};
struct BrokerLost {};
// A message on our own status topic: our echo, an old last will, or another box.
struct StatusSeen {
  payloads::NodeStatus status;
  bool retained = false;
};
struct ControllerSeen {
  payloads::ControllerStatus status;
};

// The controller answers under another farm's id: its epochs are counted anew.
struct FarmChanged {};

// ---- from the box -------------------------------------------------------------------------------

// What the box is; sid is filled in by the planner. Before the first one every run is refused.
struct InfoChanged {
  payloads::NodeInfo info;
};
struct ProgressMade {
  TaskId task;
  std::uint32_t attempt = 0;
  payloads::TaskPhase phase = payloads::TaskPhase::fetching;
  std::int32_t frame = 0;
  double percent = 0;
  std::optional<double> eta_s;
};
// How an attempt ended on this box.
enum class Ending : std::uint8_t {
  rendered,    // the slot is free; its report, good or bad, is being written to disk: journalled or lost
               // follows
  journalled,  // its report is safe on disk and on its way
  lost,        // it ended, but its report could not be stored: `failure` says why
  cancelled,   // killed: nothing to report
};
struct AttemptEnded {
  TaskId task;
  std::uint32_t attempt = 0;
  Ending ending = Ending::journalled;
  std::optional<payloads::Failure> failure;  // of a report that is not ok, and of one that was lost
};
// The controller has given its verdict.
struct Delivered {
  TaskId task;
  std::uint32_t attempt = 0;
  payloads::Verdict verdict = payloads::Verdict::accepted;
  std::string kept = {};  // not "": there is no verdict, the frames stay on this box's disk, and why
};
// Per slot: the manifest whose scene is open there, "" for none.
struct WarmChanged {
  std::vector<std::string> warm;
};

// The data folder's disk ran out of room, or has some again: until then this box takes nothing.
struct DiskPressure {
  bool is_full = false;
  std::string message;  // for people
};

// What tasks run in cannot be made on this box, or can again: until then it takes nothing.
struct CageTrouble {
  bool is_broken = false;
  std::string message;  // for people
};

// A restart or a sleep came to nothing. Told once the box is at the broker again.
struct RestFailed {
  std::string message;  // for people
};

// ---- from the shell -----------------------------------------------------------------------------

// Someone wants the program to end: the first time work in progress may finish (Policy::stop_wait_ms), the
// second time it is killed.
struct StopAsked {};
// Time passed. Due at next_due() at the latest.
struct Tick {};

using Fact = std::variant<CommandReceived, BrokerConnected, BrokerLost, StatusSeen, ControllerSeen,
                          FarmChanged, InfoChanged, ProgressMade, AttemptEnded, Delivered, WarmChanged,
                          DiskPressure, CageTrouble, RestFailed, StopAsked, Tick>;

}  // namespace kiln::planner
