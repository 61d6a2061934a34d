#include "compiler/template_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "base/text.h"
#include "compiler/needs.h"
#include "openjd/create_job.h"

namespace kiln::compiler {

namespace {

using openjd::at_index;
using openjd::at_key;
using openjd::quoted;

// An INT parameter of this name's end, without a value, gets the number of files below the folder that the
// name's beginning names: a template has tasks for files that nobody counted.
constexpr std::string_view count_suffix = "Count";

std::string joined(std::string_view where, const std::string& path) {
  if (where.empty() || path.empty()) return std::string(where) + path;
  return fmt::format("{}.{}", where, path);
}

template <class T>
std::optional<T> parse(const payloads::TemplateText& text, std::string_view where, std::string_view what,
                       openjd::Problems& problems) {
  auto parsed = openjd::parse_template(text.text, text.is_json ? openjd::Syntax::json : openjd::Syntax::yaml);
  if (!parsed) {
    for (const auto& one : parsed.error().list()) problems.add(joined(where, one.path), one.message);
    for (std::size_t i = 0; i < parsed.error().left_out(); ++i) problems.add("", "…");
    return std::nullopt;
  }
  if (auto* found = std::get_if<T>(&*parsed)) return std::move(*found);
  problems.add(where, fmt::format("is not {}", what));
  return std::nullopt;
}

// ---- files ----------------------------------------------------------------------------------------------

// "./photos//a/" as a manifest has it: "photos/a"; "" for the whole tree. nullopt where it leaves the tree.
std::optional<std::string> inside_tree(std::string_view value) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin < value.size();) {
    const auto end = std::min(value.find('/', begin), value.size());
    const auto part = value.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (parts.empty()) return std::nullopt;
      parts.pop_back();
    } else {
      parts.push_back(part);
    }
  }
  std::string out;
  for (const auto part : parts) {
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

bool is_below(std::string_view path, std::string_view folder) {
  return folder.empty() ||
         (path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/');
}

std::size_t files_below(const payloads::Manifest& manifest, std::string_view folder) {
  return static_cast<std::size_t>(
      std::count_if(manifest.files.begin(), manifest.files.end(),
                    [&](const auto& file) { return is_below(file.path, folder); }));
}

void check_path(const openjd::ParameterValue& parameter, const payloads::Manifest& manifest,
                openjd::Problems& problems) {
  if (parameter.type != openjd::ParameterType::path || parameter.value.starts_with('/')) return;
  const auto where = at_key("parameters", parameter.name);
  const auto path = inside_tree(parameter.value);
  if (!path) {
    return problems.add(where, fmt::format("{} leads out of the job's files; write a path below them, or an "
                                           "absolute one that every node has",
                                           quoted(parameter.value)));
  }
  if (parameter.data_flow != "IN") return;
  if (parameter.object_type == "DIRECTORY") {
    if (files_below(manifest, *path) > 0) return;
    // A folder that holds nothing is none in a manifest; the whole tree of a job without files is empty.
    if (path->empty()) return;
    return problems.add(where, fmt::format("{}: no file of the job lies in that folder; upload it, or write "
                                           "an absolute path that every node has",
                                           quoted(parameter.value)));
  }
  if (parameter.value.empty()) return;  // a file that may be left out
  const auto& files = manifest.files;
  if (std::any_of(files.begin(), files.end(), [&](const auto& file) { return file.path == *path; })) return;
  problems.add(where,
               fmt::format("{} is not among the job's files; upload it, or write an absolute path that "
                           "every node has",
                           quoted(parameter.value)));
}

void fill_counts(const openjd::JobTemplate& job, const payloads::Manifest& manifest,
                 std::map<std::string, std::string>& parameters) {
  for (const auto& one : job.parameters) {
    if (one.type != openjd::ParameterType::integer || !one.name.ends_with(count_suffix)) continue;
    if (parameters.contains(one.name)) continue;
    const auto folder = one.name.substr(0, one.name.size() - count_suffix.size());
    const auto is_folder = [&](const openjd::ParameterDefinition& other) {
      return other.name == folder && other.type == openjd::ParameterType::path && other.data_flow == "IN" &&
             other.object_type.value_or("DIRECTORY") == "DIRECTORY";
    };
    const auto found = std::find_if(job.parameters.begin(), job.parameters.end(), is_folder);
    if (found == job.parameters.end()) continue;
    const auto value = parameters.find(folder);
    const auto path =
        inside_tree(value != parameters.end() ? value->second : found->default_value.value_or(""));
    if (!path || path->starts_with('/')) continue;
    if (const auto count = files_below(manifest, *path); count > 0)
      parameters[one.name] = fmt::format("{}", count);
  }
}

// ---- steps ----------------------------------------------------------------------------------------------

// The values as frames, where they are such; else empty.
payloads::FrameSet frames_of(const openjd::ParameterSpace& space, std::uint64_t units) {
  const auto* values = space.only_integers();
  if (values == nullptr || values->size() != units) return {};
  std::string text;
  for (const auto& range : values->ranges()) {
    if (!text.empty()) text += ',';
    text += fmt::format("{}", range.first);
    if (range.count > 1) text += fmt::format("-{}", range.last());
    if (range.step > 1) text += fmt::format("x{}", range.step);
    if (text.size() > payloads::FrameSet::max_text) return {};
  }
  auto frames = payloads::FrameSet::parse(text);
  return frames && frames->size() == units ? std::move(*frames) : payloads::FrameSet();
}

scheduler::StepSpec step_of(const openjd::Step& step, const payloads::JobSubmission& submission,
                            std::string_view where, openjd::Problems& problems) {
  scheduler::StepSpec out;
  out.name = step.name;
  const auto units = step.space.units();
  if (units > max_job_tasks) {
    problems.add(at_key(where, "parameterSpace"),
                 fmt::format("makes {} tasks; a job may have {}", units, max_job_tasks));
    return out;
  }
  out.units = static_cast<std::uint32_t>(units);
  out.frames = frames_of(step.space, units);
  if (step.space.adapts()) {
    const auto& chunks = *step.space.chunks();
    out.chunk =
        static_cast<std::uint32_t>(std::min<std::uint64_t>({chunks.task_count, units, payloads::max_chunk}));
    constexpr std::int64_t longest_s = payloads::max_limit_s;
    out.target_s = static_cast<std::uint32_t>(std::min(chunks.target_runtime_s, longest_s));
  }
  for (const auto dependency : step.dependencies) out.after.push_back(static_cast<std::uint32_t>(dependency));
  out.needs = needs_of(step, submission.limits, where, problems);
  return out;
}

std::optional<std::uint32_t> step_named(const std::vector<scheduler::StepSpec>& steps,
                                        std::string_view name) {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].name == name) return static_cast<std::uint32_t>(i);
  }
  return std::nullopt;
}

