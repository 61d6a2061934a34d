// kiln-resident with a real Blender: in the tasks of a slot, and under `openjd run`.
#include "../session/template_bench.h"

#include <csignal>
#include <sstream>

#include "runtime/process.h"
#include "session/frame_check.h"

using namespace kiln;
using namespace kiln::session;
using namespace kiln::session::test;
using kiln::test::check_contains_at;
using payloads::FailureScope;

namespace {

const char* const make_scenes = R"py(
import bpy, os
def base():
    bpy.ops.wm.read_factory_settings()
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = 4, False
    scene.render.resolution_x = scene.render.resolution_y = 64
    scene.render.dither_intensity = 0
    scene.render.filepath = "//render/shot_####"
    return scene
def save(name):
    bpy.ops.wm.save_as_mainfile(filepath=os.path.join(os.environ["SCENES"], name + ".blend"))
base(); save("plain")
base().camera = None; save("no_camera")
scene = base(); scene.cycles.samples = 100000; scene.render.resolution_x = scene.render.resolution_y = 512; save("long")
)py";

const char* const stitch = R"py(
import bpy, os, sys
columns, rows = (int(one) for one in sys.argv[sys.argv.index("--") + 1:])
print("openjd_progress: 10")
whole = bpy.data.images.load(os.path.join(kiln_output, "whole", "frame_0001.exr"))
width, height = whole.size
want = list(whole.pixels)
got = [0.0] * len(want)
y0 = 0
for row in range(rows):
    x0 = 0
    for column in range(columns):
        tile = bpy.data.images.load(os.path.join(kiln_output, "tiles", "tile_%d_%d_0001.exr" % (column, row)))
        w, h = tile.size
        pixels = list(tile.pixels)
        for y in range(h):
            at = ((y0 + y) * width + x0) * 4
            got[at:at + w * 4] = pixels[y * w * 4:(y + 1) * w * 4]
        x0 += w
    y0 += h
assert x0 == width and y0 == height, (x0, y0)
assert got == want, "the tiles differ from the whole"
)py";

// The scenes, made once.
fs::path scenes;

void make() {
  auto pattern = (fs::temp_directory_path() / "kiln-scenes-XXXXXX").native();
  KILN_ASSERT(::mkdtemp(pattern.data()) != nullptr);
  scenes = pattern;
  write(scenes / "make.py", make_scenes);
  ::setenv("SCENES", scenes.c_str(), 1);
  const auto made = runtime::run_capture({"blender", "-b", "--factory-startup", "-noaudio",
                                          "--python-exit-code", "1", "-P", (scenes / "make.py").string()});
  KILN_ASSERT(made && made->status.ok());
}

const char* const animation = R"(
name: Animation
parameterDefinitions:
  - {name: Scene, type: PATH, dataFlow: IN, objectType: FILE, default: plain.blend}
  - {name: Out, type: PATH, dataFlow: OUT, objectType: DIRECTORY, default: "."}
  - {name: More, type: STRING, default: "--samples=4"}
steps:
  - name: Render
    parameterSpace:
      taskParameterDefinitions:
        - {name: Frame, type: INT, range: "1-4"}
    script:
      actions:
        onRun:
          command: kiln-resident
          args: [blender, --scene, "{{Param.Scene}}", --frames, "{{Task.Param.Frame}}", --output, "{{Param.Out}}", "{{Param.More}}"]
)";

class Farm : public TemplateBench {
 public:
  Farm() : TemplateBench([](Config& config) { config.kiln_resident = KILN_RESIDENT; }) {
    for (const auto& one : fs::directory_iterator(scenes))
      fs::copy_file(one.path(), root / "files" / one.path().filename());
  }
  static payloads::RunTask frame(const std::string& document, std::int32_t number) {
    auto run = task(document, 0, static_cast<std::uint64_t>(number - 1));
    run.manifest = "sha256:" + std::string(64, 'a');
    run.frames = payloads::FrameSet::of(number);
    return run;
  }
};

void two_tasks_share_one_blender() {
  Farm farm;
  const auto document = farm.document(animation);
  auto task = Farm::frame(document, 1);
  const auto first = farm.run(task);
  check_succeeded(first);
  const auto pid = farm.runner->renderers().at(0);
  check(pid > 0);
  check_equal(farm.runner->warm().at(0), task.manifest);
  const auto second = farm.run(Farm::frame(document, 2));
  check_succeeded(second);
  check_equal(farm.runner->renderers().at(0), pid);
  check_contains(first.log, "opening plain.blend");
  check(second.log.find("opening plain.blend") == std::string::npos);
  check(paths_of(second) == std::vector<std::string>{"render/shot_0002.png"});
  const auto& file = second.report.files.at(0);
  check_equal(file.frame, 2);
  check_equal(file.width, 64U);
  check(file.seconds > 0);
  check_ok(check_picture_file(second.folder / file.path));

  // And with another job, and with a native task.
  check_succeeded(farm.run(Farm::frame(farm.document(animation, {{"More", "--samples=2"}}), 1)));
  check_equal(farm.runner->renderers().at(0), pid);
  auto native = Farm::frame("", 3);
  native.renderer = "blender";
  native.options.scene_file = "plain.blend";
  check_succeeded(farm.run(native));
  check_equal(farm.runner->renderers().at(0), pid);
}

