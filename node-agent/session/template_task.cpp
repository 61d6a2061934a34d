#include "session/template_task.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "base/text.h"
#include "payloads/http_bodies.h"
#include "runtime/files.h"
#include "runtime/log.h"
#include "session/render_request.h"

namespace kiln::session {

namespace fs = std::filesystem;
using payloads::FailureScope;
using payloads::TaskPhase;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::string_view room = "session";
constexpr std::chrono::milliseconds progress_interval{250};  // of one task
constexpr std::chrono::milliseconds log_interval{2000};      // openjd_progress lines in the log
// A cancelled or failed task's environments may still put things away, but its slot is wanted.
constexpr std::int64_t cancel_hurry_ms = 5'000;
constexpr std::int64_t shutdown_hurry_ms = 1'500;  // systemd waits 15 s for all slots and the rest

tl::unexpected<Stop> stopped(std::string code, std::string message, FailureScope scope) {
  return tl::make_unexpected(Stop{false, {std::move(code), std::move(message), scope}});
}

tl::unexpected<Stop> bad_template(std::string message) {
  return stopped("bad-template", std::move(message), FailureScope::job);
}

openjd::Source source_of(const payloads::TemplateText& one) {
  return {one.text, one.is_json ? openjd::Syntax::json : openjd::Syntax::yaml};
}

openjd::Checked<openjd::Job> job_of(const payloads::JobDocument& document) {
  std::vector<openjd::Source> environments;
  for (const auto& one : document.environments) environments.push_back(source_of(one));
  return openjd::create_job(source_of(document.job_template), environments, document.parameters);
}

double seconds_since(Clock::time_point when) {
  return std::chrono::duration<double>(Clock::now() - when).count();
}

}  // namespace

TemplateTasks::TemplateTasks(const Config& config, int slot, SlotCage& cage, Blender& blender,
                             std::function<bool()> cancelled)
    : config_(config),
      slot_(slot),
      slot_cage_(cage),
      folders_(cage.folders()),
      blender_(blender),
      cancelled_(std::move(cancelled)) {}

TemplateTasks::~TemplateTasks() {
  close(shutdown_hurry_ms);
}

void TemplateTasks::interrupt() {
  const std::lock_guard lock(mutex_);
  if (session_) session_->cancel(0);
}

TemplateTasks::Key TemplateTasks::key_of(const payloads::RunTask& task) {
  return {task.task.job, task.of_template.document, task.of_template.step, task.manifest};
}

// ---- a task ---------------------------------------------------------------------------------------------

Step<void> TemplateTasks::run(TaskWork& work) {
  if (work.task.frames.size() == 1) work.frame = work.task.frames.at(0);
  work.tell();
  auto done = ensure_job(work);
  if (done) {
    const auto key = key_of(work.task);
    if (session_ && (!(key == key_) || !session_->can_run())) close();
    key_ = key;
    done = ensure_files(work);
  }
  if (done) done = prepare_output(work);
  work_ = &work;  // from here on: what a session before says is not in this task's log
  if (done) {
    work.phase = TaskPhase::rendering;
    began_ = Clock::now();
    work.tell();
    if (!session_) done = open(work);
  }
  if (done) done = act(work);
  if (!done && session_ && !session_->can_run())
    close(cancelled_() ? std::optional(cancel_hurry_ms) : std::nullopt);
  if (done) done = collect(work);
  if (!done) static_cast<void>(empty_folder(output()));  // it may be what fills the disk
  work_ = nullptr;
  return done;
}

Step<void> TemplateTasks::ensure_job(const TaskWork& work) {
  const auto& wanted = work.task.of_template;
  if (document_ != wanted.document || !job_) {
    if (!config_.fetch_blob)
      return stopped("fetch-failed", "this agent cannot fetch job documents", FailureScope::attempt);
    const auto text = config_.fetch_blob(wanted.document, cancelled_);
    if (cancelled_()) return tl::make_unexpected(Stop{true, {}});
    if (!text)
      return tl::make_unexpected(not_fetched(text.error(), "fetching the job's document", config_.scratch));
    const auto document = payloads::decode_job_document(*text);
    if (!document) return bad_template("the job's document cannot be read: " + document.error().message);
    auto job = job_of(*document);
    if (!job) {
      const auto& problems = job.error();
      const auto more = problems.count() - 1;
      return bad_template(fmt::format("the job's template is not valid: {}{}",
                                      problems.list().front().to_text(),
                                      more > 0 ? fmt::format(" (and {} more)", more) : ""));
    }
    close();  // its steps are about to go
    job_ = std::move(*job);
    document_ = wanted.document;
  }
  if (wanted.step >= job_->steps.size()) {
    return bad_template(fmt::format("the template has {} steps, and the task is of number {}",
                                    job_->steps.size(), wanted.step + 1));
  }
  const auto& space = job_->steps[wanted.step].space;
  const auto units = space.units();
  if (wanted.count > 1 && !space.adapts()) {
    return bad_template(
        fmt::format("the step '{}' has no chunks that are cut as they are handed out, and the "
                    "task has {} points",
                    job_->steps[wanted.step].name, wanted.count));
  }
  if (wanted.count == 0 || wanted.first >= units || wanted.count > units - wanted.first) {
    return bad_template(fmt::format("the step '{}' has {} points, and the task starts at {} and has {}",
                                    job_->steps[wanted.step].name, units, wanted.first, wanted.count));
  }
  return {};
}

