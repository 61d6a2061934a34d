// What the tests of the runner share: scenes that Blender makes at their start, and a runner whose outcomes
// can be waited for.
#pragma once

#include "session/runner.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <thread>

#include "runtime/fd.h"
#include "runtime/process.h"
#include "runtime/sha256.h"
#include "session/frame_check.h"

#include "check.h"

namespace kiln::session::test {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

inline constexpr auto deadline = 90s;  // for a Blender start and a few small frames on a loaded machine

inline const char* const make_scenes = R"py(
import bpy, os
folder = os.environ["SCENES"]
def base(engine="CYCLES"):
    bpy.ops.wm.read_factory_settings()
    scene = bpy.context.scene
    scene.render.engine = engine
    scene.cycles.samples, scene.cycles.use_denoising = 4, False
    scene.render.resolution_x = scene.render.resolution_y = 64
    scene.frame_end = 3
    scene.render.filepath = "//render/shot_####"
    return scene
def save(name, path=None):
    bpy.ops.wm.save_as_mainfile(filepath=path or os.path.join(folder, name + ".blend"), relative_remap=False)
def move(thing):
    thing.keyframe_insert("location", frame=1)
    thing.location.x = 2
    thing.keyframe_insert("location", frame=3)

base(); move(bpy.data.objects["Cube"]); save("plain")
base().render.filepath = "/mnt/elsewhere/other_"; save("other")
scene = base(); scene.cycles.samples = 100000; scene.render.resolution_x = scene.render.resolution_y = 512; save("long")
base().camera = None; save("no_camera")
base().render.image_settings.file_format = "FFMPEG"; save("film")
scene = base(); scene.render.image_settings.file_format = "OPEN_EXR"; scene.render.image_settings.color_depth = "32"
scene.render.image_settings.exr_codec = "NONE"
scene.render.resolution_x = scene.render.resolution_y = 600; scene.cycles.samples = 1; save("big")
base(); bpy.data.objects["Cube"].driver_add("location", 2).driver.expression = "__import__('os').getpid() and 1"; save("scripted")

def image(path, colour):
    made = bpy.data.images.new("made", 8, 8)
    made.pixels = list(colour) * 64
    made.filepath_raw, made.file_format = path, "PNG"
    made.save()
    bpy.data.images.remove(made)
def textured(path):
    tree = bpy.data.objects["Cube"].data.materials[0].node_tree
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = bpy.data.images.load(path)
    tree.links.new(node.outputs[0], tree.nodes["Principled BSDF"].inputs[0])
studio = os.path.join(folder, "studio")
os.makedirs(studio)
image(os.path.join(studio, "paint.png"), (1, 0, 0, 1))
base(); textured(os.path.join(studio, "paint.png")); bpy.data.objects["Cube"].name = "Prop"
save("", os.path.join(studio, "props.blend"))
base(); bpy.data.objects.remove(bpy.data.objects["Cube"])
with bpy.data.libraries.load(os.path.join(studio, "props.blend"), link=True, relative=False) as (there, here):
    here.objects = ["Prop"]
bpy.context.scene.collection.objects.link(bpy.data.objects["Prop"])
save("linked")
base(); textured(os.path.join(studio, "paint.png")); save("textured")
)py";

inline std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
inline void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// The folder of scenes and of what the tests leave, removed at the end.
class Ground {
 public:
  Ground() {
    std::string name = (fs::temp_directory_path() / "kiln-session-XXXXXX").string();
    KILN_ASSERT(::mkdtemp(name.data()) != nullptr);
    root = name;
    fs::create_directories(root / "scenes");
    write(root / "make.py", make_scenes);
    ::setenv("SCENES", (root / "scenes").c_str(), 1);
    const auto made =
        kiln::runtime::run_capture({"blender", "-b", "--factory-startup", "-noaudio", "--python-exit-code",
                                    "1", "-P", (root / "make.py").string()});
    KILN_ASSERT(made && made->status.ok());
    auto plain = slurp(scene("plain"));
    write(scene("truncated"), plain.substr(0, plain.size() / 2));
    write(scene("nonsense"), "this is no scene");
    write(scene("newer"), "BLENDER17-01v0501" + plain.substr(12));
    // What the job's files hold on a render box: a copy elsewhere. The originals are gone there.
    fs::create_directories(scenes() / "copy");
    fs::rename(scenes() / "studio", scenes() / "copy/studio");
  }
  // Another process's ground, left to it.
  explicit Ground(fs::path other) : root(std::move(other)), is_ours_(false), scratches_(1000) {}
  ~Ground() {
    std::error_code ignored;
    if (is_ours_) fs::remove_all(root, ignored);
  }
  Ground(const Ground&) = delete;
  [[nodiscard]] fs::path scenes() const { return root / "scenes"; }
  [[nodiscard]] fs::path scene(const std::string& name) const { return scenes() / (name + ".blend"); }
  fs::path scratch() { return root / ("scratch-" + std::to_string(++scratches_)); }
  fs::path program(const std::string& script) {
    auto path = root / ("blender-" + std::to_string(++scratches_));
    write(path, "#!/bin/sh\n" + script + "\n");
    fs::permissions(path, fs::perms::owner_all);
    return path;
  }
  fs::path root;

