// kiln-resident: renders with the Blender that stays open on a slot.
#include <signal.h>
#include <sys/signalfd.h>

#include <cstdio>

#include "resident/options.h"
#include "resident/run.h"
#include "runtime/fd.h"

int main(int argc, char** argv) {
  const auto options = kiln::resident::parse_options(argc, argv);
  if (!options) {
    std::fprintf(stderr, "openjd_fail: kiln-resident: %s\n", options.error().message.c_str());
    return kiln::resident::exit_usage;
  }
  if (!options->text.empty()) {
    std::fputs(options->text.c_str(), stdout);
    return 0;
  }
  // Before any thread is started, so that none of them takes these.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int one : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, one);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const kiln::runtime::Fd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  return kiln::resident::run(*options, fd.get(), stdout);
}
