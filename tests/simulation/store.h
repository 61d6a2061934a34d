// The controller's database and disk, as they outlive its process. Mirrors controller/store (store.cpp: what
// a batch writes, what a start loads) and controller/files (results.h: incoming, output, moves).
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "scheduler/effects.h"
#include "scheduler/rows.h"
#include "world.h"

namespace kiln::sim {

using AttemptKey = std::pair<TaskId, std::uint32_t>;

class Database {
 public:
  explicit Database(std::string farm) : farm_(std::move(farm)) {}

  [[nodiscard]] const std::string& farm() const { return farm_; }
  std::uint64_t raise_epoch() { return ++epoch_; }
  [[nodiscard]] std::uint64_t epoch() const { return epoch_; }

  // All Save*/Erase* of a batch, or a Violation where SQLite's foreign keys would refuse it.
  void apply(const std::vector<scheduler::Effect>& effects);
  [[nodiscard]] scheduler::FarmRows load() const;
  [[nodiscard]] std::vector<scheduler::AcceptFiles> unmoved() const;
  void mark_moved(const AttemptKey& attempt) { unmoved_.erase(attempt); }

  // nullptr: no such row.
  [[nodiscard]] const scheduler::JobRow* job(const JobId& id) const;
  [[nodiscard]] const scheduler::TaskRow* task(const TaskId& id) const;
  [[nodiscard]] const scheduler::AttemptRow* attempt(const AttemptKey& key) const;
  [[nodiscard]] const scheduler::NodeRow* node(const NodeId& id) const;
  [[nodiscard]] const std::map<JobId, scheduler::JobRow>& jobs() const { return jobs_; }
  [[nodiscard]] const std::map<NodeId, scheduler::NodeRow>& nodes() const { return nodes_; }
  [[nodiscard]] const std::map<std::int32_t, scheduler::ResultRow>* results(const TaskId& task) const;
  [[nodiscard]] bool is_unmoved(const AttemptKey& attempt) const { return unmoved_.contains(attempt); }
  [[nodiscard]] bool is_done(const TaskId& task) const;

 private:
  void check_job(const JobId& job, const char* what) const;

  std::string farm_;
  std::uint64_t epoch_ = 0;
  std::uint64_t last_job_number_ = 0;
  std::map<JobId, scheduler::JobRow> jobs_;
  std::map<TaskId, scheduler::TaskRow> tasks_;
  std::map<AttemptKey, scheduler::AttemptRow> attempts_;
  std::map<TaskId, std::map<std::int32_t, scheduler::ResultRow>> results_;  // by frame
  std::map<NodeId, scheduler::NodeRow> nodes_;
  std::set<AttemptKey> unmoved_;
  scheduler::FarmSettings settings_;
  std::map<std::pair<std::int64_t, NodeId>, scheduler::UsageRow> usage_;  // by hour
};

// Files are their digests. Frames have names of their own within a job, so that names never collide.
class Files {
 public:
  explicit Files(World& world) : world_(world) {}

  void receive(const AttemptKey& attempt, const payloads::ResultFile& file);
  [[nodiscard]] bool has_incoming(const AttemptKey& attempt, const payloads::ResultFile& file) const;
  // False: a file is neither in incoming nor in the output.
  bool accept(const scheduler::AcceptFiles& accept);
  void drop(const AttemptKey& attempt) { incoming_.erase(attempt); }
  void remove_job(const JobId& job) { output_.erase(job); }
  // What was moved since the last call is durable now.
  std::vector<AttemptKey> settle();
  // Moves that were not settled may be undone.
  void lose_power();
  void forget_moves() { unsettled_.clear(); }
  // "" when there is none.
  [[nodiscard]] std::string output(const JobId& job, const std::string& path) const;
  [[nodiscard]] const std::map<AttemptKey, std::set<std::string>>& incoming() const { return incoming_; }

 private:
  static std::string name(const payloads::ResultFile& file) { return file.path + "|" + file.digest; }

  World& world_;
  std::map<AttemptKey, std::set<std::string>> incoming_;
  std::map<JobId, std::map<std::string, std::string>> output_;  // path: digest
  std::vector<scheduler::AcceptFiles> unsettled_;
};

}  // namespace kiln::sim