 private:
  bool is_ours_ = true;
  int scratches_ = 0;
};
inline Ground* ground = nullptr;

// A runner whose outcomes and progress can be waited for. Every scene is a manifest of its own.
class Bench {
 public:
  explicit Bench(const std::function<void(Config&)>& change = {}) {
    Config config;
    config.scratch = ground->scratch();
    config.threads_per_slot = 2;
    config.fetch = [](const std::string& manifest, const std::function<bool()>&) -> kiln::Result<JobTree> {
      JobTree tree;
      tree.root = ground->scenes();
      if (manifest.find("mapped") != std::string::npos) {
        for (const char* name : {"props.blend", "paint.png"}) {
          tree.mappings.push_back(
              {(ground->scenes() / "studio" / name).string(), std::string("copy/studio/") + name});
        }
      }
      return tree;
    };
    config.on_progress = [this](const Progress& progress) {
      const std::lock_guard lock(mutex_);
      progress_.push_back(progress);
      changed_.notify_all();
    };
    config.on_outcome = [this](Outcome outcome) {
      const std::lock_guard lock(mutex_);
      outcomes_.push_back(std::move(outcome));
      changed_.notify_all();
    };
    if (change) change(config);
    scratch = config.scratch;
    runner.emplace(std::move(config));
  }

  static payloads::RunTask task(const std::string& scene, const std::string& frames = "1",
                                const std::string& format = "", bool autoexec = false,
                                const std::string& manifest = "") {
    static std::uint32_t number = 0;
    payloads::RunTask run;
    run.task = *kiln::TaskId::parse("7-abcde-" + std::to_string(++number));
    run.attempt = 1;
    run.renderer = "blender";
    run.manifest = manifest.empty() ? "sha256:" + scene : manifest;
    run.frames = *payloads::FrameSet::parse(frames);
    run.options = {scene + ".blend", format, autoexec};
    return run;
  }
  Outcome wait() {
    std::unique_lock lock(mutex_);
    const bool came = changed_.wait_for(lock, deadline, [&] { return !outcomes_.empty(); });
    KILN_ASSERT(came);
    auto outcome = std::move(outcomes_.front());
    outcomes_.pop_front();
    return outcome;
  }
  Outcome render(const payloads::RunTask& run) {
    runner->start(run, 0);
    return wait();
  }
  // Waits until Blender is at work on the frame: the first progress is told when it is asked to, the second
  // when it speaks.
  void wait_for_work(const payloads::RunTask& run) {
    std::unique_lock lock(mutex_);
    KILN_ASSERT(changed_.wait_for(lock, deadline, [&] {
      return std::count_if(progress_.begin(), progress_.end(),
                           [&](const Progress& one) { return one.task == run.task && one.frame == 1; }) >= 2;
    }));
  }
  std::vector<Progress> progress() {
    const std::lock_guard lock(mutex_);
    return progress_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Outcome> outcomes_;
  std::vector<Progress> progress_;
  fs::path scratch;
  std::optional<Runner> runner;  // last: its threads use what is above
};

// Readable once that process has ended.
inline kiln::runtime::Fd ending_of(pid_t pid) {
  return kiln::runtime::Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}
inline bool gone(pid_t pid) {
  return ::kill(pid, 0) != 0 && errno == ESRCH;
}

inline void check_failed(const Outcome& outcome, const std::string& code, payloads::FailureScope scope) {
  check(!outcome.cancelled);
  check(!outcome.report.ok);
  if (outcome.report.failure.code != code)
    print_error("%s\n%s\n", outcome.report.failure.message.c_str(), outcome.log.c_str());
  check_equal(outcome.report.failure.code, code);
  check(outcome.report.failure.scope == scope);
  check(outcome.report.files.empty());
  check(outcome.folder.empty());
  check(outcome.report.failure.message.find('\n') == std::string::npos);
}
inline void check_rendered(const Outcome& outcome) {
  if (!outcome.report.ok)
    print_error("%s\n%s\n", outcome.report.failure.message.c_str(), outcome.log.c_str());
  check(outcome.report.ok);
  check(!outcome.report.files.empty());
  for (const auto& file : outcome.report.files) {
    check_ok(kiln::session::check_picture_file(outcome.folder / file.path));
    check_equal(file.size, fs::file_size(outcome.folder / file.path));
    check_equal(file.digest, *kiln::runtime::digest_of_file(outcome.folder / file.path));
  }
}
inline std::string joined(const std::vector<std::string>& lines) {
  std::string all;
  for (const auto& line : lines) all += line + "\n";
  return all;
}

}  // namespace kiln::session::test
