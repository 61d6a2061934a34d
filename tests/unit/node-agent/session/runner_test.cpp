// The runner with the real Blender, on scenes that Blender makes at the start of the test, and with shell
// scripts in Blender's place where a renderer must misbehave.
#include "session/runner.h"

#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

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

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using kiln::session::Config;
using kiln::session::JobTree;
using kiln::session::Outcome;
using kiln::session::Progress;
using kiln::session::Runner;
namespace payloads = kiln::payloads;

namespace {

constexpr auto deadline = 90s;  // for a Blender start and a few small frames on a loaded machine

const char* const make_scenes = R"py(
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

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write(const fs::path& path, const std::string& bytes) {
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
  ~Ground() {
    std::error_code ignored;
    fs::remove_all(root, ignored);
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
  int scratches_ = 0;
};
Ground* ground = nullptr;

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
kiln::runtime::Fd ending_of(pid_t pid) {
  return kiln::runtime::Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}
bool gone(pid_t pid) {
  return ::kill(pid, 0) != 0 && errno == ESRCH;
}

void check_failed(const Outcome& outcome, const std::string& code, payloads::FailureScope scope) {
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
void check_rendered(const Outcome& outcome) {
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
std::string joined(const std::vector<std::string>& lines) {
  std::string all;
  for (const auto& line : lines) all += line + "\n";
  return all;
}

// A PNG's pixels as they are compressed in it, without the texts that hold date and render time.
std::string pixels(const fs::path& path) {
  const auto bytes = slurp(path);
  std::string packed;
  for (std::size_t at = 8; at + 12 <= bytes.size();) {
    const auto* head = reinterpret_cast<const unsigned char*>(bytes.data() + at);
    const std::size_t length = (head[0] << 24U) | (head[1] << 16U) | (head[2] << 8U) | head[3];
    if (bytes.compare(at + 4, 4, "IDAT") == 0) packed += bytes.substr(at + 8, length);
    at += 12 + length;
  }
  std::string plain(1 << 20, '\0');
  uLongf size = plain.size();
  KILN_ASSERT(::uncompress(reinterpret_cast<Bytef*>(plain.data()), &size,
                           reinterpret_cast<const Bytef*>(packed.data()), packed.size()) == Z_OK);
  plain.resize(size);
  return plain;
}

// ---- the promises
// -------------------------------------------------------------------------------------------

void one_blender_serves_frames_tasks_and_scenes() {
  Bench bench;
  check_equal(bench.runner->warm().at(0), "");
  const auto first = bench.render(Bench::task("plain", "2-3"));
  check_rendered(first);
  check_equal(first.report.files.size(), 2U);
  check_equal(first.report.files[0].path, "render/shot_0002.png");
  check_equal(first.report.files[0].frame, 2);
  check_equal(first.report.files[1].path, "render/shot_0003.png");
  check_equal(first.report.files[1].width, 64U);
  check_equal(first.report.files[1].height, 64U);
  check(first.report.files[1].seconds > 0);
  check(first.report.seconds >= first.report.files[0].seconds);
  check(first.report.warnings.empty());
  check_contains(first.log, "Saved:");
  check_equal(bench.runner->warm().at(0), "sha256:plain");
  const auto pid = bench.runner->renderers().at(0);
  check(pid > 0);

  const auto second = bench.render(Bench::task("plain"));
  check_rendered(second);
  check_equal(bench.runner->renderers().at(0), pid);
  const auto other = bench.render(Bench::task("other"));
  check_rendered(other);
  check_equal(other.report.files[0].path, "other_0001.png");
  check_equal(bench.runner->renderers().at(0), pid);
  check_equal(bench.runner->warm().at(0), "sha256:other");

  const auto told = bench.progress();
  check(told.front().phase == payloads::TaskPhase::fetching);
  const auto last_of_first =
      std::find_if(told.rbegin(), told.rend(), [&](const auto& one) { return one.task == first.task; });
  check_equal(last_of_first->percent, 100.0);
  bench.runner.reset();
  check(gone(pid));
}

void frames_equal_those_of_blender_itself() {
  const auto out = ground->root / "reference";
  const auto reference =
      kiln::runtime::run_capture({"blender", "-b", "--factory-startup", "-noaudio", "-Y",
                                  ground->scene("plain").string(), "-o", (out / "shot_####").string(), "-a"});
  check_ok(reference);
  Bench bench;
  // Out of order, and in two tasks: as a farm does it.
  const auto some = bench.render(Bench::task("plain", "3,1"));
  const auto rest = bench.render(Bench::task("plain", "2"));
  for (const auto* outcome : {&some, &rest}) {
    check_rendered(*outcome);
    for (const auto& file : outcome->report.files) {
      check(pixels(outcome->folder / file.path) == pixels(out / fs::path(file.path).filename()));
    }
  }
}

void a_wrong_scene_is_the_jobs_failure_and_harms_no_other() {
  Bench bench;
  const struct {
    const char* scene;
    const char* format;
    const char* code;
    const char* says;
  } cases[] = {
      {"no_camera", "", "no-camera", "has no camera"},
      {"truncated", "", "bad-scene", "Blender 3"},
      {"nonsense", "", "bad-scene", "does not begin as a .blend file"},
      {"absent", "", "missing-scene", "absent.blend"},
      {"../plain", "", "missing-scene", "no path"},
      {"newer", "", "newer-blender", "was saved by Blender 5.1"},
      {"linked", "", "missing-library", "props.blend"},
      {"plain", "FFMPEG", "bad-format", "use one of"},
      {"plain", "XYZ", "bad-format", "OPEN_EXR"},
  };
  pid_t pid = 0;
  for (const auto& one : cases) {
    const auto outcome = bench.render(Bench::task(one.scene, "1", one.format));
    check_failed(outcome, one.code, payloads::FailureScope::job);
    check_contains(outcome.report.failure.message, one.says);
    check_equal(bench.runner->warm().at(0), "");
    const auto now = bench.runner->renderers().at(0);
    check(pid == 0 || now == pid);  // none of this costs a Blender
    pid = now;
  }
  check_rendered(bench.render(Bench::task("plain")));
}

void what_a_picture_lacks_is_warned_of() {
  Bench bench;
  const auto textured = bench.render(Bench::task("textured"));
  check_rendered(textured);
  check_contains(joined(textured.report.warnings),
                 "missing texture " + (ground->scenes() / "studio/paint.png").string());
  const auto again = bench.render(Bench::task("textured", "2"));
  check(again.report.warnings == textured.report.warnings);
  const auto film = bench.render(Bench::task("film"));
  check_rendered(film);
  check_contains(joined(film.report.warnings), "PNG");
  check_equal(film.report.files[0].path, "render/shot_0001.png");
}

void paths_outside_the_job_lead_to_its_copies() {
  Bench bench;
  for (const char* scene : {"linked", "textured"}) {
    const auto outcome =
        bench.render(Bench::task(scene, "1", "", false, std::string("sha256:mapped-") + scene));
    check_rendered(outcome);
    check_equal(joined(outcome.report.warnings), "");
  }
}

void formats_are_written_and_checked() {
  Bench bench;
  for (const char* format : {"OPEN_EXR", "OPEN_EXR_MULTILAYER", "JPEG", "TIFF", "TARGA", "TARGA_RAW", "BMP",
                             "HDR", "WEBP", "DPX"}) {
    const auto outcome = bench.render(Bench::task("plain", "1", format));
    check_rendered(outcome);
    check_equal(outcome.report.files[0].width, 64U);
  }
}

void scripts_of_a_scene_run_only_when_asked_and_in_a_blender_of_their_own() {
  Bench bench;
  const auto blocked = bench.render(Bench::task("scripted"));
  check_rendered(blocked);
  check_contains(joined(blocked.report.warnings), "autoexec");
  const auto careful = bench.runner->renderers().at(0);
  const auto allowed = bench.render(Bench::task("scripted", "1", "", true));
  check_rendered(allowed);
  check_equal(joined(allowed.report.warnings), "");
  const auto trusting = bench.runner->renderers().at(0);
  check(trusting != careful);
  check(gone(careful));
  check_rendered(bench.render(Bench::task("plain", "1", "", true)));
  check(bench.runner->renderers().at(0) != trusting);
}

void a_cancelled_frame_dies_with_its_blender() {
  Bench bench;
  const auto task = Bench::task("long");
  bench.runner->start(task, 0);
  bench.wait_for_work(task);
  const auto pid = bench.runner->renderers().at(0);
  bench.runner->cancel(task.task, 2);  // another attempt: ignored
  bench.runner->cancel(task.task, 1);
  const auto outcome = bench.wait();
  check(outcome.cancelled);
  check(!outcome.report.ok);
  check(gone(pid));
  check_rendered(bench.render(Bench::task("plain")));
  // Nothing of the cancelled one is left.
  check(!fs::exists(bench.scratch / (task.task.str() + ".1")));
}

void a_killed_blender_is_a_failed_attempt_and_the_next_task_works() {
  Bench bench;
  const auto task = Bench::task("long");
  bench.runner->start(task, 0);
  bench.wait_for_work(task);
  check_equal(::kill(bench.runner->renderers().at(0), SIGKILL), 0);
  const auto outcome = bench.wait();
  check_failed(outcome, "renderer-crashed", payloads::FailureScope::attempt);
  check_contains(outcome.report.failure.message, "rendering frame 1 (killed by SIGKILL)");
  check_equal(bench.runner->warm().at(0), "");
  check_rendered(bench.render(Bench::task("plain")));
  // One that dies while it idles costs no task.
  const auto idle = bench.runner->renderers().at(0);
  const auto ending = ending_of(idle);
  check_equal(::kill(idle, SIGKILL), 0);
  check(kiln::runtime::wait_readable(ending.get(), deadline));
  check_rendered(bench.render(Bench::task("plain", "2")));
}

void a_renderer_that_misbehaves_is_named() {
  const struct {
    std::string script;
    const char* code;
    const char* says;
  } cases[] = {
      {"exec sleep 1000", "renderer-hung", "no sign of life for 0.5 s while starting"},
      {"echo cannot open shared object; exit 3", "renderer-crashed", "cannot open shared object"},
      {"kill -SEGV $$", "renderer-crashed", "killed by SIGSEGV"},
      {"echo nonsense >&3; exec sleep 1000", "renderer-crashed", "nonsense"},
      {R"(echo '{"event":"ready","version":"abc"}' >&3; exec sleep 1000)", "renderer-missing", "no Blender"},
      {R"(echo '{"event":"ready","version":"3.4.1"}' >&3; read line; exec sleep 1000)", "renderer-hung",
       "opening plain.blend"},
  };
  for (const auto& one : cases) {
    Bench bench([&](Config& config) {
      config.blender = ground->program(one.script);
      config.hang_ms = 500;
    });
    const auto outcome = bench.render(Bench::task("plain"));
    check_failed(outcome, one.code, payloads::FailureScope::attempt);
    check_contains(outcome.report.failure.message, one.says);
    check_equal(bench.runner->renderers().at(0), 0);
  }
}

void a_box_without_blender_says_what_to_install() {
  Bench bench([](Config& config) { config.blender = "no-such-blender"; });
  const auto outcome = bench.render(Bench::task("plain"));
  check_failed(outcome, "renderer-missing", payloads::FailureScope::attempt);
  check_contains(outcome.report.failure.message, "apt-get install blender");
  check(Runner::detect("no-such-blender").empty());
  check(Runner::detect(ground->program("exit 1").string()).empty());
  const auto found = Runner::detect("blender");
  check_equal(found.size(), 1U);
  check_equal(found[0].name, "blender");
  check_equal(std::count(found[0].version.begin(), found[0].version.end(), '.'), 2);
}

void a_scratch_that_cannot_be_written_is_named() {
  const auto file = ground->root / "a-file";
  write(file, "");
  Bench bench([&](Config& config) { config.scratch = file / "scratch"; });
  const auto outcome = bench.render(Bench::task("plain"));
  check_failed(outcome, "scratch-unusable", payloads::FailureScope::attempt);
  check_contains(outcome.report.failure.message, "a-file");
}

void a_full_disk_is_named() {
  const auto disk = ground->root / "disk";
  fs::create_directories(disk);
  if (::mount("kiln-test", disk.c_str(), "tmpfs", 0, "size=3m") != 0) {
    print_message("no right to mount a small disk here: not tested\n");
    return;
  }
  {
    Bench bench([&](Config& config) { config.scratch = disk / "scratch"; });
    const auto outcome = bench.render(Bench::task("big"));  // 600 x 600 x 16 bytes
    check_failed(outcome, "disk-full", payloads::FailureScope::attempt);
    check_contains(outcome.report.failure.message, "no space left");
    check_rendered(bench.render(Bench::task("plain")));  // the wreck is gone, and this one fits
  }
  check_equal(::umount(disk.c_str()), 0);
}

void a_blender_grown_too_big_is_not_taken_to_the_next_scene() {
  Bench bench([](Config& config) { config.max_renderer_mib = 1; });
  check_rendered(bench.render(Bench::task("plain")));
  const auto first = bench.runner->renderers().at(0);
  check_rendered(bench.render(Bench::task("plain", "1")));
  check_equal(bench.runner->renderers().at(0), first);  // what a scene needs anyway is no growth
  check_rendered(bench.render(Bench::task("other")));
  check(bench.runner->renderers().at(0) != first);
}

void noop_proves_the_plumbing_without_a_renderer() {
  Bench bench([](Config& config) { config.blender = "no-such-blender"; });
  auto task = Bench::task("plain");
  task.renderer = "noop";
  task.manifest.clear();
  const auto outcome = bench.render(task);
  check(outcome.report.ok);
  check(outcome.report.files.empty());
  check(outcome.folder.empty());
  task.renderer = "povray";
  check_failed(bench.render(task), "renderer-missing", payloads::FailureScope::attempt);
}

void fetching_is_cancelled_and_its_failures_told() {
  std::mutex mutex;
  std::condition_variable changed;
  std::set<std::string> asked;
  Bench bench([&](Config& config) {
    config.blender = ground->program("exec sleep 1000").string();
    config.fetch = [&](const std::string& manifest,
                       const std::function<bool()>& cancelled) -> kiln::Result<JobTree> {
      {
        const std::lock_guard lock(mutex);
        asked.insert(manifest);
      }
      changed.notify_all();
      if (manifest == "sha256:full") return kiln::fail(kiln::Code::full, "12 bytes are missing");
      if (manifest == "sha256:gone") return kiln::fail(kiln::Code::not_found, "no blob sha256:1");
      if (manifest == "sha256:away") return kiln::fail(kiln::Code::unavailable, "connection refused");
      while (!cancelled()) std::this_thread::sleep_for(1ms);
      return kiln::fail(kiln::Code::timeout, "cancelled");
    };
  });
  const auto was_asked = [&](const std::string& manifest) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, deadline, [&] { return asked.contains(manifest); });
  };
  const auto slow = Bench::task("slow");
  bench.runner->start(slow, 0);
  check(was_asked("sha256:slow"));
  bench.runner->cancel(slow.task, 1);
  check(bench.wait().cancelled);

  check_failed(bench.render(Bench::task("full")), "disk-full", payloads::FailureScope::attempt);
  check_failed(bench.render(Bench::task("gone")), "missing-file", payloads::FailureScope::job);
  check_failed(bench.render(Bench::task("away")), "fetch-failed", payloads::FailureScope::attempt);

  const auto ahead = Bench::task("ahead");
  bench.runner->prefetch(ahead);
  bench.runner->prefetch(Bench::task("next"));
  check(was_asked("sha256:ahead"));
  bench.runner->cancel(ahead.task, 1);
  check(was_asked("sha256:next"));  // which the runner's end cancels
}

void a_blender_does_not_outlive_the_agent() {
  int ends[2];
  check_equal(::pipe(ends), 0);
  const pid_t agent = ::fork();
  if (agent == 0) {
    Bench bench;
    const auto task = Bench::task("long");
    bench.runner->start(task, 0);
    bench.wait_for_work(task);
    const pid_t pid = bench.runner->renderers().at(0);
    [[maybe_unused]] const auto written = ::write(ends[1], &pid, sizeof pid);
    ::kill(::getpid(), SIGKILL);
  }
  ::close(ends[1]);
  pid_t pid = 0;
  check_equal(::read(ends[0], &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
  ::close(ends[0]);
  check_equal(::waitpid(agent, nullptr, 0), agent);
  const auto ending = ending_of(pid);
  check(!ending || kiln::runtime::wait_readable(ending.get(), deadline));
}

}  // namespace

int main() {
  Ground here;
  ground = &here;
  return kiln::test::run(
      "runner", {{"one Blender serves frames, tasks and scenes", one_blender_serves_frames_tasks_and_scenes},
                 {"frames equal those of blender itself", frames_equal_those_of_blender_itself},
                 {"a wrong scene is the job's failure and harms no other",
                  a_wrong_scene_is_the_jobs_failure_and_harms_no_other},
                 {"what a picture lacks is warned of", what_a_picture_lacks_is_warned_of},
                 {"paths outside the job lead to its copies", paths_outside_the_job_lead_to_its_copies},
                 {"formats are written and checked", formats_are_written_and_checked},
                 {"scripts of a scene run only when asked, and in a Blender of their own",
                  scripts_of_a_scene_run_only_when_asked_and_in_a_blender_of_their_own},
                 {"a cancelled frame dies with its Blender", a_cancelled_frame_dies_with_its_blender},
                 {"a killed Blender is a failed attempt and the next task works",
                  a_killed_blender_is_a_failed_attempt_and_the_next_task_works},
                 {"a renderer that misbehaves is named", a_renderer_that_misbehaves_is_named},
                 {"a box without Blender says what to install", a_box_without_blender_says_what_to_install},
                 {"a scratch that cannot be written is named", a_scratch_that_cannot_be_written_is_named},
                 {"a full disk is named", a_full_disk_is_named},
                 {"a Blender grown too big is not taken to the next scene",
                  a_blender_grown_too_big_is_not_taken_to_the_next_scene},
                 {"noop proves the plumbing without a renderer", noop_proves_the_plumbing_without_a_renderer},
                 {"fetching is cancelled and its failures told", fetching_is_cancelled_and_its_failures_told},
                 {"a Blender does not outlive the agent", a_blender_does_not_outlive_the_agent}});
}
