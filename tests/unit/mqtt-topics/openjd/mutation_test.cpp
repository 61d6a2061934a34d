// Ten thousand broken templates, drawn from one seed: each is accepted or refused with a path and a sentence.
#include <fmt/format.h>

#include "check.h"
#include "mqtt-topics/openjd/mutate.h"
#include "openjd/create_job.h"
#include "openjd/template.h"

using namespace kiln::openjd;
using namespace kiln::test;

namespace {

constexpr std::uint64_t first_seed = 20261122;

const char* const seeds[] = {
    R"(specificationVersion: jobtemplate-2023-09
extensions: [TASK_CHUNKING, FEATURE_BUNDLE_1, REDACTED_ENV_VARS]
name: "Render {{Param.Shot}}"
description: |
  Frames of a shot
  and a film
parameterDefinitions:
- {name: Shot, type: STRING, default: s1, minLength: 1, maxLength: 20, userInterface: {control: LINE_EDIT, label: Shot}}
- {name: Frames, type: STRING, default: "1-240"}
- {name: Scene, type: PATH, objectType: FILE, dataFlow: IN, default: a.blend, userInterface: {fileFilters: [{label: B, patterns: ["*.blend"]}]}}
- {name: Chunk, type: INT, default: "3", minValue: 1, maxValue: 10}
- {name: Scale, type: FLOAT, default: 1.50, allowedValues: [1.5, "2.5"]}
- {name: Film, type: STRING, allowedValues: [on, OFF], default: on, userInterface: {control: CHECK_BOX}}
jobEnvironments:
- name: Files
  variables: {HOME: "{{Session.WorkingDirectory}}", SCENE: "{{Param.Scene}}"}
  script:
    actions:
      onEnter: {command: "{{Env.File.run}}", args: ["{{RawParam.Scene}}"], timeout: "{{Param.Chunk}}"}
      onExit: {command: sync}
    embeddedFiles:
    - {name: run, type: TEXT, data: "x", runnable: true, filename: a.sh, endOfLine: LF}
steps:
- name: Render
  hostRequirements:
    amounts: [{name: amount.worker.gpu, min: 1}, {name: AMOUNT.worker.gpu.memory, min: "{{Param.Chunk}}", max: 9000.5}]
    attributes: [{name: attr.worker.os.family, anyOf: [linux]}, {name: "acme:attr.x", allOf: [a, b-c]}]
  parameterSpace:
    taskParameterDefinitions:
    - {name: Frame, type: "CHUNK[INT]", range: "{{Param.Frames}}", chunks: {defaultTaskCount: "{{Param.Chunk}}", targetRuntimeSeconds: 60, rangeConstraint: CONTIGUOUS}}
    - {name: Eye, type: STRING, range: [left, "{{Param.Shot}}"]}
    - {name: Shift, type: FLOAT, range: [1, 2.5]}
    combination: Frame * (Eye, Shift)
  script:
    actions:
      onRun: {command: blender, args: ["{{Task.Param.Frame}}", "{{Task.File.x}}"], cancelation: {mode: NOTIFY_THEN_TERMINATE, notifyPeriodInSeconds: 5}}
    embeddedFiles: [{name: x, type: TEXT, data: "{{Task.RawParam.Eye}}"}]
- name: Film
  dependencies: [{dependsOn: Render}]
  bash: {script: "echo {{Param.Scene}}", args: ["{{Session.WorkingDirectory}}"], timeout: 5}
)",
    R"({"specificationVersion": "jobtemplate-2023-09", "name": "still", "parameterDefinitions": [
  {"name": "X", "type": "INT", "default": 4, "allowedValues": [2, 4], "userInterface": {"control": "DROPDOWN_LIST"}},
  {"name": "Out", "type": "PATH", "userInterface": {"control": "CHOOSE_DIRECTORY", "groupLabel": "Files"}}],
 "steps": [{"name": "tile", "parameterSpace": {"taskParameterDefinitions": [
   {"name": "Row", "type": "INT", "range": "1-{{Param.X}}"}, {"name": "Column", "type": "INT", "range": [1, "2", "{{Param.X}}"]},
   {"name": "File", "type": "PATH", "range": ["/a", "/b"]}], "combination": "Row * Column * File"},
  "script": {"actions": {"onRun": {"command": "render", "args": ["{{Param.Out}}/{{Task.Param.Row}}"], "timeout": 60}}}},
  {"name": "stitch", "dependencies": [{"dependsOn": "tile"}], "stepEnvironments": [{"name": "e", "variables": {"A": "1"}}],
   "script": {"actions": {"onRun": {"command": "stitch"}}}}]})",
    R"(specificationVersion: environment-2023-09
