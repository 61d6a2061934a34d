#include "compiler/compile.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

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

Status check_format(const std::string& format) {
  if (format.empty() || contains(image_formats(), format)) return {};
  if (contains(film_formats(), format)) {
    return fail(Code::invalid,
                fmt::format("options.format: {} is a film; Kiln renders frames: leave it out or write PNG, "
                            "and make the film afterwards with `kiln film`",
                            format));
  }
  return fail(Code::invalid, fmt::format("options.format: Blender writes no '{}'; it writes {}",
                                         clip(to_utf8(format), 40), fmt::join(image_formats(), ", ")));
}

Status check_files(const payloads::JobSubmission& submission) {
  const auto& scene = submission.options.scene_file;
  if (scene.empty()) {
    return fail(Code::invalid, "options.scene_file: missing; name the .blend among manifest.files");
  }
  const auto& files = submission.manifest.files;
  const auto has = [&](const std::string& path) {
    return std::any_of(files.begin(), files.end(), [&](const auto& file) { return file.path == path; });
  };
  if (!has(scene)) {
    return fail(Code::invalid, fmt::format("options.scene_file: '{}' is not among manifest.files", scene));
  }
  return {};
}

std::string default_name(const payloads::JobSubmission& submission) {
  const auto& scene = submission.options.scene_file;
  if (scene.empty()) return submission.type;
  auto name = scene.substr(scene.rfind('/') + 1);
  if (name.ends_with(".blend") && name.size() > 6) name.resize(name.size() - 6);
  return name;
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

Result<CompiledJob> compile(const payloads::JobSubmission& submission) {
  CompiledJob job;
  if (submission.type != "blender" && submission.type != "noop") {
    return fail(Code::invalid, fmt::format("type: no job type '{}'; there are blender and noop",
                                           clip(to_utf8(submission.type), 40)));
  }
  job.renderer = submission.type;

  job.name = submission.name.empty() ? default_name(submission) : submission.name;
  if (job.name.size() > max_name_bytes || !is_one_line(job.name)) {
    return fail(Code::invalid, fmt::format("name: one line of at most {} bytes is expected", max_name_bytes));
  }
  if (submission.frames.empty()) {
    return fail(Code::invalid, "frames: missing; write the frames to render, as in 1-24, 7 or 1-100x10");
  }
  auto frames = payloads::FrameSet::parse(submission.frames);
  if (!frames) return fail(std::move(frames.error()).with("frames"));
  job.frames = std::move(*frames);

  if (submission.chunk < 1 || submission.chunk > max_chunk_frames) {
    return fail(Code::invalid,
                fmt::format("chunk: 1 to {} frames a task, not {}", max_chunk_frames, submission.chunk));
  }
  job.chunk = submission.chunk;
  if (submission.priority < 0 || submission.priority > max_priority) {
    return fail(Code::invalid, fmt::format("priority: 0 to {}, not {}", max_priority, submission.priority));
  }

  if (submission.retries && *submission.retries > payloads::max_retries) {
    return fail(Code::invalid, fmt::format("retries: 0 to {} of a task, not {}", payloads::max_retries,
                                           *submission.retries));
  }
  if (submission.fail_pct && (*submission.fail_pct < 1 || *submission.fail_pct > 100)) {
    return fail(Code::invalid,
                fmt::format("fail_pct: 1 to 100 percent of the tasks, not {}", *submission.fail_pct));
  }
  job.retries = submission.retries;
  job.fail_pct = submission.fail_pct;
  job.options = submission.options;
  if (submission.type == "blender") {
    if (auto files = check_files(submission); !files) return fail(std::move(files.error()));
    if (auto format = check_format(submission.options.format); !format)
      return fail(std::move(format.error()));
  }
  return job;
}

}  // namespace kiln::compiler
