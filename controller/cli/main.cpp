#include <unistd.h>

#include <atomic>
#include <csignal>
#include <string>
#include <vector>

#include "cli/app.h"
#include "cli/exit.h"

namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

// The first Ctrl-C ends what is being done in order, the second at once.
extern "C" void on_signal(int) {
  if (interrupted.exchange(true)) _exit(static_cast<int>(kiln::cli::Exit::interrupted));
}

}  // namespace

int main(int argc, char** argv) {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return kiln::cli::run(std::vector<std::string>(argv + 1, argv + argc), stdout, stderr, interrupted);
}
