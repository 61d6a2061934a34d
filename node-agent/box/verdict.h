// Whether the system that runs after an update is good. Pure: facts in, a verdict out.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace kiln::box {

// An update and what the box was like before it; kept on data until the new system was judged.
struct Trial {
  std::string slot;            // that the update went into
  std::string version;         // of the update
  std::string boot;            // the boot in which it was installed
  bool installed = false;      // false: RAUC had not said yet that it is complete
  bool online_before = false;  // the controller was reachable
  bool link_before = false;
  unsigned gpus_before = 0;
  std::vector<std::string> boots;  // tries so far: their boot ids, for their journals
  std::string reason;              // why the last try was given up
};
Json to_json(const Trial& trial);
Result<Trial> parse_trial(const Json& json);

struct HealthFacts {
  std::string slot;  // that runs
  std::string boot;
  std::optional<Trial> trial;
  double up_s = 0;  // since health began to look
  bool agent_active = false;
  unsigned agent_restarts = 0;
  bool link = false;
  bool data_writable = false;
  unsigned gpus = 0;
  bool controller_reachable = false;
};

struct Verdict {
  enum class Kind {
    settled,      // no trial: the slot gets its tries back, nothing is asked of it
    wait,         // not yet
    good,         // the new system stays
    bad,          // restart: another try, or the old slot
    rolled_back,  // the old slot runs after an update: the other one is bad until it is written anew
    interrupted,  // the installation was cut off; the old slot runs, the other one is none
    pending,      // installed in this very boot: the restart is still to come
  };
  Kind kind = Kind::wait;
  std::string reason;  // for people; "" where all is well
};

// How long a new system may take to be well, counted from when its services were started. A slow disk, a
// switch that takes a minute to let a port through, a controller that is busy: five minutes are enough, and a
// rollback of three tries stays under half an hour.
constexpr double max_trial_s = 300;
// An agent that systemd had to start again this often is not going to stay.
constexpr unsigned max_agent_restarts = 5;
// And one that has been well this long is believed.
constexpr double min_well_s = 15;

// `well_s`: for how long all conditions have held.
Verdict judge(const HealthFacts& facts, double well_s);
// What is missing still; "" when all conditions hold.
std::string missing(const HealthFacts& facts);

}  // namespace kiln::box
