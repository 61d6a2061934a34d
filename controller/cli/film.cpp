#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/frames_on_disk.h"
#include "cli/text.h"
#include "payloads/frames.h"
#include "runtime/files.h"
#include "runtime/process.h"

namespace kiln::cli {

namespace fs = std::filesystem;

namespace {

constexpr std::chrono::hours longest{12};

// Links 00000001.png, … to the frames, so that ffmpeg takes them in this order and no other; gone with the
// object.
class Reel {
 public:
  explicit Reel(fs::path folder) : folder_(std::move(folder)) {}
  Reel(const Reel&) = delete;
  Reel& operator=(const Reel&) = delete;
  ~Reel() {
    std::error_code error;
    fs::remove_all(folder_, error);
  }
  Status lay(const std::vector<Frame>& frames, const std::string& extension) {
    if (auto made = runtime::make_folders(folder_); !made) return made;
    for (std::size_t i = 0; i < frames.size(); ++i) {
      std::error_code error;
      fs::create_symlink(fs::absolute(frames[i].file), folder_ / fmt::format("{:08}{}", i + 1, extension),
                         error);
      if (error) return fail(runtime::os_error(error.value(), "while lining up the frames"));
    }
    return {};
  }
  [[nodiscard]] std::string pattern(const std::string& extension) const {
    // ffmpeg reads % in the folder's name, too.
    std::string path;
    for (const char c : folder_.string()) path += c == '%' ? "%%" : std::string(1, c);
    return path + "/%08d" + extension;
  }

 private:
  fs::path folder_;
};

std::string lower_extension(const fs::path& path) {
  std::string text = path.extension().string();
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

// One file a frame: the first by name where a frame has several (views, passes).
std::vector<Frame> one_a_frame(std::vector<Frame> frames) {
  const auto same = [](const Frame& a, const Frame& b) { return a.frame == b.frame; };
  frames.erase(std::unique(frames.begin(), frames.end(), same), frames.end());
  return frames;
}

void warn_of_gaps(Context& context, const Json& job, const std::string& frames, std::size_t have) {
  const auto wanted = payloads::FrameSet::parse(frames.empty() ? text_of(job, "frames") : frames);
  if (wanted && wanted->size() > have) {
    context.warn(fmt::format("{} of {} frames are done: the film jumps over the rest", have, wanted->size()));
  }
}

}  // namespace

std::vector<std::string> film_command(const std::string& pattern, const std::string& extension, double fps,
                                      const fs::path& file) {
  std::vector<std::string> argv = {"ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y"};
  // OpenEXR holds linear light; a screen wants sRGB.
  if (extension == ".exr") argv.insert(argv.end(), {"-apply_trc", "iec61966_2_1"});
  argv.insert(argv.end(), {"-framerate", fmt::format("{}", fps), "-start_number", "1", "-i", pattern});
  // H.264 with 4:2:0 needs even sides; the matrix is said in the file, so that players show the same colours.
  argv.insert(
      argv.end(),
      {"-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2,scale=out_color_matrix=bt709:out_range=tv,format=yuv420p",
       "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-c:v", "libx264",
       "-preset", "medium", "-crf", "18", "-movflags", "+faststart", "-f", "mp4", file});
  return argv;
}

Result<Exit> make_film(Context& context, const FilmOptions& options) {
  if (lower_extension(options.file) != ".mp4") {
    return fail(Code::invalid, fmt::format("'{}': a film is an MP4: name it {}.mp4", options.file.string(),
                                           options.file.stem().string()));
  }
  // Asked first: a missing ffmpeg should not be found out after an hour of downloads.
  if (const auto there = runtime::run_capture({"ffmpeg", "-version"}); !there) {
    return fail(Code::io,
                "ffmpeg makes the film and is not installed here: `sudo apt install ffmpeg`; `kiln download` "
                "fetches the frames alone");
  }
  const auto job = find_job(context, options.job);
  if (!job) return fail(job.error());
  const fs::path folder =
      options.folder.empty() ? context.cache / "frames" / text_of(*job, "id") : options.folder;
  auto fetched = fetch_frames(context, *job, folder, options.frames);
  if (!fetched) return fail(std::move(fetched.error()));
  const auto frames = one_a_frame(std::move(fetched->frames));
  warn_of_gaps(context, *job, options.frames, frames.size());
  const std::string extension = lower_extension(frames.front().file);
  for (const auto& frame : frames) {
    if (lower_extension(frame.file) != extension) {
      return fail(Code::invalid,
                  fmt::format("the frames are of different kinds ({} and {}): choose some with --frames",
                              frames.front().file.filename().string(), frame.file.filename().string()));
    }
  }
  Reel reel(context.cache / fmt::format("film-{}", random_key()));
  if (auto laid = reel.lay(frames, extension); !laid) return fail(std::move(laid.error()));
  const fs::path part = options.file.string() + ".part";
  if (!options.file.parent_path().empty()) {
    if (auto made = runtime::make_folders(options.file.parent_path()); !made)
      return fail(std::move(made.error()));
  }
  context.err.status("making the film …");
  runtime::CaptureOptions capture;
  capture.timeout = longest;
  const auto ran =
      runtime::run_capture(film_command(reel.pattern(extension), extension, options.fps, part), capture);
  context.err.end_status(false);
  std::error_code error;
  if (!ran || !ran->status.ok()) {
    fs::remove(part, error);
    if (!ran) return fail(ran.error());
    const auto words = harmless(ran->output.substr(0, ran->output.find('\n')));
    return fail(Code::io, fmt::format("ffmpeg made no film ({}): {}", ran->status.str(), words));
  }
  fs::rename(part, options.file, error);
  if (error)
    return fail(runtime::os_error(error.value(), fmt::format("while naming {}", options.file.string())));
  const auto size = fs::file_size(options.file, error);
  if (context.json) {
    context.print(Json::object({{"job", text_of(*job, "id")},
                                {"file", fs::absolute(options.file).string()},
                                {"frames", frames.size()},
                                {"fps", options.fps}}));
    return Exit::ok;
  }
  context.say(fmt::format("{}: {} frames, {}, {}", options.file.string(), frames.size(),
                          duration_text(static_cast<double>(frames.size()) / options.fps), bytes_text(size)));
  return Exit::ok;
}

}  // namespace kiln::cli
