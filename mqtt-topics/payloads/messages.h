// What crosses MQTT, as structs. ../README.md is the reference: who publishes each, when, QoS, retain.
// A decoder reads at most 16 KiB, ignores unknown fields and names the field that is wrong; an encoder's
// text decodes to an equal struct.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/json.h"
#include "base/result.h"
#include "payloads/frames.h"

namespace kiln::payloads {

inline constexpr std::size_t max_slots = 64;         // slots of one node
inline constexpr std::size_t max_gpus = 16;          // GPUs of one node
inline constexpr std::uint32_t max_gpu_index = 63;   // as in the topic gpus/<n>
inline constexpr std::size_t max_renderers = 32;     // renderers named in one info
inline constexpr std::size_t max_bundles = 16;       // fetched renderers named in one info
inline constexpr std::size_t max_tasks_listed = 96;  // entries in one nodes/<id>/tasks: fits 16 KiB
inline constexpr std::size_t max_problems = 8;       // of one nodes/<id>/update
inline constexpr std::size_t max_tags = 16;          // of one node, of one job

// Texts. An encoder cuts what is meant for people (names, messages) to these; a decoder refuses more.
inline constexpr std::size_t max_message_bytes = 16ULL * 1024;  // of one MQTT payload (protocol.md)
inline constexpr std::size_t max_cid_bytes = 64;
inline constexpr std::size_t max_name_bytes = 200;   // a job's, node's, device's or version's name
inline constexpr std::size_t max_text_bytes = 1000;  // a sentence: message, error

inline constexpr std::uint64_t max_image_bytes = 4ULL << 30U;  // of one update bundle: a slot has 2 GiB

inline constexpr std::uint32_t max_limit_s = 30U * 24 * 3600;  // of max_run_s and stall_s: a month

// ---- controller/... ---------------------------------------------------------------------------------

// controller/status
struct ControllerStatus {
  bool online = false;      // "state": "online" | "offline" (the last will)
  std::uint64_t epoch = 0;  // raised and stored before every connect
  std::string version;
  std::string url;  // base of the HTTP API, "http://host:port"; empty in the last will
  std::string farm =
      {};  // whose controller it is: epochs count within a farm; empty from one that does not say
  friend bool operator==(const ControllerStatus&, const ControllerStatus&) = default;
};

// controller/summary
struct ControllerSummary {
  std::uint32_t nodes_online = 0;
  std::uint32_t nodes_pending = 0;
  std::uint32_t slots = 0;
  std::uint32_t slots_busy = 0;
  std::uint64_t tasks_queued = 0;
  std::uint64_t tasks_running = 0;
  std::uint64_t tasks_failed = 0;
  std::uint32_t jobs_active = 0;
  friend bool operator==(const ControllerSummary&, const ControllerSummary&) = default;
};

// ---- nodes/<id>/... ---------------------------------------------------------------------------------

enum class NodeState { online, draining, offline };

// nodes/<id>/status
struct NodeStatus {
  NodeState state = NodeState::offline;
  std::uint64_t sid = 0;  // raised and stored by the node at every connect
  friend bool operator==(const NodeStatus&, const NodeStatus&) = default;
};

struct RendererInfo {
  std::string name;     // "blender"
  std::string version;  // "3.4.1"
  friend bool operator==(const RendererInfo&, const RendererInfo&) = default;
};

// A renderer that the controller has as an archive, and that nodes fetch when a task needs it.
struct Bundle {
  std::string name;     // "blender-4.2.1"; "": none. See is_bundle_name()
  std::string version;  // "4.2.1"
  std::string digest;   // of the archive's blob
  std::uint64_t size = 0;
  std::uint64_t unpacked_bytes = 0;
  std::string program;  // path of the executable in the archive: "blender-4.2.1-linux-x64/blender"
  friend bool operator==(const Bundle&, const Bundle&) = default;
};
inline constexpr std::size_t max_bundle_name_bytes = 48;
// True for <word>-<version>, [a-z][a-z0-9.-]* and at most so long: a file's name, and a segment of a URL.
bool is_bundle_name(std::string_view text);
// What tells two bundles of one name apart where there is little room: the digest's first 8 hex digits.
std::string short_digest(std::string_view digest);

// One of them on a node, or on its way there.
struct HeldBundle {
  std::string name;
  std::string digest;     // short_digest()
  bool fetching = false;  // it is not there yet
  friend bool operator==(const HeldBundle&, const HeldBundle&) = default;
};

struct GpuInfo {
  std::uint32_t index = 0;
  std::string name;
  std::string vendor;  // "nvidia" | "amd" | "intel"
  std::string uuid;    // empty where the driver gives none
  std::uint64_t memory_mib = 0;
  std::string driver;
  friend bool operator==(const GpuInfo&, const GpuInfo&) = default;
};

// nodes/<id>/info: at most 4 KiB
struct NodeInfo {
  std::uint64_t sid = 0;
  std::string name;  // for people; the id is for machines
  std::string os;
  std::string agent_version;
  std::string cpu;
  std::uint32_t cores = 0;
  std::uint64_t memory_mib = 0;
  std::uint32_t slots = 1;
  // The first so many of `slots` have a GPU each, in the order of `gpus`; the others have none.
  std::uint32_t gpu_slots = 0;
  std::vector<RendererInfo> renderers;
  std::vector<GpuInfo> gpus;
  std::vector<std::string> tags = {};  // what its settings call it: "basement", "rtx"
  std::string mac = {};                // "aa:bb:cc:dd:ee:ff" of what it is woken by; empty where unknown
  std::vector<HeldBundle> bundles = {};
  std::uint64_t bundles_max_mib = 0;  // room that it has for all of them, unpacked; 0: it fetches none
  friend bool operator==(const NodeInfo&, const NodeInfo&) = default;
};

enum class TaskPhase { queued, fetching, rendering, delivering };

// One attempt that a node holds.
struct HeldTask {
  TaskId task;
  std::uint32_t attempt = 0;
  TaskPhase phase = TaskPhase::queued;  // "state" on the wire
  int slot = -1;                        // -1: no slot yet (queued), or none any more (delivering)
  std::int32_t frame = 0;               // the frame in work
  double percent = 0;                   // of the task, 0 to 100
  std::optional<double> eta_s;
  friend bool operator==(const HeldTask&, const HeldTask&) = default;
};

// nodes/<id>/tasks: the heartbeat, and the whole inventory. Of more than max_tasks_listed the first are
// written: list what runs first. `warm` is a hint and is left out where it would not fit.
struct NodeTasks {
  std::uint64_t sid = 0;
  std::uint64_t seq = 0;  // orders messages within a sid
  std::vector<HeldTask> run;
  std::vector<std::string> warm;  // per slot: the manifest whose scene is open there, "" for none
  friend bool operator==(const NodeTasks&, const NodeTasks&) = default;
};

// nodes/<id>/gpus/<n>/telemetry: at most 150 bytes, so that MQTT Explorer keeps 100 points of it
struct GpuTelemetry {
  std::optional<double> temp_c, util_pct, power_w, mem_mib, fan_pct;  // absent: the driver does not say
  std::int64_t ts = 0;                                                // unix seconds
  friend bool operator==(const GpuTelemetry&, const GpuTelemetry&) = default;
};

// nodes/<id>/host
struct HostTelemetry {
  std::optional<double> cpu_temp_c;
  double cpu_pct = 0;
  std::uint64_t mem_used_mib = 0;
  std::uint64_t mem_total_mib = 0;
  std::uint64_t disk_free_mib = 0;
  std::uint64_t disk_total_mib = 0;
  std::int64_t ts = 0;  // unix seconds
  friend bool operator==(const HostTelemetry&, const HostTelemetry&) = default;
};

// nodes/<id>/event: what happened, for people and logs. Nothing is decided by it.
struct NodeEvent {
  std::string kind;  // "started", "renderer-crashed", "disk-full", "broker-back", …
  std::string message;
  std::string task;  // a task id, or empty
  std::int64_t ts = 0;
  friend bool operator==(const NodeEvent&, const NodeEvent&) = default;
};

// nodes/<id>/ack: the answer to a command, bad ones included
struct Ack {
  std::string cid;
  bool ok = false;
  std::string code;     // "" when ok; else base's Code as text
  std::string message;  // "" when ok
  friend bool operator==(const Ack&, const Ack&) = default;
};

// Where a flashed box stands with its system.
enum class UpdateState : std::uint8_t {
  idle,         // nothing was offered
  downloading,  // while it renders
  downloaded,   // whole, and its digest is right
  installing,   // into the slot that does not run
  installed,    // the next start is into it
  restarting,   // on its way there, or not judged yet
  good,         // the new system runs and stays
  rolled_back,  // "rolled-back": the old one runs again; the other slot is bad until it is written anew
  failed,       // it came to nothing before the restart
};

// nodes/<id>/update: a box without an image has none
struct NodeUpdate {
  std::string version;        // that runs
  std::string machine;        // RAUC's "compatible": an image for another one does not fit
  std::string slot;           // that runs; "" while the box has not said
  std::string image;          // digest of what was offered last; "" = nothing, and then no rollout either
  std::uint64_t rollout = 0;  // which offer that was
  std::uint32_t attempt = 0;
  UpdateState state = UpdateState::idle;
  double percent = 0;                      // of the download or the installation
  std::string message;                     // for people: why
  std::vector<std::string> problems = {};  // what the box's screen names: a wrong line of kiln.toml
  friend bool operator==(const NodeUpdate&, const NodeUpdate&) = default;
};

// ---- cmd/<id>, cmd/all -----------------------------------------------------------------------------------

// What must render. `gpu`: a renderer that would fall back to the CPU fails instead, code no-gpu.
enum class Device : std::uint8_t { any, cpu, gpu };

// How a renderer is told to render: carried from the submission to the node untouched.
struct RenderOptions {
  std::string scene_file;       // path of the scene inside the manifest
  std::string format;           // "" = what the scene says; else a Blender image format ("PNG", "OPEN_EXR")
  bool autoexec = false;        // run the scene's own Python
  Device device = Device::any;  // any = what the scene says
  std::uint32_t max_run_s = 0;  // rendering of one task, all its frames; longer is a failure; 0 = no limit
  std::uint32_t stall_s = 0;    // without a sign of life from the renderer; 0 = the node's own
  friend bool operator==(const RenderOptions&, const RenderOptions&) = default;
};

// Which slots a task may run on.
enum class SlotKind : std::uint8_t { any, cpu, gpu };

// A task of a job template (renderer "openjd"): points of a step's parameter space.
struct TemplateTask {
  std::string document;     // digest of the job's document blob (JobDocument); empty: no task of a template
  std::uint32_t step = 0;   // index into the job's steps
  std::uint64_t first = 0;  // the task's first point of the step's parameter space
  std::uint32_t count = 1;  // and how many: more than one only where chunks are cut as they are handed out
  bool inputs = false;      // what earlier steps made goes with it: GET tasks/{task}/inputs
  friend bool operator==(const TemplateTask&, const TemplateTask&) = default;
};

struct RunTask {
  TaskId task;
  std::uint32_t attempt = 0;
  std::string renderer;  // "blender"; "openjd"; "noop" proves the plumbing and renders nothing
  std::string manifest;  // digest of the blob that lists the job's files; empty: none
  FrameSet frames;       // empty for a task of a template whose points are no frames
  RenderOptions options;
  SlotKind slot = SlotKind::any;
  std::uint64_t memory_mib = 0;  // kept free for it while it runs; 0: nobody said
  TemplateTask of_template = {};
  Bundle bundle = {};  // what renders it; without: what is installed on the node
  friend bool operator==(const RunTask&, const RunTask&) = default;
};
struct CancelTask {
  TaskId task;
  std::uint32_t attempt = 0;
  friend bool operator==(const CancelTask&, const CancelTask&) = default;
};
struct Drain {
  friend bool operator==(const Drain&, const Drain&) = default;
};
struct Resume {
  friend bool operator==(const Resume&, const Resume&) = default;
};
struct Rebirth {
  friend bool operator==(const Rebirth&, const Rebirth&) = default;
};
// Only ever to a node without work: it does so at once.
struct Reboot {
  friend bool operator==(const Reboot&, const Reboot&) = default;
};
struct Sleep {
  friend bool operator==(const Sleep&, const Sleep&) = default;
};
// An image to take when it suits. Sent again until nodes/<id>/update shows the same rollout and attempt.
struct UpdateImage {
  std::uint64_t rollout = 0;
  std::uint32_t attempt = 0;  // from 1
  std::string image;          // digest: GET /api/v1/images/{digest}/file
  std::uint64_t bytes = 0;
  std::string version;
  friend bool operator==(const UpdateImage&, const UpdateImage&) = default;
};
// That offer is taken back. What is being installed, or is, stays.
struct WithdrawUpdate {
  std::uint64_t rollout = 0;
  friend bool operator==(const WithdrawUpdate&, const WithdrawUpdate&) = default;
};
// A well-formed command that this version does not know: answered `unsupported`, never ignored.
struct UnknownCommand {
  std::string op;
  friend bool operator==(const UnknownCommand&, const UnknownCommand&) = default;
};

struct Command {
  std::string cid;  // the same command sent again carries the same cid
  std::uint64_t epoch = 0;
  std::variant<RunTask, CancelTask, Drain, Resume, Rebirth, Reboot, Sleep, UpdateImage, WithdrawUpdate,
               UnknownCommand>
      op;
  friend bool operator==(const Command&, const Command&) = default;
};

// ---- jobs/<job>/... --------------------------------------------------------------------------------------

struct TaskCounts {
  std::uint32_t queued = 0, running = 0, done = 0, failed = 0, cancelled = 0;
  [[nodiscard]] std::uint32_t total() const { return queued + running + done + failed + cancelled; }
  friend bool operator==(const TaskCounts&, const TaskCounts&) = default;
};

// jobs/<job>/status
struct JobStatus {
  std::string name;
  std::string state;  // queued | running | paused | done | failed | cancelled
  int priority = 50;
  TaskCounts tasks;
  double percent = 0;
  std::optional<double> eta_s;
  friend bool operator==(const JobStatus&, const JobStatus&) = default;
};

// jobs/<job>/event: one task's change of state
struct JobEvent {
  TaskId task;
  std::string frames;
  std::string state;  // running | done | failed | queued (again) | cancelled
  std::uint32_t attempt = 0;
  std::string node;
  std::optional<double> seconds;  // render time, when done
  std::string message;            // why, when failed or queued again
  friend bool operator==(const JobEvent&, const JobEvent&) = default;
};

// ---- request/<user>/<verb>, response/<user>/<verb> --------------------------------------------------

struct Request {
  std::string cid;
  Json body;  // the whole object, cid included; the verb's handler reads it
  friend bool operator==(const Request&, const Request&) = default;
};
struct Response {
  std::string cid;
  int status = 200;   // as HTTP would answer
  std::string error;  // "" when status < 400
  Json data;
  friend bool operator==(const Response&, const Response&) = default;
};

// ---- codec -----------------------------------------------------------------------------------------------

std::string encode(const ControllerStatus&);
std::string encode(const ControllerSummary&);
std::string encode(const NodeStatus&);
std::string encode(const NodeInfo&);
std::string encode(const NodeTasks&);
std::string encode(const GpuTelemetry&);
std::string encode(const HostTelemetry&);
std::string encode(const NodeEvent&);
std::string encode(const Ack&);
std::string encode(const NodeUpdate&);
std::string encode(const Command&);
std::string encode(const JobStatus&);
std::string encode(const JobEvent&);
std::string encode(const Request&);
std::string encode(const Response&);

Result<ControllerStatus> decode_controller_status(std::string_view text);
Result<ControllerSummary> decode_controller_summary(std::string_view text);
Result<NodeStatus> decode_node_status(std::string_view text);
Result<NodeInfo> decode_node_info(std::string_view text);
Result<NodeTasks> decode_node_tasks(std::string_view text);
Result<GpuTelemetry> decode_gpu_telemetry(std::string_view text);
Result<HostTelemetry> decode_host_telemetry(std::string_view text);
Result<NodeEvent> decode_node_event(std::string_view text);
Result<Ack> decode_ack(std::string_view text);
Result<NodeUpdate> decode_node_update(std::string_view text);
// A command whose op is unknown decodes to UnknownCommand; one without a usable cid is an error.
Result<Command> decode_command(std::string_view text);
// The cid of a command or request that did not decode, so that it can be answered; "" when it has none.
std::string peek_cid(std::string_view text);
Result<JobStatus> decode_job_status(std::string_view text);
Result<JobEvent> decode_job_event(std::string_view text);
Result<Request> decode_request(std::string_view text);
Result<Response> decode_response(std::string_view text);

// The same as JSON values, for the HTTP API, which shows the same things.
Json to_json(const NodeInfo&);
Json to_json(const Bundle&);
// The object at `key`, where there is one.
void read_bundle(JsonReader& in, std::string_view key, Bundle& out);
Json to_json(const HeldTask&);
Json to_json(const GpuTelemetry&);
Json to_json(const HostTelemetry&);
Json to_json(const TaskCounts&);
Json to_json(const JobStatus&);
Json to_json(const JobEvent&);
Json to_json(const ControllerSummary&);
Json to_json(const NodeUpdate&);

std::string_view to_string(NodeState state);
std::string_view to_string(TaskPhase phase);
std::string_view to_string(UpdateState state);
std::optional<UpdateState> parse_update_state(std::string_view text);
std::string_view to_string(Device device);
std::string_view to_string(SlotKind kind);
std::optional<Device> parse_device(std::string_view text);

}  // namespace kiln::payloads
