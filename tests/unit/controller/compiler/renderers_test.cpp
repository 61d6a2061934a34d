#include "compiler/renderers.h"

// check.h last
#include "check.h"

using namespace kiln;
using namespace kiln::compiler;

namespace {

std::vector<scheduler::RendererRow> there(std::initializer_list<const char*> names) {
  std::vector<scheduler::RendererRow> out;
  for (const auto* name : names) {
    scheduler::RendererRow row;
    row.bundle = {name, "1", "sha256:" + std::string(64, 'a'), 1, 1, "b/blender"};
    out.push_back(row);
  }
  return out;
}

CompiledJob native(const char* renderer = "blender") {
  CompiledJob job;
  job.spec.renderer = renderer;
  return job;
}

CompiledJob steps(std::vector<scheduler::Needs> all) {
  CompiledJob job;
  job.spec.renderer = "openjd";
  for (auto& needs : all) {
    scheduler::StepSpec step;
    step.name = "s" + std::to_string(job.spec.steps.size());
    step.needs = std::move(needs);
    job.spec.steps.push_back(step);
  }
  return job;
}

scheduler::Needs asks(const char* renderer) {
  scheduler::Needs needs;
  needs.renderer = renderer;
  return needs;
}

void a_plain_job_gets_what_it_names() {
  auto job = native();
  check(choose_renderers(job, "blender-4.2.1", there({"blender-3.6", "blender-4.2.1"}), {}).empty());
  check_equal(job.spec.bundle.name, "blender-4.2.1");
  check_equal(job.spec.all_steps().front().needs.bundle.name, "blender-4.2.1");
  check_equal(job.spec.all_steps().front().needs.renderer, "");  // nothing need be installed
  for (const auto* installed : {"", "blender"}) {
    job = native();
    check(choose_renderers(job, installed, there({"blender-3.6"}), {}).empty());
    check_equal(job.spec.bundle.name, "");
    check_equal(job.spec.all_steps().front().needs.renderer, "blender");
  }
}

void a_name_that_is_not_there_is_refused_with_those_that_are() {
  auto job = native();
  auto problems = choose_renderers(job, "blender-9", there({"blender-3.6", "blender-4.2.1"}), {});
  check_equal(problems.at(0).path, "renderer");
  check_equal(
      problems.at(0).message,
      "no renderer 'blender-9' here; there are blender-3.6, blender-4.2.1, and blender as it is installed on "
      "the nodes");
  check_contains(choose_renderers(job, "blender-9", {}, {}).at(0).message, "`kiln renderer add`");
  auto noop = native("noop");
  check_contains(choose_renderers(noop, "blender-3.6", there({"blender-3.6"}), {}).at(0).message,
                 "renders nothing");
}

void steps_name_theirs_without_dots() {
  auto job = steps({asks("blender-4_2_1"), asks("Blender-3_6"), asks("ffmpeg"), asks("blender")});
  check(choose_renderers(job, "", there({"blender-3.6", "blender-4.2.1"}), {}).empty());
  check_equal(job.spec.steps[0].needs.bundle.name, "blender-4.2.1");
  check_equal(job.spec.steps[0].needs.renderer, "");
  check_equal(job.spec.steps[1].needs.bundle.name, "blender-3.6");
  check_equal(job.spec.steps[2].needs.renderer, "ffmpeg");
  check_equal(job.spec.steps[3].needs.renderer, "blender");

  auto wrong = steps({asks("blender-9_9")});
  const auto problems = choose_renderers(wrong, "", there({"blender-3.6"}), {});
  check_equal(problems.at(0).path, "steps[0]");
  check_contains(problems.at(0).message, "there are blender-3.6");
  // A program of that name, installed on a node, is nothing of ours.
  scheduler::NodeRow node;
  node.info.renderers = {{"blender-9_9", "9"}};
  check(choose_renderers(wrong, "", there({"blender-3.6"}), {node}).empty());
}

void of_several_values_the_first_that_is_there_counts() {
  scheduler::Needs needs;
  needs.attributes = {{"kiln:attr.renderer", {"blender-5_0", "blender-4_2_1", "blender-3_6"}, {}},
                      {"kiln:attr.tag", {"rtx"}, {}}};
  auto job = steps({needs});
  check(choose_renderers(job, "", there({"blender-3.6", "blender-4.2.1"}), {}).empty());
  check_equal(job.spec.steps[0].needs.bundle.name, "blender-4.2.1");
  check_equal(job.spec.steps[0].needs.attributes.size(), 1U);
}

void a_submission_s_choice_is_for_steps_that_ask_for_blender() {
  auto job = steps({asks("blender"), asks("ffmpeg"), asks("blender-3_6")});
  check(choose_renderers(job, "blender-4.2.1", there({"blender-3.6", "blender-4.2.1"}), {}).empty());
  check_equal(job.spec.steps[0].needs.bundle.name, "blender-4.2.1");
  check_equal(job.spec.steps[1].needs.bundle.name, "");
  check_equal(job.spec.steps[2].needs.bundle.name, "blender-3.6");
  auto none = steps({asks("ffmpeg")});
  check_contains(choose_renderers(none, "blender-3.6", there({"blender-3.6"}), {}).at(0).message,
                 "used by none");
}

}  // namespace

int main() {
  return kiln::test::run("renderers", {{"a plain job gets what it names", a_plain_job_gets_what_it_names},
                                       {"a name that is not there is refused with those that are",
                                        a_name_that_is_not_there_is_refused_with_those_that_are},
                                       {"steps name theirs without dots", steps_name_theirs_without_dots},
                                       {"of several values the first that is there counts",
                                        of_several_values_the_first_that_is_there_counts},
                                       {"a submission's choice is for steps that ask for blender",
                                        a_submission_s_choice_is_for_steps_that_ask_for_blender}});
}
