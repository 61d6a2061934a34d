#include "box/setup.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "box/boot_slots.h"
#include "box/command.h"
#include "box/kiln_toml.h"
#include "runtime/files.h"
#include "runtime/log.h"

namespace kiln::box {

namespace fs = std::filesystem;
using runtime::make_folders;
using runtime::write_file_atomically;

namespace {

// "kiln-3fa2c1": a name that two boxes of a shelf do not share.
std::string found_name() {
  const auto id = runtime::read_file("/etc/machine-id", 64);
  return id && id->size() >= 6 ? "kiln-" + id->substr(0, 6) : std::string("kiln");
}

Status set_host_name(const std::string& name) {
  if (::sethostname(name.data(), name.size()) != 0)
    return fail(runtime::os_error(errno, "cannot set the host's name"));
  if (auto done = write_file_atomically("/etc/hostname", name + "\n"); !done) return done;
  return write_file_atomically("/etc/hosts",
                               fmt::format("127.0.0.1 localhost\n127.0.1.1 {}\n::1 localhost\n", name));
}

Status set_time_zone(const std::string& zone) {
  std::error_code error;
  fs::remove("/etc/localtime", error);
  fs::create_symlink("../usr/share/zoneinfo/" + zone, "/etc/localtime", error);
  return error ? Status(fail(runtime::os_error(error.value(), "cannot set the time zone"))) : Status();
}

// sshd runs and its port is open only while there is a key.
Status let_in(const Places& places, const std::string& key) {
  std::error_code ignored;
  if (key.empty()) {
    fs::remove(places.run / "authorized_keys", ignored);
    fs::remove(places.run / "nft/ssh.nft", ignored);
    return {};
  }
  if (auto done = write_file_atomically(places.run / "authorized_keys", key + "\n", 0600); !done) return done;
  if (auto done =
          write_file_atomically(places.run / "nft/ssh.nft", "add rule inet kiln input tcp dport 22 accept\n");
      !done) {
    return done;
  }
  const auto host_key = places.data / "ssh_host_ed25519_key";
  if (fs::exists(host_key, ignored)) return {};
  return run({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", host_key.string()});
}

// Holds the join token: for the agent's group, not for what renders.
Status write_agent_toml(const Places& places, const BoxSettings& settings, const std::string& name) {
  const auto file = places.run / "agent.toml";
  if (auto done = write_file_atomically(file, agent_toml(settings, name), 0640); !done) return done;
  return run({"chgrp", "kiln-agent", file.string()});
}

// Once for each new text; the initramfs erases data at the next start, where nothing uses it.
Status reset_if_wanted(const Places& places, const std::string& wish) {
  if (wish.empty()) return {};
  const auto done_file = places.data / "factory-reset-done";
  const auto done = runtime::read_file(done_file, 4096);
  if (done && *done == wish + "\n") return {};
  std::error_code ignored;
  if (!done && !fs::exists(places.agent_data / "node.key", ignored)) {
    return write_file_atomically(done_file, wish + "\n");  // the first boot: there is nothing to erase
  }
  if (auto written = write_file_atomically(places.data / "factory-reset", wish + "\n", 0600); !written)
    return written;
  log::warn("box", "kiln.toml asks for a factory reset: restarting");
  return run({"systemctl", "--no-block", "reboot"});
}

}  // namespace

Status set_up(const Places& places) {
  if (auto made = make_folders(places.run / "nft"); !made) return made;
  if (auto made = make_folders(places.data); !made) return made;
  auto read = read_kiln_toml(places.config / "kiln.toml", places.run / "kiln.toml");
  auto& settings = read.settings;
  auto& problems = read.problems;
  for (const auto& problem : problems) log::warn("box", "{}", problem);

  const auto name = settings.name.empty() ? found_name() : settings.name;
  const auto attempt = [&](const char* what, const Status& done) {
    if (done) return;
    problems.push_back(fmt::format("{}: {}", what, done.error().message));
    log::error("box", "{}", problems.back());
  };
  const bool is_installer = kernel_argument("kiln.install");
  if (!read.may_join) {
    problems.emplace_back("This box joins no farm until kiln.toml is right: it may not guess whom to trust.");
  } else if (!settings.controller.empty()) {
    attempt("agent.toml", write_agent_toml(places, settings, name));
  } else if (!is_installer) {
    // kiln-find.service goes on from here; answers come to the port that find.cpp asks from.
    attempt("find", write_file_atomically(places.run / "find", ""));
    attempt("find", write_file_atomically(places.run / "nft/find.nft",
                                          "add rule inet kiln input udp sport 5353 udp dport 8781 accept\n"));
  }
  if (const auto network = network_file(settings); !network.empty()) {
    attempt("network", make_folders("/run/systemd/network"));
    attempt("network", write_file_atomically("/run/systemd/network/70-kiln.network", network));
  }
  attempt("name", set_host_name(name));
  if (!settings.timezone.empty()) attempt("timezone", set_time_zone(settings.timezone));
  attempt("ssh_key", let_in(places, settings.ssh_key));
  if (const auto repaired = BootSlots().repair(); !repaired)
    attempt("boot partition", Status(fail(repaired.error())));
  attempt("factory_reset", reset_if_wanted(places, settings.factory_reset));
  return write_box_state(places, {.name = name,
                                  .controller = read.may_join ? settings.controller : "",
                                  .pinned = !settings.ca_fingerprint.empty(),
                                  .problems = problems});
}

Status use_controller(const Places& places, const std::string& controller) {
  auto settings = read_kiln_toml(places.config / "kiln.toml", places.run / "find.toml").settings;
  settings.controller = controller;
  auto state = read_box_state(places);
  const auto json =
      Json::object({{"name", state.name}, {"controller", controller}, {"pinned", state.pinned}});
  if (auto done = write_file_atomically(places.run / "box.json", json.dump() + "\n"); !done) return done;
  if (auto done = write_problem(places, "controller", ""); !done) return done;
  return write_agent_toml(places, settings, state.name);
}

}  // namespace kiln::box
