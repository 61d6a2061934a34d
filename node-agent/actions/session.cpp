#include "actions/session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <limits>

#include "actions/command.h"
#include "actions/embedded_files.h"
#include "actions/leftovers.h"
#include "actions/redaction.h"
#include "actions/variables.h"
#include "base/text.h"
#include "runtime/clock.h"
#include "runtime/files.h"

namespace kiln::actions {

namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t task_notify_s = 120;  // sections 5.3.2: unless the action says otherwise
constexpr std::int64_t environment_notify_s = 30;
// Of an action that a limit ends: it may say good-bye, and its slot is not held up for minutes.
constexpr std::int64_t limit_notify_ms = 10'000;

enum class Stage { enter, run, leave };

std::string_view name_of(Stage stage) {
  switch (stage) {
    case Stage::enter:
      return "onEnter";
    case Stage::run:
      return "onRun";
    case Stage::leave:
      return "onExit";
  }
  return "";
}

// A task may have left folders that not even we may enter.
void remove_folder(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (!error) return;
  fs::permissions(folder, fs::perms::owner_all, fs::perm_options::add, error);
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->is_directory(ignored) && !at->is_symlink(ignored))
      fs::permissions(at->path(), fs::perms::owner_all, fs::perm_options::add, ignored);
  }
  fs::remove_all(folder, error);
}

std::string seconds_text(std::int64_t time_ms) {
  return fmt::format("{:g}", static_cast<double>(time_ms) / 1000);
}

std::int64_t to_ms(std::int64_t seconds) {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / 1000;
  return std::min(seconds, most) * 1000;
}

}  // namespace

struct Session::State {
  struct Entered {
    openjd::Environment environment;
    openjd::Extensions extensions;
    EmbeddedFiles files;
    bool has_background = false;
  };
  // One action as it is to be run.
  struct Act {
    Stage stage = Stage::run;
    std::string title;  // "onEnter of 'Maya'"
    const openjd::Action* action = nullptr;
    const EmbeddedFiles* files = nullptr;
    openjd::Extensions extensions;
    openjd::Symbols symbols;
    std::string marker;
    std::uint64_t seen_cancels = 0;
    Limits limits = {};
    bool hurries = false;  // no good-bye when its limit ends it
  };

  Config config;
  fs::path folder;
  runtime::Fd folder_fd;  // the folder itself, whatever its name leads to by now
  std::string marker;     // of everything in this session, with a '/' at its end
  openjd::Symbols symbols;
  Variables variables;
  Redaction redaction;
  Cancel cancel;
  std::vector<Entered> entered;
  std::vector<Background> backgrounds;
  LogLevel level = LogLevel::info;
  bool is_over = false;
  std::uint64_t parts = 0;  // folders and markers made so far

  // What the running action said.
  Stage stage = Stage::run;
  openjd::Extensions extensions;
  std::string fail_text;
  std::string bad_message;

  void tell(LogLine::From from, LogLevel of_level, std::string text) const {
    if (!config.on_line || (from == LogLine::From::session && of_level < level)) return;
    config.on_line({runtime::now(), from, of_level, std::move(text)});
  }
  void note(std::string_view text, LogLevel of_level = LogLevel::info) const {
    tell(LogLine::From::session, of_level, redaction.apply(to_utf8(text)));
  }

  ActionResult refusal() {
    if (cancel.take().count > 0) return {Ending::cancelled, "the session was cancelled", {}, 0};
    return {Ending::failed, "an action of the session failed before", {}, 0};
  }
  bool may_start() { return !is_over && cancel.take().count == 0; }

  // A folder of our own, so that nothing of ours meets what actions make in theirs.
  fs::path files_folder() const {
    return config.files_root.empty() ? folder / "embedded_files" : config.files_root / folder.filename();
  }
  std::string next_part(std::string_view what) { return fmt::format("{}-{}", what, ++parts); }

  // ---- what it says

