#include "compiler/compile.h"

// check.h last
#include "check.h"

using namespace kiln;

namespace {

compiler::Accepted<compiler::CompiledJob> compile(const payloads::JobSubmission& submission) {
  return compiler::compile(submission, {});
}

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
  check(job.has_value());
  check_equal(job->spec.name, "robot");
  check_equal(job->spec.renderer, "blender");
  check_equal(job->spec.frames.size(), 24U);
  check_equal(job->spec.chunk, 5U);
  check_equal(job->spec.options.format, "OPEN_EXR");
  submission.name = "Robot, shot 010";
  check_equal(compile(submission)->spec.name, "Robot, shot 010");
}

void a_noop_job_needs_frames_only() {
  payloads::JobSubmission submission;
  submission.type = "noop";
  submission.frames = "1-100000";
  const auto job = compile(submission);
  check(job.has_value());
  check_equal(job->spec.name, "noop");
  check_equal(job->spec.renderer, "noop");
}

void every_wrong_field_is_named_with_what_would_be_right() {
  const struct {
    void (*spoil)(payloads::JobSubmission&);
    const char* says;
  } cases[] = {
      {[](auto& job) { job.type = "maya"; }, "type: no job type 'maya'; there are blender, noop, openjd"},
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
      {[](auto& job) { job.parameters["A"] = "1"; }, "parameters: is for job types"},
      {[](auto& job) { job.start_ms = -1; }, "start_ms: "},
  };
  for (const auto& one : cases) {
    auto submission = good();
    one.spoil(submission);
    const auto job = compile(submission);
    check(!job.has_value());
    check(job.error().code == Code::invalid);
    check_contains(job.error().error().message, one.says);
  }
}

void all_that_is_wrong_is_said_at_once() {
  auto submission = good();
  submission.frames = "10-1";
  submission.chunk = 0;
  submission.options.format = "GIF";
  const auto job = compile(submission);
  check(!job.has_value());
  check_equal(job.error().problems.size(), 3U);
  check_contains(job.error().error().message, "(and 2 more)");
  check_contains(job.error().text(), "\nchunk: ");
}

void limits_and_wishes_go_with_every_job() {
  auto submission = good();
  submission.limits = {{"nuke", 2}};
  submission.tags = {"rtx"};
  submission.slot_limit = 3;
  submission.node_limit = 2;
  submission.start_ms = 1'000;
  submission.production = {"film", "010", "0040"};
  const auto job = compile(submission);
  check(job.has_value());
  check(job->spec.all_steps().front().needs.limits == submission.limits);
  check(job->spec.production == submission.production);
  const scheduler::JobWishes wishes{3, 2, {"rtx"}, {}, 1000};
  check(job->wishes == wishes);
}

void every_image_format_is_taken() {
  for (const auto format : compiler::image_formats()) {
    auto submission = good();
    submission.options.format = format;
    check(compile(submission).has_value());
  }
}

}  // namespace

int main() {
  return kiln::test::run("compile",
                         {{"a good submission becomes a job", a_good_submission_becomes_a_job},
                          {"a noop job needs frames only", a_noop_job_needs_frames_only},
                          {"every wrong field is named, with what would be right",
                           every_wrong_field_is_named_with_what_would_be_right},
                          {"all that is wrong is said at once", all_that_is_wrong_is_said_at_once},
                          {"limits and wishes go with every job", limits_and_wishes_go_with_every_job},
                          {"every image format is taken", every_image_format_is_taken}});
}
