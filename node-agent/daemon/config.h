// kiln-agent's settings: the defaults, then the file, then the flags.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "cage/plan.h"

namespace kiln::agent {

struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  [[nodiscard]] std::string str() const;  // IPv6 in brackets
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// "farm", "farm:8783", "[::1]:8783"; 8783 where no port is named. Errors: invalid, saying what would be
// right.
Result<Endpoint> parse_endpoint(const std::string& text);

// The controller's base URL as people write it: "farm" and "farm:8780" become https://farm:8780 (http where
// it is this machine); a trailing slash goes. Errors: invalid, saying what would be right.
Result<std::string> parse_controller(const std::string& text);
// The host of such a URL, IPv6 without its brackets.
std::string host_of(const std::string& url);

struct Config {
  std::string controller = "http://127.0.0.1:8780";
  std::string ca_fingerprint;         // of the farm's authority; "" = the first one met is believed, and kept
  std::string join_token;             // lets this box in without a person; "" = none
  std::filesystem::path status_file;  // where the box's console reads how it stands; "" = nowhere
  std::string name;                   // for people; "" = the host's
  std::optional<NodeId> id;           // absent: what follows from the box's key
  std::filesystem::path data;         // identity, job files, journal, scratch
  // Tasks at a time: with a GPU each (absent: one for each GPU), and beside those (absent: none, or one where
  // there would be no slot at all).
  std::optional<std::uint32_t> gpu_slots;
  std::optional<std::uint32_t> slots;
  std::vector<std::string> tags;                             // for people and jobs: "basement", "rtx"
  std::string blender = "blender";                           // program, looked up in PATH
  std::vector<std::string> programs = {"ffmpeg", "povray"};  // looked for beside it; names or paths
  std::uint64_t cache_gib = 50;                              // bound of the job files kept
  // Programs with their arguments; empty: the controller may not ask for it.
  std::vector<std::string> reboot;
  std::vector<std::string> sleep;
  cage::Settings cage;  // what tasks run in
  std::filesystem::path sysfs = "/sys";
  std::optional<Endpoint> mqtt;  // absent: the controller says
  bool check = false;            // --check: look, print, exit
};

// Where the state of an installed service, or of a user's own agent, belongs.
std::filesystem::path default_data();

// Reads a settings file over `config`. Errors: invalid with file, line, what is wrong and what would be
// right; an unknown key is an error too, since it is most often a misspelt one.
Status read_file(const std::filesystem::path& file, Config& config);

// The command line, which may name a settings file; without one /etc/kiln/agent.toml is read where it exists.
// Prints help or version and exits for those flags. Errors: as read_file, and those of the flags.
Result<Config> read_command_line(int argc, const char* const* argv);

}  // namespace kiln::agent
