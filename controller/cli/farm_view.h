// The farm as server-sent events tell it, and as people watch it. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "cli/table.h"
#include "cli/text.h"

namespace kiln::cli {

class FarmView {
 public:
  // Takes one event in. Returns the lines that someone who watches should read; a snapshot gives none.
  std::vector<std::string> apply(std::string_view event, const Json& data);

  [[nodiscard]] const Json* job(std::string_view id) const;  // null: not told of, or erased
  void put_job(Json job);
  [[nodiscard]] const std::map<std::int64_t, Json, std::greater<>>& jobs() const { return jobs_; }
  [[nodiscard]] const std::map<std::string, Json>& nodes() const { return nodes_; }
  [[nodiscard]] const Json& summary() const { return summary_; }
  [[nodiscard]] const Json& farm() const { return farm_; }
  [[nodiscard]] const std::vector<std::string>& alarms() const { return alarms_; }

  // How far a job is, with what its running tasks have done so far; and how many nodes work on it.
  [[nodiscard]] double percent(const Json& job) const;
  [[nodiscard]] int nodes_on(const Json& job) const;
  [[nodiscard]] Progress progress(const Json& job) const;

  // The whole farm on a screen of that size; height 0: no limit.
  [[nodiscard]] std::string screen(int width, int height, bool color, std::int64_t now) const;

 private:
  std::vector<std::string> snapshot(const Json& data);
  std::vector<std::string> job_changed(const Json& job);
  std::vector<std::string> node_changed(const Json& node);
  [[nodiscard]] std::vector<std::string> task_changed(const Json& event) const;

  std::map<std::int64_t, Json, std::greater<>> jobs_;  // by number, newest first
  std::map<std::string, std::int64_t, std::less<>> numbers_;
  std::map<std::string, Json> nodes_;
  Json summary_, farm_;
  std::vector<std::string> alarms_;
};

// What a node is at, in a word: "online", "drained", "asleep", "disabled", "hot", …
Cell node_state(const Json& node);

// Rows that more than one command shows.
std::string jobs_table(const std::vector<const Json*>& jobs, int width, bool color, std::int64_t now);
std::string nodes_table(const std::vector<const Json*>& nodes, int width, bool color, std::int64_t now);

}  // namespace kiln::cli
