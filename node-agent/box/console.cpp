#include "box/console.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "box/boot_slots.h"
#include "box/screen.h"
#include "runtime/files.h"

namespace kiln::box {

namespace {

constexpr std::chrono::seconds look_again{2};

ScreenFacts gather(const Places& places) {
  ScreenFacts facts;
  facts.box = read_box_state(places);
  facts.agent = read_agent_status(places);
  facts.addresses = addresses();
  facts.version = image_fact(places, "VERSION");
  facts.slot = booted_slot();
  facts.link = has_link(places.sysfs);
  facts.agent_active = !facts.agent.state.empty() || service_state("kiln-agent.service").active;
  if (const auto install = read_json(places.run / "install.json")) {
    const auto state = text_of(*install, "state");
    const auto version = text_of(*install, "version");
    if (state == "installing") facts.update = "installing " + version;
    if (state == "installed") facts.update = version + " waits for a restart";
    if (state == "failed") facts.box.problems.push_back("The update failed: " + text_of(*install, "message"));
  }
  if (const auto target = read_json(places.run / "install-to.json"))
    facts.notice = text_of(*target, "message");
  if (const auto health = read_json(places.run / "health.json")) {
    const auto message = text_of(*health, "message");
    const auto state = text_of(*health, "state");
    if (state == "checking")
      facts.update = message.empty() ? "checking the update" : "checking the update: " + message;
    if (state == "rolled-back" || state == "interrupted" || state == "bad")
      facts.box.problems.push_back(message);
  }
  return facts;
}

}  // namespace

Status run_console(const Places& places) {
  std::string shown;
  // No cursor, no echo of keys.
  termios mode{};
  if (::tcgetattr(STDIN_FILENO, &mode) == 0) {
    mode.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | ISIG);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &mode);
  }
  if (auto done = runtime::write_all(STDOUT_FILENO, "\x1b[?25l\x1b[2J", "the console"); !done) return done;
  while (true) {
    winsize size{};
    const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0;
    auto next = screen(gather(places), known ? size.ws_col : 80, known ? size.ws_row : 25);
    if (next != shown) {
      if (auto done = runtime::write_all(STDOUT_FILENO, "\x1b[H" + next, "the console"); !done) return done;
      shown = std::move(next);
    }
    ::tcflush(STDIN_FILENO, TCIFLUSH);
    std::this_thread::sleep_for(look_again);
  }
}

}  // namespace kiln::box
