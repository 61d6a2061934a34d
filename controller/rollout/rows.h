// Images, and rollouts of them, as values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/json.h"
#include "base/result.h"
#include "payloads/messages.h"
#include "scheduler/rows.h"

namespace kiln::rollout {

// An update bundle that the controller keeps.
struct Image {
  std::string digest;
  std::string name;     // of the file, for people
  std::string version;  // what boxes say that run it
  std::string machine;  // RAUC's "compatible": only boxes of it take it
  std::uint64_t bytes = 0;
  std::int64_t added_ms = 0;  // unix
  std::string added_by;
  friend bool operator==(const Image&, const Image&) = default;
};

// What a person asked for.
struct Plan {
  std::string image;  // digest
  std::string version;
  std::string machine;
  std::uint64_t bytes = 0;
  double canary_pct = 10;      // of the nodes go first, at least one
  std::uint32_t soak_s = 600;  // the first ones are watched this long before the rest follows
  std::uint32_t at_once = 5;   // nodes under way at a time
  std::vector<NodeId> nodes;   // these alone; empty: all that the image fits
  std::vector<scheduler::Window>
      window;  // of the controller's local time: restarts happen then; empty: always
  std::string by;
  friend bool operator==(const Plan&, const Plan&) = default;
};
Json to_json(const Plan& plan);
Result<Plan> parse_plan(const Json& json);  // as to_json writes it. Errors: invalid

enum class State : std::uint8_t {
  running,
  paused,  // by a person: nothing new is offered, nobody is asked to restart
  halted,  // by itself: the same; a person decides
  done,
  stopped,  // by a person: what nodes have not begun to install is taken back
};
std::string_view to_string(State state);
std::optional<State> parse_state(std::string_view text);
inline bool is_over(State state) {
  return state == State::done || state == State::stopped;
}

enum class Step : std::uint8_t {
  waiting,
  updating,     // offered; the node says how far it is
  good,         // it runs that version
  rolled_back,  // and is never offered it again by this rollout
  failed,
  skipped,  // away for too long
};
std::string_view to_string(Step step);
std::optional<Step> parse_step(std::string_view text);

struct Member {
  NodeId node;
  bool is_canary = false;
  bool is_excused = false;  // it went wrong, and a person said to go on nevertheless
  Step step = Step::waiting;
  std::uint32_t attempt = 0;                                 // offers so far
  payloads::UpdateState seen = payloads::UpdateState::idle;  // of this attempt
  std::int64_t since_ms = 0;                                 // unix: when `step` or `seen` last changed
  std::int64_t away_ms = 0;                                  // unix: not there since; 0: it is
  std::string message;
  friend bool operator==(const Member&, const Member&) = default;
};

struct Rollout {
  std::uint64_t number = 0;
  Plan plan;
  State state = State::running;
  std::string reason;           // why it is halted, or how it ended
  std::int64_t started_ms = 0;  // unix, here and below
  std::int64_t ended_ms = 0;
  std::int64_t canary_good_ms = 0;  // all that went first are good since; 0: not yet
  bool is_rest = false;             // the rest may follow
  std::map<NodeId, Member> members;
  friend bool operator==(const Rollout&, const Rollout&) = default;
};

// On disk when a call returns: an image or a rollout survives the end of the program at any moment. Called by
// one thread at a time.
class Book {
 public:
  virtual ~Book() = default;
  virtual Result<std::vector<Image>> images() = 0;
  virtual Status save(const Image& image) = 0;
  virtual Status erase_image(const std::string& digest) = 0;
  // Newest first, at most so many.
  virtual Result<std::vector<Rollout>> rollouts(std::size_t limit) = 0;
  // In one transaction. `members`: those that changed; the others stay as they were saved.
  virtual Status save(const Rollout& rollout, const std::vector<Member>& members) = 0;
};

}  // namespace kiln::rollout
