// The controller's shell on virtual time. Mirrors, step by step and in the same order, controller/daemon
// (farm_thread.cpp: a batch; main.cpp: start and ports), fleet (outbound.cpp, link.cpp) and the API's part in
// a commit (api/tasks.cpp, api/api.cpp). It can be killed between any two of these steps.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker.h"
#include "scheduler/step.h"
#include "store.h"
#include "world.h"

namespace kiln::sim {

class Checkers;

// A farm's data folder: what survives the process.
struct FarmData {
  FarmData(World& world, std::string farm) : database(std::move(farm)), files(world) {}
  Database database;
  Files files;
};

// What HTTP answers. status 0: no answer came.
struct Response {
  int status = 0;
  std::string farm;  // that answered
  std::optional<payloads::Verdict> verdict;
  std::optional<JobId> job;
};
using Reply = std::function<void(const Response&)>;

class Controller {
 public:
  Controller(World& world, Broker& broker, Checkers& checkers, const Plan& plan,
             const std::vector<NodeId>& identities);

  void start(FarmData& data);
  void kill();
  // What the disk had not synced is lost as well.
  void lose_power();
  // Killed at the n-th point from now between two steps of carrying out a batch.
  void kill_within(std::uint32_t points) { points_left_ = points; }

  [[nodiscard]] bool is_up() const { return data_ != nullptr; }
  [[nodiscard]] bool is_idle() const { return is_up() && !batch_ && inbox_.empty(); }
  [[nodiscard]] FarmData* data() const { return data_; }
  [[nodiscard]] const scheduler::FarmState* state() const { return state_ ? &*state_ : nullptr; }
  [[nodiscard]] Client& client() { return client_; }

  void set_disk_full(bool full);
  void set_disk_slow(bool slow) { is_disk_slow_ = slow; }
  [[nodiscard]] bool has_disk_trouble() const { return is_disk_full_ || is_disk_slow_; }

  // What a sensor says.
  void tell(scheduler::NodeHeatSeen heat) { post(std::move(heat)); }
  [[nodiscard]] std::int64_t now_unix_ms() const { return now().unix_ms; }

  // ---- HTTP, as it arrives
  void put_file(const AttemptKey& attempt, const payloads::ResultFile& file, bool is_broken,
                const Reply& reply);
  void post_result(const AttemptKey& attempt, const payloads::ResultReport& report, const Reply& reply);
  // Anything a person asks for: `make` gets the request's number.
  void ask(const std::function<scheduler::Event(scheduler::RequestId)>& make, const Reply& reply,
           const std::optional<AttemptKey>& commits = std::nullopt);

 private:
  struct Batch {
    std::vector<scheduler::Effect> effects;
    Instant now;
    bool ticked = false;
  };
  [[nodiscard]] Instant now() const {
    return {mono_base_ms_ + world_.now_ms(), 1'800'000'000'000 + world_.now_ms()};
  }
  void post(scheduler::Event event);
  void wake();
  void tick();
  void run_batch();
  void commit();
  void carry_out();
  // True: the process was killed here.
  bool point();
  void accept(const scheduler::AcceptFiles& files);
  void answer(const scheduler::Answer& answer);
  void housekeeping();
  void received(const Message& message, bool retained);
  [[nodiscard]] int find_attempt(const AttemptKey& attempt) const;

  // ---- fleet::Outbound
  void publish(const scheduler::Effect& effect, Instant at);
  void publish_status(bool online);
  void node_changed(const scheduler::NodeRow& row, Instant at);
  void tick_outbound(Instant at);

  World& world_;
  Checkers& checkers_;
  const Plan& plan_;
  const std::vector<NodeId>& identities_;
  std::map<NodeId, int> numbers_;
  Client client_;

  FarmData* data_ = nullptr;
  std::uint64_t life_ = 0;
  std::uint32_t points_left_ = 0;  // 0: not to be killed
  std::int64_t mono_base_ms_ = 0;
  std::uint64_t epoch_ = 0;
  std::optional<scheduler::FarmState> state_;
  std::deque<scheduler::Event> inbox_;
  bool wakes_ = false;
  std::optional<Batch> batch_;
  std::int64_t ticked_ms_ = 0;
  std::vector<scheduler::AcceptFiles> unaccepted_;
  struct Waiting {
    Reply reply;
    std::optional<AttemptKey> commits;  // with frames
  };
  std::map<scheduler::RequestId, Waiting> waiting_;
  scheduler::RequestId last_request_ = 0;
  std::vector<AttemptKey> settled_;
  bool is_disk_full_ = false;
  bool is_disk_slow_ = false;
  bool is_pressed_ = false;  // housekeeping has told the farm of the full disk
  bool stalled_ = false;

  std::int64_t status_ms_ = 0;
  std::map<NodeId, std::uint64_t> sids_;
  std::map<NodeId, std::int64_t> unheard_;

  std::uint64_t seq_forged_ = 0;     // of a mutant
  std::set<std::string> sent_once_;  // of a mutant
};

}  // namespace kiln::sim
