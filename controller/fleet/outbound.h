// What the controller says over MQTT, from the scheduler's effects: commands at once, retained state
// throttled. Owned by the farm thread; publishes through a function, so a test can read along.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "payloads/messages.h"
#include "scheduler/effects.h"
#include "scheduler/rows.h"

namespace kiln::fleet {

class Outbound {
 public:
  struct Message {
    std::string topic;
    std::string payload;
    int qos = 0;
    bool retain = false;
  };
  using Publish = std::function<void(Message)>;

  // epoch goes into every command; farm, url and version into controller/status.
  Outbound(std::uint64_t epoch, std::string farm, std::string version, std::string url, Publish publish);

  // The effects that concern MQTT: SendCommand, SendRebirth, JobChanged, JobErased, TaskChanged, NodeChanged,
  // NodeErased.
  void carry_out(const scheduler::Effect& effect, Instant now);
  // Sends what was held back: job status at most once a second, the summary every 2 s when it changed, the
  // controller's status every 10 s, and `offline` over the status of a node unheard for 60 s (rule 6).
  void tick(Instant now, const payloads::ControllerSummary& summary);
  // After a (re)connect: everything retained is said again.
  void reconnected(const std::vector<scheduler::JobRow>& jobs, const std::vector<scheduler::NodeRow>& nodes,
                   Instant now);

  // controller/status; the offline form is also the last will.
  [[nodiscard]] Message status(bool online) const;

 private:
  struct Job {
    scheduler::JobRow row;
    std::int64_t published_ms = 0;
    bool held_back = false;
  };
  void job_changed(const scheduler::JobRow& row, Instant now);
  void publish_job(const scheduler::JobRow& row);
  void node_changed(const scheduler::NodeRow& row, Instant now);
  void node_erased(const NodeId& node);

  std::uint64_t epoch_;
  std::string farm_;
  std::string version_;
  std::string url_;
  Publish publish_;
  std::map<JobId, Job> jobs_;               // those published within the last second, or held back
  std::map<NodeId, std::int64_t> unheard_;  // nodes of unknown presence, and since when (mono ms)
  std::map<NodeId, std::uint64_t> sids_;
  std::map<NodeId, payloads::NodeInfo> announced_;  // to Home Assistant
  payloads::ControllerSummary summary_;
  std::int64_t summary_ms_ = 0;
  std::int64_t status_ms_ = 0;
};

}  // namespace kiln::fleet
