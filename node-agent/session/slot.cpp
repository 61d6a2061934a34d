#include "session/slot.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <set>
#include <system_error>
#include <utility>

#include "base/text.h"
#include "runtime/files.h"
#include "runtime/log.h"
#include "runtime/sha256.h"
#include "session/frame_check.h"

namespace kiln::session {

namespace fs = std::filesystem;

namespace {

using payloads::Failure;
using payloads::FailureScope;
using payloads::ResultFile;
using payloads::TaskPhase;

constexpr std::string_view room = "session";
constexpr std::chrono::milliseconds progress_interval{250};  // of one task
constexpr std::chrono::milliseconds status_interval{2000};   // a status line in the log
constexpr std::size_t max_warnings = 20;
constexpr std::size_t max_last_words = 3;
constexpr std::uint64_t mib = 1024UL * 1024;

std::string text_of(const Json& json, std::string_view key) {
  const auto* value = json.find(key);
  const auto* text = value != nullptr ? value->as_string() : nullptr;
  return text != nullptr ? *text : std::string();
}

double number_of(const Json& json, std::string_view key) {
  const auto* value = json.find(key);
  const auto* number = value != nullptr ? value->as_number() : nullptr;
  return number != nullptr ? *number : 0;
}

const Json::Array& array_of(const Json& json, std::string_view key) {
  static const Json::Array none;
  const auto* value = json.find(key);
  const auto* array = value != nullptr ? value->as_array() : nullptr;
  return array != nullptr ? *array : none;
}

void add_warning(std::vector<std::string>& warnings, const std::string& text) {
  if (text.empty() || warnings.size() >= max_warnings) return;
  if (std::find(warnings.begin(), warnings.end(), text) == warnings.end()) warnings.push_back(text);
}

void take_warnings(std::vector<std::string>& warnings, const Json& answer) {
  for (const auto& one : array_of(answer, "warnings")) {
    if (const auto* text = one.as_string()) add_warning(warnings, *text);
  }
}

std::uint64_t default_limit_mib() {
  const auto pages = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES)));
  const auto memory_mib = pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / mib;
  constexpr std::uint64_t least = 2048;  // a plain scene after many changes holds 360 to 600 MiB
  return std::max(least, memory_mib / 4);
}

double seconds_since(std::chrono::steady_clock::time_point when) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - when).count();
}

// Limits do not change what is open.
bool opens_alike(payloads::RenderOptions a, const payloads::RenderOptions& b) {
  a.max_run_s = b.max_run_s;
  a.stall_s = b.stall_s;
  return a == b;
}

Failure missing_renderer(const Error& error, const std::string& program) {
  if (error.code == Code::not_found) {
    return {"renderer-missing", "blender is not installed on this box: apt-get install blender",
            FailureScope::attempt};
  }
  return {"renderer-missing", fmt::format("{} cannot be started on this box: {}", program, error.message),
          FailureScope::attempt};
}

}  // namespace

Slot::Slot(const Config& config, int number)
    : config_(config), number_(number), thread_([this] { live(); }) {}

Slot::~Slot() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.set();
  thread_.join();
}

void Slot::start(const payloads::RunTask& task) {
  {
    const std::lock_guard lock(mutex_);
    KILN_ASSERT(!held_);
    held_ = {task.task, task.attempt};
    next_ = task;
    cancel_ = false;
  }
  wake_.set();
}

bool Slot::cancel(const TaskId& task, std::uint32_t attempt) {
  {
    const std::lock_guard lock(mutex_);
    if (!held_ || held_->first != task || held_->second != attempt) return false;
    cancel_ = true;
  }
  wake_.set();
  return true;
}

std::string Slot::warm() const {
  const std::lock_guard lock(mutex_);
  return warm_;
}

pid_t Slot::renderer() const {
  const std::lock_guard lock(mutex_);
  return renderer_;
}

bool Slot::cancelled() {
  const std::lock_guard lock(mutex_);
  return cancel_ || stopping_;
}

