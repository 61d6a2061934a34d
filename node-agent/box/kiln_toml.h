// kiln.toml: what a person writes onto the stick, and the files that it becomes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace kiln::box {

struct BoxSettings {
  std::string controller;
  std::string ca_fingerprint;
  std::string join_token;
  std::string name;
  std::string address;  // "192.168.1.50/24"; "" = DHCP
  std::string gateway;
  std::vector<std::string> dns;
  std::string ssh_key;
  std::string timezone;
  std::vector<std::string> tags;
  std::string factory_reset;  // a reset is done once for each new text
};

struct ReadSettings {
  BoxSettings settings;
  // One sentence a mistake: "kiln.toml:7: name: …". The line is left out and the rest counts.
  std::vector<std::string> problems;
  // False when the line that says whom to trust, or the whole file, could not be read: then this box joins
  // nobody.
  bool may_join = true;
};

// Reads `file` through a copy at `scratch`, in which wrong lines are made empty. A missing file is no
// mistake. `zoneinfo` holds the time zones that there are.
ReadSettings read_kiln_toml(const std::filesystem::path& file, const std::filesystem::path& scratch,
                            const std::filesystem::path& zoneinfo = "/usr/share/zoneinfo");

// kiln-agent's settings file. `name` is the box's, found or given.
std::string agent_toml(const BoxSettings& settings, const std::string& name);
// systemd-networkd's file for the first wired port. "" where DHCP does it.
std::string network_file(const BoxSettings& settings);

}  // namespace kiln::box
