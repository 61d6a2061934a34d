// One slot: a thread, at most one task at a time, and the Blender that it keeps open between tasks.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tl/expected.hpp>
#include <vector>

#include "payloads/messages.h"
#include "runtime/event_fd.h"
#include "session/log_ring.h"
#include "session/progress.h"
#include "session/resident.h"
#include "session/runner.h"
#include "session/scene_check.h"

namespace kiln::session {

class Slot {
 public:
  // config outlives the slot.
  Slot(const Config& config, int number);
  ~Slot();  // kills its Blender

  void start(const payloads::RunTask& task);
  // False when that attempt is not here.
  bool cancel(const TaskId& task, std::uint32_t attempt);
  [[nodiscard]] std::string warm() const;
  [[nodiscard]] pid_t renderer() const;

 private:
  // Why a task goes no further.
  struct Stop {
    bool cancelled = false;
    payloads::Failure failure;
  };
  template <class T>
  using Step = tl::expected<T, Stop>;
  using Clock = std::chrono::steady_clock;

  // What is open in the resident.
  struct Scene {
    std::string manifest;
    payloads::RenderOptions options;
    JobTree tree;
    std::vector<std::string> warnings;  // of opening it: they hold for every frame
    std::optional<double> frame_s;      // what a frame takes
    std::uint64_t first_task_mib = 0;   // memory after its first task; 0: none yet
  };
  // The task in work, as its thread sees it.
  struct Work {
    const payloads::RunTask& task;
    Outcome outcome;
    Estimate estimate;
    LogRing log;
    std::string doing;  // for a crash's message: "rendering frame 7"
    payloads::TaskPhase phase = payloads::TaskPhase::fetching;
    std::int32_t frame = 0;
    std::vector<std::string> last_words;
    std::optional<Clock::time_point> until = {};  // max_run_s
    Clock::time_point frame_began{};
    Clock::time_point told_at{};    // progress
    Clock::time_point status_at{};  // a status line in the log
    std::filesystem::path frames;   // this attempt's finished files
  };

  void live();
  std::optional<payloads::RunTask> wait_for_task();
  bool cancelled();
  Outcome run(const payloads::RunTask& task);
  Step<void> attempt(Work& work);
  Step<void> ensure_process(Work& work);
  Step<void> ensure_ready(Work& work);
  Step<JobTree> ensure_files(Work& work);
  Step<void> ensure_scene(Work& work, const JobTree& tree);
  Step<void> render_frame(Work& work, std::int32_t frame);
  Step<void> accept_file(Work& work, const Json& file, double seconds);
  [[nodiscard]] std::int64_t hang_ms(const Work& work) const;
  Step<void> sync_folders(const Work& work) const;
  // Sends the command and waits for its answer; told and logged meanwhile.
  Step<Json> ask(Work& work, const std::optional<Json>& command);
  void hear_line(Work& work, std::string_view line);
  void tell_progress(Work& work, bool now);
  [[nodiscard]] Stop stopped_by(const Error& error, std::string_view doing) const;
  [[nodiscard]] Stop crash(const Work& work, const runtime::ExitStatus& status) const;
  [[nodiscard]] bool outgrown() const;
  [[nodiscard]] std::filesystem::path folder() const;
  void end_process();
  void note_scene();

  const Config& config_;
  const int number_;
  runtime::EventFd wake_;

  mutable std::mutex mutex_;  // guards what follows, up to the thread's own
  std::optional<payloads::RunTask> next_;
  std::optional<std::pair<TaskId, std::uint32_t>> held_;
  bool cancel_ = false;
  bool stopping_ = false;
  std::string warm_;
  pid_t renderer_ = 0;

  // The thread's own.
  std::optional<Resident> resident_;
  std::optional<BlenderVersion> version_;  // of the resident, once it is ready
  bool resident_autoexec_ = false;
  std::optional<Scene> scene_;

  std::thread thread_;
};

}  // namespace kiln::session
