// One slot: a thread, at most one task at a time, and what it keeps open between tasks: a Blender, and the
// session of a template's step.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "payloads/messages.h"
#include "runtime/event_fd.h"
#include "session/blender.h"
#include "session/runner.h"
#include "session/slot_cage.h"
#include "session/stop.h"
#include "session/task_work.h"
#include "session/template_task.h"

namespace kiln::session {

class Slot {
 public:
  // config outlives the slot.
  Slot(const Config& config, int number);
  ~Slot();  // kills its Blender

  void start(const payloads::RunTask& task);
  // False when that attempt is not here.
  bool cancel(const TaskId& task, std::uint32_t attempt);
  // Ends what is at work; the destructor waits for it.
  void stop();
  [[nodiscard]] std::string warm() const;
  [[nodiscard]] pid_t renderer() const;

 private:
  void live();
  std::optional<payloads::RunTask> wait_for_task();
  bool cancelled();
  Outcome run(const payloads::RunTask& task);
  Step<void> attempt(TaskWork& work);
  Step<void> render(TaskWork& work);  // a native task of Blender
  Step<JobTree> ensure_files(const payloads::RunTask& task);
  [[nodiscard]] Blender::Config blender_config();
  [[nodiscard]] std::filesystem::path folder() const;
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
  SlotCage cage_;
  Blender blender_;
  TemplateTasks templates_;

  std::thread thread_;
};

}  // namespace kiln::session
