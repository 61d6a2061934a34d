#include <fmt/format.h>

#include <chrono>
#include <optional>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/follow.h"
#include "cli/frames_on_disk.h"
#include "cli/inspection.h"
#include "cli/pack.h"
#include "cli/scene_file.h"
#include "cli/text.h"
#include "cli/upload.h"
#include "payloads/frames.h"

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

Result<payloads::JobSubmission> scene_submission(Context& context, const SubmitOptions& options) {
  const auto scene = scene_path(options.scene);
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
  auto frames = frames_of(options, inspection);
  if (!frames) return fail(std::move(frames.error()));
  const auto pack = plan_pack(*scene, inspection ? inspection->references : std::vector<Reference>());
  if (!pack) return fail(pack.error());
  auto manifest = make_manifest(context, *pack);
  if (!manifest) return fail(std::move(manifest.error()));
  const auto uploaded = upload(context, *pack, *manifest);
  if (!uploaded) return fail(uploaded.error());
  if (context.err.is_tty() && !context.json) {
    const auto total = manifest->files.size();
    context.err.line(fmt::format("{} file{}: {} sent ({}), {} already there", total, total == 1 ? "" : "s",
                                 uploaded->files, bytes_text(uploaded->bytes), uploaded->known));
  }

  payloads::JobSubmission submission;
  submission.frames = std::move(*frames);
  submission.manifest = std::move(*manifest);
  submission.options = {pack->scene_file, options.format, options.autoexec};
  const auto device = payloads::parse_device(options.device);
  KILN_ASSERT(device.has_value());  // the command line's own check
  submission.options.device = *device;
  submission.options.max_run_s = options.max_run_s;
  submission.options.stall_s = options.stall_s;
  return submission;
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
  submission.chunk = options.chunk;
  submission.paused = options.paused;
  submission.retries = options.retries;
  submission.fail_pct = options.fail_pct;

  const auto job = context.client.submit(submission, random_key());
  if (!job) return fail(job.error());
  const auto number = integer_of(*job, "number");
  const bool waits = options.wait || !options.download.empty();
  context.say(fmt::format("job {} ({}), frames {}{}", job_label(*job), text_of(*job, "id"),
                          text_of(*job, "frames"),
                          options.paused ? fmt::format(", paused: `kiln resume {}` starts it", number) : ""));
  if (waits) return see_through(context, options, *job);
  if (context.json) context.print(*job);
  if (context.out.is_tty() && !options.paused)
    context.say(fmt::format("`kiln watch {}` shows it live", number));
  return Exit::ok;
}

}  // namespace kiln::cli
