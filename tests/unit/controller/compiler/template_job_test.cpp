#include <algorithm>

#include "compiler/compile.h"
#include "openjd/create_job.h"

// check.h last
#include "check.h"

using namespace kiln;
using namespace kiln::compiler;

namespace {

const std::string head = "specificationVersion: jobtemplate-2023-09\nextensions: [TASK_CHUNKING]\n";

payloads::JobSubmission of(std::string text) {
  payloads::JobSubmission job;
  job.type = "openjd";
  job.job_template = payloads::TemplateText{head + std::move(text)};
  return job;
}

// A step with the lines of `more`, as deep as a step's fields.
std::string step(const std::string& name, const std::string& more = "") {
  return "- name: " + name + "\n  script: {actions: {onRun: {command: sync}}}\n" + more;
}
const std::string frames_of_ten =
    "  parameterSpace: {taskParameterDefinitions: [{name: F, type: INT, range: 1-10}]}\n";
const std::string ten_that_adapt =
    "  parameterSpace: {taskParameterDefinitions: [{name: F, type: \"CHUNK[INT]\", range: 1-10, chunks: "
    "{defaultTaskCount: 3, targetRuntimeSeconds: 60, rangeConstraint: CONTIGUOUS}}]}\n";

CompiledJob good(const payloads::JobSubmission& submission) {
  auto job = compile(submission, built_in_types());
  if (!job) print_error("%s\n", job.error().text().c_str());
  check(job.has_value());
  return std::move(*job);
}

std::string refusal(const payloads::JobSubmission& submission) {
  const auto job = compile(submission, built_in_types());
  check(!job.has_value());
  return job.error().text();
}

void a_template_becomes_steps_and_a_document() {
  auto submission = of("name: a job\nsteps:\n" + step("Render", frames_of_ten) +
                       step("Cut", ten_that_adapt + "  dependencies: [{dependsOn: Render}]\n") +
                       step("Film", "  dependencies: [{dependsOn: Cut}, {dependsOn: Render}]\n"));
  const auto job = good(submission);
  check_equal(job.spec.name, "a job");
  check_equal(job.spec.renderer, "openjd");
  check_equal(job.spec.type, "openjd");
  check_equal(job.spec.steps.size(), 3U);
  const auto& [render, cut, film] = std::tie(job.spec.steps[0], job.spec.steps[1], job.spec.steps[2]);
  check_equal(render.units, 10U);
  check_equal(render.chunk, 1U);
  check_equal(render.target_s, 0U);
  check_equal(render.frames.str(), "1-10");
  check_equal(cut.units, 10U);
  check_equal(cut.chunk, 3U);
  check_equal(cut.target_s, 60U);
  check_equal(cut.frames.str(), "1-10");
  check_equal(film.units, 1U);
  check(film.frames.empty());
  check((film.after == std::vector<std::uint32_t>{1, 0}));
  check_equal(job.spec.task_count(), 21U);
  const auto document = payloads::decode_job_document(job.document);
  check_ok(document);
  check(document->job_template == *submission.job_template);
}

void what_is_no_frame_has_none() {
  const char* const spaces[] = {
      "{name: F, type: INT, range: 1-2000000:2000}",  // beyond Blender's
      "{name: F, type: \"CHUNK[INT]\", range: 1-10, chunks: {defaultTaskCount: 5, rangeConstraint: "
      "CONTIGUOUS}}",
      "{name: F, type: INT, range: 1-3}, {name: G, type: INT, range: 1-3}",
      "{name: F, type: STRING, range: [a, b]}",
  };
  for (const auto* space : spaces) {
    const auto job =
        good(of(std::string("name: a\nsteps:\n") +
                step("A", "  parameterSpace: {taskParameterDefinitions: [" + std::string(space) + "]}\n")));
    check(job.spec.steps[0].frames.empty());
    check(job.spec.steps[0].units > 0);
  }
}

void every_problem_comes_with_its_path() {
  const auto text = refusal(
      of("name: a\nparameterDefinitions:\n- {name: X, type: INT, minValue: 5, maxValue: 1}\nsteps:\n" +
         step("A", "  parameterSpace: {taskParameterDefinitions: [{name: F, type: INT, range: 9-}]}\n") +
         step("A") + step("B", "  dependencies: [{dependsOn: Nobody}]\n")));
  check_contains(text, "steps[0].parameterSpace.taskParameterDefinitions[0].range: ");
  check_contains(text, "\nsteps[1].name: ");
  check_contains(text, "\nsteps[2].dependencies[0]");
  check_contains(text, "parameterDefinitions[0]");
}

void requirements_become_needs() {
  auto submission =
      of("name: a\nsteps:\n" +
         step("A",
              "  hostRequirements:\n"
              "    amounts: [{name: amount.worker.gpu, min: 1}, {name: amount.worker.memory, min: 2048},\n"
              "      {name: \"kiln:amount.limit.nuke_render\", min: 2}, {name: amount.worker.vcpu, min: 2, "
              "max: 64}]\n"
              "    attributes: [{name: \"kiln:attr.renderer\", anyOf: [blender]}, {name: \"kiln:attr.tag\", "
              "anyOf: [a, b]}]\n") +
         step("B",
              "  hostRequirements:\n"
              "    amounts: [{name: amount.worker.gpu, max: 0.5}]\n"
              "    attributes: [{name: \"kiln:attr.renderer\", anyOf: [blender, povray]}]\n") +
         step("C",
              "  hostRequirements:\n"
              "    attributes: [{name: \"kiln:attr.renderer\", anyOf: [none]}, {name: \"kiln:attr.device\", "
              "anyOf: [gpu]}]\n"));
  submission.limits = {{"nuke-render", 1}, {"floating", 3}};
  const auto job = good(submission);
  const auto& a = job.spec.steps[0].needs;
  check_equal(a.renderer, "blender");
  check(a.device == payloads::Device::gpu);
  check((a.amounts ==
         std::vector<scheduler::Amount>{{"amount.worker.memory", 2048, {}}, {"amount.worker.vcpu", 2, 64}}));
  check((a.attributes == std::vector<scheduler::Attribute>{{"kiln:attr.tag", {"a", "b"}, {}}}));
  check((a.limits == std::vector<payloads::LimitUse>{{"nuke-render", 2}, {"floating", 3}}));
  const auto& b = job.spec.steps[1].needs;
  check(b.device == payloads::Device::cpu);
  check_equal(b.renderer, "");
  check_equal(b.attributes.size(), 1U);
  const auto& c = job.spec.steps[2].needs;
  check(c.device == payloads::Device::gpu);
  check(c.attributes.empty() && c.renderer.empty());
}

void requirements_that_mean_nothing_are_refused() {
  const struct {
    const char* requirements;
    const char* says;
  } cases[] = {
      {"amounts: [{name: amount.worker.gpu, min: 2}]",
       "steps[0].hostRequirements.amounts[0]: asks for 2 GPUs"},
      {"amounts: [{name: \"kiln:amount.limit.nuke\", min: 0.5}]", "a whole number up to"},
      {"amounts: [{name: \"kiln:amount.limit.nuke\", min: 1, max: 2}]", "'max' means nothing"},
      {"attributes: [{name: \"kiln:attr.device\", anyOf: [tpu]}]",
       "steps[0].hostRequirements.attributes[0]: kiln:attr.device is one of any, cpu and gpu"},
  };
  for (const auto& one : cases) {
    check_contains(refusal(of(std::string("name: a\nsteps:\n") +
                              step("A", "  hostRequirements: {" + std::string(one.requirements) + "}\n"))),
                   one.says);
  }
}

void frame_by_frame_pairs_steps_that_fit() {
  const auto text = [](const std::string& one, const std::string& other, const std::string& depends) {
    return of("name: a\nsteps:\n" + step("One", one) + step("Other", other + depends));
  };
  const std::string depends = "  dependencies: [{dependsOn: One}]\n";
  auto submission = text(frames_of_ten, frames_of_ten, depends);
  submission.frame_by_frame = {{"Other", "One"}};
  const auto job = good(submission);
  check(job.spec.steps[1].after.empty());
  check((job.spec.steps[1].pairs_with == std::vector<std::uint32_t>{0}));

  const struct {
    payloads::JobSubmission submission;
    payloads::FrameByFrame pair;
    const char* says;
  } cases[] = {
      {text(frames_of_ten, frames_of_ten, ""),
       {"Other", "One"},
       "frame_by_frame[0]: step 'Other' does not depend on"},
      {text(frames_of_ten, "", depends), {"Other", "One"}, "step 'Other' has 1 tasks and 'One' has 10"},
      {text(ten_that_adapt, frames_of_ten, depends), {"Other", "One"}, "leave out its targetRuntimeSeconds"},
      {text("", "", depends),
       {"Other", "Onee"},
       "frame_by_frame[0].on: there is no step 'Onee'; there is One and Other"},
      {text("", "", depends), {"X", "One"}, "frame_by_frame[0].step: there is no step 'X'"},
  };
  for (const auto& one : cases) {
    submission = one.submission;
    submission.frame_by_frame = {one.pair};
    check_contains(refusal(submission), one.says);
  }
  submission = text(frames_of_ten, frames_of_ten, depends);
  submission.frame_by_frame = {{"Other", "One"}, {"Other", "One"}};
  check_contains(refusal(submission), "frame_by_frame[1]: 'Other' waits for 'One' frame by frame already");
}

void a_job_has_a_million_tasks_at_most() {
  const auto space = [](const char* range) {
    return "  parameterSpace: {taskParameterDefinitions: [{name: F, type: INT, range: " + std::string(range) +
           "}]}\n";
  };
  check_equal(good(of("name: a\nsteps:\n" + step("A", space("1-1000000")))).spec.task_count(), 1'000'000U);
  check_contains(refusal(of("name: a\nsteps:\n" + step("A", space("1-1000001")))),
                 "steps[0].parameterSpace: makes 1000001 tasks; a job may have 1000000");
  check_contains(
      refusal(of("name: a\nsteps:\n" + step("A", space("1-600000")) + step("B", space("1-600000")))),
      "steps: make 1200000 tasks together");
}

void paths_must_be_among_the_files() {
  const struct {
    const char* definition;  // of parameter P
    const char* value;
    const char* says;  // "": fine
  } cases[] = {
      {"objectType: FILE, dataFlow: IN", "set/a.blend", ""},
      {"objectType: FILE, dataFlow: IN", "./set//a.blend", ""},
      {"objectType: FILE, dataFlow: IN", "", ""},
      {"objectType: FILE, dataFlow: IN", "/mnt/a.blend", ""},
      {"objectType: FILE, dataFlow: IN", "a.blend", "parameters.P: 'a.blend' is not among the job's files"},
      {"objectType: FILE, dataFlow: IN", "set", "parameters.P: 'set' is not among"},
      {"objectType: FILE, dataFlow: IN", "../a", "parameters.P: '../a' leads out of the job's files"},
      {"objectType: DIRECTORY, dataFlow: IN", "set", ""},
      {"objectType: DIRECTORY, dataFlow: IN", ".", ""},
      {"objectType: DIRECTORY, dataFlow: IN", "se",
       "parameters.P: 'se': no file of the job lies in that folder"},
      {"objectType: DIRECTORY, dataFlow: OUT", "anything", ""},
      {"objectType: DIRECTORY, dataFlow: OUT", "a/../../b", "leads out"},
      {"dataFlow: NONE", "whatever", ""},
  };
  for (const auto& one : cases) {
    auto submission = of("name: a\nparameterDefinitions: [{name: P, type: PATH, " +
                         std::string(one.definition) + "}]\nsteps:\n" + step("A"));
    submission.parameters["P"] = one.value;
    submission.manifest.files = {{"set/a.blend", "sha256:" + std::string(64, '0'), 1}};
    if (*one.says == '\0')
      good(submission);
    else
      check_contains(refusal(submission), one.says);
  }
}

void a_template_s_own_fields_and_those_of_frames_do_not_mix() {
  auto submission = of("name: a\nsteps:\n" + step("A"));
  submission.frames = "1-2";
  submission.options.device = payloads::Device::gpu;
  const auto text = refusal(submission);
  check_contains(text, "frames: is for jobs of type blender and noop");
  check_contains(text, "options.device: ");
}

void environments_have_paths_of_their_own() {
  auto submission = of("name: a\nsteps:\n" + step("A"));
  submission.environments = {{"specificationVersion: environment-2023-09\nenvironment: {name: E}\n"},
                             {"specificationVersion: jobtemplate-2023-09\nname: b\nsteps:\n" + step("B")}};
  const auto text = refusal(submission);
  check_contains(text, "environments[0].environment");
  check_contains(text, "environments[1]: is not an environment template");
}

// ---- the types that ship with the controller ----

payloads::JobSubmission of_type(const char* name, std::map<std::string, std::string> parameters) {
  payloads::JobSubmission job;
  job.type = name;
  job.parameters = std::move(parameters);
  for (const auto* path : {"a.blend", "in/1.txt", "in/2.txt", "in/b/3.txt"})
    job.manifest.files.push_back({path, "sha256:" + std::string(64, '0'), 1});
  return job;
}

void every_built_in_type_makes_a_job() {
  const struct {
    const char* type;
    std::map<std::string, std::string> parameters;
    std::vector<std::uint32_t> tasks;  // of each step
    const char* renderer;              // of the last
  } cases[] = {
      {"blender-animation", {{"Scene", "a.blend"}, {"Frames", "1-24"}}, {24, 1}, ""},
      {"blender-animation",
       {{"Scene", "a.blend"}, {"Frames", "1-24"}, {"Film", "ffmpeg"}},
       {24, 1},
       "ffmpeg"},
      {"blender-bake", {{"Scene", "a.blend"}, {"Frames", "1-10"}, {"ChunkSize", "5"}}, {1, 2}, "blender"},
      {"blender-tiles", {{"Scene", "a.blend"}, {"Columns", "3"}, {"Rows", "2"}}, {1, 6, 1}, "ffmpeg"},
      {"command", {{"Command", "true"}, {"Frames", "1-7"}, {"Tool", "povray"}}, {7}, "povray"},
      {"transform-files", {{"Inputs", "in"}, {"Command", "true"}}, {3}, ""},
      {"video-encode", {{"Inputs", "in"}}, {1}, "ffmpeg"},
  };
  std::vector<std::string> seen;
  for (const auto& one : cases) {
    const auto job = good(of_type(one.type, one.parameters));
    std::vector<std::uint32_t> tasks;
    for (const auto& step : job.spec.steps) tasks.push_back(step.max_tasks());
    check(tasks == one.tasks);
    check_equal(job.spec.steps.back().needs.renderer, one.renderer);
    check_equal(job.spec.type, one.type);
    seen.emplace_back(one.type);
  }
  for (const auto& type : built_in_types())
    check(std::find(seen.begin(), seen.end(), type.name) != seen.end());
}

void files_are_counted_where_the_template_asks() {
  const auto job = good(of_type("transform-files", {{"Inputs", "in"}, {"Command", "true"}}));
  check_equal(payloads::decode_job_document(job.document)->parameters.at("InputsCount"), "3");
  check_contains(refusal(of_type("transform-files", {{"Inputs", "nowhere"}, {"Command", "true"}})),
                 "parameters.InputsCount: has no value");
}

void a_studio_s_type_takes_a_built_in_one_s_place() {
  const auto own = payloads::TemplateText{head + "name: mine\nsteps:\n" + step("Mine")};
  const auto types = all_types({{"command", own}, {"broken", {}, false, "no permission"}});
  payloads::JobSubmission job;
  job.type = "command";
  check_equal(compile(job, types)->spec.steps.front().name, "Mine");
  job.type = "broken";
  check_contains(compile(job, types).error().text(), "type: broken: no permission");
  check_equal(describe(*find_type(types, "broken")).find("error")->dump(), "\"no permission\"");
  const auto shown = describe(*find_type(types, "blender-tiles"));
  check_equal(shown.find("title")->dump(), "\"Large still in tiles\"");
  check_contains(shown.dump(), R"({"name":"Columns","type":"INT","label":"Columns")");
  check_contains(shown.dump(), R"("default":4,"min":1,"max":64)");
}

}  // namespace

int main() {
  return kiln::test::run(
      "template_job",
      {{"a template becomes steps and a document", a_template_becomes_steps_and_a_document},
       {"what is no frame has none", what_is_no_frame_has_none},
       {"every problem comes with its path", every_problem_comes_with_its_path},
       {"requirements become needs", requirements_become_needs},
       {"requirements that mean nothing are refused", requirements_that_mean_nothing_are_refused},
       {"frame by frame pairs steps that fit", frame_by_frame_pairs_steps_that_fit},
       {"a job has a million tasks at most", a_job_has_a_million_tasks_at_most},
       {"paths must be among the files", paths_must_be_among_the_files},
       {"a template's fields and those of frames do not mix",
        a_template_s_own_fields_and_those_of_frames_do_not_mix},
       {"environments have paths of their own", environments_have_paths_of_their_own},
       {"every built-in type makes a job", every_built_in_type_makes_a_job},
       {"files are counted where the template asks for it", files_are_counted_where_the_template_asks},
       {"a studio's type takes a built-in one's place", a_studio_s_type_takes_a_built_in_one_s_place}});
}