  void hear_output(std::string_view line, bool is_cut) const {
    auto text = redaction.apply(to_utf8(line), is_cut);
    if (is_cut) text += " … (cut)";
    tell(LogLine::From::action, LogLevel::info, std::move(text));
  }

  // False: the action cannot go on.
  bool hear(std::string_view line, bool is_cut) {
    const auto text = to_utf8(line);
    auto message = parse_message(text);
    if (is_cut && message) cut(*message);
    if (message) {
      if (const auto hidden = hide(*message); !hidden.empty())
        tell(LogLine::From::action, LogLevel::info, hidden);
      else
        hear_output(line, is_cut);
      return std::visit([this](const auto& one) { return take(one); }, *message);
    }
    hear_output(line, is_cut);
    return true;
  }

  // A value of which the end is missing is none.
  static void cut(Message& message) {
    const auto too_long = fmt::format("a variable's line has at most {} bytes", Lines::max_bytes);
    if (const auto* env = std::get_if<EnvMessage>(&message))
      message = BadMessage{too_long, true, env->is_secret ? env->value : ""};
    else if (const auto* bad = std::get_if<BadMessage>(&message); bad != nullptr && bad->is_fatal)
      message = BadMessage{too_long, true, bad->secret};
  }

  // The line of a message that held a secret, without it; "" when it held none.
  std::string hide(const Message& message) {
    if (const auto* env = std::get_if<EnvMessage>(&message); env != nullptr && env->is_secret) {
      redaction.add(env->value);
      return fmt::format("openjd_redacted_env: {}={}", redaction.apply(env->name), Redaction::mask);
    }
    if (const auto* bad = std::get_if<BadMessage>(&message); bad != nullptr && !bad->secret.empty()) {
      redaction.add(bad->secret);
      return fmt::format("openjd_redacted_env: {}", Redaction::mask);
    }
    return "";
  }

  bool take(const ProgressMessage& message) const {
    if (config.on_progress) config.on_progress(message.percent);
    return true;
  }
  bool take(const StatusMessage& message) const {
    if (config.on_status) config.on_status(redaction.apply(message.text));
    return true;
  }
  bool take(const FailMessage& message) {
    fail_text = redaction.apply(message.text);
    return true;
  }
  bool take(const EnvMessage& message) {
    if (!may_change_variables()) return true;
    if (message.is_secret && !extensions.redacted_env_vars) {
      note("openjd_redacted_env sets no variable: the template does not name the extension REDACTED_ENV_VARS",
           LogLevel::warning);
      return true;
    }
    variables.innermost().set[message.name] = message.value;
    return true;
  }
  bool take(const UnsetEnvMessage& message) {
    if (may_change_variables()) variables.innermost().unset.insert(message.name);
    return true;
  }
  bool take(const LogLevelMessage& message) {
    level = message.level;
    return true;
  }
  bool take(const BadMessage& message) {
    note(message.why, message.is_fatal ? LogLevel::error : LogLevel::warning);
    if (!message.is_fatal || stage != Stage::enter) return true;
    if (bad_message.empty()) bad_message = message.why;
    return false;
  }
  bool may_change_variables() const {
    if (stage == Stage::enter) return true;
    note(fmt::format("Variables are set in onEnter only; ignored in {}", name_of(stage)), LogLevel::warning);
    return false;
  }

  // ---- actions