void Slot::note_scene() {
  const std::lock_guard lock(mutex_);
  warm_ = scene_ ? scene_->manifest : std::string();
  renderer_ = resident_ ? resident_->pid() : 0;
}

void Slot::end_process() {
  resident_.reset();
  version_.reset();
  scene_.reset();
  note_scene();
}

fs::path Slot::folder() const {
  return config_.scratch / fmt::format("slot-{}", number_);
}

// ---- the thread
// --------------------------------------------------------------------------------------------

void Slot::live() {
  // A Blender that died leaves a pipe whose writing end must not kill the agent.
  sigset_t broken_pipe;
  ::sigemptyset(&broken_pipe);
  ::sigaddset(&broken_pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);

  while (const auto task = wait_for_task()) {
    Outcome outcome = run(*task);
    {
      const std::lock_guard lock(mutex_);
      held_.reset();
      if (stopping_) break;
    }
    config_.on_outcome(std::move(outcome));
  }
  end_process();
}

std::optional<payloads::RunTask> Slot::wait_for_task() {
  for (;;) {
    wake_.clear();
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return std::nullopt;
      if (next_) return std::exchange(next_, std::nullopt);
    }
    if (!resident_) {
      static_cast<void>(wake_.wait(std::chrono::milliseconds(-1)));
      continue;
    }
    const auto next = resident_->next(wake_, {}, {});
    if (const auto* ended = std::get_if<Resident::Ended>(&next)) {
      log::warn(room, "slot {}: the idle Blender ended ({}); the next task starts another", number_,
                ended->status.str());
      end_process();
    }
  }
}

Outcome Slot::run(const payloads::RunTask& task) {
  Work work{.task = task,
            .outcome = {},
            .estimate = Estimate(task.frames.size(), std::nullopt),
            .log = LogRing(),
            .doing = {},
            .last_words = {},
            .frames = config_.scratch / fmt::format("{}.{}", task.task.str(), task.attempt)};
  work.outcome.task = task.task;
  work.outcome.attempt = task.attempt;
  auto& report = work.outcome.report;

  auto done = attempt(work);
  if (done && cancelled()) done = tl::make_unexpected(Stop{true, {}});
  if (!done) {
    std::error_code ignored;
    fs::remove_all(work.frames, ignored);
    work.outcome.folder.clear();
    report.files.clear();
    work.outcome.cancelled = done.error().cancelled;
    report.failure = std::move(done.error().failure);
    if (!work.outcome.cancelled) {
      report.failure.message = clip(to_utf8(report.failure.message), 1000);
      work.log.add(fmt::format("failed ({}): {}", report.failure.code, report.failure.message));
      log::info(room, "{} attempt {} failed ({}): {}", task.task.str(), task.attempt, report.failure.code,
                report.failure.message);
    }
  }
  report.ok = done.has_value();
  if (resident_ && outgrown()) {
    log::info(room, "slot {}: Blender holds {} MiB: starting another", number_, resident_->memory_mib());
    end_process();
  }
  note_scene();
  work.outcome.log = work.log.text();
  return std::move(work.outcome);
}

Slot::Step<void> Slot::attempt(Work& work) {
  const auto& task = work.task;
  if (task.renderer == "noop") return {};
  if (task.renderer != "blender") {
    return tl::make_unexpected(Stop{
        false,
        {"renderer-missing", fmt::format("this box has no renderer '{}'; it knows blender", task.renderer),
         FailureScope::attempt}});
  }
  tell_progress(work, true);
  std::error_code error;
  fs::remove_all(work.frames, error);
  if (auto made = runtime::make_folders(work.frames); !made) {
    return tl::make_unexpected(stopped_by(made.error(), "making the task's folder"));
  }
  // Blender boots while the files come.
  if (auto ready = ensure_process(work); !ready) return ready;
  auto tree = ensure_files(work);
  if (!tree) return tl::make_unexpected(std::move(tree.error()));
  work.phase = TaskPhase::rendering;
  const auto began = Clock::now();
  if (task.options.max_run_s != 0) work.until = began + std::chrono::seconds(task.options.max_run_s);
  if (auto ready = ensure_ready(work); !ready) return ready;
  if (auto open = ensure_scene(work, *tree); !open) return open;
  for (std::size_t i = 0; i < task.frames.size(); ++i) {
    if (cancelled()) return tl::make_unexpected(Stop{true, {}});
    if (auto done = render_frame(work, task.frames.at(i)); !done) return done;
  }
  if (auto synced = sync_folders(work); !synced) return synced;
  scene_->frame_s = work.estimate.typical_s();
  if (scene_->first_task_mib == 0) scene_->first_task_mib = resident_->memory_mib();
  work.outcome.folder = work.frames;
  work.outcome.report.seconds = seconds_since(began);
  return {};
}

