// Tasks of job templates on one slot: from the job's document and files to a session of Open Job Description
// that stays open while tasks of the same step follow one another, and to the files that a task made.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "actions/path_mapping.h"
#include "actions/session.h"
#include "openjd/create_job.h"
#include "session/blender.h"
#include "session/outputs.h"
#include "session/places.h"
#include "session/render_service.h"
#include "session/runner.h"
#include "session/slot_cage.h"
#include "session/stop.h"
#include "session/task_work.h"

namespace kiln::session {

class TemplateTasks {
 public:
  // All of it outlives this object.
  TemplateTasks(const Config& config, int slot, SlotCage& cage, Blender& blender,
                std::function<bool()> cancelled);
  ~TemplateTasks();  // as close() in a hurry
  TemplateTasks(const TemplateTasks&) = delete;

  // Runs it to its end; outcome.folder and outcome.report are filled in when it succeeds.
  Step<void> run(TaskWork& work);
  // Leaves the session's environments, if there is a session. hurry_ms: in at most this time.
  void close(std::optional<std::int64_t> hurry_ms = {});
  [[nodiscard]] bool is_open() const { return session_ != nullptr; }

  // From any thread: ends the action that runs, and starts no other but onExits.
  void interrupt();

 private:
  // What a session stays open for.
  struct Key {
    JobId job;
    std::string document;
    std::uint32_t step = 0;
    std::string manifest;
    friend bool operator==(const Key&, const Key&) = default;
  };
  static Key key_of(const payloads::RunTask& task);

  Step<void> ensure_job(const TaskWork& work);
  Step<void> ensure_files(const TaskWork& work);
  Step<void> prepare_output(const TaskWork& work);
  Step<void> open(TaskWork& work);
  Step<void> enter(TaskWork& work, const openjd::Environment& environment,
                   const openjd::Extensions& extensions);
  Step<void> act(TaskWork& work);
  Step<void> collect(TaskWork& work);
  Step<void> resolve_places();
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> environment() const;
  Status prepare_folders() const;
  [[nodiscard]] Stop stop_of(const actions::ActionResult& result, std::string code) const;
  void hear(const actions::LogLine& line);
  void hear_progress(double percent);
  [[nodiscard]] std::filesystem::path output() const { return folders_.output(); }
  [[nodiscard]] const openjd::Step& step() const { return job_->steps[key_.step]; }

  const Config& config_;
  const int slot_;
  SlotCage& slot_cage_;
  const SlotFolders& folders_;
  Blender& blender_;
  const std::function<bool()> cancelled_;

  std::string document_;  // of which job_ was made
  std::optional<openjd::Job> job_;
  Key key_;
  JobTree tree_;  // of key_.manifest; root "": none
  actions::PathMapping mapping_;
  std::vector<Place> places_;  // of each of the job's parameters
  Laid laid_;                  // of the task in work
  RenderService::Account rendered_;

  std::unique_ptr<cage::Cage> cage_;  // of the session, if it has one
  std::unique_ptr<RenderService> service_;
  std::mutex mutex_;  // guards the pointer, not what it points to
  std::unique_ptr<actions::Session> session_;
  TaskWork* work_ = nullptr;  // whose log it is, while a task is in work
  std::chrono::steady_clock::time_point began_{};
  std::chrono::steady_clock::time_point told_at_{};
  std::chrono::steady_clock::time_point progress_at_{};
};

}  // namespace kiln::session