  Result<Command> command_of(const Act& act) {
    const auto& action = *act.action;
    Command out;
    auto program = action.command.resolve(act.symbols);
    if (!program) return fail(std::move(program.error()).with("command"));
    if (program->empty()) return fail(Code::invalid, "command: becomes empty; it must name a program");
    // Relative to the folder that it runs in, not to ours.
    if (program->find('/') != std::string::npos) program = (folder / *program).native();
    out.spawn.argv.push_back(std::move(*program));
    for (std::size_t i = 0; i < action.args.size(); ++i) {
      auto arg = action.args[i].resolve(act.symbols);
      if (!arg) return fail(std::move(arg.error()).with(fmt::format("args[{}]", i)));
      out.spawn.argv.push_back(std::move(*arg));
    }
    out.spawn.cwd = folder;
    auto resolved = variables.resolve(config.environment);
    out.spawn.environment = std::move(resolved.set);
    out.spawn.without = std::move(resolved.unset);
    out.spawn.launcher = config.launcher;
    out.level = act.stage == Stage::enter ? entered.size() - 1 : entered.size();
    out.marker = marker + act.marker;
    out.leaves_background = act.stage == Stage::enter;
    if (action.timeout_s) out.timeout_ms = to_ms(action.timeout_s->value);
    out.notifies = action.cancelation.mode == openjd::Cancelation::Mode::notify_then_terminate;
    const auto usual_s = act.stage == Stage::run ? task_notify_s : environment_notify_s;
    const auto& period = action.cancelation.notify_period_s;
    out.notify_ms = to_ms(period ? period->value : usual_s);
    out.cancel_info = "cancel_info.json";
    out.folder = &folder_fd;
    out.limit_ms = act.limits.run_ms;
    out.silence_ms = act.limits.silence_ms;
    out.limit_notify_ms = act.hurries ? 0 : limit_notify_ms;
    return out;
  }

  Result<CommandEnd> start(const Act& act) {
    if (const auto written = act.files->write(act.symbols); !written) return fail(written.error());
    auto command = command_of(act);
    if (!command) return fail(std::move(command.error()));
    note(fmt::format("{}: running {}", act.title, command->spawn.argv[0]));
    Ears ears;
    ears.on_line = [this](std::string_view line, bool is_cut) { return hear(line, is_cut); };
    ears.on_background_line = [this](std::string_view line, bool is_cut) { hear_output(line, is_cut); };
    ears.on_note = [this](const std::string& text) { note(text); };
    return run_command(*command, cancel, act.seen_cancels, backgrounds, ears);
  }

  ActionResult perform(const Act& act) {
    stage = act.stage;
    extensions = act.extensions;
    fail_text.clear();
    bad_message.clear();
    const auto begin = Clock::now();
    auto ended = start(act);
    auto result =
        ended ? judge(act, *ended)
              : ActionResult{Ending::failed, fmt::format("{}: {}", act.title, ended.error().message), {}, 0};
    result.message = redaction.apply(result.message);
    result.elapsed_ms = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count();
    if (act.stage == Stage::enter && ended && ended->background) {
      backgrounds.push_back({std::move(ended->background), {}});
      entered.back().has_background = true;
    }
    if (!result.ok()) {
      is_over = true;
      note(result.message, LogLevel::error);
    }
    return result;
  }

  ActionResult judge(const Act& act, const CommandEnd& end) const {
    if (end.status.signal == 0)
      note(fmt::format("Process exited with code: {}", end.status.code));
    else
      note(fmt::format("Process was {}", end.status.str()));
    ActionResult out;
    out.status = end.status;
    const auto because = [&](std::string_view why) { return fmt::format("{}: {}", act.title, why); };
    switch (end.cause) {
      case Cause::cancelled:
        out.ending = Ending::cancelled;
        out.message = because("cancelled");
        break;
      case Cause::timeout:
        out.ending = Ending::timed_out;
        out.message =
            because(fmt::format("ran longer than its timeout of {} s", act.action->timeout_s->value));
        break;
      case Cause::limit:
        out.ending = Ending::timed_out;
        out.message =
            because(fmt::format("took longer than the {} s that it may", seconds_text(*act.limits.run_ms)));
        break;
      case Cause::silence:
        out.ending = Ending::silent;
        out.message = because(fmt::format("wrote no line for {} s", seconds_text(*act.limits.silence_ms)));
        break;
      case Cause::bad_message:
        out.ending = Ending::failed;
        out.message = because(bad_message);
        break;
      case Cause::itself:
        if (end.status.ok()) break;
        if (!end.trouble.empty()) {
          out.ending = Ending::over_bounds;
          out.message = because(end.trouble);
          break;
        }
        out.ending = Ending::failed;
        out.message = because(fail_text.empty() ? end.status.str() : fail_text);
        break;
    }
    return out;
  }