// ---- its steps
// ----------------------------------------------------------------------------------------------

Slot::Step<void> Slot::ensure_process(Work& work) {
  const auto& task = work.task;
  if (resident_ && !resident_->alive()) end_process();
  if (resident_) {
    const bool other_scene = scene_ && scene_->manifest != task.manifest;
    const auto limit = config_.max_renderer_mib != 0 ? config_.max_renderer_mib : default_limit_mib();
    // Scripts of one job may have left anything behind: another job gets a fresh process.
    const bool distrusted =
        resident_autoexec_ != task.options.autoexec || (resident_autoexec_ && other_scene);
    if (distrusted || (other_scene && resident_->memory_mib() > limit)) end_process();
  }
  if (resident_) return {};

  const Launch launch{.blender = config_.blender,
                      .script = folder() / "kiln_resident.py",
                      .tmp = folder() / "tmp",
                      .threads = config_.threads_per_slot,
                      .autoexec = task.options.autoexec};
  std::error_code error;
  fs::remove_all(launch.tmp, error);
  auto prepared = runtime::make_folders(launch.tmp);
  if (prepared) prepared = runtime::write_file_atomically(launch.script, resident_script);
  if (!prepared) return tl::make_unexpected(stopped_by(prepared.error(), "preparing Blender's folder"));
  auto started = Resident::start(launch);
  if (!started) return tl::make_unexpected(Stop{false, missing_renderer(started.error(), config_.blender)});
  resident_ = std::move(*started);
  resident_autoexec_ = task.options.autoexec;
  note_scene();
  return {};
}

Slot::Step<void> Slot::ensure_ready(Work& work) {
  if (version_) return {};
  work.doing = "starting";
  const auto ready = ask(work, std::nullopt);
  if (!ready) return tl::make_unexpected(ready.error());
  version_ = parse_version("Blender " + text_of(*ready, "version"));
  if (!version_) {
    end_process();
    return tl::make_unexpected(
        Stop{false,
             {"renderer-missing", fmt::format("{} is no Blender that Kiln knows", config_.blender),
              FailureScope::attempt}});
  }
  work.log.add(fmt::format("Blender {} is ready", version_->str()));
  return {};
}

Slot::Step<JobTree> Slot::ensure_files(Work& work) {
  const auto& task = work.task;
  if (scene_ && scene_->manifest == task.manifest) return scene_->tree;
  // Not held on to while others are fetched: a cache with a tight bound must be able to let them go.
  scene_.reset();
  note_scene();
  auto tree = config_.fetch(task.manifest, [this] { return cancelled(); });
  if (cancelled()) return tl::make_unexpected(Stop{true, {}});
  if (tree) return std::move(*tree);
  const auto& error = tree.error();
  if (error.code == Code::full) return tl::make_unexpected(stopped_by(error, "fetching the job's files"));
  const bool gone = error.code == Code::not_found;
  return tl::make_unexpected(
      Stop{false,
           {gone ? "missing-file" : "fetch-failed", "while fetching the job's files: " + error.message,
            gone ? FailureScope::job : FailureScope::attempt}});
}

