// A session of Open Job Description: a folder, environments around it, and tasks that run in them one after
// another. Blocks: whoever runs it has a thread for it. Only cancel() is for other threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "actions/cancel.h"
#include "actions/messages.h"
#include "actions/path_mapping.h"
#include "base/result.h"
#include "base/time.h"
#include "openjd/parameter_space.h"
#include "openjd/parameters.h"
#include "openjd/template.h"
#include "runtime/process.h"

namespace kiln::actions {

struct LogLine {
  enum class From { session, action };
  Instant at;
  From from = From::action;
  LogLevel level = LogLevel::info;  // of the session's own lines
  std::string text;                 // without secrets
};

enum class Ending {
  succeeded,
  failed,
  timed_out,  // the action's own time, or Limits::run_ms
  silent,     // Limits::silence_ms
  cancelled,
  over_bounds,  // its launcher ended it, for what it used
};

// What the session's owner allows, whatever the template says. None: no limit.
struct Limits {
  std::optional<std::int64_t> run_ms = {};
  std::optional<std::int64_t> silence_ms = {};  // without a line of output
};

struct ActionResult {
  Ending ending = Ending::succeeded;
  // Why it failed, one sentence: its last openjd_fail, or what was seen of it. "" when it succeeded.
  std::string message;
  std::optional<runtime::ExitStatus> status;  // of its process, if one was started
  std::int64_t elapsed_ms = 0;

  [[nodiscard]] bool ok() const { return ending == Ending::succeeded; }
};

class Session {
 public:
  struct Config {
    std::filesystem::path root;  // exists; the session makes its folder here and takes it away again
    bool keeps_folder = false;   // unless the folder is wanted afterwards
    std::vector<openjd::ParameterValue> parameters;
    PathMapping path_mapping;
    // Param.<name> of PATH parameters that path mapping does not decide, by name.
    std::map<std::string, std::string, std::less<>> paths = {};
    // Over ours, under those of the environments: CUDA_VISIBLE_DEVICES and its like.
    std::vector<std::pair<std::string, std::string>> environment;
    // Where its processes run; none: as ours do. Outlives the session.
    runtime::Launcher* launcher = nullptr;
    // Where embedded files go that a launcher's processes see, and cannot change; exists. "": the session's
    // folder.
    std::filesystem::path files_root = {};
    // All from the thread that runs an action.
    std::function<void(const LogLine&)> on_line;
    std::function<void(double percent)> on_progress;         // of the action, 0 to 100
    std::function<void(const std::string& text)> on_status;  // without secrets
  };

  // Makes the folder and the file of path mapping rules. Errors: io, full.
  static Result<std::unique_ptr<Session>> open(Config config);
  // Kills what still runs and removes the folder; environments are not left, see leave_all().
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Enters the environment: its variables, then onEnter. It counts as entered even when that failed. Not
  // after a failure or a cancel: then it answers at once, and the environment is not entered.
  ActionResult enter(const openjd::Environment& environment, const openjd::Extensions& extensions,
                     const Limits& limits = {});
  // Runs a task: onRun with these values. Not after a failure or a cancel.
  ActionResult run(const openjd::StepScript& script, const openjd::Extensions& extensions,
                   const std::vector<openjd::TaskParameterValue>& values, const Limits& limits = {});
  // Leaves the innermost environment: onExit, whatever happened before; then its variables go, and every
  // process that it left in the background. There must be one.
  ActionResult leave();
  // Leaves environments, the innermost first, until `depth` are left. The first failure, or a success.
  // within_ms: for all onExits together; what runs then is killed, and the rest is not started.
  ActionResult leave_all(std::size_t depth = 0, std::optional<std::int64_t> within_ms = {});

  // How many environments are entered.
  [[nodiscard]] std::size_t depth() const;
  // An action failed or was cancelled: tasks are not run any more.
  [[nodiscard]] bool is_over() const;
  // Neither failed nor cancelled: enter() and run() would start something. For the session's own thread.
  [[nodiscard]] bool can_run() const;
  [[nodiscard]] const std::filesystem::path& folder() const;

  // From any thread. Ends the action that runs now by its cancelation mode, and starts no other but onExits;
  // a later call ends the onExit that runs then. An action that wants to be notified gets `max_notify_ms`
  // at most: 0 kills it. Called again while it is being notified, it shortens what is left.
  void cancel(std::int64_t max_notify_ms = Cancel::as_the_action_says);

 private:
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace kiln::actions