Step<void> TemplateTasks::ensure_files(const TaskWork& work) {
  if (session_) return {};  // it has them
  tree_ = {};
  if (!work.task.manifest.empty()) {
    auto open = blender_.tree_of(work.task.manifest);
    auto tree = open ? Result<JobTree>(std::move(*open)) : config_.fetch(work.task.manifest, cancelled_);
    if (!tree && tree.error().code == Code::full && !blender_.identity().empty()) {
      blender_.forget_scene();  // its files are held, and may be most of what the cache can hold
      tree = config_.fetch(work.task.manifest, cancelled_);
    }
    if (cancelled_()) return tl::make_unexpected(Stop{true, {}});
    if (!tree)
      return tl::make_unexpected(not_fetched(tree.error(), "fetching the job's files", config_.scratch));
    // Blender's is placed already.
    auto placed = open ? Result<JobTree>(std::move(*tree)) : slot_cage_.place(std::move(*tree));
    if (!placed)
      return tl::make_unexpected(stopped_by(placed.error(), "laying out the job's files", config_.scratch));
    tree_ = std::move(*placed);
  }
  return resolve_places();
}

Step<void> TemplateTasks::resolve_places() {
  auto mapping = mapping_of(tree_.root, tree_.mappings);
  if (!mapping) return bad_template("the job's path mappings: " + mapping.error().message);
  mapping_ = std::move(*mapping);
  const Places places{tree_.root, output()};
  places_.clear();
  for (const auto& one : job_->parameters) {
    Place place;
    if (one.type == openjd::ParameterType::path) {
      auto found = place_of(one, places, mapping_);
      if (!found) return bad_template(found.error().message);
      place = std::move(*found);
      if (is_missing(one, place, places)) {
        return stopped("missing-file",
                       fmt::format("parameter {}: the job's files hold no '{}': submit the job again with it",
                                   one.name, one.value),
                       FailureScope::job);
      }
    }
    places_.push_back(std::move(place));
  }
  return {};
}

Step<void> TemplateTasks::prepare_output(const TaskWork& work) {
  const auto stop = [&](const Error& error) {
    return tl::make_unexpected(stopped_by(error, "preparing the output folder", config_.scratch));
  };
  laid_.clear();
  // Made where no task can put a link in the way, then moved to its place.
  const auto prepared = folders_.staging() / "output";
  if (auto made = folders_.make(); !made) return stop(made.error());
  if (auto emptied = empty_folder(prepared); !emptied) return stop(emptied.error());
  if (work.task.of_template.inputs) {
    if (!config_.fetch_inputs)
      return stopped("fetch-failed", "this agent cannot fetch what earlier steps made",
                     FailureScope::attempt);
    const auto inputs = config_.fetch_inputs(work.task.task, cancelled_);
    if (cancelled_()) return tl::make_unexpected(Stop{true, {}});
    if (!inputs) {
      auto why = not_fetched(inputs.error(), "fetching what earlier steps made", config_.scratch);
      why.failure.scope = FailureScope::attempt;  // it may be made again
      return tl::make_unexpected(std::move(why));
    }
    auto laid = lay_inputs(*inputs, prepared, slot_cage_.is_wanted());
    if (!laid) return stop(laid.error());
    laid_ = std::move(*laid);
  }
  for (const auto& place : places_) {
    if (place.folder.empty()) continue;
    const auto folder = prepared / place.folder.lexically_relative(output());
    if (auto made = runtime::make_folders(folder); !made) return stop(made.error());
  }
  if (auto emptied = empty_folder(output()); !emptied) return stop(emptied.error());
  std::error_code error;
  fs::rename(prepared, output(), error);
  if (error) return stop(runtime::os_error(error.value(), "moving it to its place"));
  return {};
}