  // ---- environments

  ActionResult broken(const std::string& title, const Error& error) {
    is_over = true;
    ActionResult out{Ending::failed, redaction.apply(fmt::format("{}: {}", title, error.message)), {}, 0};
    note(out.message, LogLevel::error);
    return out;
  }

  Status set_variables(const openjd::Environment& environment) {
    auto& layer = variables.innermost();
    for (const auto& [name, text] : environment.variables) {
      auto value = text.resolve(symbols);
      if (!value) return fail(std::move(value.error()).with(fmt::format("variable {}", name)));
      note(fmt::format("Setting {}={}", name, *value));
      layer.set[name] = std::move(*value);
    }
    return {};
  }

  ActionResult enter(const openjd::Environment& environment, const openjd::Extensions& of_template,
                     const Limits& limits) {
    const auto title = fmt::format("environment '{}'", environment.name);
    note(fmt::format("Entering {}", title));
    const auto part = next_part("environment");
    entered.push_back({environment, of_template, {}, false});
    variables.enter();
    auto files = EmbeddedFiles::create(files_folder() / part, environment.files, of_template);
    if (!files) return broken(title, files.error());
    entered.back().files = std::move(*files);
    if (const auto set = set_variables(environment); !set) return broken(title, set.error());
    if (!environment.on_enter) return {};
    auto entering = act(Stage::enter, entered.back().environment.on_enter, entered.size() - 1, 0);
    entering.limits = limits;
    return perform(entering);
  }

  // within_ms: 0 and less: onExit is not started.
  ActionResult leave(std::optional<std::int64_t> within_ms = {}) {
    auto& environment = entered.back().environment;
    note(fmt::format("Leaving environment '{}'", environment.name));
    ActionResult result;
    if (environment.on_exit && within_ms && *within_ms <= 0) {
      is_over = true;
      result = {Ending::timed_out,
                fmt::format("environment '{}': no time was left for its onExit", environment.name),
                {},
                0};
      note(result.message, LogLevel::warning);
    } else if (environment.on_exit) {
      auto leaving = act(Stage::leave, environment.on_exit, entered.size() - 1, cancel.take().count);
      leaving.limits.run_ms = within_ms;
      leaving.hurries = within_ms.has_value();
      result = perform(leaving);
    }
    if (config.launcher != nullptr)
      config.launcher->sweep(entered.size() - 1);
    else
      kill_leftovers(marker + enter_marker(entered.size() - 1));
    if (entered.back().has_background) backgrounds.pop_back();
    variables.leave();
    entered.pop_back();
    return result;
  }

  static std::string enter_marker(std::size_t index) { return fmt::format("environment{}.", index); }

  Act act(Stage of_stage, const std::optional<openjd::Action>& action, std::size_t index,
          std::uint64_t seen) const {
    const auto& environment = entered[index];
    Act out;
    out.stage = of_stage;
    out.title = fmt::format("{} of environment '{}'", name_of(of_stage), environment.environment.name);
    out.action = &*action;
    out.files = &environment.files;
    out.extensions = environment.extensions;
    out.symbols = symbols;
    environment.files.add_symbols("Env.File.", out.symbols);
    out.marker = of_stage == Stage::enter ? enter_marker(index) : fmt::format("exit{}.", index);
    out.seen_cancels = seen;
    return out;
  }

  ActionResult run(const openjd::StepScript& script, const openjd::Extensions& of_template,
                   const std::vector<openjd::TaskParameterValue>& values, const Limits& limits) {
    auto files = EmbeddedFiles::create(files_folder() / next_part("task"), script.files, of_template);
    if (!files) return broken("task", files.error());
    Act out;
    out.stage = Stage::run;
    out.title = "onRun";
    out.action = &script.on_run;
    out.files = &*files;
    out.extensions = of_template;
    out.symbols = symbols;
    for (const auto& one : values) {
      const bool is_path = one.type == openjd::TaskParameterType::path;
      out.symbols["Task.RawParam." + one.name] = one.value;
      out.symbols["Task.Param." + one.name] = is_path ? config.path_mapping.apply(one.value) : one.value;
    }
    files->add_symbols("Task.File.", out.symbols);
    out.marker = "task.";
    out.limits = limits;
    return perform(out);
  }
};

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}

