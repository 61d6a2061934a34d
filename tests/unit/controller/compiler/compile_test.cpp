#include "compiler/compile.h"

// check.h last
#include "check.h"

using namespace kiln;
using compiler::compile;

namespace {

payloads::JobSubmission good() {
  payloads::JobSubmission job;
  job.frames = "1-24";
  const auto digest = "sha256:" + std::string(64, '0');
  job.manifest.files = {{"shots/010/robot.blend", digest, 10}, {"textures/wood.png", digest, 20}};
  job.options.scene_file = "shots/010/robot.blend";
  return job;
}

void a_good_submission_becomes_a_job() {
  auto submission = good();
  submission.chunk = 5;
  submission.options.format = "OPEN_EXR";
  const auto job = compile(submission);
  check_ok(job);
  check_equal(job->name, "robot");
  check_equal(job->renderer, "blender");
  check_equal(job->frames.size(), 24U);
  check_equal(job->chunk, 5U);
  check_equal(job->options.format, "OPEN_EXR");
  submission.name = "Robot, shot 010";
  check_equal(compile(submission)->name, "Robot, shot 010");
}

void a_noop_job_needs_frames_only() {
  payloads::JobSubmission submission;
  submission.type = "noop";
  submission.frames = "1-100000";
  const auto job = compile(submission);
  check_ok(job);
  check_equal(job->name, "noop");
  check_equal(job->renderer, "noop");
}

void every_wrong_field_is_named_with_what_would_be_right() {
  const struct {
    void (*spoil)(payloads::JobSubmission&);
    const char* says;
  } cases[] = {
      {[](auto& job) { job.type = "maya"; }, "type: no job type 'maya'; there are blender and noop"},
      {[](auto& job) { job.name = "a\nb"; }, "name: one line"},
      {[](auto& job) { job.name = std::string(201, 'x'); }, "name: one line of at most 200 bytes"},
      {[](auto& job) { job.frames = ""; }, "frames: missing; write"},
      {[](auto& job) { job.frames = "10-1"; }, "1-10"},
      {[](auto& job) { job.frames = "a-b"; }, "frames: "},
      {[](auto& job) { job.chunk = 0; }, "chunk: 1 to 1000 frames a task, not 0"},
      {[](auto& job) { job.chunk = 1001; }, "chunk: "},
      {[](auto& job) { job.priority = -1; }, "priority: 0 to 100, not -1"},
      {[](auto& job) { job.priority = 101; }, "priority: "},
      {[](auto& job) { job.options.scene_file = ""; }, "options.scene_file: missing"},
      {[](auto& job) { job.options.scene_file = "robot.blend"; },
       "options.scene_file: 'robot.blend' is not among manifest.files"},
      {[](auto& job) { job.manifest.files.clear(); }, "options.scene_file: "},
      {[](auto& job) { job.options.format = "GIF"; },
       "options.format: Blender writes no 'GIF'; it writes PNG, JPEG, OPEN_EXR, "},
      {[](auto& job) { job.options.format = "png"; }, "it writes PNG"},
      {[](auto& job) { job.options.format = "FFMPEG"; }, "make the film afterwards with `kiln film`"},
      {[](auto& job) { job.options.format = "AVI_JPEG"; }, "`kiln film`"},
      {[](auto& job) { job.options.format = "AVI_RAW"; }, "`kiln film`"},
      {[](auto& job) { job.options.format = "\xff\n"; }, "options.format: "},
  };
  for (const auto& one : cases) {
    auto submission = good();
    one.spoil(submission);
    const auto job = compile(submission);
    check(!job.has_value());
    check(job.error().code == Code::invalid);
    check_contains(job.error().message, one.says);
  }
}

void every_image_format_is_taken() {
  for (const auto format : compiler::image_formats()) {
    auto submission = good();
    submission.options.format = format;
    check_ok(compile(submission));
  }
}

}  // namespace

int main() {
  return kiln::test::run("compile", {{"a good submission becomes a job", a_good_submission_becomes_a_job},
                                     {"a noop job needs frames only", a_noop_job_needs_frames_only},
                                     {"every wrong field is named, with what would be right",
                                      every_wrong_field_is_named_with_what_would_be_right},
                                     {"every image format is taken", every_image_format_is_taken}});
}
