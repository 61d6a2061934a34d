// What step() decides, as values. The shell carries them out in order.
#pragma once

#include <cstdint>
#include <variant>

#include "base/ids.h"
#include "payloads/messages.h"

namespace kiln::planner {

// ---- persistence --------------------------------------------------------------------------------

// Store before anything that follows it: rule 2.
struct StoreEpoch {
  std::uint64_t epoch = 0;
};

// ---- to the broker: only ever made while connected ----------------------------------------------

struct PublishStatus {
  payloads::NodeStatus status;
};
struct PublishInfo {
  payloads::NodeInfo info;
};
// Within one batch only the last one matters: each is the whole inventory.
struct PublishTasks {
  payloads::NodeTasks tasks;
};
struct PublishProgress {
  double percent = 0;  // mean over the attempts on slots, 0 when idle
};
struct PublishEvent {
  payloads::NodeEvent event;
};
struct PublishAck {
  payloads::Ack ack;
};
struct PublishUpdate {
  payloads::NodeUpdate update;
};
// Leave the broker, raise the sid above this one, and come back after that time.
struct Reconnect {
  std::uint64_t above_sid = 0;
  std::int64_t after_ms = 0;
};

// ---- to the runner ------------------------------------------------------------------------------

struct StartTask {
  payloads::RunTask run;
  int slot = 0;
};
struct Prefetch {
  payloads::RunTask run;
};
struct CancelAttempt {
  TaskId task;
  std::uint32_t attempt = 0;
};

// ---- to the updater -----------------------------------------------------------------------------

// Another offer than the one that is shown.
struct OfferUpdate {
  payloads::UpdateImage offer;
};
struct WithdrawUpdate {
  std::uint64_t rollout = 0;
};

// ---- to the shell -------------------------------------------------------------------------------

// Leave the broker in good order, carry out what the settings say, and come back to the broker if the box is
// still there, or is there again.
struct Reboot {};
struct Sleep {};
// The same as an event, for the log alone: made when no broker is there to hear it.
struct Remark {
  payloads::NodeEvent event;
};
// The program may end. Nothing follows.
struct Exit {};

using Effect = std::variant<StoreEpoch, PublishStatus, PublishInfo, PublishTasks, PublishProgress,
                            PublishEvent, PublishAck, Reconnect, StartTask, Prefetch, CancelAttempt, Reboot,
                            Sleep, Remark, PublishUpdate, OfferUpdate, WithdrawUpdate, Exit>;

}  // namespace kiln::planner
