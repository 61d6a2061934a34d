// The controller, where kiln.toml names none: found on the LAN, and remembered.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "box/facts.h"
#include "box/mdns.h"

namespace kiln::box {

struct Candidate {
  std::string name;  // of the instance
  std::string url;   // "https://192.168.1.10:8780"
};
// A controller's name ends in .local, which this box cannot look up: its address counts. `sender` is where
// the answer came from, for one that names no address.
Candidate candidate_of(const Instance& instance, const std::string& sender);

// Which one it is. Errors: not_found when nobody answered; conflict when several did and none of them is
// `remembered`, naming them and what to write into kiln.toml.
Result<std::string> choose(const std::vector<Candidate>& heard, const std::string& remembered);

// Asks on every wired port with an IPv4 address, and listens for `seconds`.
std::vector<Candidate> ask_lan(int seconds);

// Asks until one is found, or takes the one of the last time when nobody answers for a while: a farm whose
// controller is off for an hour is still this box's farm. Then writes agent.toml. Errors: io.
Status find_controller(const Places& places);

}  // namespace kiln::box