void pair_steps(const payloads::FrameByFrame& pair, const std::string& where,
                std::vector<scheduler::StepSpec>& steps, openjd::Problems& problems) {
  std::vector<std::string_view> names;
  names.reserve(steps.size());
  for (const auto& step : steps) names.emplace_back(step.name);
  const auto number = step_named(steps, pair.step);
  const auto on = step_named(steps, pair.on);
  for (const auto& [found, name, key] :
       {std::tuple(number, &pair.step, "step"), std::tuple(on, &pair.on, "on")}) {
    if (!found) {
      problems.add(at_key(where, key), fmt::format("there is no step {}; there is {}", quoted(*name),
                                                   openjd::listed(names, "and")));
    }
  }
  if (!number || !on) return;
  auto& step = steps[*number];
  const auto& other = steps[*on];
  const auto waits = std::find(step.after.begin(), step.after.end(), *on);
  const auto& paired = step.pairs_with;
  if (std::find(paired.begin(), paired.end(), *on) != paired.end())
    return problems.add(
        where, fmt::format("{} waits for {} frame by frame already", quoted(step.name), quoted(other.name)));
  if (waits == step.after.end()) {
    return problems.add(where, fmt::format("step {} does not depend on {}: add it to the step's dependencies",
                                           quoted(step.name), quoted(other.name)));
  }
  for (const scheduler::StepSpec* one : {&std::as_const(step), &other}) {
    if (one->target_s != 0) {
      return problems.add(where, fmt::format("the tasks of {} are cut as they are handed out, so that none "
                                             "has a partner: leave out its targetRuntimeSeconds",
                                             quoted(one->name)));
    }
  }
  if (step.max_tasks() != other.max_tasks()) {
    return problems.add(
        where, fmt::format("step {} has {} tasks and {} has {}; frame by frame takes as many of "
                           "each",
                           quoted(step.name), step.max_tasks(), quoted(other.name), other.max_tasks()));
  }
  step.after.erase(waits);
  step.pairs_with.push_back(*on);
}

