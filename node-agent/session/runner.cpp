#include "session/runner.h"

#include <fmt/format.h>

#include <chrono>
#include <system_error>
#include <utility>

#include "runtime/files.h"
#include "runtime/log.h"
#include "runtime/process.h"
#include "session/prefetch.h"
#include "session/scene_check.h"
#include "session/slot.h"

namespace kiln::session {

namespace fs = std::filesystem;

struct Runner::State {
  explicit State(Config given) : config(std::move(given)), prefetch(config) {
    for (std::uint32_t i = 0; i < config.slots; ++i) {
      slots.push_back(std::make_unique<Slot>(config, static_cast<int>(i)));
    }
  }
  // All at once: each may have environments to leave.
  ~State() {
    for (const auto& slot : slots) slot->stop();
  }
  const Config config;
  Prefetch prefetch;
  std::vector<std::unique_ptr<Slot>> slots;
};

namespace {

// Left by a run that was cut off. A scratch that cannot be made shows when a task needs it, as that task's
// failure; the box goes on.
Config with_empty_scratch(Config config) {
  std::error_code error;
  for (auto it = fs::directory_iterator(config.scratch, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    std::error_code ignored;
    fs::remove_all(it->path(), ignored);
  }
  if (const auto made = runtime::make_folders(config.scratch); !made) {
    log::error("session", "{}: no task can run until that is right", made.error().message);
  }
  return config;
}

}  // namespace

Runner::Runner(Config config) : state_(std::make_unique<State>(with_empty_scratch(std::move(config)))) {}
Runner::~Runner() = default;

std::vector<payloads::RendererInfo> Runner::detect(const std::string& blender) {
  runtime::CaptureOptions options;
  options.timeout = std::chrono::seconds(60);  // a cold disk; Blender links hundreds of libraries
  const auto captured = runtime::run_capture({blender, "--version"}, options);
  if (!captured) {
    log::warn("session", "no blender: {}", captured.error().message);
    return {};
  }
  const auto version = parse_version(captured->output);
  if (!captured->status.ok() || !version) {
    log::warn("session", "{} --version says no version ({})", blender, captured->status.str());
    return {};
  }
  return {{"blender", version->str()}};
}

void Runner::start(const payloads::RunTask& task, int slot) {
  KILN_ASSERT(slot >= 0 && static_cast<std::size_t>(slot) < state_->slots.size());
  state_->slots[static_cast<std::size_t>(slot)]->start(task);
}

void Runner::prefetch(const payloads::RunTask& task) {
  state_->prefetch.add(task);
}

void Runner::cancel(const TaskId& task, std::uint32_t attempt) {
  state_->prefetch.cancel(task, attempt);
  for (const auto& slot : state_->slots) {
    if (slot->cancel(task, attempt)) return;
  }
}

std::vector<std::string> Runner::warm() const {
  std::vector<std::string> manifests;
  for (const auto& slot : state_->slots) manifests.push_back(slot->warm());
  return manifests;
}

std::vector<int> Runner::renderers() const {
  std::vector<int> pids;
  for (const auto& slot : state_->slots) pids.push_back(slot->renderer());
  return pids;
}

}  // namespace kiln::session