Slot::Step<void> Slot::ensure_scene(Work& work, const JobTree& tree) {
  const auto& task = work.task;
  auto& warnings = work.outcome.report.warnings;
  if (scene_ && scene_->manifest == task.manifest && opens_alike(scene_->options, task.options)) {
    warnings = scene_->warnings;
    work.estimate = Estimate(task.frames.size(), scene_->frame_s);
    return {};
  }
  scene_.reset();
  const auto path = tree.root / task.options.scene_file;
  if (!payloads::is_safe_path(task.options.scene_file)) {
    return tl::make_unexpected(
        Stop{false,
             {"missing-scene",
              fmt::format("'{}' is no path of a scene in the job's files", task.options.scene_file),
              FailureScope::job}});
  }
  auto checked = check_scene(path, *version_);
  if (checked.failure) return tl::make_unexpected(Stop{false, std::move(*checked.failure)});

  Json mappings{Json::Array{}};
  for (const auto& one : tree.mappings) {
    mappings.push(Json::object({{"from", one.from}, {"to", (tree.root / one.to).string()}}));
  }
  work.doing = "opening " + task.options.scene_file;
  work.log.add(work.doing);
  const auto opened = ask(work, Json::object({{"command", "open"},
                                              {"path", path.string()},
                                              {"mappings", std::move(mappings)},
                                              {"autoexec", task.options.autoexec},
                                              {"format", task.options.format},
                                              {"device", to_string(task.options.device)},
                                              {"keep_data", config_.keep_scene_data}}));
  if (!opened) return tl::make_unexpected(opened.error());
  work.log.add(fmt::format("scene '{}': {}, {:.0f}x{:.0f}, {}, frames {:.0f}-{:.0f}",
                           text_of(*opened, "scene"), text_of(*opened, "engine"), number_of(*opened, "width"),
                           number_of(*opened, "height"), text_of(*opened, "format"),
                           number_of(*opened, "first"), number_of(*opened, "last")));
  Scene scene;
  scene.manifest = task.manifest;
  scene.options = task.options;
  scene.tree = tree;
  add_warning(scene.warnings, checked.warning);
  take_warnings(scene.warnings, *opened);
  for (const auto& warning : scene.warnings) work.log.add("warning: " + warning);
  warnings = scene.warnings;
  scene_ = std::move(scene);
  note_scene();
  return {};
}

Slot::Step<void> Slot::render_frame(Work& work, std::int32_t frame) {
  const auto empty =
      folder() / "frame";  // holds this frame alone, so that what is found there is of this frame
  std::error_code error;
  fs::remove_all(empty, error);
  if (auto made = runtime::make_folders(empty); !made) {
    return tl::make_unexpected(stopped_by(made.error(), "making the frame's folder"));
  }
  work.doing = fmt::format("rendering frame {}", frame);
  work.frame = frame;
  work.frame_began = Clock::now();
  work.estimate.begin_frame();
  tell_progress(work, true);

  auto rendered =
      ask(work, Json::object({{"command", "render"}, {"frame", frame}, {"folder", empty.string()}}));
  if (!rendered) return tl::make_unexpected(std::move(rendered.error()));
  take_warnings(work.outcome.report.warnings, *rendered);
  const auto seconds = number_of(*rendered, "seconds");
  for (const auto& file : array_of(*rendered, "files")) {
    if (auto accepted = accept_file(work, file, seconds); !accepted) return accepted;
  }
  work.estimate.end_frame(seconds_since(work.frame_began));
  work.frame_began = Clock::now();
  tell_progress(work, true);
  return {};
}