void check_total(const std::vector<scheduler::StepSpec>& steps, openjd::Problems& problems) {
  std::uint64_t total = 0;
  for (const auto& step : steps) total += step.max_tasks();
  if (total > max_job_tasks)
    problems.add("steps", fmt::format("make {} tasks together; a job may have {}", total, max_job_tasks));
}

void refuse_foreign_fields(const payloads::JobSubmission& submission, openjd::Problems& problems) {
  constexpr std::string_view instead =
      "is for jobs of type blender and noop; a template's own parameters say it";
  const auto refuse = [&](bool is_set, std::string_view path) {
    if (is_set) problems.add(path, std::string(instead));
  };
  refuse(!submission.frames.empty(), "frames");
  refuse(submission.chunk != 1, "chunk");
  refuse(!submission.options.scene_file.empty(), "options.scene_file");
  refuse(!submission.options.format.empty(), "options.format");
  refuse(submission.options.autoexec, "options.autoexec");
  refuse(submission.options.device != payloads::Device::any, "options.device");
}

}  // namespace

void compile_template(const payloads::JobSubmission& submission, const payloads::TemplateText& text,
                      CompiledJob& job, openjd::Problems& problems) {
  refuse_foreign_fields(submission, problems);
  payloads::JobDocument document{text, submission.environments, submission.parameters};
  const auto job_template = parse<openjd::JobTemplate>(text, "", "a job template", problems);
  std::vector<openjd::EnvironmentTemplate> environments;
  for (std::size_t i = 0; i < submission.environments.size(); ++i) {
    auto one = parse<openjd::EnvironmentTemplate>(submission.environments[i], at_index("environments", i),
                                                  "an environment template", problems);
    if (one) environments.push_back(std::move(*one));
  }
  if (!job_template || environments.size() != submission.environments.size()) return;

  fill_counts(*job_template, submission.manifest, document.parameters);
  openjd::Submission source;
  source.job = &*job_template;
  for (const auto& one : environments) source.environments.push_back(&one);
  for (const auto& [name, value] : document.parameters)
    source.parameters.emplace(name, openjd::Value::of(value));
  const auto created = openjd::create_job(source);
  if (!created) {
    for (const auto& one : created.error().list()) problems.add(one.path, one.message);
    for (std::size_t i = 0; i < created.error().left_out(); ++i) problems.add("", "…");
    return;
  }

  for (const auto& parameter : created->parameters) check_path(parameter, submission.manifest, problems);
  auto& steps = job.spec.steps;
  for (std::size_t i = 0; i < created->steps.size(); ++i)
    steps.push_back(step_of(created->steps[i], submission, at_index("steps", i), problems));
  for (std::size_t i = 0; i < submission.frame_by_frame.size(); ++i)
    pair_steps(submission.frame_by_frame[i], at_index("frame_by_frame", i), steps, problems);
  check_total(steps, problems);

  job.document = payloads::encode(document);
  if (job.document.size() > payloads::max_document_bytes) {
    problems.add("", fmt::format("the template and its environments and parameters have {} bytes together; a "
                                 "job may have {}",
                                 job.document.size(), payloads::max_document_bytes));
  }
  if (job.spec.name.empty()) job.spec.name = clip(created->name, payloads::max_name_bytes);
}

}  // namespace kiln::compiler
