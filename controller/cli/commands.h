// The commands, one source file a group. Each returns the exit code, or an error whose message becomes the
// one line on stderr.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "cli/context.h"

namespace kiln::cli {

// ---- submit.cpp
struct SubmitOptions {
  std::filesystem::path scene;  // empty with noop
  std::string frames;           // "" = the scene's own
  std::string name;
  int priority = 50;
  std::uint32_t chunk = 1;
  std::string format;
  bool autoexec = false;
  bool paused = false;
  bool no_pack = false;
  bool wait = false;
  std::filesystem::path download;         // "" = not
  std::optional<std::uint32_t> retries;   // absent: the farm's
  std::optional<std::uint32_t> fail_pct;  // absent: the farm's
  std::uint32_t max_run_s = 0;
  std::uint32_t stall_s = 0;
  std::string device = "any";
  std::uint32_t noop = 0;  // tasks of a plumbing test instead of a scene
};
Result<Exit> submit(Context& context, const SubmitOptions& options);

// ---- jobs.cpp
Result<Exit> list_jobs(Context& context, const std::string& state, std::uint32_t limit);
Result<Exit> show_job(Context& context, const std::string& job);
// `what`: a task's id, or a job: all of its tasks that are held for a look.
enum class Look { accept, requeue };
Result<Exit> judge(Context& context, const std::string& what, Look look);
enum class JobAction { cancel, pause, resume, retry, erase };
Result<Exit> act_on_job(Context& context, const std::string& job, JobAction action);
Result<Exit> set_priority(Context& context, const std::string& job, int priority);

// ---- nodes.cpp
Result<Exit> list_nodes(Context& context);
Result<Exit> drain_node(Context& context, const std::string& node, bool drained);
Result<Exit> forgive_node(Context& context, const std::string& node);

// ---- watch.cpp
Result<Exit> wait_job(Context& context, const std::string& job);
Result<Exit> watch(Context& context, const std::string& job);  // "" = the farm

// ---- logs.cpp
struct LogOptions {
  std::string job;
  std::optional<std::int32_t> frame;
  std::string task;  // id or index
  bool follow = false;
};
Result<Exit> show_logs(Context& context, const LogOptions& options);

// ---- download.cpp
struct DownloadOptions {
  std::string job;
  std::filesystem::path folder;  // "" = <name>-<number> here
  std::string frames;            // "" = all
};
Result<Exit> download(Context& context, const DownloadOptions& options);

// ---- film.cpp
struct FilmOptions {
  std::string job;
  std::filesystem::path file;
  double fps = 24;
  std::string frames;            // "" = all
  std::filesystem::path folder;  // where the frames are, or go; "" = the cache
};
Result<Exit> make_film(Context& context, const FilmOptions& options);

}  // namespace kiln::cli
