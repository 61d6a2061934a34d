// The commands, one source file a group. Each returns the exit code, or an error whose message becomes the
// one line on stderr.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/context.h"
#include "payloads/http_bodies.h"

namespace kiln::cli {

// ---- submit.cpp
struct SubmitOptions {
  // The scene alone; with a type or template, files and folders that the job brings along. Empty with noop.
  std::vector<std::filesystem::path> files;
  std::string frames;  // "" = the scene's own
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
  // A job type or a template instead of a plain scene.
  std::string type;
  std::filesystem::path job_template;
  std::vector<std::string> parameters;              // as read_parameters() takes them
  std::vector<std::filesystem::path> environments;  // templates around the job
  std::vector<std::string> frame_by_frame;          // "STEP:ON"
  bool film = false;                                // of a plain scene: a film of its frames at the end
  // Of every job.
  payloads::Production production;
  std::vector<std::string> tags, after, limits;
  std::uint32_t slot_limit = 0, node_limit = 0;
  std::string start;  // as parse_moment() takes it
};
Result<Exit> submit(Context& context, const SubmitOptions& options);

// ---- types.cpp
Result<Exit> list_types(Context& context);
Result<Exit> show_type(Context& context, const std::string& name);

// ---- jobs.cpp
Result<Exit> list_jobs(Context& context, const Client::JobFilter& filter);
Result<Exit> show_job(Context& context, const std::string& job);
// `what`: a task's id, or a job: all of its tasks that are held for a look.
enum class Look { accept, requeue };
Result<Exit> judge(Context& context, const std::string& what, Look look);
enum class JobAction { cancel, pause, resume, retry, erase };
Result<Exit> act_on_job(Context& context, const std::string& job, JobAction action);
Result<Exit> set_priority(Context& context, const std::string& job, int priority);

// ---- steer.cpp
Result<Exit> show_why(Context& context, const std::string& job);
// Without any of its options: held frames, as judge() does.
struct RequeueOptions {
  std::string what;  // a job; without options also a task
  bool only_failed = false;
  bool all = false;  // what has ended; so without --failed, too, when frames or a step are named
  std::string frames;
  std::string step;
};
Result<Exit> requeue(Context& context, const RequeueOptions& options);
// What is absent or empty stays; one empty text in a list takes all away.
struct JobSettings {
  std::optional<int> priority;
  std::optional<std::uint32_t> slot_limit, node_limit;
  std::vector<std::string> tags;
  std::vector<std::string> after;
  std::string start;
};
Result<Exit> set_job(Context& context, const std::string& job, const JobSettings& settings);
struct FarmOptions {
  std::string fair_share;           // "on", "off"; "": as it is
  std::vector<std::string> limits;  // "nuke=4"
};
Result<Exit> farm(Context& context, const FarmOptions& options);

// ---- statistics.cpp
struct StatsOptions {
  std::string job;  // "" = the farm
  std::string step;
  std::uint32_t hours = 24;
};
Result<Exit> show_statistics(Context& context, const StatsOptions& options);
Result<Exit> list_productions(Context& context, const std::string& project, const std::string& sequence);

// ---- nodes.cpp
Result<Exit> show_node(Context& context, const std::string& node);
enum class NodeAction { enable, disable, wake, sleep, reboot, forget };
Result<Exit> act_on_node(Context& context, const std::string& node, NodeAction action);
Result<Exit> tag_node(Context& context, const std::string& node, const std::vector<std::string>& tags);
Result<Exit> schedule_node(Context& context, const std::string& node, const std::vector<std::string>& words);
struct NodeLimits {
  std::string soft_c, hard_c;  // a number, or "farm"; "": as it is
  std::optional<std::uint32_t> sleep_after_min;
};
Result<Exit> limit_node(Context& context, const std::string& node, const NodeLimits& limits);
Result<Exit> list_nodes(Context& context);
Result<Exit> drain_node(Context& context, const std::string& node, bool drained);
Result<Exit> forgive_node(Context& context, const std::string& node);

// ---- enroll.cpp: who may join. A node is named by its id or its fingerprint.
Result<Exit> list_keys(Context& context);
enum class KeyAction { approve, reject, revoke, rotate };
Result<Exit> decide_on_key(Context& context, const std::string& node, KeyAction action);
struct JoinTokenOptions {
  std::string label;
  std::uint32_t uses = 1;
  std::uint32_t days = 7;
};
Result<Exit> make_join_token(Context& context, const JoinTokenOptions& options);
Result<Exit> list_join_tokens(Context& context);
Result<Exit> remove_join_token(Context& context, const std::string& id);
Result<Exit> expect_boxes(Context& context, const std::vector<std::string>& fingerprints);
// Without a fingerprint it only shows the one found there.
Result<Exit> trust_server(Context& context, const std::string& server, const std::string& fingerprint);
Result<Exit> show_viewer(Context& context);  // what a program needs to watch the live tree

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
  bool zip = false;              // as one archive: `folder` is the file's name then
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

// ---- accounts.cpp. Passwords are asked for on the terminal, or read as lines of standard input.
struct LoginOptions {
  std::string name;
  std::string token;  // one that is there already; "": make one with name and password
  std::uint32_t days = 90;
};
Result<Exit> log_in(Context& context, const LoginOptions& options);
Result<Exit> log_out(Context& context);
Result<Exit> who_am_i(Context& context);
struct UserOptions {
  std::string role;
  bool no_password = false;
  bool password = false;  // change it
  bool enable = false, disable = false;
};
Result<Exit> list_users(Context& context);
Result<Exit> add_user(Context& context, const std::string& name, const UserOptions& options);
Result<Exit> set_user(Context& context, const std::string& name, const UserOptions& options);
Result<Exit> remove_user(Context& context, const std::string& name);
struct TokenOptions {
  std::string label, user, role;
  std::optional<std::uint32_t> days;  // 0: never ends; none: the controller's choice
};
Result<Exit> list_tokens(Context& context, const std::string& user);
Result<Exit> add_token(Context& context, const TokenOptions& options);
Result<Exit> remove_token(Context& context, const std::string& id);
struct AuditOptions {
  std::uint32_t limit = 50;
  std::string caller;
};
Result<Exit> show_audit(Context& context, const AuditOptions& options);

}  // namespace kiln::cli
