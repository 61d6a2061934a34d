// A render box on virtual time: its disk, its agent's shell around the real planner, its renderers and its
// deliveries. Mirrors node-agent/daemon/agent.cpp, uplink, transfer/delivery.cpp and session/runner.h.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker.h"
#include "controller.h"
#include "planner/planner.h"
#include "world.h"

namespace kiln::sim {

// A finished attempt on disk.
struct Entry {
  TaskId task;
  std::uint32_t attempt = 0;
  payloads::ResultReport report;
  std::string farm;  // whose attempt it is
};

// What survives the process; unsynced things are not in it.
struct Disk {
  std::string farm;
  std::uint64_t epoch = 0;
  std::uint64_t sid = 0;
  std::map<std::uint64_t, Entry> journal;  // oldest first
  std::uint64_t last_entry = 0;
};

// The network between a box and the controller's HTTP.
class Http {
 public:
  Http(World& world, Controller& controller, const NetPlan& net)
      : world_(world), controller_(controller), net_(net) {}
  // `call` runs at the controller, at once or twice, and gets what to answer with; `reply` comes once.
  void request(Link& link, const std::function<void(const Reply&)>& call, const Reply& reply);
  [[nodiscard]] bool breaks_upload() { return world_.random.chance(net_.http_broken); }
  void calm() { net_.http_cut = net_.http_twice = net_.http_broken = net_.slow = 0; }

 private:
  [[nodiscard]] std::int64_t latency_ms();
  World& world_;
  Controller& controller_;
  NetPlan net_;
};

class Node {
 public:
  // `box` is the number of the machine, `identity` that of the node it says it is.
  Node(World& world, Broker& broker, Controller& controller, Http& http, Checkers& checkers, const Plan& plan,
       int box, int identity, NodeId id, Disk disk);

  void power_on();
  // kill -9: sockets close, what is not on disk is lost. systemd starts it again.
  void kill_agent(bool has_power = true);
  void stop_agent();  // asked nicely; started again later
  void set_disk_full(bool full);
  void set_disk_slow(bool slow) { is_disk_slow_ = slow; }
  void jump_clock(std::int64_t ms) { clock_ms_ += ms; }
  // Taken away for good.
  void retire();
  [[nodiscard]] bool is_retired() const { return is_retired_; }
  void lose_state();  // the state file goes, and the agent with it
  void cut_broker() { cut_line(client_); }
  void cut_http();
  void heal();
  // The controller answers under this farm's id now.
  void farm_found(const std::string& farm);

  [[nodiscard]] bool is_up() const { return planner_.has_value(); }
  [[nodiscard]] bool is_online() const { return client_.is_connected() && !client_.link.is_cut; }
  [[nodiscard]] int box() const { return box_; }
  [[nodiscard]] int identity() const { return identity_; }
  [[nodiscard]] const Disk& disk() const { return disk_; }
  [[nodiscard]] const NodeId& id() const { return id_; }
  [[nodiscard]] std::uint64_t epoch() const { return planner_->epoch(); }
  [[nodiscard]] std::uint32_t slots() const { return slots_; }
  [[nodiscard]] const NodePlan& hardware() const;
  // Attempts that a renderer works on.
  struct Run {
    payloads::RunTask task;
    int slot = 0;
    std::uint64_t serial = 0;
    std::int64_t since_ms = 0;
    std::string farm;  // whose task it is
  };
  [[nodiscard]] const std::map<AttemptKey, Run>& runs() const { return runs_; }

 private:
  [[nodiscard]] Instant now() const {
    return {world_.now_ms() + mono_base_ms_, 1'800'000'000'000 + world_.now_ms() + clock_ms_};
  }
  void later(std::int64_t ms, std::function<void()> call);  // void once this process is gone
  void cut_line(Client& client);
  void line_changed();

  // ---- the owner's thread
  void post(planner::Fact fact);
  void run_batch();
  void after_batch();
  void watch();
  void die(bool are_sockets_closed);
  void step(const planner::Fact& fact);
  void carry_out(planner::Effect& effect);
  void rest(bool restarts);
  void send_tasks();
  void arm();
  void leave();
  void received(const Message& message, bool retained);
  void connected();
  void ask_farm();
  void meet(const std::string& farm);

  // ---- the runner
  void start(const payloads::RunTask& run, int slot);
  void render(const AttemptKey& key, std::uint64_t serial);
  void finish(const AttemptKey& key, std::uint64_t serial, payloads::ResultReport report);
  void cancel(const AttemptKey& key);
  void journal(const AttemptKey& key);
  void put(const AttemptKey& key, const Entry& entry);
  [[nodiscard]] std::int64_t sync_ms();

  // ---- delivery
  struct Work {
    bool was_recovered = false;
    bool is_busy = false;
    bool found_nobody = false;
    bool is_fresh = true;
    std::int64_t due_ms = 0;
    unsigned failures = 0;
    std::size_t files_sent = 0;
    unsigned broken_files = 0;
  };
  enum class Outcome : std::uint8_t { verdict, refused, busy, away };
  void poke();
  void deliver();
  void send_next(std::uint64_t number);
  [[nodiscard]] Outcome judge(const Entry& entry, const Response& response) const;
  void settle(std::uint64_t number, Outcome outcome);
  void finish_delivery(std::uint64_t number, Outcome outcome, payloads::Verdict verdict);
  void controller_answered();
  std::int64_t backoff_ms(unsigned& failures);

  World& world_;
  Controller& controller_;
  Http& http_;
  Checkers& checkers_;
  const Plan& plan_;
  const int box_;
  const int identity_;
  const NodeId id_;
  const std::uint32_t slots_;
  Client client_;
  Link http_link_;
  Disk disk_;
  bool is_retired_ = false;
  bool is_disk_full_ = false;
  bool is_disk_slow_ = false;
  std::int64_t clock_ms_ = 0;
  std::uint64_t run_serial_ = 0;

  std::uint64_t life_ = 0;
  std::int64_t mono_base_ms_ = 0;
  std::optional<planner::State> planner_;
  std::deque<planner::Fact> inbox_;
  bool wakes_ = false;
  bool is_spent_ = true;
  bool leaving_ = false;
  bool look_at_warm_ = false;
  bool is_pressed_ = false;
  bool is_connecting_ = false;
  std::optional<std::int64_t> away_since_ms_;
  std::optional<bool> controller_online_;
  std::optional<planner::PublishTasks> tasks_;
  std::optional<std::int64_t> armed_ms_;
  std::map<AttemptKey, Run> runs_;
  std::map<AttemptKey, Entry> pending_;  // on their way to the disk
  std::vector<std::string> warm_;
  std::map<std::uint64_t, Work> works_;
  int workers_busy_ = 0;
  unsigned away_failures_ = 0;
  std::int64_t away_until_ms_ = 0;
  std::int64_t deliver_due_ms_ = 0;
};

}  // namespace kiln::sim