// ---- the session ----------------------------------------------------------------------------------------

Status TemplateTasks::prepare_folders() const {
  for (const auto& one : {folders_.sessions(), folders_.tmp(), folders_.bin()}) {
    if (auto emptied = empty_folder(one); !emptied) return emptied;
  }
  if (config_.kiln_resident.empty()) return {};
  std::error_code error;
  fs::create_symlink(config_.kiln_resident, folders_.bin() / "kiln-resident", error);
  if (error) return fail(runtime::os_error(error.value(), "offering kiln-resident"));
  return {};
}

std::vector<std::pair<std::string, std::string>> TemplateTasks::environment() const {
  const char* path = std::getenv("PATH");
  std::vector<std::pair<std::string, std::string>> out{
      {"TMPDIR", folders_.tmp().native()},
      {"PATH", fmt::format("{}:{}", folders_.bin().native(),
                           path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin")},
      {std::string(socket_variable), (folders_.socket() / "resident.sock").native()}};
  auto more = slot_cage_.environment();
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

Step<void> TemplateTasks::open(TaskWork& work) {
  const auto stop = [&](const Error& error) {
    return tl::make_unexpected(stopped_by(error, "opening a session", config_.scratch));
  };
  if (auto made = prepare_folders(); !made) return stop(made.error());
  blender_.end_if_distrusted(key_.manifest);
  auto service = RenderService::create(folders_.socket() / "resident.sock", blender_,
                                       slot_cage_.is_wanted() ? folders_.work() : fs::path());
  if (!service) return stop(service.error());
  service_ = std::move(*service);

  actions::Session::Config config;
  config.root = folders_.sessions();
  if (slot_cage_.is_wanted()) {
    auto cage = slot_cage_.open_for_session(tree_.root);
    if (!cage) return tl::make_unexpected(no_cage(cage.error()));
    cage_ = std::move(*cage);
    config.launcher = cage_.get();
    config.files_root = folders_.scripts();
  }
  config.parameters = job_->parameters;
  config.path_mapping = mapping_;
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const auto& parameter = job_->parameters[i];
    if (parameter.type == openjd::ParameterType::path) config.paths[parameter.name] = places_[i].path;
  }
  config.environment = environment();
  config.on_line = [this](const actions::LogLine& line) { hear(line); };
  config.on_progress = [this](double percent) { hear_progress(percent); };
  auto session = actions::Session::open(std::move(config));
  if (!session) return stop(session.error());
  {
    const std::lock_guard lock(mutex_);
    session_ = std::move(*session);
  }
  if (cancelled_()) session_->cancel(0);  // it came before there was anything to interrupt

  for (std::size_t i = 0; i < job_->environments.size(); ++i) {
    if (auto entered = enter(work, job_->environments[i], job_->environment_extensions[i]); !entered)
      return entered;
  }
  for (const auto& environment : step().environments) {
    if (auto entered = enter(work, environment, job_->extensions); !entered) return entered;
  }
  return {};
}

Step<void> TemplateTasks::enter(TaskWork& work, const openjd::Environment& environment,
                                const openjd::Extensions& extensions) {
  const auto& options = work.task.options;
  actions::Limits limits;
  if (options.max_run_s != 0) limits.run_ms = std::int64_t{options.max_run_s} * 1000;
  if (options.stall_s != 0) limits.silence_ms = std::int64_t{options.stall_s} * 1000;
  service_->begin({key_.manifest, tree_, output()});
  const auto result = session_->enter(environment, extensions, limits);
  service_->finish();
  if (cancelled_()) return tl::make_unexpected(Stop{true, {}});
  if (!result.ok()) return tl::make_unexpected(stop_of(result, "environment-failed"));
  return {};
}

void TemplateTasks::close(std::optional<std::int64_t> hurry_ms) {
  if (!session_) return;
  if (service_) service_->begin({key_.manifest, tree_, output()});
  const auto left = session_->leave_all(0, hurry_ms);
  if (service_) service_->finish();
  if (!left.ok() && work_ == nullptr) log::warn(room, "slot {}: {}", slot_, left.message);
  std::unique_ptr<actions::Session> old;
  {
    const std::lock_guard lock(mutex_);
    old = std::move(session_);
  }
  old.reset();
  cage_.reset();
  service_.reset();
  static_cast<void>(empty_folder(folders_.tmp()));
  tree_ = {};
}

// ---- its action -----------------------------------------------------------------------------------------

Step<void> TemplateTasks::act(TaskWork& work) {
  const auto& task = work.task;
  const auto& wanted = task.of_template;
  actions::Limits limits;
  if (task.options.max_run_s != 0) {
    // Environments that were entered for this task are on its account.
    const auto left = task.options.max_run_s - seconds_since(began_);
    limits.run_ms = std::max<std::int64_t>(1, static_cast<std::int64_t>(left * 1000));
  }
  RenderService::Task serving{key_.manifest, tree_, output()};
  if (task.options.stall_s != 0) {
    limits.silence_ms = std::int64_t{task.options.stall_s} * 1000;
    serving.hang_ms = *limits.silence_ms;
  }
  const auto values = step().space.cut(wanted.first, wanted.count);
  std::string text;
  for (const auto& one : values)
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", one.name, one.value);
  work.log.add(fmt::format("step '{}'{}{}", step().name, text.empty() ? "" : ": ", text));

  service_->begin(std::move(serving));
  const auto result = session_->run(step().script, job_->extensions, values, limits);
  rendered_ = service_->finish();
  for (auto& one : rendered_.warnings) {
    auto& warnings = work.outcome.report.warnings;
    const bool is_new = std::find(warnings.begin(), warnings.end(), one) == warnings.end();
    if (is_new && warnings.size() < payloads::max_warnings) warnings.push_back(one);
  }
  if (cancelled_()) return tl::make_unexpected(Stop{true, {}});
  if (result.ok()) {
    work.outcome.report.seconds = seconds_since(began_);
    return {};
  }
  // The slot's own Blender knows better why than the command that asked for it.
  if (rendered_.failure && result.ending == actions::Ending::failed)
    return tl::make_unexpected(Stop{false, *rendered_.failure});
  return tl::make_unexpected(stop_of(result, "action-failed"));
}

Stop TemplateTasks::stop_of(const actions::ActionResult& result, std::string code) const {
  if (result.ending == actions::Ending::timed_out) code = "timeout";
  if (result.ending == actions::Ending::silent) code = "renderer-hung";
  if (result.ending == actions::Ending::over_bounds) code = "over-bounds";
  const auto space = runtime::disk_space(config_.scratch);
  constexpr std::uint64_t mib = 1024UL * 1024;
  if (space && space->free_bytes < mib)
    return stopped_by(Error{Code::full, result.message}, "running the task", config_.scratch);
  return {false, {std::move(code), result.message, FailureScope::attempt}};
}

Step<void> TemplateTasks::collect(TaskWork& work) {
  // Out of the session's reach, where the receiver will find it.
  std::error_code error;
  const auto made = folders_.staging() / "made";
  auto taken = empty_folder(made);
  if (taken) {
    fs::remove(made, error);
    fs::rename(output(), made, error);
    if (error) taken = fail(runtime::os_error(error.value(), "moving it"));
  }
  if (taken) taken = take_outputs(made, work.frames);
  fs::remove_all(made, error);
  if (!taken)
    return tl::make_unexpected(stopped_by(taken.error(), "storing what the task made", config_.scratch));
  const auto frame = work.task.frames.size() == 1 ? work.task.frames.at(0) : 0;
  auto outputs = collect_outputs(work.frames, laid_, rendered_.files, frame, config_.scratch);
  laid_.clear();
  rendered_ = {};
  if (!outputs) return tl::make_unexpected(std::move(outputs.error()));
  auto& report = work.outcome.report;
  report.files = std::move(outputs->files);
  for (auto& one : outputs->warnings) {
    if (report.warnings.size() < payloads::max_warnings) report.warnings.push_back(std::move(one));
  }
  if (report.files.empty()) {
    fs::remove_all(work.frames, error);
  } else {
    work.outcome.folder = work.frames;
  }
  return {};
}

// ---- what it says ---------------------------------------------------------------------------------------

void TemplateTasks::hear(const actions::LogLine& line) {
  if (work_ == nullptr) return;
  if (line.from == actions::LogLine::From::action && line.text.starts_with("openjd_progress:")) {
    const auto now = Clock::now();
    if (now - progress_at_ < log_interval) return;
    progress_at_ = now;
  }
  work_->log.add(line.text);
}

void TemplateTasks::hear_progress(double percent) {
  if (work_ == nullptr || work_->phase != TaskPhase::rendering) return;
  work_->percent = std::max(work_->percent, percent);
  constexpr double enough_to_guess = 1;
  if (percent >= enough_to_guess) work_->eta_s = seconds_since(began_) * (100 - percent) / percent;
  const auto now = Clock::now();
  if (now - told_at_ < progress_interval && percent < 100) return;
  told_at_ = now;
  work_->tell();
}

}  // namespace kiln::session
