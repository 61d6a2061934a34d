// A folder of the test's own, gone with it, and rows to put into a store.
#pragma once

#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "base/ids.h"
#include "scheduler/effects.h"

namespace kiln::test {

class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "kiln-test-XXXXXX").string();
    KILN_ASSERT(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// A file system of that size in a folder, for tests of a full disk. false: no right to mount here.
class SmallDisk {
 public:
  SmallDisk(std::filesystem::path folder, const std::string& size) : folder_(std::move(folder)) {
    std::filesystem::create_directories(folder_);
    is_mounted_ = ::mount("tmpfs", folder_.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
  }
  ~SmallDisk() {
    if (is_mounted_) ::umount(folder_.c_str());
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  explicit operator bool() const { return is_mounted_; }

 private:
  std::filesystem::path folder_;
  bool is_mounted_ = false;
};

inline JobId job_id(std::uint64_t number) {
  return make_job_id(number, 0);
}
inline TaskId task_id(std::uint64_t job, std::uint32_t index) {
  return {job_id(job), index};
}
inline NodeId node_id(const std::string& text) {
  return *NodeId::parse(text);
}

// A job of so many frames, one a task.
inline scheduler::JobRow some_job(std::uint64_t number, std::uint32_t frames) {
  scheduler::JobRow job;
  job.id = job_id(number);
  job.number = number;
  job.spec.name = "shot " + std::to_string(number);
  job.spec.renderer = "blender";
  job.spec.frames = *payloads::FrameSet::parse("1-" + std::to_string(frames));
  job.spec.manifest = "sha256:" + std::string(64, 'a');
  job.spec.options = {"scenes/shot.blend", "OPEN_EXR", true};
  job.priority = 70;
  job.user = "ada";
  job.cid = "c-" + std::to_string(number);
  job.counts.queued = frames;
  job.created_ms = 1'700'000'000'000 + static_cast<std::int64_t>(number);
  return job;
}

inline scheduler::StepSpec some_step(const std::string& name, std::uint32_t units, std::uint32_t chunk,
                                     std::uint32_t target_s = 0) {
  scheduler::StepSpec step;
  step.name = name;
  step.units = units;
  step.chunk = chunk;
  step.target_s = target_s;
  step.needs.renderer = "openjd";
  return step;
}

inline scheduler::TaskRow some_task(std::uint64_t job, std::uint32_t index, scheduler::TaskState state) {
  scheduler::TaskRow task;
  task.id = task_id(job, index);
  task.state = state;
  task.attempt = 1;
  task.node = node_id("box-1");
  return task;
}

inline scheduler::AttemptRow some_attempt(std::uint64_t job, std::uint32_t index, std::uint32_t attempt,
                                          scheduler::AttemptState state) {
  scheduler::AttemptRow row;
  row.task = task_id(job, index);
  row.attempt = attempt;
  row.node = node_id("box-1");
  row.state = state;
  row.assigned_ms = 1'700'000'000'500;
  return row;
}

inline scheduler::ResultRow some_result(std::uint64_t job, std::uint32_t index, const std::string& path) {
  scheduler::ResultRow row;
  row.task = task_id(job, index);
  row.attempt = 1;
  row.node = node_id("box-1");
  row.file = {
      static_cast<std::int32_t>(index) + 1, path, "sha256:" + std::string(64, 'b'), 12'345, 1920, 1080, 2.5};
  row.finished_ms = 1'700'000'001'000 + index;
  return row;
}

// Everything that one task's end leaves.
inline std::vector<scheduler::Effect> finish_task(std::uint64_t job, std::uint32_t index) {
  const auto result = some_result(job, index, "frame_" + std::to_string(index) + ".png");
  return {scheduler::SaveTask{some_task(job, index, scheduler::TaskState::done)},
          scheduler::SaveAttempt{some_attempt(job, index, 1, scheduler::AttemptState::done)},
          scheduler::SaveResult{result}, scheduler::AcceptFiles{result.task, 1, {result.file}}};
}

}  // namespace kiln::test