Slot::Step<void> Slot::accept_file(Work& work, const Json& file, double seconds) {
  ResultFile result;
  result.frame = work.frame;
  result.path = text_of(file, "path");
  result.seconds = seconds;
  const auto invalid = [&](const std::string& why) {
    return tl::make_unexpected(
        stopped_by(Error{Code::invalid, why}, fmt::format("frame {}: {}", work.frame, result.path)));
  };
  if (!payloads::is_safe_path(result.path)) return invalid("no path that a result can have");
  const auto written = folder() / "frame" / result.path;
  // A pass may well be black: only the picture itself is looked at.
  const auto* is_main = file.find("main");
  const bool looks = is_main != nullptr && *is_main == Json(true);
  const auto picture = check_picture_file(written, looks);
  if (!picture) return invalid(picture.error().message);
  result.blank = picture->blank;
  result.width = static_cast<std::uint32_t>(number_of(file, "width"));
  result.height = static_cast<std::uint32_t>(number_of(file, "height"));
  if (picture->width != 0) {
    const bool same = picture->width == result.width && picture->height == result.height;
    if (result.width != 0 && !same) {
      return invalid(fmt::format("its header says {}x{} pixels, Blender {}x{}", picture->width,
                                 picture->height, result.width, result.height));
    }
    result.width = picture->width;
    result.height = picture->height;
  }

  const auto kept = work.frames / result.path;
  auto stored = runtime::fsync_file(written);
  if (stored) stored = runtime::make_folders(kept.parent_path());
  if (!stored) return tl::make_unexpected(stopped_by(stored.error(), "storing " + result.path));
  auto digest = runtime::digest_of_file(written);
  if (!digest) return tl::make_unexpected(stopped_by(digest.error(), "reading " + result.path));
  result.digest = std::move(*digest);
  std::error_code error;
  result.size = fs::file_size(written, error);
  if (!error) fs::rename(written, kept, error);
  if (error) {
    return tl::make_unexpected(stopped_by(Error{Code::io, error.message()}, "storing " + result.path));
  }
  // Two frames of one name (a File Output node without a frame number): the newer one, as on disk.
  auto& files = work.outcome.report.files;
  files.erase(
      std::remove_if(files.begin(), files.end(), [&](const auto& one) { return one.path == result.path; }),
      files.end());
  files.push_back(std::move(result));
  return {};
}

Slot::Step<void> Slot::sync_folders(const Work& work) const {
  std::set<fs::path> folders{config_.scratch, work.frames};
  for (const auto& file : work.outcome.report.files) {
    for (auto path = (work.frames / file.path).parent_path(); folders.insert(path).second;)
      path = path.parent_path();
  }
  for (const auto& one : folders) {
    if (auto synced = runtime::fsync_dir(one); !synced) {
      return tl::make_unexpected(stopped_by(synced.error(), "syncing the task's folder"));
    }
  }
  return {};
}

// ---- talking to Blender ---------------------------------------------------------------------------------

Slot::Step<Json> Slot::ask(Work& work, const std::optional<Json>& command) {
  // When Blender is gone the pipe says so, and next() says why.
  if (command) static_cast<void>(resident_->send(*command));
  const Resident::Ear ear{.on_line = [&](std::string_view line) { hear_line(work, line); },
                          .on_tick = [&] { tell_progress(work, false); }};
  const auto stop = [](Stop why) { return tl::make_unexpected(std::move(why)); };
  for (;;) {
    auto next = resident_->next(wake_, {hang_ms(work), work.until}, ear);
    if (auto* answer = std::get_if<Json>(&next)) {
      const auto event = text_of(*answer, "event");
      if (event == "stats") {
        if (const auto share = parse_share(text_of(*answer, "text"))) work.estimate.set_share(*share);
        tell_progress(work, false);
        continue;
      }
      if (event != "failed") return std::move(*answer);
      take_warnings(work.outcome.report.warnings, *answer);
      const bool whole_job = text_of(*answer, "scope") == "job";
      Stop why{false,
               {text_of(*answer, "code"), text_of(*answer, "message"),
                whole_job ? FailureScope::job : FailureScope::attempt}};
      // A truncated picture is how a full disk shows.
      const auto space = runtime::disk_space(config_.scratch);
      if (!whole_job && space && space->free_bytes < mib) {
        why = stopped_by(Error{Code::full, why.failure.message}, work.doing);
      }
      scene_.reset();  // what state it is in after an error nobody knows: open it again
      return stop(std::move(why));
    }
    if (std::holds_alternative<Resident::Woken>(next)) {
      wake_.clear();
      if (!cancelled()) continue;
      end_process();
      return stop({true, {}});
    }
    if (const auto* ended = std::get_if<Resident::Ended>(&next)) {
      auto why = crash(work, ended->status);
      end_process();
      return stop(std::move(why));
    }
    if (const auto* nonsense = std::get_if<Resident::Nonsense>(&next)) {
      end_process();
      return stop({false,
                   {"renderer-crashed",
                    fmt::format("Blender answered nonsense while {}: {}", work.doing, nonsense->why),
                    FailureScope::attempt}});
    }
    end_process();
    if (std::holds_alternative<Resident::Late>(next)) {
      return stop(
          {false,
           {"timeout",
            fmt::format("the task took longer than the {} s that its job allows, and was stopped while {}",
                        work.task.options.max_run_s, work.doing),
            FailureScope::attempt}});
    }
    return stop({false,
                 {"renderer-hung",
                  fmt::format("Blender gave no sign of life for {} s while {}, and was killed",
                              static_cast<double>(hang_ms(work)) / 1000, work.doing),
                  FailureScope::attempt}});
  }
}

