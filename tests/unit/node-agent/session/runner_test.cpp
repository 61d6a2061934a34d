// The runner with the real Blender.
#include <zlib.h>

#include "runner_bench.h"

using namespace kiln::session::test;
namespace payloads = kiln::payloads;

namespace {

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

// ---- the promises ----

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
                  scripts_of_a_scene_run_only_when_asked_and_in_a_blender_of_their_own}});
}
