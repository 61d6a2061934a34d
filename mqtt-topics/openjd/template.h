// The model of Open Job Description 2023-09: a job template and an environment template, checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "openjd/combination.h"
#include "openjd/format_string.h"
#include "openjd/problems.h"
#include "openjd/value.h"

namespace kiln::openjd {

struct Extensions {
  bool task_chunking = false;
  bool redacted_env_vars = false;
  bool feature_bundle_1 = false;
  friend bool operator==(const Extensions&, const Extensions&) = default;
};

// --- Job parameters

enum class ParameterType { string, path, integer, floating };
std::string_view to_string(ParameterType type);  // "STRING", "PATH", "INT", "FLOAT"

// A value of an INT or FLOAT parameter, or a bound on it: as it is passed on, and as it compares.
struct Number {
  std::string text;  // INT in plain decimal; FLOAT as written
  double real = 0;
  std::int64_t whole = 0;  // INT only
};

// What a user interface is told. Nothing else depends on it.
struct FileFilter {
  std::string label;
  std::vector<std::string> patterns;
};
struct UserInterface {
  std::string control;  // never empty: the default is filled in
  std::string label;    // the parameter's name when none is given
  std::string group_label;
  std::optional<std::int64_t> decimals;
  std::optional<double> single_step_delta;
  std::vector<FileFilter> file_filters;
  std::optional<FileFilter> default_file_filter;
};

struct ParameterDefinition {
  std::string name;
  ParameterType type = ParameterType::string;
  std::string description;
  std::optional<std::string> default_value;         // as it is passed on
  std::optional<std::vector<std::string>> allowed;  // likewise
  std::optional<std::int64_t> min_length;           // in characters; STRING and PATH
  std::optional<std::int64_t> max_length;
  std::optional<Number> min_value;  // INT and FLOAT
  std::optional<Number> max_value;
  std::optional<std::string> object_type;  // "FILE" | "DIRECTORY"; PATH
  std::optional<std::string> data_flow;    // "NONE" | "IN" | "OUT" | "INOUT"; PATH
  UserInterface user_interface;
};

// --- Scripts

// A number that FEATURE_BUNDLE_1 and TASK_CHUNKING let a template write as a format string.
struct LateInteger {
  std::optional<FormatString> text;  // until the job is created
  std::int64_t value = 0;            // when there is no text
};
struct LateReal {
  std::optional<FormatString> text;
  double value = 0;
};

struct Cancelation {
  enum class Mode { terminate, notify_then_terminate };
  std::optional<FormatString> late_mode;  // until the job is created
  Mode mode = Mode::terminate;            // when there is no late_mode
  // What the action's place in the template gives when it is not written: 120 s in a step, 30 s elsewhere.
  std::optional<LateInteger> notify_period_s;
};

struct Action {
  FormatString command;
  std::vector<FormatString> args;
  std::optional<LateInteger> timeout_s;  // none: no limit; filled in for onExit (300 s)
  Cancelation cancelation;
};

struct EmbeddedFile {
  enum class EndOfLine { as_host, lf, crlf };
  std::string name;
  std::string filename;  // "" for any name
  bool runnable = false;
  FormatString data;
  EndOfLine end_of_line = EndOfLine::as_host;
};

struct StepScript {
  std::string field = "script";  // of the step that it was written in; "python" and its like
  Action on_run;
  std::vector<EmbeddedFile> files;
};

struct Environment {
  std::string name;
  std::string description;
  std::optional<Action> on_enter;
  std::optional<Action> on_exit;
  std::vector<EmbeddedFile> files;
  std::vector<std::pair<std::string, FormatString>> variables;  // in the order of the template
};

// --- Steps

struct AmountRequirement {
  FormatString name;
  std::optional<LateReal> min;
  std::optional<LateReal> max;
};
struct AttributeRequirement {
  FormatString name;
  std::vector<FormatString> any_of;  // empty: not written
  std::vector<FormatString> all_of;
};
struct HostRequirements {
  std::vector<AmountRequirement> amounts;
  std::vector<AttributeRequirement> attributes;
};

enum class TaskParameterType { string, path, integer, floating, chunk };
std::string_view to_string(TaskParameterType type);  // "STRING", …, "CHUNK[INT]"

struct ChunkDefinition {
  LateInteger default_task_count;
  std::optional<LateInteger> target_runtime_s;
  bool contiguous = true;
};

struct TaskParameterDefinition {
  std::string name;
  TaskParameterType type = TaskParameterType::string;
  // A list of values, or a range expression (INT and CHUNK[INT] only).
  std::variant<std::vector<FormatString>, FormatString> range;
  std::optional<ChunkDefinition> chunks;  // CHUNK[INT] only
};

struct ParameterSpaceDefinition {
  std::vector<TaskParameterDefinition> parameters;  // none: the step has one task
  Combination combination;
};

struct StepTemplate {
  std::string name;
  std::string description;
  std::vector<std::size_t> dependencies;  // indices into the template's steps, no cycle among them
  std::vector<Environment> environments;
  HostRequirements requirements;
  ParameterSpaceDefinition space;
  StepScript script;
};

// --- Templates

struct JobTemplate {
  Extensions extensions;
  FormatString name;
  std::string description;
  std::vector<ParameterDefinition> parameters;
  std::vector<Environment> environments;
  std::vector<StepTemplate> steps;
};

struct EnvironmentTemplate {
  Extensions extensions;
  std::vector<ParameterDefinition> parameters;
  Environment environment;
};

// Characters of a job's name once it is resolved: 128, or 512 with FEATURE_BUNDLE_1.
constexpr std::size_t max_job_name(const Extensions& extensions) {
  return extensions.feature_bundle_1 ? 512 : 128;
}

using Template = std::variant<JobTemplate, EnvironmentTemplate>;

// By the document's specificationVersion. Everything that can be known without parameter values is checked,
// the scopes of all format strings included.
Checked<Template> parse_template(const Value& document);

// From the document's text: parse_document() and the above; a document that cannot be read is one problem.
Checked<Template> parse_template(std::string_view text, Syntax syntax, const DocumentLimits& limits = {});

}  // namespace kiln::openjd
