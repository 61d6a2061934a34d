// The thread that owns the farm's state: drains events in batches, steps each, commits a batch in one
// transaction, and only then moves files, sends commands and answers.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "api/farm.h"
#include "base/time.h"
#include "runtime/queue.h"
#include "scheduler/step.h"

namespace kiln::controller {

// What the farm thread acts through. All are called on the farm thread.
struct FarmPorts {
  // Every Save*/Erase* of the batch, in one transaction.
  std::function<Status(const std::vector<scheduler::Effect>&)> persist;
  // Moves a done attempt's files to the job's output. Cheap (renames); repeated until it succeeds.
  std::function<Status(const scheduler::AcceptFiles&)> accept_files;
  // Files nobody needs any more: an attempt's, or a whole job's. May be slow: hands the work on.
  std::function<void(const scheduler::DropFiles&)> drop_files;
  std::function<void(const JobId&)> erase_files;
  // MQTT, server-sent events, the log. Called for every effect, after the transaction.
  std::function<void(const scheduler::Effect&, Instant)> publish;
  // Once a second, with the numbers of now.
  std::function<void(Instant, const payloads::ControllerSummary&)> tick;
  // What a person should know about the controller itself; empty when all is well.
  std::function<void(const std::string&)> alarm;
  // Patted after every batch: the watchdog's proof of life.
  std::function<void()> alive;
};

class FarmThread final : public api::Farm {
 public:
  // `unaccepted`: accepted attempts of an earlier run whose files the disk refuses to move; tried every
  // second.
  FarmThread(scheduler::FarmState state, std::vector<scheduler::AcceptFiles> unaccepted);
  ~FarmThread() override;  // stops

  // Before start(), once those who are reached through the ports exist: some of them need the farm first.
  void set_ports(FarmPorts ports) { ports_ = std::move(ports); }
  void start();
  // Finishes what is queued, then ends. Whoever still asks is told unavailable.
  void stop();

  // From any thread. Never blocks; an event that finds the queue full is dropped and counted, which is safe:
  // nodes say everything again with their next heartbeat.
  void post(scheduler::Event event);
  // From any thread but the farm's own. Deadline 30 s.
  Result<scheduler::AnswerValue> ask(const MakeEvent& make) override;
  [[nodiscard]] payloads::ControllerSummary summary() const;

 private:
  void run();
  void carry_out(const std::vector<scheduler::Effect>& effects, Instant now);
  void persist(const std::vector<scheduler::Effect>& effects);
  void accept(const scheduler::AcceptFiles& files, bool is_again);
  void answer(const scheduler::Answer& answer);

  scheduler::FarmState state_;
  FarmPorts ports_;
  runtime::Queue<scheduler::Event> queue_;
  std::vector<scheduler::AcceptFiles> unaccepted_;  // the disk refused; tried again every second
  std::int64_t ticked_ms_ = 0;

  std::atomic<bool> stalled_ = false;  // the store does not take the batch
  std::atomic<std::uint64_t> dropped_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<scheduler::RequestId> last_request_ = 0;
  mutable std::mutex mutex_;
  std::map<scheduler::RequestId, std::promise<Result<scheduler::AnswerValue>>> waiting_;
  payloads::ControllerSummary summary_;
  std::thread thread_;
};

}  // namespace kiln::controller
