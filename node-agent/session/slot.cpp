#include "session/slot.h"

#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <system_error>
#include <utility>

#include "base/ids.h"
#include "base/text.h"
#include "runtime/files.h"
#include "runtime/log.h"

namespace kiln::session {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using payloads::FailureScope;
using payloads::TaskPhase;

namespace {

constexpr std::string_view room = "session";
constexpr std::int64_t shutdown_hurry_ms = 1'500;  // systemd waits 15 s for all slots and the rest

}  // namespace

Slot::Slot(const Config& config, int number)
    : config_(config),
      number_(number),
      cage_(config, number, {folder()}),
      blender_(blender_config()),
      templates_(config, number, cage_, blender_, [this] { return cancelled(); }),
      thread_([this] { live(); }) {}

Slot::~Slot() {
  stop();
  thread_.join();
}

Blender::Config Slot::blender_config() {
  Blender::Config blender;
  blender.program = config_.blender;
  blender.folder = cage_.folders().blender();
  blender.program_folder = cage_.folders().program();
  blender.staging = cage_.folders().staging();
  blender.scratch = config_.scratch;
  blender.threads = config_.threads_per_slot;
  blender.max_mib = config_.max_renderer_mib;
  blender.hang_ms = config_.hang_ms;
  blender.keep_scene_data = config_.keep_scene_data;
  blender.environment = cage_.environment();
  if (cage_.is_wanted()) blender.open_cage = [this] { return cage_.open_for_blender(); };
  blender.on_change = [this] { note_scene(); };
  return blender;
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
  templates_.interrupt();
  wake_.set();
  return true;
}

void Slot::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    // A task, while it is held: afterwards the thread puts an idle session's things away, which is not
    // interrupted.
    if (held_) templates_.interrupt();
  }
  wake_.set();
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

// A scene that lies in no job's files is nothing to look for elsewhere.
void Slot::note_scene() {
  auto scene = blender_.identity();
  const auto pid = blender_.pid();
  if (scene.starts_with("file:")) scene.clear();
  const std::lock_guard lock(mutex_);
  warm_ = std::move(scene);
  renderer_ = pid;
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
  templates_.close(shutdown_hurry_ms);
  blender_.end();
}

std::optional<payloads::RunTask> Slot::wait_for_task() {
  const auto idle_since = Clock::now();
  for (;;) {
    wake_.clear();
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return std::nullopt;
      if (next_) return std::exchange(next_, std::nullopt);
    }
    std::chrono::milliseconds patience{-1};
    if (templates_.is_open()) {
      const auto until = idle_since + std::chrono::milliseconds(config_.session_idle_ms);
      patience = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
      if (patience.count() <= 0) {
        templates_.close();
        continue;
      }
    }
    blender_.watch(wake_, patience);
  }
}

Outcome Slot::run(const payloads::RunTask& task) {
  TaskWork work{.task = task,
                .config = config_,
                .outcome = {},
                .log = LogRing(),
                .frames = config_.scratch / fmt::format("{}.{}", task.task.str(), task.attempt),
                .eta_s = std::nullopt};
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
      auto& message = report.failure.message;
      message = clip(to_utf8(message), payloads::max_text_bytes);
      work.log.add(fmt::format("failed ({}): {}", report.failure.code, message));
      log::info(room, "{} attempt {} failed ({}): {}", task.task.str(), task.attempt, report.failure.code,
                message);
    }
  }
  report.ok = done.has_value();
  blender_.check_growth();
  note_scene();
  work.outcome.log = work.log.text();
  return std::move(work.outcome);
}

Step<void> Slot::attempt(TaskWork& work) {
  const auto& task = work.task;
  std::error_code ignored;
  fs::remove_all(work.frames, ignored);
  if (task.renderer != "noop") {
    if (auto ready = ensure_program(work); !ready) return ready;
  }
  if (task.renderer == "openjd") return templates_.run(work);
  // A session's environments may hold what this task needs: a GPU's memory, a licence.
  templates_.close();
  if (task.renderer == "noop") return {};
  if (task.renderer == "blender") return render(work);
  return tl::make_unexpected(
      Stop{false,
           {"renderer-missing",
            fmt::format("this box has no renderer '{}'; it knows blender and openjd", task.renderer),
            FailureScope::attempt}});
}

