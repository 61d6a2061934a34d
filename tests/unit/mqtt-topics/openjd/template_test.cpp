#include "openjd/template.h"

#include "check.h"
#include "templates.h"

using namespace kiln::openjd;
using namespace kiln::test;

namespace {

struct Wrong {
  std::string text;
  std::string path;  // of a problem that must be among those found
  std::string part;  // of its message
};

void check_valid(const std::vector<std::string>& texts) {
  for (const auto& text : texts) {
    const auto parsed = parse_template(text, Syntax::yaml);
    if (!parsed) print_error("%s\n  %s\n", text.c_str(), parsed.error().list()[0].to_text().c_str());
    check(parsed.has_value());
  }
}

void check_wrong(const std::vector<Wrong>& cases) {
  for (const auto& one : cases) {
    const auto parsed = parse_template(one.text, Syntax::yaml);
    if (parsed) print_error("accepted: %s\n", one.text.c_str());
    check(!parsed.has_value());
    bool found = false;
    for (const auto& problem : parsed.error().list()) {
      found = found || (problem.path == one.path && problem.message.find(one.part) != std::string::npos);
    }
    if (!found) {
      print_error("%s\n  wanted: %s: %s\n", one.text.c_str(), one.path.c_str(), one.part.c_str());
      for (const auto& problem : parsed.error().list())
        print_error("  got:    %s\n", problem.to_text().c_str());
    }
    check(found);
  }
}

std::string repeated(int count, const std::string& pattern) {
  std::string out;
  for (int i = 0; i < count; ++i) out += (i > 0 ? ", " : "") + fmt::format(fmt::runtime(pattern), i);
  return out;
}

void roots_are_checked() {
  check_valid({
      job(),
      job(", $schema: http://x, description: \"a\\n\\tb\""),
      job("", "", std::string(128, 'n')),
      job(bundle, "", std::string(512, 'n')),
      job(", parameterDefinitions: [" + repeated(50, "{{name: P{}, type: INT}}") + "]"),
      job(bundle + ", parameterDefinitions: [" + repeated(200, "{{name: P{}, type: INT}}") + "]"),
      job(", extensions: [TASK_CHUNKING, REDACTED_ENV_VARS, FEATURE_BUNDLE_1]"),
      environment("name: e, variables: {A: b}"),
      environment("name: e, variables: {A: b}", bundle),
  });
  check_wrong({
      {"[]", "", "is an object"},
      {"a: 1", "specificationVersion", "is missing"},
      {"specificationVersion: jobtemplate-2024-01", "specificationVersion",
       "'jobtemplate-2024-01' is not known"},
      {"specificationVersion: 5", "specificationVersion", "is a whole number"},
      {"specificationVersion: jobtemplate-2023-09", "name", "is missing"},
      {"specificationVersion: jobtemplate-2023-09", "steps", "is missing"},
      {"{specificationVersion: jobtemplate-2023-09, name: n, steps: []}", "steps", "is empty"},
      {"{specificationVersion: environment-2023-09}", "environment", "is missing"},
      {job("", "", ""), "name", "is empty"},
      {job("", "", std::string(129, 'n')), "name", "at most 128"},
      {job(bundle, "", std::string(513, 'n')), "name", "at most 512"},
      {job("", "", "a\\tb"), "name", "control"},
      {job("", "", "a\\x1fb{{RawParam.X}}"), "name", "control"},
      {job("", "", "a\\u0085b"), "name", "control"},
      {job(", descripton: x"), "descripton", "is 'description' meant"},
      {job(", description: ''"), "description", "is empty"},
      {job(", description: null"), "description", "is null"},
      {job(", description: " + std::string(2049, 'd')), "description", "at most 2048"},
      {job(", description: \"a\\0b\""), "", "NUL"},
      {job(", description: \"a\\x01b\""), "description", "line breaks and tabs"},
      {job(", description: 5"), "description", "put it in quotes"},
      {job(", parameterDefinitions: []"), "parameterDefinitions", "is empty"},
      {job(", parameterDefinitions: [" + repeated(51, "{{name: P{}, type: INT}}") + "]"),
       "parameterDefinitions", "at most 50"},
      {job(bundle + ", parameterDefinitions: [" + repeated(201, "{{name: P{}, type: INT}}") + "]"),
       "parameterDefinitions", "at most 200"},
      {environment("name: e, variables: {A: b}",
                   bundle + ", parameterDefinitions: [" + repeated(51, "{{name: P{}, type: INT}}") + "]"),
       "parameterDefinitions", "at most 50"},
      {job(", extensions: []"), "extensions", "is empty"},
      {job(", extensions: [EXPR]"), "extensions[0]", "the extension EXPR is not supported"},
      {job(", extensions: [TASK_CHUNKING, TASK_CHUNKING]"), "extensions[1]", "another extension"},
      {job(", extensions: [task]"), "extensions[0]", "no name of an extension"},
      {job(", let: [a = 1]"), "let", "EXPR"},
      {environment("name: e, variables: {A: b}", ", name: x"), "name", "not known here"},
  });
}

void job_parameters_are_checked() {
  check_valid({
      with_parameter("name: P, type: STRING"),
      with_parameter("name: _p9, type: STRING, default: '', minLength: 0"),
      with_parameter(
          "name: P, type: STRING, default: abc, minLength: 3, maxLength: 3, allowedValues: [abc, abd]"),
      with_parameter("name: P, type: STRING, default: äöü, maxLength: 3"),
      with_parameter("name: P, type: STRING, allowedValues: [oN, Off], userInterface: {control: CHECK_BOX}"),
      with_parameter("name: P, type: STRING, allowedValues: ['0', '1'], userInterface: {control: CHECK_BOX, "
                     "label: L, groupLabel: G}"),
      with_parameter("name: P, type: STRING, userInterface: {label: L}"),
      with_parameter("name: P, type: STRING, allowedValues: [a], userInterface: {control: HIDDEN}"),
      with_parameter("name: P, type: INT, default: '007', minValue: '-5', maxValue: 9223372036854775807"),
      with_parameter("name: P, type: INT, default: 2, allowedValues: ['02', 3], userInterface: {control: "
                     "DROPDOWN_LIST}"),
      with_parameter("name: P, type: INT, userInterface: {control: SPIN_BOX, singleStepDelta: 5}"),
      with_parameter("name: P, type: INT, userInterface: {singleStepDelta: 5}"),
      with_parameter("name: P, type: FLOAT, default: 1, minValue: '0.5', maxValue: 1.0e+308, allowedValues: "
                     "[1.0, '04.5']"),
      with_parameter(
          "name: P, type: FLOAT, userInterface: {control: SPIN_BOX, decimals: 2, singleStepDelta: 0.1}"),
      with_parameter("name: P, type: PATH, default: a/b, objectType: FILE, dataFlow: INOUT"),
      with_parameter("name: P, type: PATH, objectType: FILE, userInterface: {fileFilters: [{label: l, "
                     "patterns: ['*', '*.*', '*.png']}]}"),
      with_parameter("name: P, type: PATH, userInterface: {control: CHOOSE_OUTPUT_FILE, fileFilterDefault: "
                     "{label: l, patterns: ['*.a']}}"),
      with_parameter("name: " + std::string(64, 'n') + ", type: INT"),
      job(bundle + ", parameterDefinitions: [{name: " + std::string(512, 'n') + ", type: INT}]"),
  });
  const std::string at = "parameterDefinitions[0].";
  check_wrong({
      {with_parameter("type: INT"), at + "name", "is missing"},
      {with_parameter("name: P"), at + "type", "is missing"},
      {with_parameter("name: '', type: INT"), at + "name", "is empty"},
      {with_parameter("name: 9p, type: INT"), at + "name", "no digit first"},
      {with_parameter("name: p-q, type: INT"), at + "name", "no name"},
      {with_parameter("name: pä, type: INT"), at + "name", "no name"},
      {with_parameter("name: " + std::string(65, 'n') + ", type: INT"), at + "name", "at most 64"},
      {with_parameter("name: P, type: int"), at + "type", "STRING, PATH, INT or FLOAT"},
      {with_parameter("name: P, type: BOOL"), at + "type", "needs the extension EXPR"},
      {with_parameter("name: P, type: 'LIST[INT]'"), at + "type", "needs the extension EXPR"},
      {with_parameter("name: P, type: INT, minLength: 1"), at + "minLength", "not known here"},
      {with_parameter("name: P, type: STRING, minValue: 1"), at + "minValue", "not known here"},
      {with_parameter("name: P, type: STRING, objectType: FILE"), at + "objectType", "not known here"},
      {job(", parameterDefinitions: [{name: P, type: INT}, {name: P, type: STRING}]"),
       "parameterDefinitions[1].name", "another parameter"},
      {job(", parameterDefinitions: [5]"), "parameterDefinitions[0]", "must be an object"},
      {job(", parameterDefinitions: {}"), "parameterDefinitions", "must be a list"},
      // STRING
      {with_parameter("name: P, type: STRING, default: 5"), at + "default", "put it in quotes"},
      {with_parameter("name: P, type: STRING, default: " + std::string(1025, 'x')), at + "default",
       "at most 1024"},
      {with_parameter("name: P, type: STRING, allowedValues: []"), at + "allowedValues", "is empty"},
      {with_parameter("name: P, type: STRING, allowedValues: [a, 5]"), at + "allowedValues[1]",
       "put it in quotes"},
      {with_parameter("name: P, type: STRING, allowedValues: [a], default: b"), at + "default",
       "allowed are 'a'"},
      {with_parameter("name: P, type: STRING, allowedValues: [a, bcd], maxLength: 2"),
       at + "allowedValues[1]", "at most 2"},
      {with_parameter("name: P, type: STRING, minLength: -1"), at + "minLength", "at least 0"},
      {with_parameter("name: P, type: STRING, maxLength: 0"), at + "maxLength", "at least 1"},
      {with_parameter("name: P, type: STRING, maxLength: '5'"), at + "maxLength", "not in quotes"},
      {with_parameter("name: P, type: STRING, minLength: 3, maxLength: 2"), at + "maxLength", "impossible"},
      {with_parameter("name: P, type: STRING, minLength: 3, default: ab"), at + "default", "at least 3"},
      {with_parameter("name: P, type: STRING, userInterface: {control: SPIN_BOX}"),
       at + "userInterface.control", "LINE_EDIT"},
      {with_parameter("name: P, type: STRING, userInterface: {control: DROPDOWN_LIST}"),
       at + "userInterface.control", "needs allowedValues"},
      {with_parameter("name: P, type: STRING, allowedValues: [a], userInterface: {control: MULTILINE_EDIT}"),
       at + "userInterface.control", "cannot stand beside"},
      {with_parameter(
           "name: P, type: STRING, allowedValues: ['yes', 'off'], userInterface: {control: CHECK_BOX}"),
       at + "userInterface.control", "yes and no"},
      {with_parameter("name: P, type: STRING, userInterface: {control: CHECK_BOX}"),
       at + "userInterface.control", "yes and no"},
      {with_parameter("name: P, type: STRING, userInterface: {label: \"a\\nb\"}"), at + "userInterface.label",
       "control character"},
      {with_parameter("name: P, type: STRING, userInterface: {groupLabel: ''}"),
       at + "userInterface.groupLabel", "is empty"},
      {with_parameter("name: P, type: STRING, userInterface: {label: " + std::string(65, 'l') + "}"),
       at + "userInterface.label", "at most 64"},
      {with_parameter("name: P, type: STRING, userInterface: {decimals: 1}"), at + "userInterface.decimals",
       "not known here"},
      // INT
      {with_parameter("name: P, type: INT, default: 1.5"), at + "default", "no whole number"},
      {with_parameter("name: P, type: INT, default: 1.0"), at + "default", "no whole number"},
      {with_parameter("name: P, type: INT, default: '1.0'"), at + "default", "no whole number"},
      {with_parameter("name: P, type: INT, default: true"), at + "default", "no whole number"},
      {with_parameter("name: P, type: INT, default: ' 1'"), at + "default", "no whole number"},
      {with_parameter("name: P, type: INT, default: 9223372036854775808"), at + "default", "64 bits"},
      {with_parameter("name: P, type: INT, minValue: '-9223372036854775809'"), at + "minValue", "64 bits"},
      {with_parameter("name: P, type: INT, allowedValues: null"), at + "allowedValues", "is null"},
      {with_parameter("name: P, type: INT, allowedValues: [1, null]"), at + "allowedValues[1]",
       "no whole number"},
      {with_parameter("name: P, type: INT, allowedValues: [1], default: 2"), at + "default", "not allowed"},
      {with_parameter("name: P, type: INT, minValue: 2, allowedValues: [1]"), at + "allowedValues[0]",
       "too small"},
      {with_parameter("name: P, type: INT, minValue: 2, default: 1"), at + "default", "at least 2"},
      {with_parameter("name: P, type: INT, maxValue: 2, default: 3"), at + "default", "at most 2"},
      {with_parameter("name: P, type: INT, minValue: 2, maxValue: 1"), at + "maxValue", "impossible"},
      {with_parameter("name: P, type: INT, userInterface: {singleStepDelta: 0}"),
       at + "userInterface.singleStepDelta", "at least 1"},
      {with_parameter("name: P, type: INT, userInterface: {singleStepDelta: 1.5}"),
       at + "userInterface.singleStepDelta", "whole number"},
      {with_parameter("name: P, type: INT, allowedValues: [1], userInterface: {singleStepDelta: 1}"),
       at + "userInterface.singleStepDelta", "not to DROPDOWN_LIST"},
      // FLOAT
      {with_parameter("name: P, type: FLOAT, default: false"), at + "default", "no number"},
      {with_parameter("name: P, type: FLOAT, default: .inf"), at + "default", "no number"},
      {with_parameter("name: P, type: FLOAT, default: .nan"), at + "default", "no number"},
      {with_parameter("name: P, type: FLOAT, default: 1.0e+309"), at + "default", "no number"},
      {with_parameter("name: P, type: FLOAT, default: 'nan'"), at + "default", "no number"},
      {with_parameter("name: P, type: FLOAT, maxValue: 1, allowedValues: [0.5, 1.1]"),
       at + "allowedValues[1]", "too large"},
      {with_parameter("name: P, type: FLOAT, userInterface: {control: HIDDEN, decimals: 2}"),
       at + "userInterface.decimals", "not to HIDDEN"},
      {with_parameter("name: P, type: FLOAT, userInterface: {singleStepDelta: -1.5}"),
       at + "userInterface.singleStepDelta", "greater than 0"},
      // PATH
      {with_parameter("name: P, type: PATH, objectType: LINK"), at + "objectType", "FILE or DIRECTORY"},
      {with_parameter("name: P, type: PATH, dataFlow: BOTH"), at + "dataFlow", "NONE, IN, OUT or INOUT"},
      {with_parameter("name: P, type: PATH, minLength: 9, default: short"), at + "default", "at least 9"},
      {with_parameter("name: P, type: PATH, allowedValues: [a], userInterface: {control: CHOOSE_DIRECTORY}"),
       at + "userInterface.control", "cannot stand beside"},
      {with_parameter("name: P, type: PATH, userInterface: {fileFilters: [{label: l, patterns: ['*']}]}"),
       at + "userInterface.fileFilters", "not to CHOOSE_DIRECTORY"},
      {with_parameter(
           "name: P, type: PATH, objectType: FILE, userInterface: {fileFilters: [{patterns: ['*']}]}"),
       at + "userInterface.fileFilters[0].label", "is missing"},
      {with_parameter(
           "name: P, type: PATH, objectType: FILE, userInterface: {fileFilters: [{label: l, patterns: []}]}"),
       at + "userInterface.fileFilters[0].patterns", "is empty"},
      {with_parameter("name: P, type: PATH, objectType: FILE, userInterface: {fileFilters: [{label: l, "
                      "patterns: ['**', '*.a/b', '*.[a]', 'x', '*.']}]}"),
       at + "userInterface.fileFilters[0].patterns[4]", "no file pattern"},
      {with_parameter("name: P, type: PATH, objectType: FILE, userInterface: {fileFilters: [{label: l, "
                      "patterns: ['*.abcdefghijklmnopqrs']}]}"),
       at + "userInterface.fileFilters[0].patterns[0]", "at most 20"},
      {with_parameter("name: P, type: PATH, objectType: FILE, userInterface: {fileFilters: [" +
                      repeated(21, "{{label: l{}, patterns: ['*']}}") + "]}"),
       at + "userInterface.fileFilters", "at most 20"},
  });
}

void steps_are_checked() {
  const std::string run = "script: {actions: {onRun: {command: c}}}";
  const auto steps = [&](const std::string& list) {
    return "{specificationVersion: jobtemplate-2023-09, name: n, steps: [" + list + "]}";
  };
  const auto step = [&](const std::string& name, const std::string& more) {
    return "{name: " + name + ", " + run + more + "}";
  };
  check_valid({
      steps(step("A", "") + "," + step("B", ", dependencies: [{dependsOn: A}]")),
      steps(step("B", ", dependencies: [{dependsOn: A}]") + "," + step("A", "")),
      steps(step("A", ", stepEnvironments: [{name: e, variables: {A: b}}]") + "," +
            step("B", ", stepEnvironments: [{name: e, variables: {A: b}}]")),
      steps(step(std::string(64, 's'), "")),
  });
  check_wrong({
      {steps(step("''", "")), "steps[0].name", "is empty"},
      {steps(step(std::string(65, 's'), "")), "steps[0].name", "at most 64"},
      {steps(step("\"a\\tb\"", "")), "steps[0].name", "control"},
      {steps("{" + run + "}"), "steps[0].name", "is missing"},
      {steps("{name: A}"), "steps[0].script", "is missing"},
      {steps(step("A", "") + "," + step("A", "")), "steps[1].name", "another step"},
      {steps(step("A", ", dependencies: []")), "steps[0].dependencies", "is empty"},
      {steps(step("A", ", dependencies: [{dependsOn: A}]")), "steps[0].dependencies[0].dependsOn",
       "the step itself"},
      {steps(step("A", ", dependencies: [{dependsOn: B}]")), "steps[0].dependencies[0].dependsOn",
       "no step 'B'"},
      {steps(step("A", ", dependencies: [{dependsOn: B}, {dependsOn: B}]") + "," + step("B", "")),
       "steps[0].dependencies[1].dependsOn", "twice"},
      {steps(step("A", ", dependencies: [{dependsOn: B}]") + "," +
             step("B", ", dependencies: [{dependsOn: C}]") + "," +
             step("C", ", dependencies: [{dependsOn: B}]") + "," + step("D", "")),
       "steps", "'B' -> 'C' -> 'B'"},
      {steps(step("A", ", stepEnvironments: []")), "steps[0].stepEnvironments", "is empty"},
      {steps(step("A", ", stepEnvironments: [{name: e, variables: {A: b}}, {name: e, variables: {A: b}}]")),
       "steps[0].stepEnvironments[1].name", "another environment"},
      {"{specificationVersion: jobtemplate-2023-09, name: n, jobEnvironments: [{name: e, variables: {A: "
       "b}}], steps: [" +
           step("A", ", stepEnvironments: [{name: e, variables: {A: b}}]") + "]}",
       "steps[0].stepEnvironments[0].name", "a job environment"},
      {steps(step("A", ", bash: {script: x}")), "steps[0].bash", "needs the extension FEATURE_BUNDLE_1"},
  });
}

void requirements_are_checked() {
  const auto need = [](const std::string& fields, const std::string& root = "") {
    return job(root, ", hostRequirements: {" + fields + "}");
  };
  check_valid({
      need("amounts: [{name: amount.worker.vcpu, min: 0.5}, {name: amount.worker.gpu, min: 1, max: 2}, "
           "{name: AMOUNT.Worker.GPU.Memory, min: 0}]"),
      need("amounts: [{name: amount.licence.x, max: 1}, {name: 'acme:amount.seats', min: 1}]"),
      need("attributes: [{name: attr.worker.os.family, anyOf: [linux, Windows]}, {name: "
           "attr.worker.cpu.arch, allOf: [arm64]}]"),
      need("attributes: [{name: attr.studio, anyOf: [_a-1], allOf: ['{{RawParam.P}}', b]}]",
           ", parameterDefinitions: [{name: P, type: STRING}]"),
      need("amounts: [{name: '{{Param.P}}', min: 1}]", ", parameterDefinitions: [{name: P, type: STRING}]"),
      need("amounts: [{name: amount.x, min: '{{Param.P}}', max: '2.5'}]",
           bundle + ", parameterDefinitions: [{name: P, type: STRING}]"),
  });
  const std::string amount = "steps[0].hostRequirements.amounts[0]";
  const std::string attribute = "steps[0].hostRequirements.attributes[0]";
  check_wrong({
      {need(""), "steps[0].hostRequirements", "needs one of them"},
      {need("amounts: []"), "steps[0].hostRequirements.amounts", "is empty"},
      {need("amounts: [" + repeated(26, "{{name: amount.a{}, min: 1}}") + "], attributes: [" +
            repeated(25, "{{name: attr.a{}, anyOf: [x]}}") + "]"),
       "steps[0].hostRequirements", "at most 50"},
      {need("amounts: [{name: amount.x}]"), amount, "neither 'min' nor 'max'"},
      {need("amounts: [{min: 1}]"), amount + ".name", "is missing"},
      {need("amounts: [{name: amount.x, min: -1}]"), amount + ".min", "at least 0"},
      {need("amounts: [{name: amount.x, max: 0}]"), amount + ".max", "greater than 0"},
      {need("amounts: [{name: amount.x, min: 2, max: 1}]"), amount + ".max", "less than 'min'"},
      {need("amounts: [{name: amount.x, min: '2', max: '1'}]", bundle), amount + ".max", "less than 'min'"},
      {need("amounts: [{name: amount.x, min: '1'}]"), amount + ".min",
       "needs the extension FEATURE_BUNDLE_1"},
      {need("amounts: [{name: amount.x, min: 'a'}]", bundle), amount + ".min", "a number"},
      {need("amounts: [{name: amount.x, min: .inf}]"), amount + ".min", "a number"},
      {need("amounts: [{name: amount.x, min: true}]"), amount + ".min", "a number"},
      {need("amounts: [{name: attr.x, min: 1}]"), amount + ".name", "no name of this kind"},
      {need("amounts: [{name: worker.x, min: 1}]"), amount + ".name", "no name of this kind"},
      {need("amounts: [{name: amount., min: 1}]"), amount + ".name", "no name of this kind"},
      {need("amounts: [{name: amount.9, min: 1}]"), amount + ".name", "no name of this kind"},
      {need("amounts: [{name: amount.worker.foo, min: 1}]"), amount + ".name",
       "reserves in 'amount.worker.'"},
      {need("amounts: [{name: amount.job.foo, min: 1}]"), amount + ".name", "reserves in 'amount.job.'"},
      {need("amounts: [{name: amount." + std::string(94, 'x') + ", min: 1}]"), amount + ".name",
       "at most 100"},
      {need("amounts: [{name: amount.x, min: 1}, {name: AMOUNT.X, min: 1}]"),
       "steps[0].hostRequirements.amounts[1].name", "another amount"},
      {need("attributes: [{name: attr.x}]"), attribute, "neither 'anyOf' nor 'allOf'"},
      {need("attributes: [{name: attr.x, anyOf: []}]"), attribute + ".anyOf", "is empty"},
      {need("attributes: [{name: attr.x, anyOf: [" + repeated(51, "v{}") + "]}]"), attribute + ".anyOf",
       "at most 50"},
      {need("attributes: [{name: attr.x, allOf: [1a]}]"), attribute + ".allOf[0]", "comes first"},
      {need("attributes: [{name: attr.x, allOf: ['a b']}]"), attribute + ".allOf[0]", "no value"},
      {need("attributes: [{name: attr.x, allOf: ['']}]"), attribute + ".allOf[0]", "is empty"},
      {need("attributes: [{name: attr.x, allOf: [" + std::string(101, 'x') + "]}]"), attribute + ".allOf[0]",
       "at most 100"},
      {need("attributes: [{name: attr.worker.os.family, anyOf: [ubuntu]}]"), attribute + ".anyOf[0]",
       "linux, windows or macos"},
      {need("attributes: [{name: attr.worker.cpu.arch, allOf: [x86_64, arm64]}]"), attribute + ".allOf",
       "use anyOf"},
      {need("attributes: [{name: attr.x, anyOf: [a]}, {name: ATTR.x, anyOf: [a]}]"),
       "steps[0].hostRequirements.attributes[1].name", "another attribute"},
  });
}

void parameter_spaces_are_checked() {
  check_valid({
      with_task_parameter("name: F, type: INT, range: 1-100000"),
      with_task_parameter("name: F, type: INT, range: [1, '02', 3]"),
      with_task_parameter("name: F, type: STRING, range: ['', a]"),
      with_task_parameter("name: F, type: STRING, range: [" + std::string(1024, 'x') + "]"),
      with_task_parameter("name: F, type: FLOAT, range: [1, 1.5, '2.5e3']"),
      with_task_parameter("name: F, type: PATH, range: [/a]"),
      with_task_parameter("name: F, type: INT, range: [" + repeated(1024, "{}") + "]"),
      with_task_parameter("name: F, type: 'CHUNK[INT]', range: 1-5, chunks: {defaultTaskCount: '3', "
                          "targetRuntimeSeconds: 0, rangeConstraint: NONCONTIGUOUS}",
                          chunking),
      job("", ", parameterSpace: {taskParameterDefinitions: [" +
                  repeated(16, "{{name: P{}, type: INT, range: [1]}}") + "]}"),
  });
  const std::string at = "steps[0].parameterSpace.taskParameterDefinitions[0].";
  const std::string chunk = "name: F, type: 'CHUNK[INT]', range: 1-5, ";
  check_wrong({
      {job("", ", parameterSpace: {}"), "steps[0].parameterSpace.taskParameterDefinitions", "is missing"},
      {job("", ", parameterSpace: {taskParameterDefinitions: []}"),
       "steps[0].parameterSpace.taskParameterDefinitions", "is empty"},
      {job("", ", parameterSpace: {taskParameterDefinitions: [" +
                   repeated(17, "{{name: P{}, type: INT, range: [1]}}") + "]}"),
       "steps[0].parameterSpace.taskParameterDefinitions", "at most 16"},
      {job("",
           ", parameterSpace: {taskParameterDefinitions: [{name: A, type: INT, range: [1]}, {name: A, type: "
           "INT, range: [1]}]}"),
       "steps[0].parameterSpace.taskParameterDefinitions[1].name", "another task parameter"},
      {with_task_parameter("name: 1F, type: INT, range: [1]"), at + "name", "no digit first"},
      {with_task_parameter("name: F, range: [1]"), at + "type", "is missing"},
      {with_task_parameter("name: F, type: BOOL, range: [1]"), at + "type", "INT, FLOAT, STRING or PATH"},
      {with_task_parameter("name: F, type: INT"), at + "range", "is missing"},
      {with_task_parameter("name: F, type: INT, range: []"), at + "range", "is empty"},
      {with_task_parameter("name: F, type: INT, range: ''"), at + "range", "is empty"},
      {with_task_parameter("name: F, type: INT, range: 5"), at + "range", "must be a list or a range"},
      {with_task_parameter("name: F, type: INT, range: [1, 1.5]"), at + "range[1]", "a whole number"},
      {with_task_parameter("name: F, type: INT, range: [1, '1.5']"), at + "range[1]", "no whole number"},
      {with_task_parameter("name: F, type: INT, range: [true]"), at + "range[0]", "is a boolean"},
      {with_task_parameter("name: F, type: INT, range: '1-10,5-15'"), at + "range", "overlap"},
      {with_task_parameter("name: F, type: INT, range: '1-10:2,3-10:2'"), at + "range", "overlap"},
      {with_task_parameter("name: F, type: INT, range: [" + repeated(1025, "{}") + "]"), at + "range",
       "at most 1024"},
      {with_task_parameter("name: F, type: FLOAT, range: '1-3'"), at + "range", "must be a list"},
      {with_task_parameter("name: F, type: FLOAT, range: [a]"), at + "range[0]", "no number"},
      {with_task_parameter("name: F, type: STRING, range: [1]"), at + "range[0]", "put it in quotes"},
      {with_task_parameter("name: F, type: STRING, range: [" + std::string(1025, 'x') + "]"), at + "range[0]",
       "at most 1024"},
      {with_task_parameter("name: F, type: PATH, range: ['']"), at + "range[0]", "no path"},
      {with_task_parameter("name: F, type: INT, range: [1], chunks: {}"), at + "chunks", "not known here"},
      {with_task_parameter(chunk + "chunks: {defaultTaskCount: 1, rangeConstraint: CONTIGUOUS}"), at + "type",
       "needs the extension TASK_CHUNKING"},
      {with_task_parameter("name: F, type: 'CHUNK[INT]', range: 1-5", chunking), at + "chunks", "is missing"},
      {with_task_parameter(chunk + "chunks: {rangeConstraint: CONTIGUOUS}", chunking),
       at + "chunks.defaultTaskCount", "is missing"},
      {with_task_parameter(chunk + "chunks: {defaultTaskCount: 1}", chunking), at + "chunks.rangeConstraint",
       "is missing"},
      {with_task_parameter(chunk + "chunks: {defaultTaskCount: 0, rangeConstraint: CONTIGUOUS}", chunking),
       at + "chunks.defaultTaskCount", "at least 1"},
      {with_task_parameter(chunk + "chunks: {defaultTaskCount: 1.5, rangeConstraint: CONTIGUOUS}", chunking),
       at + "chunks.defaultTaskCount", "whole number"},
      {with_task_parameter(
           chunk + "chunks: {defaultTaskCount: 1, targetRuntimeSeconds: -1, rangeConstraint: CONTIGUOUS}",
           chunking),
       at + "chunks.targetRuntimeSeconds", "at least 0"},
      {with_task_parameter(chunk + "chunks: {defaultTaskCount: 1, rangeConstraint: ANY}", chunking),
       at + "chunks.rangeConstraint", "CONTIGUOUS or NONCONTIGUOUS"},
      {job(chunking,
           ", parameterSpace: {taskParameterDefinitions: [{name: A, type: 'CHUNK[INT]', range: 1-5, chunks: "
           "{defaultTaskCount: 1, rangeConstraint: CONTIGUOUS}}, "
           "{name: B, type: 'CHUNK[INT]', range: 1-5, chunks: {defaultTaskCount: 1, rangeConstraint: "
           "CONTIGUOUS}}]}"),
       "steps[0].parameterSpace.taskParameterDefinitions[1].type", "one CHUNK[INT]"},
      {job("",
           ", parameterSpace: {taskParameterDefinitions: [{name: A, type: INT, range: [1]}], combination: "
           "''}"),
       "steps[0].parameterSpace.combination", "is empty"},
      {job("",
           ", parameterSpace: {taskParameterDefinitions: [{name: A, type: INT, range: [1]}], combination: A" +
               std::string(1280, ' ') + "B}"),
       "steps[0].parameterSpace.combination", "at most 1280"},
  });
}

void actions_and_files_are_checked() {
  check_valid({
      with_action("command: c, args: ['', \"a\\nb\\r\\n\"], timeout: 1, cancelation: {mode: TERMINATE}"),
      with_action("command: c, cancelation: {mode: NOTIFY_THEN_TERMINATE, notifyPeriodInSeconds: 600}"),
      with_action("command: c, timeout: '5', cancelation: {mode: '{{Param.P}}', notifyPeriodInSeconds: "
                  "'{{Param.P}}'}",
                  bundle + ", parameterDefinitions: [{name: P, type: STRING}]"),
      with_file("name: f, type: TEXT, data: x, filename: " + std::string(64, 'f') + ", runnable: true"),
      with_file("name: f, type: TEXT, data: x, endOfLine: CRLF, filename: " + std::string(256, 'f'), bundle),
      job("",
          ", stepEnvironments: [{name: e, script: {actions: {onEnter: {command: c}, onExit: {command: "
          "d}}}}]"),
  });
  const std::string at = "steps[0].script.actions.onRun.";
  const std::string file = "steps[0].script.embeddedFiles[0].";
  check_wrong({
      {with_action("args: [a]"), at + "command", "is missing"},
      {with_action("command: ''"), at + "command", "is empty"},
      {with_action("command: \"a\\nb\""), at + "command", "control"},
      {with_action("command: c, args: []"), at + "args", "is empty"},
      {with_action("command: c, args: [1]"), at + "args[0]", "put it in quotes"},
      {with_action("command: c, args: [\"a\\tb\"]"), at + "args[0]", "only line breaks"},
      {with_action("command: c, timeout: 0"), at + "timeout", "at least 1"},
      {with_action("command: c, timeout: 1.5"), at + "timeout", "whole number"},
      {with_action("command: c, timeout: '5'"), at + "timeout", "needs the extension FEATURE_BUNDLE_1"},
      {with_action("command: c, timeout: 'x'", bundle), at + "timeout", "whole number"},
      {with_action("command: c, cancelation: {}"), at + "cancelation.mode", "is missing"},
      {with_action("command: c, cancelation: {mode: KILL}"), at + "cancelation.mode",
       "TERMINATE or NOTIFY_THEN_TERMINATE"},
      {with_action("command: c, cancelation: {mode: '{{Param.P}}'}"), at + "cancelation.mode",
       "FEATURE_BUNDLE_1"},
      {with_action("command: c, cancelation: {mode: TERMINATE, notifyPeriodInSeconds: 5}"),
       at + "cancelation.notifyPeriodInSeconds", "does not wait"},
      {with_action("command: c, cancelation: {mode: NOTIFY_THEN_TERMINATE, notifyPeriodInSeconds: 601}"),
       at + "cancelation.notifyPeriodInSeconds", "1 to 600"},
      {with_action("command: c, cancelation: {mode: NOTIFY_THEN_TERMINATE, notifyPeriodInSeconds: 0}"),
       at + "cancelation.notifyPeriodInSeconds", "1 to 600"},
      {with_action("command: c, cancelation: {mode: NOTIFY_THEN_TERMINATE, notifyPeriodInSeconds: 1.5}"),
       at + "cancelation.notifyPeriodInSeconds", "whole"},
      {with_action("command: c, shell: x"), at + "shell", "not known here"},
      {with_file("type: TEXT, data: x"), file + "name", "is missing"},
      {with_file("name: f, data: x"), file + "type", "is missing"},
      {with_file("name: f, type: JSON, data: x"), file + "type", "TEXT"},
      {with_file("name: f, type: TEXT"), file + "data", "is missing"},
      {with_file("name: f, type: TEXT, data: ''"), file + "data", "is empty"},
      {with_file("name: f-g, type: TEXT, data: x"), file + "name", "no name"},
      {with_file("name: f, type: TEXT, data: x, runnable: 'true'"), file + "runnable", "true or false"},
      {with_file("name: f, type: TEXT, data: x, filename: a/b"), file + "filename", "no plain file name"},
      {with_file("name: f, type: TEXT, data: x, filename: '..'"), file + "filename", "no plain file name"},
      {with_file("name: f, type: TEXT, data: x, filename: " + std::string(65, 'f')), file + "filename",
       "at most 64"},
      {with_file("name: f, type: TEXT, data: x, filename: " + std::string(257, 'f'), bundle),
       file + "filename", "at most 256"},
      {with_file("name: f, type: TEXT, data: x, endOfLine: LF"), file + "endOfLine",
       "needs the extension FEATURE_BUNDLE_1"},
      {with_file("name: f, type: TEXT, data: x, endOfLine: CR", bundle), file + "endOfLine",
       "AUTO, LF or CRLF"},
      {with_file("name: f, type: TEXT, data: x}, {name: f, type: TEXT, data: y"),
       "steps[0].script.embeddedFiles[1].name", "another embedded file"},
      {environment("name: e"), "environment", "needs one of them"},
      {environment("variables: {A: b}"), "environment.name", "is missing"},
      {environment("name: " + std::string(65, 'e') + ", variables: {A: b}"), "environment.name",
       "at most 64"},
      {environment("name: e, variables: {}"), "environment.variables", "at least one variable"},
      {environment("name: e, variables: {9A: b}"), "environment.variables.9A", "no digit first"},
      {environment("name: e, variables: {A: 5}"), "environment.variables.A", "put it in quotes"},
      {environment("name: e, variables: {A: " + std::string(2049, 'x') + "}"), "environment.variables.A",
       "at most 2048"},
      {environment("name: e, script: {actions: {onExit: {command: c}}}"),
       "environment.script.actions.onEnter", "is missing"},
      {environment("name: e, script: {actions: {onEnter: {command: c}, onWrapTaskRun: {command: c}}}"),
       "environment.script.actions.onWrapTaskRun", "WRAP_ACTIONS"},
      {environment("name: e, script: {actions: {onEnter: {command: c}}, embeddedFiles: []}"),
       "environment.script.embeddedFiles", "is empty"},
  });
}

void simple_actions_become_scripts() {
  const auto parsed = parse_template(
      "{specificationVersion: jobtemplate-2023-09, extensions: [FEATURE_BUNDLE_1], name: n, steps: ["
      "{name: a, powershell: {script: 'echo {{Session.WorkingDirectory}}', args: [x], timeout: 5}},"
      "{name: b, python: {script: pass}}]}",
      Syntax::yaml);
  check(parsed.has_value());
  const auto& steps = std::get<JobTemplate>(*parsed).steps;
  const auto& script = steps[0].script;
  check_equal(script.on_run.command.text(), "powershell");
  check_equal(script.on_run.args.size(), 3U);
  check_equal(script.on_run.args[0].text(), "-File");
  check_equal(script.on_run.args[1].text(), "{{Task.File." + script.files[0].name + "}}");
  check_equal(script.on_run.args[2].text(), "x");
  check_equal(script.on_run.timeout_s->value, 5);
  check_equal(script.files[0].filename, "script.ps1");
  check_equal(script.files[0].data.text(), "echo {{Session.WorkingDirectory}}");
  check_equal(steps[1].script.on_run.args.size(), 1U);
  const auto with = [](const std::string& fields) {
    return "{specificationVersion: jobtemplate-2023-09, extensions: [FEATURE_BUNDLE_1], name: n, steps: "
           "[{name: a, " +
           fields + "}]}";
  };
  check_wrong({
      {with("bash: {args: [x]}"), "steps[0].bash.script", "is missing"},
      {with("bash: {script: ''}"), "steps[0].bash.script", "is empty"},
      {with("bash: {script: x, actions: {}}"), "steps[0].bash.actions", "not known here"},
      {with("bash: {script: x, let: [a = 1]}"), "steps[0].bash.let", "EXPR"},
      {with("bash: {script: x}, python: {script: y}"), "steps[0].bash", "stands beside 'python'"},
      {with("bash: {script: x}, script: {actions: {onRun: {command: c}}}"), "steps[0].bash",
       "stands beside 'script'"},
      {with("description: x"), "steps[0].script", "'python', 'bash'"},
      {with("bash: {script: '{{Task.File.Script}}'}"), "steps[0].bash.script", "Task.File.Script"},
  });
}

void scopes_are_checked_at_their_stage() {
  const std::string parameters = ", parameterDefinitions: [{name: N, type: STRING}, {name: P, type: PATH}]";
  const auto run = [&](const std::string& text) {
    return with_action("command: '" + text + "'", parameters);
  };
  check_valid({
      job(parameters, "", "{{Param.N}}{{RawParam.P}}"),
      run("{{Param.P}}{{RawParam.N}}{{Session.WorkingDirectory}}{{Session.HasPathMappingRules}}{{Session."
          "PathMappingRulesFile}}"),
      with_file("name: f, type: TEXT, data: '{{Task.File.f}}'"),
      job("",
          ", parameterSpace: {taskParameterDefinitions: [{name: F, type: INT, range: [1]}]}, "
          "stepEnvironments: [{name: e, variables: {A: '{{Session.WorkingDirectory}}'}}]"),
      environment("name: e, variables: {A: '{{Param.P}}'}, script: {actions: {onEnter: {command: "
                  "'{{Env.File.f}}'}}, embeddedFiles: [{name: f, type: TEXT, data: '{{Env.File.f}}'}]}",
                  parameters),
  });
  check_wrong({
      {job(parameters, "", "{{Param.P}}"), "name", "only RawParam.P is known"},
      {job(parameters, "", "{{Session.WorkingDirectory}}"), "name", "on the node only"},
      {job(parameters, "", "{{Job.Name}}"), "name", "EXPR"},
      {job(parameters, "", "{{N}}"), "name", "there is no N"},
      {job("", ", hostRequirements: {attributes: [{name: attr.x, anyOf: ['{{Session.WorkingDirectory}}']}]}"),
       "steps[0].hostRequirements.attributes[0].anyOf[0]", "on the node only"},
      {job("",
           ", parameterSpace: {taskParameterDefinitions: [{name: F, type: INT, range: "
           "['{{Task.Param.F}}']}]}"),
       "steps[0].parameterSpace.taskParameterDefinitions[0].range[0]", "on the node only"},
      {job(parameters,
           ", parameterSpace: {taskParameterDefinitions: [{name: F, type: PATH, range: ['{{Param.P}}']}]}"),
       "steps[0].parameterSpace.taskParameterDefinitions[0].range[0]", "only RawParam.P"},
      {job("",
           ", parameterSpace: {taskParameterDefinitions: [{name: F, type: INT, range: [1]}]}, "
           "stepEnvironments: [{name: e, variables: {A: '{{Task.Param.F}}'}}]"),
       "steps[0].stepEnvironments[0].variables.A", "an environment serves many tasks"},
      {run("{{Param.M}}"), "steps[0].script.actions.onRun.command", "is Param.N meant"},
      {run("{{Task.Param.Frame}}"), "steps[0].script.actions.onRun.command", "there is no Task.Param.Frame"},
      {run("{{Env.File.f}}"), "steps[0].script.actions.onRun.command", "there is no Env.File.f"},
      {run("{{Step.Name}}"), "steps[0].script.actions.onRun.command", "EXPR"},
      {with_action("command: c, timeout: '{{Session.WorkingDirectory}}'", bundle),
       "steps[0].script.actions.onRun.timeout", "on the node only"},
      {with_action("command: c, cancelation: {mode: NOTIFY_THEN_TERMINATE, notifyPeriodInSeconds: "
                   "'{{Task.Param.X}}'}",
                   bundle),
       "steps[0].script.actions.onRun.cancelation.notifyPeriodInSeconds", "on the node only"},
      {environment("name: e, variables: {A: '{{Env.File.f}}'}, script: {actions: {onEnter: {command: c}}, "
                   "embeddedFiles: [{name: f, type: TEXT, data: x}]}"),
       "environment.variables.A", "Env.File.f"},
      {environment("name: e, variables: {A: '{{Task.File.f}}'}"), "environment.variables.A",
       "in a step's script only"},
      {environment("name: e, script: {actions: {onEnter: {command: c, timeout: '{{Env.File.f}}'}}, "
                   "embeddedFiles: [{name: f, type: TEXT, data: x}]}",
                   bundle),
       "environment.script.actions.onEnter.timeout", "on the node only"},
  });
}

void everything_is_told_at_once_but_not_without_end() {
  const auto parsed =
      parse_template(with_parameter("name: P, type: INT, " + repeated(300, "x{}: 1")), Syntax::yaml);
  check(!parsed.has_value());
  check_equal(parsed.error().list().size(), Problems::max_reported);
  check_equal(parsed.error().left_out(), 200U);
  check_equal(parsed.error().count(), 300U);
}

void a_document_that_cannot_be_read_is_one_problem() {
  const auto parsed = parse_template("{\"a\":", Syntax::json);
  check(!parsed.has_value());
  check_equal(parsed.error().list().size(), 1U);
  check_equal(parsed.error().list()[0].path, "");
  check_contains(parsed.error().list()[0].message, "line 1");
}

}  // namespace

int main() {
  return kiln::test::run(
      "template",
      {{"the roots are checked", &roots_are_checked},
       {"job parameters are checked", &job_parameters_are_checked},
       {"steps and what they wait for are checked", &steps_are_checked},
       {"host requirements are checked", &requirements_are_checked},
       {"parameter spaces are checked", &parameter_spaces_are_checked},
       {"actions, files and environments are checked", &actions_and_files_are_checked},
       {"simple actions become scripts", &simple_actions_become_scripts},
       {"a format string may use what is known at its stage", &scopes_are_checked_at_their_stage},
       {"everything is told at once, but not without end", &everything_is_told_at_once_but_not_without_end},
       {"a document that cannot be read is one problem", &a_document_that_cannot_be_read_is_one_problem}});
}
