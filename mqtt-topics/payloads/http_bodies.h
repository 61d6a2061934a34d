// What crosses HTTP between the three programs, as structs. The API's other answers are documented in
// controller/api/openapi.yaml.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/json.h"
#include "payloads/messages.h"

namespace kiln::payloads {

inline constexpr std::size_t max_manifest_files = 100'000;
inline constexpr std::size_t max_manifest_bytes = 64ULL * 1024 * 1024;
inline constexpr std::size_t max_template_bytes = 1024ULL * 1024;      // of one template, as openjd reads it
inline constexpr std::size_t max_document_bytes = 8ULL * 1024 * 1024;  // of one JobDocument
inline constexpr std::size_t max_environments = 16;                    // of one job
inline constexpr std::size_t max_parameters = 512;                     // of one job
inline constexpr std::size_t max_parameter_bytes =
    64ULL * 1024;                                          // of one value: a list of frames may be long
inline constexpr std::size_t max_dependencies = 64;        // jobs that one waits for
inline constexpr std::size_t max_limits = 16;              // counted limits of one job
inline constexpr std::uint32_t max_limit_count = 100'000;  // of one counted limit
inline constexpr std::size_t max_chunk = 1000;             // frames of one task
inline constexpr std::uint32_t max_retries = 99;
inline constexpr std::size_t max_result_files =
    4096;                                        // of one attempt: a frame may have several views or passes
inline constexpr std::size_t max_warnings = 20;  // of one attempt
inline constexpr std::size_t max_result_bytes = 1024ULL * 1024;  // of one ResultReport

// True for a relative path that stays in its tree: no leading '/', no empty, '.' or '..' segment, no NUL,
// backslash or control character, valid UTF-8, at most 1024 bytes, at most 255 a segment.
bool is_safe_path(std::string_view path);

// One file of a job.
struct ManifestFile {
  std::string path;    // safe, relative to the job's root
  std::string digest;  // its blob
  std::uint64_t size = 0;
  friend bool operator==(const ManifestFile&, const ManifestFile&) = default;
};

// A path outside the job's root as the scene names it, and where the manifest has it. The renderer points the
// scene's data at the copy after opening.
struct PathMapping {
  std::string from;  // absolute, as the scene says it
  std::string to;    // a manifest path
  friend bool operator==(const PathMapping&, const PathMapping&) = default;
};

// The files of a job. Its canonical text (encode: files sorted by path, mappings by `from`) is itself a blob,
// whose digest is the scene's identity: two jobs with the same manifest share cache and warm renderer. A
// decoder refuses a path that stands twice or is the folder of another, and a mapping to what the manifest
// does not hold.
struct Manifest {
  std::vector<ManifestFile> files;
  std::vector<PathMapping> mappings;
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

// A document of Open Job Description as somebody wrote it.
struct TemplateText {
  std::string text;
  bool is_json = false;  // else YAML
  friend bool operator==(const TemplateText&, const TemplateText&) = default;
};

// A job template with everything that makes a job of it. Its canonical text is a blob: what a node reads to
// know the actions of a task.
struct JobDocument {
  TemplateText job_template;
  std::vector<TemplateText> environments;         // in the order of entering
  std::map<std::string, std::string> parameters;  // values of job parameters, as text
  friend bool operator==(const JobDocument&, const JobDocument&) = default;
};

// Task i of `step` waits for task i of `on` alone instead of all of its tasks.
struct FrameByFrame {
  std::string step;
  std::string on;
  friend bool operator==(const FrameByFrame&, const FrameByFrame&) = default;
};

// So much of a counted limit (a licence) is taken while one task runs.
struct LimitUse {
  std::string name;  // an id: "nuke"
  std::uint32_t count = 1;
  friend bool operator==(const LimitUse&, const LimitUse&) = default;
};

// Where a job stands in a production; each may be empty.
struct Production {
  std::string project;
  std::string sequence;
  std::string shot;
  friend bool operator==(const Production&, const Production&) = default;
};

// POST /api/v1/jobs, and the body of an MQTT job-submit.
struct JobSubmission {
  std::string name;              // "" = the scene's file name, or the template's name
  std::string type = "blender";  // "blender" | "noop", the name of a job type, "openjd": job_template is it
  std::string frames;            // "1-24"; of blender and noop
  std::uint32_t chunk = 1;       // frames a task, 1 to 1000
  int priority = 50;             // 0 to 100
  bool paused = false;           // submit without starting
  std::optional<std::uint32_t> retries = {};  // of a task that failed, 0 to max_retries; absent: the farm's
  std::optional<std::uint32_t> fail_pct =
      {};  // of the tasks failed: the job gives up, 1 to 100; absent: as above
  Manifest manifest;
  RenderOptions options;  // of blender
  // Which of the controller's renderers: "blender-4.2.1". "" or "blender": what is installed on the node.
  std::string renderer = {};
  // Of a job type or template.
  std::optional<TemplateText> job_template = {};
  std::vector<TemplateText> environments = {};
  std::map<std::string, std::string> parameters = {};
  std::vector<FrameByFrame> frame_by_frame = {};
  // Of every job.
  Production production = {};
  std::vector<std::string> tags = {};   // a node must have all of them
  std::uint32_t slot_limit = 0;         // tasks at once; 0: no limit
  std::uint32_t node_limit = 0;         // nodes at once; 0: no limit
  std::vector<LimitUse> limits = {};    // each of its tasks takes so much
  std::vector<std::string> after = {};  // ids or numbers of jobs that must be done before
  std::int64_t start_ms = 0;            // unix ms: not before; 0: at once
  friend bool operator==(const JobSubmission&, const JobSubmission&) = default;
};

// A picture without a picture: no colour anywhere, or nothing but transparency.
enum class Blank : std::uint8_t { no, black, transparent };

// One rendered frame of a result.
struct ResultFile {
  std::int32_t frame = 0;
  std::string path;  // below the job's output folder, as the scene's own output path gives it
  std::string digest;
  std::uint64_t size = 0;
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  double seconds = 0;       // render time of this frame
  Blank blank = Blank::no;  // `no` too where nobody looked: a format that is not measured, a pass
  friend bool operator==(const ResultFile&, const ResultFile&) = default;
};

// Who must give up when an attempt fails.
enum class FailureScope {
  attempt,  // bad luck or a bad node: try again
  job,      // the scene itself is wrong (no camera, missing library): no node can do better
};

struct Failure {
  std::string code;     // "no-camera", "renderer-crashed", "disk-full", "missing-file", …
  std::string message;  // one line that says what to do
  FailureScope scope = FailureScope::attempt;
  friend bool operator==(const Failure&, const Failure&) = default;
};

// POST /api/v1/tasks/{task}/attempts/{n}/result: how an attempt ended. The one message that ends it.
struct ResultReport {
  NodeId node;
  bool ok = false;
  std::vector<ResultFile> files;      // when ok; for each, the file was PUT before
  Failure failure;                    // when not ok
  std::vector<std::string> warnings;  // what the picture lacks though it rendered: missing textures, …
  double seconds = 0;                 // from start of the render to its last file
  friend bool operator==(const ResultReport&, const ResultReport&) = default;
};

// What the controller says to a ResultReport (HTTP 200, 200, 409).
enum class Verdict { accepted, duplicate, superseded };

std::string encode(const Manifest&);     // canonical
std::string encode(const JobDocument&);  // canonical
std::string encode(const JobSubmission&);
std::string encode(const ResultReport&);

Result<Manifest> decode_manifest(std::string_view text);         // up to max_manifest_bytes
Result<JobDocument> decode_job_document(std::string_view text);  // up to max_document_bytes
Result<JobSubmission> decode_job_submission(const Json& body);   // so that an MQTT request can carry one
Result<JobSubmission> decode_job_submission(std::string_view text);
// A string would otherwise become a Json as readily as a string_view.
inline Result<JobSubmission> decode_job_submission(const std::string& text) {
  return decode_job_submission(std::string_view(text));
}
Result<ResultReport> decode_result_report(std::string_view text);  // up to 1 MiB

Json to_json(const ResultFile&);
Json to_json(const Failure&);

std::string_view to_string(Verdict verdict);
std::string_view to_string(Blank blank);  // "" for no
// `no` for what is neither: a later version's word.
Blank parse_blank(std::string_view text);

}  // namespace kiln::payloads
