#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/follow.h"
#include "cli/frames_on_disk.h"
#include "cli/inspection.h"
#include "cli/pack.h"
#include "cli/parameters.h"
#include "cli/scene_file.h"
#include "cli/steering.h"
#include "cli/text.h"
#include "cli/upload.h"
#include "compiler/job_types.h"
#include "openjd/value.h"
#include "payloads/frames.h"
#include "runtime/files.h"

namespace kiln::cli {

namespace fs = std::filesystem;

namespace {

// A heavy scene on a slow disk takes minutes to open.
constexpr std::chrono::minutes inspection_timeout{15};

Result<fs::path> scene_path(const fs::path& given) {
  std::error_code error;
  const fs::path scene = fs::absolute(given, error).lexically_normal();
  if (error || !fs::exists(scene, error)) {
    return fail(Code::invalid, fmt::format("{}: no such file", to_utf8(given.string())));
  }
  if (!fs::is_regular_file(scene, error)) {
    return fail(Code::invalid, fmt::format("{} is no file: give the .blend itself", to_utf8(given.string())));
  }
  return scene;
}

// What this machine's Blender says of the scene; nullopt when there is none to ask.
Result<std::optional<Inspection>> look_into(Context& context, const fs::path& scene,
                                            const compiler::BlendFile& file) {
  context.err.status(fmt::format("asking Blender what {} refers to …", scene.filename().string()));
  auto inspection = inspect(context.blender, scene, inspection_timeout);
  context.err.end_status(false);
  if (inspection) return std::optional(std::move(*inspection));
  if (inspection.error().code == Code::not_found) {
    context.warn(
        fmt::format("no Blender here ('{}'): the scene goes alone; textures and linked files could not be "
                    "looked up (pack them "
                    "into the .blend, or name a Blender with --blender)",
                    context.blender));
    return std::optional<Inspection>();
  }
  return fail(
      Code::invalid,
      fmt::format("{} (saved by Blender {}); name a Blender that opens it with --blender, or send the scene "
                  "alone with --no-pack",
                  inspection.error().message, file.version()));
}

Status check(Context& context, const SubmitOptions& options, const fs::path& scene,
             const Inspection& inspection) {
  const auto name = to_utf8(scene.filename().string());
  if (!inspection.problems.empty())
    return fail(Code::invalid, fmt::format("{}: {}", name, inspection.problems.front()));
  if (inspection.movie && options.format.empty()) {
    return fail(Code::invalid,
                fmt::format("{} writes a film ({}), a farm renders frames: add --format PNG, then make "
                            "the film with `kiln film`",
                            name, inspection.format));
  }
  for (const auto& warning : inspection.warnings) context.warn(fmt::format("{}: {}", name, warning));
  return {};
}

// The frames to render, checked; the scene's own when none were asked for.
Result<std::string> frames_of(const SubmitOptions& options, const std::optional<Inspection>& inspection) {
  if (options.frames.empty() && !inspection) {
    return fail(Code::invalid,
                "which frames? The scene's own range could not be looked up: add --frames 1-24");
  }
  const auto frames =
      payloads::FrameSet::parse(options.frames.empty() ? inspection->frames() : options.frames);
  if (!frames)
    return fail(Error(frames.error()).with(options.frames.empty() ? "the scene's frames" : "--frames"));
  return frames->str();
}

// A scene, looked into, with what it brings along and its frames.
struct LoadedScene {
  Pack pack;
  std::optional<Inspection> inspection;
};

Result<LoadedScene> load_scene(Context& context, const SubmitOptions& options, const fs::path& given) {
  const auto scene = scene_path(given);
  if (!scene) return fail(scene.error());
  const auto file = read_scene_file(*scene);
  if (!file) return fail(file.error());
  std::optional<Inspection> inspection;
  if (!options.no_pack) {
    auto looked = look_into(context, *scene, *file);
    if (!looked) return fail(std::move(looked.error()));
    inspection = std::move(*looked);
  }
  if (inspection) {
    if (auto checked = check(context, options, *scene, *inspection); !checked)
      return fail(std::move(checked.error()));
  }
  auto pack = plan_pack(*scene, inspection ? inspection->references : std::vector<Reference>());
  if (!pack) return fail(std::move(pack.error()));
  return LoadedScene{std::move(*pack), std::move(inspection)};
}

Result<payloads::Manifest> send(Context& context, const Pack& pack) {
  auto manifest = make_manifest(context, pack);
  if (!manifest) return fail(std::move(manifest.error()));
  const auto uploaded = upload(context, pack, *manifest);
  if (!uploaded) return fail(uploaded.error());
  if (context.err.is_tty() && !context.json) {
    const auto total = manifest->files.size();
    context.err.line(fmt::format("{} file{}: {} sent ({}), {} already there", total, total == 1 ? "" : "s",
                                 uploaded->files, bytes_text(uploaded->bytes), uploaded->known));
  }
  return manifest;
}

// Frames as a template of Open Job Description has them: 1-100:10.
std::string range_of(std::string frames) {
  std::replace(frames.begin(), frames.end(), 'x', ':');
  return frames;
}

// A plain scene with a film at the end is a job type's work.
Result<payloads::JobSubmission> film_submission(const SubmitOptions& options,
                                                payloads::JobSubmission submission) {
  if (options.autoexec)
    return fail(Code::invalid, "--film goes without --autoexec: make the film afterwards with `kiln film`");
  payloads::JobSubmission film;
  film.type = "blender-animation";
  film.manifest = std::move(submission.manifest);
  film.parameters = {{"Scene", submission.options.scene_file},
                     {"Frames", range_of(submission.frames)},
                     {"ChunkSize", fmt::format("{}", options.chunk)},
                     {"Format", options.format.empty() ? "SCENE" : options.format},
                     {"Device", options.device},
                     {"Film", "ffmpeg"}};
  return film;
}

Result<payloads::JobSubmission> scene_submission(Context& context, const SubmitOptions& options) {
  const auto loaded = load_scene(context, options, options.files.front());
  if (!loaded) return fail(loaded.error());
  auto frames = frames_of(options, loaded->inspection);
  if (!frames) return fail(std::move(frames.error()));
  auto manifest = send(context, loaded->pack);
  if (!manifest) return fail(std::move(manifest.error()));

  payloads::JobSubmission submission;
  submission.frames = std::move(*frames);
  submission.manifest = std::move(*manifest);
  submission.options = {loaded->pack.scene_file, options.format, options.autoexec};
  const auto device = payloads::parse_device(options.device);
  KILN_ASSERT(device.has_value());  // the command line's own check
  submission.options.device = *device;
  submission.options.max_run_s = options.max_run_s;
  submission.options.stall_s = options.stall_s;
  if (options.film) return film_submission(options, std::move(submission));
  submission.chunk = options.chunk;
  return submission;
}

Result<payloads::TemplateText> read_template(const fs::path& file) {
  auto text = runtime::read_file(file, payloads::max_template_bytes);
  if (!text) return fail(std::move(text.error()));
  return payloads::TemplateText{std::move(*text), openjd::syntax_of(file.string()) == openjd::Syntax::json};
}

// The type or template that the job is of, with what describe() says of it.
Result<Json> described(Context& context, const SubmitOptions& options, payloads::JobSubmission& submission) {
  compiler::JobType type;
  if (!options.job_template.empty()) {
    auto text = read_template(options.job_template);
    if (!text) return fail(std::move(text.error()).with("--template"));
    submission.type = "openjd";
    submission.job_template = *text;
    type = {"template", std::move(*text)};
  } else {
    auto text = context.client.type(options.type);
    if (!text) return fail(std::move(text.error()));
    submission.type = options.type;
    const bool is_json = text->starts_with('{');
    type = {options.type, {std::move(*text), is_json}};
  }
  return compiler::describe(type);
}

// Puts what the parameter names on this machine into the luggage, and its place there into the value.
Status pack_parameter(Context& context, const SubmitOptions& options, const InputParameter& parameter,
                      std::string& value, Luggage& luggage) {
  constexpr std::string_view on_the_node = "node:";
  if (value.starts_with(on_the_node)) {
    value.erase(0, on_the_node.size());
    return {};
  }
  std::error_code error;
  if (value.empty() || !fs::exists(value, error)) return {};  // a place in the job's tree, then
  const auto source = fs::absolute(value).lexically_normal();
  if (!parameter.is_folder && source.extension() == ".blend") {
    const auto scene = load_scene(context, options, source);
    if (!scene) return fail(scene.error());
    value = scene->pack.scene_file;
    return luggage.add(scene->pack);
  }
  // "photos/" ends in nothing; the folder's own name says to people what it is.
  const auto name = source.has_filename() ? source.filename() : source.parent_path().filename();
  value = name.empty() || name == "." ? parameter.name : name.string();
  return luggage.add(source, value);
}

Status read_lists(const SubmitOptions& options, payloads::JobSubmission& submission) {
  for (const auto& file : options.environments) {
    auto text = read_template(file);
    if (!text) return fail(std::move(text.error()).with("--env"));
    submission.environments.push_back(std::move(*text));
  }
  for (const auto& one : options.frame_by_frame) {
    auto pair = read_pair(one);
    if (!pair) return fail(std::move(pair.error()));
    submission.frame_by_frame.push_back(std::move(*pair));
  }
  return {};
}

Result<payloads::JobSubmission> template_submission(Context& context, const SubmitOptions& options) {
  payloads::JobSubmission submission;
  auto values = read_parameters(options.parameters);
  if (!values) return fail(std::move(values.error()));
  const auto type = described(context, options, submission);
  if (!type) return fail(type.error());
  if (auto read = read_lists(options, submission); !read) return fail(std::move(read.error()));
  if (!options.frames.empty()) values->try_emplace("Frames", range_of(options.frames));
  Luggage luggage;
  for (const auto& parameter : input_parameters(*type)) {
    const auto value = values->find(parameter.name);
    if (value == values->end()) continue;
    if (auto packed = pack_parameter(context, options, parameter, value->second, luggage); !packed)
      return fail(std::move(packed.error()).with(fmt::format("-p {}", parameter.name)));
  }
  for (const auto& file : options.files) {
    const auto source = fs::absolute(file).lexically_normal();
    const auto name = source.has_filename() ? source.filename() : source.parent_path().filename();
    if (auto added = luggage.add(source, name.string()); !added) return fail(std::move(added.error()));
  }
  submission.parameters = std::move(*values);
  if (const auto pack = luggage.take(); !pack.files.empty()) {
    auto manifest = send(context, pack);
    if (!manifest) return fail(std::move(manifest.error()));
    submission.manifest = std::move(*manifest);
  }
  submission.options.max_run_s = options.max_run_s;
  submission.options.stall_s = options.stall_s;
  return submission;
}

// What every job may ask for.
Status read_wishes(const SubmitOptions& options, payloads::JobSubmission& submission) {
  for (const auto& one : options.limits) {
    auto use = read_limit(one);
    if (!use) return fail(std::move(use.error()));
    submission.limits.push_back(std::move(*use));
  }
  if (!options.start.empty()) {
    const auto start = parse_moment(options.start, now_ms());
    if (!start) return fail(Error(start.error()).with("--start"));
    submission.start_ms = *start;
  }
  submission.production = options.production;
  submission.renderer = options.renderer;
  submission.tags = options.tags;
  submission.after = options.after;
  submission.slot_limit = options.slot_limit;
  submission.node_limit = options.node_limit;
  return {};
}

// To the end, and the frames to the folder. The document is printed once, at the end.
Result<Exit> see_through(Context& context, const SubmitOptions& options, const Json& job) {
  auto ended = wait_for_job(context, job, !context.json || context.err.is_tty());
  if (!ended) return fail(std::move(ended.error()));
  say_end(context, *ended);
  Json document = *ended;
  if (!options.download.empty() && counts_of(*ended).done > 0) {
    const auto fetched = fetch_frames(context, *ended, options.download, "");
    if (!fetched) return fail(fetched.error());
    context.say(fmt::format("frames: {} in {}", fetched->frames.size(), options.download.string()));
    document.set("download_dir", fs::absolute(options.download).string());
  } else if (counts_of(*ended).done > 0 && text_of(*ended, "type") != "noop") {
    context.say(fmt::format("frames: {} on the controller; `kiln download {}` fetches them",
                            text_of(*ended, "output_dir"), integer_of(*ended, "number")));
  }
  if (context.json) context.print(document);
  return exit_of_job(*ended);
}

}  // namespace

Result<Exit> submit(Context& context, const SubmitOptions& options) {
  payloads::JobSubmission submission;
  if (options.noop > 0) {
    submission.type = "noop";
    submission.name = "noop";
    submission.frames = options.noop == 1 ? "1" : fmt::format("1-{}", options.noop);
    submission.chunk = options.chunk;
  } else if (!options.type.empty() || !options.job_template.empty()) {
    auto made = template_submission(context, options);
    if (!made) return fail(std::move(made.error()));
    submission = std::move(*made);
  } else {
    // A range that is none is said at once, not after Blender's seconds.
    if (!options.frames.empty()) {
      if (const auto frames = payloads::FrameSet::parse(options.frames); !frames) {
        return fail(Error(frames.error()).with("--frames"));
      }
    }
    auto made = scene_submission(context, options);
    if (!made) return fail(std::move(made.error()));
    submission = std::move(*made);
  }
  if (!options.name.empty()) submission.name = options.name;
  submission.priority = options.priority;
  submission.paused = options.paused;
  submission.retries = options.retries;
  submission.fail_pct = options.fail_pct;
  if (auto read = read_wishes(options, submission); !read) return fail(std::move(read.error()));

  const auto job = context.client.submit(submission, random_key());
  if (!job) return fail(job.error());
  const auto number = integer_of(*job, "number");
  const bool waits = options.wait || !options.download.empty();
  const auto frames = text_of(*job, "frames");
  const auto tasks = counts_of(*job).total();
  context.say(fmt::format(
      "job {} ({}), {}{}", job_label(*job), text_of(*job, "id"),
      frames.empty() ? fmt::format("{} task{}", tasks, tasks == 1 ? "" : "s") : "frames " + frames,
      options.paused ? fmt::format(", paused: `kiln resume {}` starts it", number) : ""));
  if (waits) return see_through(context, options, *job);
  if (context.json) context.print(*job);
  if (context.out.is_tty() && !options.paused)
    context.say(fmt::format("`kiln watch {}` shows it live", number));
  return Exit::ok;
}

}  // namespace kiln::cli
