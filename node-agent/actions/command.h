// One action's process: started, listened to, and ended by the rules of its action.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actions/cancel.h"
#include "actions/lines.h"
#include "base/result.h"
#include "runtime/fd.h"
#include "runtime/process.h"

namespace kiln::actions {

// Where output comes from when its process has ended and others still write: a daemon that an environment
// started.
struct Background {
  runtime::Fd output;
  Lines lines;
};

struct Command {
  runtime::SpawnOptions spawn;  // descriptors are set by run_command
  std::string marker;           // see leftovers.h
  bool leaves_background = false;
  // With a launcher: environments that stand around it, whose background goes on; what it leaves itself, if
  // it may, is the next one's.
  std::size_t level = 0;
  std::optional<std::int64_t> timeout_ms;
  bool notifies = false;  // SIGTERM first
  std::int64_t notify_ms = 0;
  std::string cancel_info;  // the file that says when a notification's time is over, below:
  const runtime::Fd* folder = nullptr;
  // Not the action's own: what whoever runs it allows. Its notification is cut to limit_notify_ms then.
  std::optional<std::int64_t> limit_ms = {};
  std::optional<std::int64_t> silence_ms = {};  // without a line of output
  std::int64_t limit_notify_ms = 0;
};

enum class Cause { itself, timeout, limit, silence, cancelled, bad_message };

struct CommandEnd {
  runtime::ExitStatus status;
  Cause cause = Cause::itself;  // why it was made to end
  std::string trouble = {};     // what its launcher ended it for
  runtime::Fd background;       // leaves_background: what others may still write to
};

struct Ears {
  // A line of its output. False: it must end, its action has failed.
  std::function<bool(std::string_view line, bool is_cut)> on_line;
  std::function<void(std::string_view line, bool is_cut)> on_background_line;
  std::function<void(std::string)> on_note;  // what was done to it
};

// Blocks until the process has ended. What it left behind is killed then, unless leaves_background. Output
// of `backgrounds` is read meanwhile. Wishes of `cancel` up to number `seen` are not for this command.
// Errors: those of Process::spawn.
Result<CommandEnd> run_command(const Command& command, Cancel& cancel, std::uint64_t seen,
                               std::vector<Background>& backgrounds, const Ears& ears);

}  // namespace kiln::actions