// ---- a native task
// ------------------------------------------------------------------------------------------

Step<void> Slot::render(TaskWork& work) {
  const auto& task = work.task;
  work.tell();
  if (auto made = runtime::make_folders(work.frames); !made)
    return tl::make_unexpected(stopped_by(made.error(), "making the task's folder", config_.scratch));

  BlenderWork order;
  order.identity = task.manifest;
  order.options = task.options;
  order.frames = task.frames.size();
  order.output = work.frames;
  if (task.options.stall_s != 0) order.hang_ms = std::int64_t{task.options.stall_s} * 1000;
  order.wakes = {wake_.fd(), -1};
  order.cancelled = [this] {
    wake_.clear();
    return cancelled();
  };
  order.on_line = [&work](std::string_view line) { work.log.add(line); };
  order.on_progress = [&work, &order] {
    work.frame = order.frame;
    if (const auto now = order.now()) {
      work.percent = now->percent;
      work.eta_s = now->eta_s;
    }
    work.tell();
  };

  const auto render_all = [&]() -> Step<void> {
    // Blender boots while the files come.
    if (auto ready = blender_.ensure_process(order); !ready) return ready;
    auto tree = ensure_files(task);
    if (!tree) return tl::make_unexpected(std::move(tree.error()));
    order.tree = std::move(*tree);
    work.phase = TaskPhase::rendering;
    const auto began = Clock::now();
    if (task.options.max_run_s != 0) order.until = began + std::chrono::seconds(task.options.max_run_s);
    if (auto open = blender_.ensure_scene(order); !open) return open;
    for (std::size_t i = 0; i < task.frames.size(); ++i) {
      if (cancelled()) return tl::make_unexpected(Stop{true, {}});
      if (auto done = blender_.render_frame(order, task.frames.at(i)); !done) return done;
    }
    if (auto synced = blender_.sync(order); !synced) return synced;
    blender_.note_end(order);
    work.outcome.folder = work.frames;
    work.outcome.report.seconds = std::chrono::duration<double>(Clock::now() - began).count();
    return {};
  };
  auto done = render_all();
  work.outcome.report.files = std::move(order.files);
  work.outcome.report.warnings = std::move(order.warnings);
  return done;
}

// Which Blender this slot has. Another one than before: what is open of that is closed first, so that it can
// go to make room.
Step<void> Slot::ensure_program(TaskWork& work) {
  const auto& bundle = work.task.bundle;
  if (!bundle.name.empty()) work.log.add("renderer " + bundle.name);
  if (blender_.program().identity == bundle.digest) return {};
  templates_.close();
  blender_.use({});
  cage_.show({});
  if (bundle.name.empty()) return {};
  work.tell();
  if (!config_.fetch_renderer) {
    return tl::make_unexpected(Stop{
        false,
        {"renderer-missing", fmt::format("this box fetches no renderers, and the task needs {}", bundle.name),
         FailureScope::attempt}});
  }
  auto program = config_.fetch_renderer(bundle, [this] { return cancelled(); });
  if (cancelled()) return tl::make_unexpected(Stop{true, {}});
  if (!program) return tl::make_unexpected(no_renderer(program.error()));
  cage_.show(program->folder);
  blender_.use(std::move(*program));
  return {};
}

Step<JobTree> Slot::ensure_files(const payloads::RunTask& task) {
  if (auto open = blender_.tree_of(task.manifest)) return std::move(*open);
  // Not held on to while others are fetched: a cache with a tight bound must be able to let them go.
  blender_.forget_scene();
  auto tree = config_.fetch(task.manifest, [this] { return cancelled(); });
  if (cancelled()) return tl::make_unexpected(Stop{true, {}});
  if (tree) {
    auto placed = cage_.place(std::move(*tree));
    if (placed) return std::move(*placed);
    return tl::make_unexpected(stopped_by(placed.error(), "laying out the job's files", config_.scratch));
  }
  return tl::make_unexpected(not_fetched(tree.error(), "fetching the job's files", config_.scratch));
}

}  // namespace kiln::session
