// What a flashed box does about an image that it is offered: a function from (what is remembered, what is
// seen) to what is remembered next and the one thing to do now. Pure. Root's side is box/: it installs what a
// request file names and judges the system after a restart; this side only asks and reads along.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "payloads/messages.h"

namespace kiln::update {

using State = payloads::UpdateState;

// Kept on disk, so that neither the agent's end nor the box's loses an update.
struct Record {
  payloads::UpdateImage offer;  // rollout 0: there was none
  State state = State::idle;
  std::string message;         // for people
  std::string boot;            // id of the boot in which the installation was asked for
  std::int64_t word_ns = 0;    // when root's last word before that request was written; 0: there was none
  std::uint32_t installs = 0;  // requests so far
  friend bool operator==(const Record&, const Record&) = default;
};
Json to_json(const Record& record);
Result<Record> parse_record(const Json& json);  // Errors: invalid

// What the box says now. Texts are empty where nothing is said.
struct Seen {
  std::string version, machine;  // of the image that runs
  std::string boot;              // id of this boot
  bool request_waits = false;    // root has not taken the request yet
  struct Install {
    std::string state;  // installing | installed | failed
    double percent = 0;
    std::string message;
    std::int64_t written_ns = 0;  // unix ns, of the file
  };
  std::optional<Install> install;  // of this boot
  struct Health {
    std::string state;  // checking | good | rolled-back | interrupted | bad
    std::string slot;
    std::string message;
  };
  std::optional<Health> health;       // of this boot
  std::string last_update_message;    // what became of the last one, across boots
  std::vector<std::string> problems;  // of the box, as on its screen
};

// What can be seen of an update that is under way.
enum class On : std::uint8_t {
  fetched,      // the bundle is whole and right
  broken,       // it cannot be had, or not installed; `message` says why
  asked,        // root was asked to install it
  written,      // it is in the other slot
  interrupted,  // the box restarted in the middle of the installation: once more
  restart,      // the box goes down for it, or has
  stays_up,     // …which came to nothing
  judged_good,
  judged_bad,
};
struct Arrow {
  State from;
  On on;
  State to;
};
// clang-format off
inline constexpr std::array arrows = {
    //    from                 on                  to
    Arrow{State::downloading,  On::fetched,        State::downloaded},
    Arrow{State::downloading,  On::broken,         State::failed},
    Arrow{State::downloaded,   On::asked,          State::installing},
    Arrow{State::downloaded,   On::broken,         State::failed},
    Arrow{State::installing,   On::written,        State::installed},
    Arrow{State::installing,   On::broken,         State::failed},
    Arrow{State::installing,   On::interrupted,    State::downloaded},
    Arrow{State::installing,   On::restart,        State::restarting},  // it was complete when the power went
    Arrow{State::installing,   On::judged_good,    State::good},
    Arrow{State::installing,   On::judged_bad,     State::rolled_back},
    Arrow{State::installed,    On::restart,        State::restarting},
    Arrow{State::restarting,   On::stays_up,       State::installed},
    Arrow{State::restarting,   On::judged_good,    State::good},
    Arrow{State::restarting,   On::judged_bad,     State::rolled_back},
};
// clang-format on

enum class Do : std::uint8_t {
  nothing,
  download,  // the offer's bundle, from where it was left
  ask,       // root to install it; then asked()
  tidy,      // no bundle is needed any more
};
struct Next {
  Record record;
  Do what = Do::nothing;
  double percent = 0;  // of the installation
};

// An installation that the box's restart interrupts this often is given up: something about it makes the box
// restart.
constexpr std::uint32_t max_installs = 3;

// From what is seen. Calling it again without a change changes nothing.
Next look(Record record, const Seen& seen);
// At the agent's start: what was about to happen in this very boot did not.
Record started(Record record, const Seen& seen);
// Another offer takes the place of what was.
Record offered(const payloads::UpdateImage& offer);
// An offer of that rollout, taken back: unless it is being installed, or is.
Record withdrawn(Record record, std::uint64_t rollout);
Record downloaded(Record record, const Status& fetched);
Record asked(Record record, const Seen& before);
Record restarting(Record record);  // of one that is installed
Record stays_up(Record record);

payloads::NodeUpdate shown(const Record& record, const Seen& seen, double percent);

}  // namespace kiln::update