void why_it_failed_is_blenders_own_word() {
  Farm farm;
  const auto run = [&](std::map<std::string, std::string> parameters) {
    return farm.run(Farm::frame(farm.document(animation, std::move(parameters)), 1));
  };
  check_failed(run({{"Scene", "no_camera.blend"}}), "no-camera", FailureScope::job, "has no camera");
  check_failed(run({{"More", "--set=render.filepath=x"}}), "bad-setting", FailureScope::job, "cannot be set");
  check_failed(run({{"More", "--set=cycles.samples=many"}}), "bad-setting", FailureScope::job,
               "whole number");
  check_failed(run({{"More", "--nonsense"}}), "action-failed", FailureScope::attempt, "--nonsense");
  check_succeeded(run({}));
}

void a_cancelled_task_ends_its_render() {
  Farm farm;
  const auto task =
      Farm::frame(farm.document(animation, {{"Scene", "long.blend"}, {"More", "--samples=100000"}}), 1);
  farm.runner->start(task, 0);
  farm.await(task, [](const Progress& one) { return one.percent > 0; });
  const auto pid = farm.runner->renderers().at(0);
  check(pid > 0);
  farm.runner->cancel(task.task, task.attempt);
  check(farm.wait().cancelled);
  check(::kill(pid, 0) != 0);
  check_succeeded(farm.run(Farm::frame(farm.document(animation), 1)));
}

void tiles_make_the_whole_picture() {
  Farm farm;
  write(farm.root / "files/stitch.py", stitch);
  const auto document = farm.document(R"(
name: Tiles
parameterDefinitions:
  - {name: Scene, type: PATH, dataFlow: IN, objectType: FILE, default: plain.blend}
  - {name: Stitch, type: PATH, dataFlow: IN, objectType: FILE, default: stitch.py}
  - {name: Out, type: PATH, dataFlow: INOUT, objectType: DIRECTORY, default: "."}
steps:
  - name: All
    script:
      actions:
        onRun: {command: sh, args: ["{{Task.File.Run}}"]}
      embeddedFiles:
        - name: Run
          type: TEXT
          data: |
            set -e
            render() { kiln-resident blender --scene '{{Param.Scene}}' --frames 1 --format OPEN_EXR --set render.image_settings.color_depth=32 "$@"; }
            for row in 0 1 2; do for column in 0 1 2; do
              render --output '{{Param.Out}}/tiles' --name tile_${column}_${row}_#### --tile $column,$row --tiles 3,3
            done; done
            render --output '{{Param.Out}}/whole' --name frame_####
            kiln-resident blender --output '{{Param.Out}}' --script '{{Param.Stitch}}' -- 3 3
)");
  auto task = TemplateBench::task(document);
  task.manifest = "sha256:" + std::string(64, 'a');
  const auto outcome = farm.run(task);
  check_succeeded(outcome);
  check_equal(outcome.report.files.size(), 10U);
  check_equal(outcome.report.files.back().path, "whole/frame_0001.exr");
  // The border was of those frames only.
  check_equal(outcome.report.files.back().width, 64U);
}

void it_works_without_a_slot() {
  const auto file = scenes / "animation.yaml";
  write(file, std::string("specificationVersion: jobtemplate-2023-09\n") + animation);
  runtime::CaptureOptions options;
  options.cwd = scenes;
  options.environment = {{"PATH", fs::path(KILN_RESIDENT).parent_path().native() + ":" + ::getenv("PATH")}};
  options.timeout = patience;
  const auto ran =
      runtime::run_capture({OPENJD, "run", file.native(), "-p", "Out=" + (scenes / "out").native(), "--step",
                            "Render", "--task-param", "Frame=3"},
                           options);
  check_ok(ran);
  if (!ran->status.ok()) print_error("%s\n", ran->output.c_str());
  check(ran->status.ok());
  check_ok(check_picture_file(scenes / "out/render/shot_0003.png"));
  check_contains(ran->output, "openjd_progress: 100");

  const auto failed = runtime::run_capture(
      {OPENJD, "run", file.native(), "-p", "Scene=no_camera.blend", "-p", "Out=" + (scenes / "out").native()},
      options);
  check_ok(failed);
  check(!failed->status.ok());
  check_contains(failed->output, "has no camera");
}

}  // namespace

int main() {
  make();
  const auto result = kiln::test::run(
      "resident",
      {{"two tasks, of other jobs and native ones, share one Blender", &two_tasks_share_one_blender},
       {"why a render failed is Blender's own word", &why_it_failed_is_blenders_own_word},
       {"a cancelled task ends its render", &a_cancelled_task_ends_its_render},
       {"tiles make the whole picture, bit for bit", &tiles_make_the_whole_picture},
       {"it works under openjd run, without a slot", &it_works_without_a_slot}});
  std::error_code ignored;
  fs::remove_all(scenes, ignored);
  return result;
}
