// What the box can say about itself, read where the kernel, systemd and the agent put it. Nothing here
// changes anything.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace kiln::box {

// Where the programs of the box leave word for each other. The unprivileged agent writes only in `agent`.
struct Places {
  std::filesystem::path run = "/run/kiln";
  std::filesystem::path agent = "/run/kiln-agent";
  std::filesystem::path data = "/data/kiln";
  std::filesystem::path agent_data = "/var/lib/kiln-agent";
  std::filesystem::path config = "/boot/config";
  std::filesystem::path image = "/usr/lib/kiln/image";
  std::filesystem::path sysfs = "/sys";
};

// What runs where, as the agent wrote it into status.json. Absent fields are empty.
struct AgentStatus {
  struct Running {
    std::string job;
    std::string frame;
    double percent = 0;
  };
  std::string id, name, fingerprint, controller, ca_fingerprint, message;
  std::string state;  // searching, pending, approved, online, offline, refused; "" = nothing was said yet
  std::optional<double> temp_c;
  std::vector<Running> running;
};
// Unknown fields are ignored. Errors: invalid.
Result<AgentStatus> parse_agent_status(std::string_view json);
// An agent that has written nothing, or nonsense, has an empty one.
AgentStatus read_agent_status(const Places& places);

// {"name","controller","pinned"} of this boot, from setup; and all that is wrong with the box, one sentence
// each.
struct BoxState {
  std::string name, controller;
  bool pinned = false;  // kiln.toml says which authority is the farm's
  std::vector<std::string> problems;
};
BoxState read_box_state(const Places& places);
Status write_box_state(const Places& places, const BoxState& state);
// One more of `source`'s, in place of what it said before; "" takes it back. <run>/problems.json has all of
// them, for the agent to tell the page.
Status write_problem(const Places& places, const std::string& source, const std::string& text);

// KILN_IMAGE_… of /usr/lib/kiln/image: "VERSION", "COMPATIBLE", "BUILT" (seconds since 1970). "" = no flashed
// box.
std::string image_fact(const Places& places, std::string_view name);

// GPUs that a driver took: display controllers of the PCI bus.
unsigned count_gpus(const std::filesystem::path& sysfs);
// A wired port has a carrier.
bool has_link(const std::filesystem::path& sysfs);
// Addresses of this box beyond loopback and link-local ones, IPv4 first.
std::vector<std::string> addresses();

struct ServiceState {
  bool active = false;
  unsigned restarts = 0;  // since the boot, by itself
};
// Of a systemd unit; not active where systemd gives no answer.
ServiceState service_state(const std::string& unit);

// A TCP connection to "http://host:port" stands within the time. False for what is no address.
bool is_reachable(const std::string& url, int timeout_ms);

// A file can be written, synced and removed in that folder.
bool is_writable(const std::filesystem::path& folder);

// The kernel's id of this boot.
std::string boot_id();

// An object of at most 64 KiB. Errors: not_found, invalid, io.
Result<Json> read_json(const std::filesystem::path& file);
// A text member, "" where it is none.
std::string text_of(const Json& json, std::string_view key);

}  // namespace kiln::box
