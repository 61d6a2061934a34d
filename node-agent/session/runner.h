// Runs tasks on slots. Each slot keeps a resident renderer; each running task has a thread that reads top to
// bottom: fetch, open, render, check, hand over. Knows nothing of MQTT or of the planner.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "cage/plan.h"
#include "payloads/http_bodies.h"
#include "payloads/messages.h"

namespace kiln::session {

// A job's files on this box, complete and verified, as a tree that a renderer can open. Released (and then
// evictable) when the last copy of `hold` goes.
struct JobTree {
  std::filesystem::path root;
  std::vector<payloads::PathMapping> mappings;
  std::shared_ptr<const void> hold;
};

// What earlier steps of a job made for one of its tasks, as a tree like the above.
struct InputTree {
  payloads::Manifest manifest;
  JobTree tree;
};

// Told from the task's thread as things happen.
struct Progress {
  TaskId task;
  std::uint32_t attempt = 0;
  payloads::TaskPhase phase = payloads::TaskPhase::fetching;
  std::int32_t frame = 0;
  double percent = 0;  // of the whole task
  std::optional<double> eta_s;
};

// How an attempt ended on this box. When report.ok its files lie in `folder` under their result paths,
// written, checked and synced; the receiver owns the folder; "" when there are no files. report.node is left
// empty: the receiver knows it. `log` is the renderer's output, bounded.
struct Outcome {
  TaskId task;
  std::uint32_t attempt = 0;
  bool cancelled = false;  // by cancel(): nothing to report
  payloads::ResultReport report;
  std::filesystem::path folder;
  std::string log;
};

// What the box is, for cages.
struct CageConfig {
  cage::Settings settings;
  std::filesystem::path data;    // the agent's: nothing of it is in a cage but the slot's own
  std::uint64_t memory_mib = 0;  // of the box
  std::uint32_t cores = 1;
  std::vector<std::filesystem::path> programs;  // what tasks run that is not of the system: Blender's folder
  std::vector<std::vector<std::filesystem::path>> slot_devices = {};  // of each slot's GPU
  std::filesystem::path service = {};                                 // see cage::Plan
  std::filesystem::path bwrap = "bwrap";
};

struct Config {
  std::filesystem::path scratch;    // task folders live here; emptied at construction
  std::string blender = "blender";  // program, looked up in PATH
  std::uint32_t slots = 1;
  std::uint32_t threads_per_slot = 0;  // 0: the renderer's own choice
  // A resident that grew beyond is recycled. 0: a quarter of the memory, at least 2 GiB.
  std::uint64_t max_renderer_mib = 0;
  std::int64_t hang_ms = 600'000;  // a renderer silent this long is killed
  bool keep_scene_data = true;     // between frames (use_persistent_data), where no pixel changes by it
  // Fetches the files of a manifest, or takes them from the cache. Called on task threads and on the prefetch
  // thread; stops early when `cancelled` turns true.
  std::function<Result<JobTree>(const std::string& manifest, const std::function<bool()>& cancelled)> fetch;
  // Likewise, for tasks of templates: the bytes of a blob, and what earlier steps made for the task. Without
  // them (or where they fail) such a task fails.
  std::function<Result<std::string>(const std::string& digest, const std::function<bool()>& cancelled)>
      fetch_blob = {};
  std::function<Result<InputTree>(const TaskId& task, const std::function<bool()>& cancelled)> fetch_inputs =
      {};
  std::function<void(const Progress&)> on_progress;  // from any thread; must not block
  std::function<void(Outcome)> on_outcome;           // from any thread; must not block for long
  // Which GPU a slot's programs see (CUDA_VISIBLE_DEVICES and its like): index = slot; fewer: no variables.
  std::vector<std::vector<std::pair<std::string, std::string>>> slot_environment = {};
  std::filesystem::path kiln_resident = {};  // the program that templates call; "": not offered to them
  std::int64_t session_idle_ms = 15'000;     // a template's session without a task is left after this long
  std::optional<CageConfig> cage = {};       // absent: tasks run as this process does
};

class Runner {
 public:
  explicit Runner(Config config);
  ~Runner();  // kills every renderer and joins every thread; nothing is told of the tasks that were running

  // The renderers found on this box with their versions. Starts `blender --version` once; may take seconds.
  [[nodiscard]] static std::vector<payloads::RendererInfo> detect(const std::string& blender);

  // Starts the attempt on that slot; the slot must be free. Never blocks; the end comes by on_outcome.
  void start(const payloads::RunTask& task, int slot);
  // Fetches what a queued task will need while the slot still works on another. Never blocks.
  void prefetch(const payloads::RunTask& task);
  // Kills the attempt wherever it is; its outcome comes with cancelled = true. Unknown attempts are ignored.
  void cancel(const TaskId& task, std::uint32_t attempt);
  // The manifest whose scene is open in each slot's resident, "" for none.
  [[nodiscard]] std::vector<std::string> warm() const;
  // Per slot: the process id of its resident renderer, 0 for none.
  [[nodiscard]] std::vector<int> renderers() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::session
