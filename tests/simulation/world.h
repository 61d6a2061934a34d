// What everything in a simulation shares: virtual time, chance, the log, and which rule is broken on purpose.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/ids.h"
#include "mutants.h"
#include "random.h"

namespace kiln::sim {

// A promise was broken. Ends the simulation; `node` and `task` say whose timeline helps.
struct Violation : std::runtime_error {
  explicit Violation(const std::string& sentence, int the_node = -1, TaskId the_task = {})
      : std::runtime_error(sentence), node(the_node), task(std::move(the_task)) {}
  int node;
  TaskId task;
};

// A fixed text with its hash, so that a log line costs no walk over it.
struct What {
  constexpr What(const char* the_text) : text(the_text) {  // NOLINT(google-explicit-constructor)
    for (const char* c = the_text; *c != '\0'; ++c)
      hash = (hash ^ static_cast<unsigned char>(*c)) * 0x100000001b3ULL;
  }
  const char* text;
  std::uint64_t hash = 0xcbf29ce484222325ULL;
};

// Who a log line is about, beside boxes, which are counted from 0.
inline constexpr int nobody = -1;

// What happened, as numbers: a hash over all of it, and the newest for the timeline of a failure.
class Log {
 public:
  explicit Log(bool verbose) : verbose_(verbose) {}
  void note(std::int64_t ms, What what, int node, const TaskId& task, std::uint32_t attempt,
            std::uint64_t extra);
  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  // The newest lines that touch the node or the task; of all when neither is named.
  [[nodiscard]] std::string timeline(int node, const TaskId& task) const;

 private:
  struct Line {
    std::int64_t ms = 0;
    const char* what = "";
    int node = nobody;
    std::uint64_t job = 0;  // 0: no task
    std::uint32_t index = 0;
    std::uint32_t attempt = 0;
    std::uint64_t extra = 0;
  };
  static std::string text(const Line& line);
  static constexpr std::size_t kept = 1U << 16U;
  static constexpr std::size_t shown = 80;

  bool verbose_;
  std::uint64_t hash_ = 0;
  std::vector<Line> lines_;  // a ring
  std::uint64_t count_ = 0;
};

class World {
 public:
  World(std::uint64_t seed, Mutant mutant, bool verbose) : random(seed), log(verbose), mutant_(mutant) {}

  [[nodiscard]] std::int64_t now_ms() const { return now_ms_; }
  void after(std::int64_t ms, std::function<void()> call) { at(now_ms_ + ms, std::move(call)); }
  void at(std::int64_t ms, std::function<void()> call);
  // Runs what is due up to and including that moment.
  void run_until(std::int64_t ms);

  [[nodiscard]] bool is(Mutant mutant) const { return mutant_ == mutant; }
  void note(What what, int node = nobody, const TaskId& task = {}, std::uint32_t attempt = 0,
            std::uint64_t extra = 0) {
    log.note(now_ms_, what, node, task, attempt, extra);
  }

  Random random;
  Log log;
  std::uint64_t faults = 0;

 private:
  struct Due {
    std::int64_t ms = 0;
    std::uint64_t order = 0;
    std::function<void()> call;
  };
  static bool later(const Due& a, const Due& b) { return a.ms != b.ms ? a.ms > b.ms : a.order > b.order; }

  Mutant mutant_;
  std::int64_t now_ms_ = 0;
  std::uint64_t last_order_ = 0;
  std::vector<Due> heap_;
};

}  // namespace kiln::sim