Session::~Session() {
  auto& config = state_->config;
  if (config.launcher != nullptr)
    config.launcher->sweep(0);
  else
    kill_leftovers(state_->marker);
  if (!config.files_root.empty()) remove_folder(state_->files_folder());
  if (!state_->config.keeps_folder) remove_folder(state_->folder);
}

Result<std::unique_ptr<Session>> Session::open(Config config) {
  std::error_code error;
  const auto root = fs::canonical(config.root, error);
  if (error) {
    return fail(
        runtime::os_error(error.value(), fmt::format("making a session in {}", config.root.native())));
  }
  auto pattern = (root / fmt::format("session-{}-XXXXXX", ::getpid())).native();
  if (::mkdtemp(pattern.data()) == nullptr)
    return fail(runtime::os_error(errno, fmt::format("making the session's folder {}", pattern)));
  auto state = std::make_unique<State>();
  state->folder = pattern;
  auto opened = runtime::open_file(pattern, O_PATH | O_DIRECTORY);
  if (!opened) return fail(std::move(opened.error()));
  state->folder_fd = std::move(*opened);
  state->marker = fmt::format("{}/", state->folder.filename().native());
  state->config = std::move(config);
  auto session = std::unique_ptr<Session>(new Session(std::move(state)));

  auto& self = *session->state_;
  if (auto made = runtime::make_folders(self.files_folder()); !made) return fail(std::move(made.error()));
  const auto rules_file = self.folder / "path_mapping_rules.json";
  const auto& mapping = self.config.path_mapping;
  if (auto written = runtime::write_file_atomically(rules_file, mapping.dump(), 0600); !written)
    return fail(std::move(written.error()));
  for (const auto& one : self.config.parameters) {
    const bool is_path = one.type == openjd::ParameterType::path;
    self.symbols["RawParam." + one.name] = one.value;
    const auto path = self.config.paths.find(one.name);
    self.symbols["Param." + one.name] = path != self.config.paths.end() ? path->second
                                        : is_path                       ? mapping.apply(one.value)
                                                                        : one.value;
  }
  self.symbols["Session.WorkingDirectory"] = self.folder.native();
  self.symbols["Session.HasPathMappingRules"] = mapping.empty() ? "false" : "true";
  self.symbols["Session.PathMappingRulesFile"] = rules_file.native();
  return session;
}

ActionResult Session::enter(const openjd::Environment& environment, const openjd::Extensions& extensions,
                            const Limits& limits) {
  return state_->may_start() ? state_->enter(environment, extensions, limits) : state_->refusal();
}

ActionResult Session::run(const openjd::StepScript& script, const openjd::Extensions& extensions,
                          const std::vector<openjd::TaskParameterValue>& values, const Limits& limits) {
  return state_->may_start() ? state_->run(script, extensions, values, limits) : state_->refusal();
}

ActionResult Session::leave() {
  KILN_ASSERT(!state_->entered.empty());
  return state_->leave();
}

ActionResult Session::leave_all(std::size_t depth, std::optional<std::int64_t> within_ms) {
  const auto begin = Clock::now();
  ActionResult first;
  while (state_->entered.size() > depth) {
    const auto gone = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count();
    auto result = state_->leave(within_ms ? std::optional(*within_ms - gone) : std::nullopt);
    if (first.ok()) first = std::move(result);
  }
  return first;
}

std::size_t Session::depth() const {
  return state_->entered.size();
}

bool Session::is_over() const {
  return state_->is_over;
}

bool Session::can_run() const {
  return state_->may_start();
}

const fs::path& Session::folder() const {
  return state_->folder;
}

void Session::cancel(std::int64_t max_notify_ms) {
  state_->cancel.wish(max_notify_ms);
}

}  // namespace kiln::actions