std::int64_t Slot::hang_ms(const Work& work) const {
  const std::int64_t stall_s = work.task.options.stall_s;
  return stall_s != 0 ? stall_s * 1000 : config_.hang_ms;
}

void Slot::hear_line(Work& work, std::string_view line) {
  const auto now = Clock::now();
  if (const auto share = parse_share(line)) work.estimate.set_share(*share);
  if (is_status_line(line)) {
    tell_progress(work, false);
    if (now - work.status_at < status_interval) return;
    work.status_at = now;
  } else if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
    work.last_words.emplace_back(to_utf8(line.substr(0, 200)));
    if (work.last_words.size() > max_last_words) work.last_words.erase(work.last_words.begin());
  }
  work.log.add(line);
}

void Slot::tell_progress(Work& work, bool now) {
  const auto at = Clock::now();
  if (!now && at - work.told_at < progress_interval) return;
  work.told_at = at;
  Progress progress{.task = work.task.task,
                    .attempt = work.task.attempt,
                    .phase = work.phase,
                    .frame = work.frame,
                    .eta_s = std::nullopt};
  if (work.frame_began != Clock::time_point{}) {
    const auto estimate = work.estimate.at(seconds_since(work.frame_began));
    progress.percent = estimate.percent;
    progress.eta_s = estimate.eta_s;
  }
  if (config_.on_progress) config_.on_progress(progress);
}

// ---- failures
// -----------------------------------------------------------------------------------------------

Slot::Stop Slot::stopped_by(const Error& error, std::string_view doing) const {
  auto code = error.code;
  if (const auto space = runtime::disk_space(config_.scratch); space && space->free_bytes < mib)
    code = Code::full;
  if (code == Code::full) {
    return {false,
            {"disk-full",
             fmt::format("no space left below {} on this box: free some ({}: {})", config_.scratch.string(),
                         doing, error.message),
             FailureScope::attempt}};
  }
  return {false,
          {code == Code::invalid ? "frame-invalid" : "scratch-unusable",
           fmt::format("{}: {}", doing, error.message), FailureScope::attempt}};
}

Slot::Stop Slot::crash(const Work& work, const runtime::ExitStatus& status) const {
  auto message = fmt::format("Blender ended while {} ({})", work.doing, status.str());
  if (status.signal == SIGKILL) message += ": the kernel does that when memory runs out";
  if (!work.last_words.empty())
    message += fmt::format("; its last words: {}", fmt::join(work.last_words, " / "));
  return {false, {"renderer-crashed", std::move(message), FailureScope::attempt}};
}

bool Slot::outgrown() const {
  // A scene that needs much from its first task on would only be loaded again: growth is what counts.
  const auto limit = config_.max_renderer_mib != 0 ? config_.max_renderer_mib : default_limit_mib();
  const auto memory_mib = resident_->memory_mib();
  if (memory_mib <= limit) return false;
  return !scene_ || memory_mib > scene_->first_task_mib + scene_->first_task_mib / 4;
}

}  // namespace kiln::session
