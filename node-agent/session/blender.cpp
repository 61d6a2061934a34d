#include "session/blender.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <set>
#include <system_error>

#include "base/text.h"
#include "runtime/files.h"
#include "runtime/log.h"
#include "runtime/sha256.h"
#include "session/fields.h"
#include "session/frame_check.h"
#include "session/slot_cage.h"

namespace kiln::session {

namespace fs = std::filesystem;

namespace {

using payloads::Failure;
using payloads::FailureScope;
using payloads::ResultFile;

constexpr std::string_view room = "session";
constexpr std::chrono::milliseconds progress_interval{250};  // of one task
constexpr std::chrono::milliseconds status_interval{2000};   // a status line in the log
constexpr std::size_t max_last_words = 3;
constexpr std::uint64_t mib = 1024UL * 1024;

void add_warning(std::vector<std::string>& warnings, const std::string& text) {
  if (text.empty() || warnings.size() >= payloads::max_warnings) return;
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

Json mappings_of(const JobTree& tree) {
  Json mappings{Json::Array{}};
  for (const auto& one : tree.mappings) {
    mappings.push(Json::object({{"from", one.from}, {"to", (tree.root / one.to).string()}}));
  }
  return mappings;
}

tl::unexpected<Stop> stopped(std::string code, std::string message, FailureScope scope) {
  return tl::make_unexpected(Stop{false, {std::move(code), std::move(message), scope}});
}

}  // namespace

// ---- an order to it -------------------------------------------------------------------------------------

void BlenderWork::warn(const std::string& text) {
  add_warning(warnings, text);
}

std::optional<Estimate::Now> BlenderWork::now() {
  if (frame_began == std::chrono::steady_clock::time_point{}) return std::nullopt;
  return estimate.at(seconds_since(frame_began));
}

Result<runtime::Beneath> output_of(const BlenderWork& work) {
  if (work.confines.empty()) {
    if (auto made = runtime::make_folders(work.output); !made) return fail(std::move(made.error()));
    std::error_code error;
    return runtime::Beneath::open(fs::canonical(work.output, error));
  }
  const auto path = work.output.lexically_normal().lexically_relative(work.confines);
  if (path.empty() || *path.begin() == "..") {
    return fail(Code::invalid,
                fmt::format("the output folder {} is none that a task may write to: those in {} are",
                            work.output.string(), work.confines.string()));
  }
  auto open = runtime::Beneath::open(work.confines);
  if (!open) return fail(std::move(open.error()));
  return open->make_folders(path);
}

std::string identity_of(const fs::path& scene) {
  struct stat info {};
  if (::stat(scene.c_str(), &info) != 0) return "absent";
  return fmt::format("file:{}:{}:{}:{}.{}:{}", info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec,
                     info.st_mtim.tv_nsec, scene.native());
}

Blender::Config Blender::completed(Config config) {
  if (config.program_folder.empty()) config.program_folder = config.folder;
  if (config.staging.empty()) config.staging = config.folder / "staging";
  return config;
}

// ---- its process ----------------------------------------------------------------------------------------

const std::string& Blender::identity() const {
  static const std::string none;
  return scene_ ? scene_->identity : none;
}

std::optional<JobTree> Blender::tree_of(const std::string& identity) const {
  if (!scene_ || scene_->identity != identity) return std::nullopt;
  return scene_->tree;
}

void Blender::changed() const {
  if (config_.on_change) config_.on_change();
}

void Blender::forget_scene() {
  scene_.reset();
  changed();
}

void Blender::end_if_distrusted(const std::string& identity) {
  if (resident_ && autoexec_ && (!scene_ || scene_->identity != identity)) end();
}

void Blender::end() {
  resident_.reset();
  if (cage_) {
    cage_.reset();
    // It may be what fills the disk.
    std::error_code ignored;
    for (const auto* one : {"tmp", "frame"}) fs::remove_all(config_.folder / one, ignored);
  }
  version_.reset();
  scene_.reset();
  changed();
}

void Blender::watch(const runtime::EventFd& wake, std::chrono::milliseconds time) {
  if (!resident_) {
    static_cast<void>(wake.wait(time));
    return;
  }
  Resident::Patience patience;
  if (time.count() >= 0) patience.until = Clock::now() + time;
  const auto next = resident_->next({wake.fd(), -1}, patience, {});
  if (const auto* ended = std::get_if<Resident::Ended>(&next)) {
    log::warn(room, "the idle Blender in {} ended ({}); the next task starts another",
              config_.folder.string(), ended->status.str());
    end();
  }
}

std::uint64_t Blender::limit_mib() const {
  return config_.max_mib != 0 ? config_.max_mib : default_limit_mib();
}

void Blender::check_growth() {
  if (!resident_) return;
  // A scene that needs much from its first task on would only be loaded again: growth is what counts.
  const auto memory_mib = resident_->memory_mib();
  if (memory_mib <= limit_mib()) return;
  if (scene_ && memory_mib <= scene_->first_task_mib + scene_->first_task_mib / 4) return;
  log::info(room, "Blender in {} holds {} MiB: starting another", config_.folder.string(), memory_mib);
  end();
}

void Blender::note_end(const BlenderWork& work) {
  if (!scene_) return;
  scene_->frame_s = work.estimate.typical_s();
  if (scene_->first_task_mib == 0) scene_->first_task_mib = resident_->memory_mib();
}

Step<void> Blender::ensure_process(BlenderWork& work) {
  const bool autoexec = work.options.autoexec;
  if (resident_ && !resident_->alive()) end();
  if (resident_) {
    const bool other_scene = scene_ && scene_->identity != work.identity;
    // Scripts of one job may have left anything behind: another job gets a fresh process.
    const bool distrusted = autoexec_ != autoexec || (autoexec_ && other_scene);
    if (distrusted || (other_scene && resident_->memory_mib() > limit_mib())) end();
  }
  if (resident_) return {};

  Launch launch{.blender = config_.program,
                .script = config_.program_folder / "kiln_resident.py",
                .tmp = config_.folder / "tmp",
                .threads = config_.threads,
                .autoexec = autoexec,
                .environment = config_.environment};
  // Whatever the one before left there.
  std::error_code error;
  for (const auto& one : {launch.tmp, config_.folder / "frame"}) fs::remove_all(one, error);
  auto prepared = runtime::make_folders(launch.tmp);
  for (const auto& one : {config_.program_folder, config_.staging}) {
    if (prepared) prepared = runtime::make_folders(one);
  }
  if (prepared) prepared = runtime::write_file_atomically(launch.script, resident_script);
  if (!prepared) return tl::make_unexpected(stop(prepared.error(), "preparing Blender's folder"));
  if (config_.open_cage) {
    auto cage = config_.open_cage();
    if (!cage) return tl::make_unexpected(no_cage(cage.error()));
    cage_ = std::move(*cage);
    launch.cage = cage_.get();
  }
  auto started = Resident::start(launch);
  if (!started) return tl::make_unexpected(Stop{false, missing_renderer(started.error(), config_.program)});
  resident_ = std::move(*started);
  autoexec_ = autoexec;
  changed();
  return {};
}

Step<void> Blender::ensure_ready(BlenderWork& work) {
  if (version_) return {};
  work.doing = "starting";
  const auto ready = ask(work, std::nullopt);
  if (!ready) return tl::make_unexpected(ready.error());
  version_ = parse_version("Blender " + text_of(*ready, "version"));
  if (!version_) {
    end();
    return stopped("renderer-missing", fmt::format("{} is no Blender that Kiln knows", config_.program),
                   FailureScope::attempt);
  }
  work.on_line(fmt::format("Blender {} is ready", version_->str()));
  return {};
}

// ---- scenes and frames ----------------------------------------------------------------------------------

Step<void> Blender::ensure_scene(BlenderWork& work) {
  if (auto ready = ensure_ready(work); !ready) return ready;
  const auto& options = work.options;
  if (scene_ && scene_->identity == work.identity && opens_alike(scene_->options, options)) {
    for (const auto& one : scene_->warnings) work.warn(one);
    work.estimate = Estimate(work.frames, scene_->frame_s);
    return {};
  }
  scene_.reset();
  work.estimate = Estimate(work.frames, std::nullopt);
  if (!payloads::is_safe_path(options.scene_file)) {
    return stopped("missing-scene",
                   fmt::format("'{}' is no path of a scene in the job's files", options.scene_file),
                   FailureScope::job);
  }
  const auto path = work.tree.root / options.scene_file;
  auto checked = check_scene(path, *version_);
  if (checked.failure) return tl::make_unexpected(Stop{false, std::move(*checked.failure)});

  work.doing = "opening " + options.scene_file;
  work.on_line(work.doing);
  const auto opened = ask(work, Json::object({{"command", "open"},
                                              {"path", path.string()},
                                              {"mappings", mappings_of(work.tree)},
                                              {"autoexec", options.autoexec},
                                              {"format", options.format},
                                              {"device", to_string(options.device)},
                                              {"keep_data", config_.keep_scene_data}}));
  if (!opened) return tl::make_unexpected(opened.error());
  work.on_line(fmt::format("scene '{}': {}, {:.0f}x{:.0f}, {}, frames {:.0f}-{:.0f}",
                           text_of(*opened, "scene"), text_of(*opened, "engine"), number_of(*opened, "width"),
                           number_of(*opened, "height"), text_of(*opened, "format"),
                           number_of(*opened, "first"), number_of(*opened, "last")));
  Scene scene;
  scene.identity = work.identity;
  scene.options = options;
  scene.tree = work.tree;
  add_warning(scene.warnings, checked.warning);
  take_warnings(scene.warnings, *opened);
  for (const auto& warning : scene.warnings) {
    work.on_line("warning: " + warning);
    work.warn(warning);
  }
  scene_ = std::move(scene);
  changed();
  return {};
}

Step<void> Blender::render_frame(BlenderWork& work, std::int32_t frame) {
  // Holds this frame alone, so that what is found there is of this frame.
  const auto empty = config_.folder / "frame";
  std::error_code error;
  fs::remove_all(empty, error);
  // Not one that is there by now: it may be a link.
  if (::mkdir(empty.c_str(), 0755) != 0)
    return tl::make_unexpected(
        stop(runtime::os_error(errno, "making a folder"), "making the frame's folder"));
  work.doing = fmt::format("rendering frame {}", frame);
  work.frame = frame;
  work.frame_began = Clock::now();
  work.estimate.begin_frame();
  tell_progress(work, true);

  auto command = Json::object({{"command", "render"}, {"frame", frame}, {"folder", empty.string()}});
  if (work.settings != Json(Json::Object{})) command.set("settings", work.settings);
  auto rendered = ask(work, command);
  if (!rendered) return tl::make_unexpected(std::move(rendered.error()));
  take_warnings(work.warnings, *rendered);
  const auto seconds = number_of(*rendered, "seconds");
  for (const auto& file : array_of(*rendered, "files")) {
    if (auto accepted = accept_file(work, file, seconds); !accepted) return accepted;
  }
  work.estimate.end_frame(seconds_since(work.frame_began));
  work.frame_began = Clock::now();
  tell_progress(work, true);
  return {};
}

Step<void> Blender::accept_file(BlenderWork& work, const Json& file, double seconds) {
  ResultFile result;
  result.frame = work.frame;
  result.path = text_of(file, "path");
  result.seconds = seconds;
  const auto invalid = [&](const std::string& why) {
    return tl::make_unexpected(
        stop(Error{Code::invalid, why}, fmt::format("frame {}: {}", work.frame, result.path)));
  };
  if (!payloads::is_safe_path(result.path)) return invalid("no path that a result can have");
  // Out of reach of the scene's scripts before it is looked at.
  const auto name = "file" + fs::path(result.path).extension().native();  // which says what it should be
  const auto written = config_.staging / name;
  const auto taken = [&]() -> Status {
    auto frame = runtime::Beneath::open(config_.folder / "frame");
    if (!frame) return fail(std::move(frame.error()));
    auto staging = runtime::Beneath::open(config_.staging);
    if (!staging) return fail(std::move(staging.error()));
    return frame->move_file(result.path, *staging, name);
  }();
  if (!taken) {
    return tl::make_unexpected(stop(taken.error(), fmt::format("frame {}: {}", work.frame, result.path)));
  }
  // A pass may well be black: only the picture itself is looked at.
  const auto* is_main = file.find("main");
  const bool looks = is_main != nullptr && *is_main == Json(true) && work.looks_for_blank;
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

  if (auto stored = runtime::fsync_file(written); !stored)
    return tl::make_unexpected(stop(stored.error(), "storing " + result.path));
  auto digest = runtime::digest_of_file(written);
  if (!digest) return tl::make_unexpected(stop(digest.error(), "reading " + result.path));
  result.digest = std::move(*digest);
  std::error_code error;
  result.size = fs::file_size(written, error);
  if (error) return tl::make_unexpected(stop(Error{Code::io, error.message()}, "storing " + result.path));
  if (auto kept = keep_file(work, result); !kept) return kept;
  // Two frames of one name (a File Output node without a frame number): the newer one, as on disk.
  auto& files = work.files;
  files.erase(
      std::remove_if(files.begin(), files.end(), [&](const auto& one) { return one.path == result.path; }),
      files.end());
  files.push_back(std::move(result));
  return {};
}

Step<void> Blender::keep_file(BlenderWork& work, const ResultFile& file) const {
  const auto kept = [&]() -> Status {
    auto output = output_of(work);
    if (!output) return fail(std::move(output.error()));
    const fs::path path = file.path;
    auto folder = output->make_folders(path.parent_path());
    if (!folder) return fail(std::move(folder.error()));
    auto staging = runtime::Beneath::open(config_.staging);
    if (!staging) return fail(std::move(staging.error()));
    return staging->move_file("file" + path.extension().native(), *folder, path.filename());
  }();
  if (kept) return {};
  return tl::make_unexpected(stop(kept.error(), "storing " + file.path));
}

Step<void> Blender::sync(BlenderWork& work) const {
  std::set<fs::path> folders{work.output.parent_path(), work.output};
  for (const auto& file : work.files) {
    for (auto path = (work.output / file.path).parent_path(); folders.insert(path).second;)
      path = path.parent_path();
  }
  for (const auto& one : folders) {
    if (auto synced = runtime::fsync_dir(one); !synced)
      return tl::make_unexpected(stop(synced.error(), "syncing the task's folder"));
  }
  return {};
}

Step<void> Blender::run_script(BlenderWork& work, const fs::path& script,
                               const std::vector<std::string>& arguments, const std::string& frames) {
  if (auto ready = ensure_ready(work); !ready) return ready;
  Json list{Json::Array{}};
  for (const auto& one : arguments) list.push(one);
  work.doing = fmt::format("running {}", script.filename().string());
  tell_progress(work, true);
  auto done = ask(work, Json::object({{"command", "script"},
                                      {"path", script.string()},
                                      {"arguments", std::move(list)},
                                      {"frames", frames},
                                      {"folder", work.output.string()},
                                      {"with_scene", scene_.has_value()},
                                      {"settings", work.settings}}));
  if (!done) return tl::make_unexpected(std::move(done.error()));
  take_warnings(work.warnings, *done);
  return {};
}

// ---- talking to Blender ---------------------------------------------------------------------------------

Step<Json> Blender::ask(BlenderWork& work, const std::optional<Json>& command) {
  // When Blender is gone the pipe says so, and next() says why.
  if (command) static_cast<void>(resident_->send(*command));
  const Resident::Ear ear{.on_line = [&](std::string_view line) { hear_line(work, line); },
                          .on_tick = [&] { tell_progress(work, false); }};
  const auto stop_by = [](Stop why) { return tl::make_unexpected(std::move(why)); };
  for (;;) {
    auto next = resident_->next(work.wakes, {hang_ms(work), work.until}, ear);
    if (auto* answer = std::get_if<Json>(&next)) {
      const auto event = text_of(*answer, "event");
      if (event == "stats") {
        if (const auto share = parse_share(text_of(*answer, "text"))) work.estimate.set_share(*share);
        tell_progress(work, false);
        continue;
      }
      if (event != "failed") return std::move(*answer);
      take_warnings(work.warnings, *answer);
      const bool whole_job = text_of(*answer, "scope") == "job";
      Stop why{false,
               {text_of(*answer, "code"), text_of(*answer, "message"),
                whole_job ? FailureScope::job : FailureScope::attempt}};
      // A truncated picture is how a full disk shows.
      const auto space = runtime::disk_space(config_.scratch);
      if (!whole_job && space && space->free_bytes < mib) {
        why = stop(Error{Code::full, why.failure.message}, work.doing);
      }
      scene_.reset();  // what state it is in after an error nobody knows: open it again
      return stop_by(std::move(why));
    }
    if (std::holds_alternative<Resident::Woken>(next)) {
      if (!work.cancelled()) continue;
      end();
      return stop_by({true, {}});
    }
    if (const auto* ended = std::get_if<Resident::Ended>(&next)) {
      auto why = crash(work, ended->status);
      end();
      return stop_by(std::move(why));
    }
    if (const auto* nonsense = std::get_if<Resident::Nonsense>(&next)) {
      end();
      return stop_by({false,
                      {"renderer-crashed",
                       fmt::format("Blender answered nonsense while {}: {}", work.doing, nonsense->why),
                       FailureScope::attempt}});
    }
    end();
    if (std::holds_alternative<Resident::Late>(next)) {
      return stop_by(
          {false,
           {"timeout",
            fmt::format("the task took longer than the {} s that its job allows, and was stopped while {}",
                        work.options.max_run_s, work.doing),
            FailureScope::attempt}});
    }
    return stop_by({false,
                    {"renderer-hung",
                     fmt::format("Blender gave no sign of life for {} s while {}, and was killed",
                                 static_cast<double>(hang_ms(work)) / 1000, work.doing),
                     FailureScope::attempt}});
  }
}

std::int64_t Blender::hang_ms(const BlenderWork& work) const {
  return work.hang_ms >= 0 ? work.hang_ms : config_.hang_ms;
}

void Blender::hear_line(BlenderWork& work, std::string_view line) {
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
  work.on_line(line);
}

void Blender::tell_progress(BlenderWork& work, bool now) {
  const auto at = Clock::now();
  if (!now && at - work.told_at < progress_interval) return;
  work.told_at = at;
  if (work.on_progress) work.on_progress();
}

// ---- failures -------------------------------------------------------------------------------------------

Stop Blender::stop(const Error& error, std::string_view doing) const {
  return stopped_by(error, doing, config_.scratch);
}

Stop Blender::crash(const BlenderWork& work, const runtime::ExitStatus& status) const {
  if (auto trouble = cage_ ? cage_->trouble() : std::string(); !trouble.empty()) {
    return {false,
            {"over-bounds", fmt::format("Blender was ended while {}: {}", work.doing, trouble),
             FailureScope::attempt}};
  }
  auto message = fmt::format("Blender ended while {} ({})", work.doing, status.str());
  if (status.signal == SIGKILL) message += ": the kernel does that when memory runs out";
  if (!work.last_words.empty())
    message += fmt::format("; its last words: {}", fmt::join(work.last_words, " / "));
  return {false, {"renderer-crashed", std::move(message), FailureScope::attempt}};
}

}  // namespace kiln::session
