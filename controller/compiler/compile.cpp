#include "compiler/compile.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "compiler/template_job.h"

namespace kiln::compiler {

namespace {

constexpr std::size_t max_name_bytes = 200;
constexpr int max_priority = 100;

bool contains(const std::vector<std::string_view>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

// Formats that hold a film: a frame is the farm's unit, so there is nothing to deliver until all are done.
const std::vector<std::string_view>& film_formats() {
  static const std::vector<std::string_view> formats = {"AVI_JPEG", "AVI_RAW", "FFMPEG", "FRAMESERVER"};
  return formats;
}

void check_format(const std::string& format, openjd::Problems& problems) {
  if (format.empty() || contains(image_formats(), format)) return;
  problems.add("options.format",
               contains(film_formats(), format)
                   ? fmt::format("{} is a film; Kiln renders frames: leave it out or write PNG, and make the "
                                 "film afterwards with `kiln film`",
                                 format)
                   : fmt::format("Blender writes no {}; it writes {}", openjd::quoted(format),
                                 fmt::join(image_formats(), ", ")));
}

void check_scene(const payloads::JobSubmission& submission, openjd::Problems& problems) {
  const auto& scene = submission.options.scene_file;
  if (scene.empty())
    return problems.add("options.scene_file", "missing; name the .blend among manifest.files");
  const auto& files = submission.manifest.files;
  const auto has = [&](const std::string& path) {
    return std::any_of(files.begin(), files.end(), [&](const auto& file) { return file.path == path; });
  };
  if (!has(scene)) problems.add("options.scene_file", fmt::format("'{}' is not among manifest.files", scene));
}

std::string default_name(const payloads::JobSubmission& submission) {
  const auto& scene = submission.options.scene_file;
  if (scene.empty()) return submission.type;
  auto name = scene.substr(scene.rfind('/') + 1);
  if (name.ends_with(".blend") && name.size() > 6) name.resize(name.size() - 6);
  return name;
}

void check_name(const std::string& name, openjd::Problems& problems) {
  if (name.size() > max_name_bytes || !is_one_line(name))
    problems.add("name", fmt::format("one line of at most {} bytes is expected", max_name_bytes));
}

// A job of type blender or noop.
void compile_frames(const payloads::JobSubmission& submission, CompiledJob& job, openjd::Problems& problems) {
  job.spec.name = submission.name.empty() ? default_name(submission) : submission.name;
  if (submission.frames.empty()) {
    problems.add("frames", "missing; write the frames to render, as in 1-24, 7 or 1-100x10");
  } else if (auto frames = payloads::FrameSet::parse(submission.frames); frames) {
    job.spec.frames = std::move(*frames);
  } else {
    problems.add("frames", frames.error().message);
  }
  if (submission.chunk < 1 || submission.chunk > max_chunk_frames)
    problems.add("chunk", fmt::format("1 to {} frames a task, not {}", max_chunk_frames, submission.chunk));
  job.spec.chunk = submission.chunk;
  job.spec.limits = submission.limits;
  if (submission.type == "blender") {
    check_scene(submission, problems);
    check_format(submission.options.format, problems);
  }
  const auto refuse = [&](bool is_set, std::string_view path) {
    if (is_set) problems.add(path, "is for job types and templates; this job has none");
  };
  refuse(!submission.parameters.empty(), "parameters");
  refuse(!submission.environments.empty(), "environments");
  refuse(!submission.frame_by_frame.empty(), "frame_by_frame");
}

// What every job may ask for, whatever its type.
void read_wishes(const payloads::JobSubmission& submission, CompiledJob& job, openjd::Problems& problems) {
  if (submission.priority < 0 || submission.priority > max_priority)
    problems.add("priority", fmt::format("0 to {}, not {}", max_priority, submission.priority));
  if (submission.retries && *submission.retries > payloads::max_retries) {
    problems.add("retries",
                 fmt::format("0 to {} of a task, not {}", payloads::max_retries, *submission.retries));
  }
  if (submission.fail_pct && (*submission.fail_pct < 1 || *submission.fail_pct > 100))
    problems.add("fail_pct", fmt::format("1 to 100 percent of the tasks, not {}", *submission.fail_pct));
  if (submission.start_ms < 0) problems.add("start_ms", "a time after 1970, in milliseconds, is expected");
  job.spec.retries = submission.retries;
  job.spec.fail_pct = submission.fail_pct;
  job.spec.options = submission.options;
  job.spec.production = submission.production;
  job.wishes.slot_limit = submission.slot_limit;
  job.wishes.node_limit = submission.node_limit;
  job.wishes.tags = submission.tags;
  job.wishes.start_ms = submission.start_ms;
}

// nullptr for a job without a template, and where there is no such type.
const payloads::TemplateText* template_of(const payloads::JobSubmission& submission,
                                          const std::vector<JobType>& types) {
  if (submission.type == "openjd") return submission.job_template ? &*submission.job_template : nullptr;
  const auto* type = find_type(types, submission.type);
  return type == nullptr || !type->error.empty() ? nullptr : &type->text;
}

// Why there is no template.
std::string no_template(const payloads::JobSubmission& submission, const std::vector<JobType>& types) {
  if (submission.type == "openjd") return "openjd goes with a template, and there is none";
  if (const auto* type = find_type(types, submission.type))
    return fmt::format("{}: {}", type->name, type->error);
  std::string known = "blender, noop, openjd";
  for (const auto& one : types) known += ", " + one.name;
  return fmt::format("no job type {}; there are {}", openjd::quoted(submission.type), known);
}

}  // namespace

const std::vector<std::string_view>& image_formats() {
  static const std::vector<std::string_view> formats = {
      "PNG",       "JPEG",     "OPEN_EXR", "OPEN_EXR_MULTILAYER",
      "TIFF",      "WEBP",     "BMP",      "TARGA",
      "TARGA_RAW", "JPEG2000", "HDR",      "DPX",
      "CINEON",    "IRIS"};
  return formats;
}

Error Refusal::error() const {
  auto text = problems.empty() ? std::string("refused") : problems.front().to_text();
  const auto more = problems.size() + left_out - std::min<std::size_t>(problems.size(), 1);
  if (more > 0) text += fmt::format(" (and {} more)", more);
  return {code, as_sentence(std::move(text))};
}

std::string Refusal::text() const {
  std::string out;
  for (const auto& one : problems) {
    if (!out.empty()) out += '\n';
    out += as_sentence(one.to_text());
  }
  if (left_out > 0) out += fmt::format("\n… and {} more", left_out);
  return out;
}

Accepted<CompiledJob> compile(const payloads::JobSubmission& submission, const std::vector<JobType>& types) {
  CompiledJob job;
  openjd::Problems problems;
  const bool is_native = submission.type == "blender" || submission.type == "noop";
  const auto* text = template_of(submission, types);
  if (!is_native && text == nullptr) problems.add("type", no_template(submission, types));
  job.spec.renderer = is_native ? submission.type : "openjd";
  if (!is_native) job.spec.type = submission.type;
  if (is_native)
    compile_frames(submission, job, problems);
  else if (text != nullptr)
    job.spec.name = submission.name;
  if (text != nullptr && !is_native) compile_template(submission, *text, job, problems);
  check_name(job.spec.name, problems);
  read_wishes(submission, job, problems);
  if (!problems.empty()) return tl::make_unexpected(Refusal(problems));
  return job;
}

}  // namespace kiln::compiler
