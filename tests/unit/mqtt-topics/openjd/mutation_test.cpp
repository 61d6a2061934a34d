// Ten thousand broken templates, drawn from one seed: each is accepted or refused with a path and a sentence.
#include <fmt/format.h>

#include "check.h"
#include "openjd/create_job.h"
#include "openjd/template.h"

using namespace kiln::openjd;

namespace {

constexpr std::uint64_t first_seed = 20261122;

// SplitMix64: the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31U);
  }
  std::size_t below(std::size_t end) { return static_cast<std::size_t>(next() % end); }

 private:
  std::uint64_t state_;
};

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

const std::vector<std::string> odd_texts = {"",
                                            " ",
                                            "{{",
                                            "}}",
                                            "{{Param.X}}",
                                            "{{Task.Param.Frame}}",
                                            "{{Param.Shot",
                                            "1-",
                                            "1-5,3-9",
                                            "-9223372036854775808",
                                            "99999999999999999999",
                                            "1e999",
                                            "nan",
                                            "\xc2\x85",
                                            "\x01",
                                            "a/b",
                                            "..",
                                            "EXPR",
                                            "INT",
                                            "CHUNK[INT]",
                                            "TERMINATE",
                                            "amount.worker.x",
                                            "1-999999999999",
                                            "((((((((",
                                            "A*B",
                                            std::string(3000, 'x'),
                                            "ä😀",
                                            "1-1000000000:3"};

Value odd_value(Random& random) {
  switch (random.below(8)) {
    case 0:
      return {};
    case 1: {
      Value value = Value::scalar(Value::Kind::boolean, "");
      value.truth = true;
      return value;
    }
    case 2:
      return Value::scalar(Value::Kind::integer,
                           std::to_string(static_cast<std::int64_t>(random.next() % 2000) - 1000));
    case 3:
      return Value::scalar(Value::Kind::floating, "1.5e300");
    case 4:
      return Value::scalar(Value::Kind::list, "");
    case 5:
      return Value::scalar(Value::Kind::map, "");
    default:
      return Value::of(odd_texts[random.below(odd_texts.size())]);
  }
}

void collect(Value& value, std::vector<Value*>& out) {
  out.push_back(&value);
  for (auto& item : value.items) collect(item, out);
}

// One change somewhere in the tree.
void change(Value& root, Random& random) {
  std::vector<Value*> all;
  collect(root, all);
  Value& value = *all[random.below(all.size())];
  const Value copy = *all[random.below(all.size())];
  switch (random.below(6)) {
    case 0:
      value = odd_value(random);
      return;
    case 1:
      value = copy;
      return;
    default:
      break;
  }
  if (value.items.empty()) {
    if (value.kind == Value::Kind::string && !value.text.empty()) {
      const auto at = random.below(value.text.size());
      const bool is_ascii = (static_cast<unsigned char>(value.text[at]) & 0x80U) == 0;
      if (is_ascii) value.text[at] = "{}.:-,*() aZ09\t"[random.below(15)];
    }
    return;
  }
  const auto at = random.below(value.items.size());
  const auto step = static_cast<std::ptrdiff_t>(at);
  const bool is_map = value.kind == Value::Kind::map;
  switch (random.below(4)) {
    case 0:  // gone
      value.items.erase(value.items.begin() + step);
      if (is_map) value.keys.erase(value.keys.begin() + step);
      break;
    case 1:  // twice
      value.items.push_back(value.items[at]);
      if (is_map) value.keys.push_back(value.keys[at] + "x");
      break;
    case 2:  // many
      if (is_map) break;
      for (int i = 0; i < 60; ++i) value.items.push_back(Value(value.items[at]));
      break;
    default:  // under another name
      if (is_map) value.keys[at] = odd_texts[random.below(odd_texts.size())];
      break;
  }
}

std::string changed_text(std::string text, Random& random) {
  const auto changes = 1 + random.below(4);
  for (std::size_t i = 0; i < changes && !text.empty(); ++i) {
    const auto at = random.below(text.size());
    switch (random.below(5)) {
      case 0:
        text.erase(at, 1 + random.below(20));
        break;
      case 1:
        text.insert(at, odd_texts[random.below(odd_texts.size())]);
        break;
      case 2:
        text[at] = static_cast<char>(random.below(256));
        break;
      case 3:
        text.insert(at, text.substr(random.below(text.size()), random.below(200)));
        break;
      default:
        text.insert(at, std::string(1 + random.below(30), "[]{}\",:&*-!|>#%\n "[random.below(17)]));
        break;
    }
  }
  return text;
}

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
