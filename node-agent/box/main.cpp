// `kiln-box`: what a flashed box does as root. systemd starts it; people see its screen and `kiln-box
// install-to`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "base/version.h"
#include "box/boot_slots.h"
#include "box/clock.h"
#include "box/console.h"
#include "box/find.h"
#include "box/health.h"
#include "box/install.h"
#include "box/install_to.h"
#include "box/setup.h"

namespace {

using kiln::Status;

int ended(const Status& status) {
  if (status) return 0;
  fmt::print(stderr, "kiln-box: {}\n", status.error().message);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("A flashed render box: settings, screen, health, updates", "kiln-box");
  app.set_version_flag("--version", std::string(kiln::version));
  app.require_subcommand(1);
  const kiln::box::Places places;
  const kiln::box::BootSlots slots;
  auto* setup = app.add_subcommand("setup", "Turn kiln.toml into the box's settings (at boot)");
  auto* console = app.add_subcommand("console", "Draw the box's screen on this terminal");
  auto* health = app.add_subcommand("health", "Judge the system that runs, and mark its slot");
  auto* clock = app.add_subcommand("clock", "Take the time from the controller where the box has none");
  auto* find = app.add_subcommand("find", "Find the controller on the LAN where kiln.toml names none");
  auto* install = app.add_subcommand("install", "Install the update that the agent asks for");
  auto* reboot = app.add_subcommand("reboot", "Restart when the agent asks for it");
  auto* suspend = app.add_subcommand("suspend", "Sleep when the agent asks for it");
  std::vector<std::string> words;
  auto* boot_slots = app.add_subcommand("bootslots", "RAUC's questions about slots");
  boot_slots->add_option("WORDS", words,
                         "get-primary, set-primary A|B, get-state A|B, set-state A|B good|bad");
  std::string target;
  auto* install_to = app.add_subcommand("install-to", "ERASE a disk and make it a box of this system");
  install_to->add_option("DISK", target, "As /dev/nvme0n1; auto: the only other one")->required();
  CLI11_PARSE(app, argc, argv);

  if (setup->parsed()) return ended(kiln::box::set_up(places));
  if (console->parsed()) return ended(kiln::box::run_console(places));
  if (health->parsed()) return ended(kiln::box::watch_health(places, slots));
  if (clock->parsed()) return ended(kiln::box::set_clock(places));
  if (find->parsed()) return ended(kiln::box::find_controller(places));
  if (install->parsed()) return ended(kiln::box::install_requested(places, slots));
  if (reboot->parsed()) return ended(kiln::box::do_requested(places, "reboot"));
  if (suspend->parsed()) return ended(kiln::box::do_requested(places, "suspend"));
  if (install_to->parsed()) return ended(kiln::box::install_to(places, target));
  std::string answer;
  const auto done = kiln::box::boot_slots_command(slots, words, answer);
  if (done && !answer.empty()) fmt::print("{}\n", answer);
  return ended(done);
}