parameterDefinitions:
- {name: Version, type: STRING, default: "4.2", allowedValues: ["4.2", "4.3"]}
environment:
  name: Blender
  variables: {BLENDER: "{{Param.Version}}"}
  script:
    actions: {onEnter: {command: "{{Env.File.start}}"}, onExit: {command: stop, timeout: 20}}
    embeddedFiles: [{name: start, type: TEXT, data: "{{Session.PathMappingRulesFile}}"}]
)"};

void check_told(const Problems& problems, std::uint64_t seed) {
  bool is_told = !problems.empty();
  for (const auto& problem : problems.list()) {
    const auto text = problem.to_text();
    is_told = is_told && problem.message.size() > 5 && problem.message.size() < 2000 &&
              text.find('\n') == text.npos;
    is_told = is_told && problem.path.size() < 1000;
    if (!is_told) print_error("%s\n", text.c_str());
  }
  if (!is_told) print_error("seed %llu\n", static_cast<unsigned long long>(seed));
  check(is_told);
}

// What a template that was accepted is for: a job with its tasks.
void use(const Template& parsed, std::uint64_t seed) {
  const auto* job = std::get_if<JobTemplate>(&parsed);
  if (job == nullptr) return;
  Submission submission;
  submission.job = job;
  submission.base = {"/templates", "/shots"};
  for (const auto& parameter : job->parameters) {
    if (!parameter.default_value) submission.parameters.emplace(parameter.name, Value::of("1"));
  }
  const auto made = create_job(submission);
  if (!made) return check_told(made.error(), seed);
  for (const auto& step : made->steps) {
    check(step.space.size() > 0);
    check_equal(step.space.at(step.space.size() - 1).size(), step.space.at(0).size());
  }
}

struct Counts {
  int accepted = 0;
  int refused = 0;
};

void judge(const Checked<Template>& parsed, std::uint64_t seed, Counts& counts) {
  if (parsed) {
    ++counts.accepted;
    use(*parsed, seed);
  } else {
    ++counts.refused;
    check_told(parsed.error(), seed);
  }
}

void every_seed_is_valid() {
  for (const std::string text : seeds) {
    const auto parsed = parse_template(text, text.starts_with('{') ? Syntax::json : Syntax::yaml);
    if (!parsed) print_error("%s\n", parsed.error().list()[0].to_text().c_str());
    check(parsed.has_value());
    use(*parsed, 0);
  }
}

void broken_trees_are_refused_in_words() {
  Counts counts;
  for (std::uint64_t seed = first_seed; seed < first_seed + 6000; ++seed) {
    Random random(seed);
    const std::string text = seeds[random.below(std::size(seeds))];
    auto tree = parse_document(text, text.starts_with('{') ? Syntax::json : Syntax::yaml);
    check_ok(tree);
    const auto changes = 1 + random.below(3);
    for (std::size_t i = 0; i < changes; ++i) change(*tree, random);
    judge(parse_template(*tree), seed, counts);
  }
  print_message("%d refused, %d accepted\n", counts.refused, counts.accepted);
  check(counts.refused > counts.accepted);
}

void broken_texts_are_refused_in_words() {
  Counts counts;
  for (std::uint64_t seed = first_seed; seed < first_seed + 6000; ++seed) {
    Random random(seed);
    const std::string text = seeds[random.below(std::size(seeds))];
    const bool is_json = text.starts_with('{');
    const auto broken = changed_text(text, random);
    judge(parse_template(broken, Syntax::yaml), seed, counts);
    if (is_json) judge(parse_template(broken, Syntax::json), seed, counts);
  }
  print_message("%d refused, %d accepted\n", counts.refused, counts.accepted);
  check(counts.refused > counts.accepted);
}

}  // namespace

int main() {
  return kiln::test::run("mutation", {{"what is mutated is valid", &every_seed_is_valid},
                                      {"thousands of broken trees are refused with a path and a sentence",
                                       &broken_trees_are_refused_in_words},
                                      {"thousands of broken texts are refused with a path and a sentence",
                                       &broken_texts_are_refused_in_words}});
}
