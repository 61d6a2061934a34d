// Small templates for tests: valid ones, to be broken in one place.
#pragma once

#include <fmt/format.h>

#include <string>

#include "openjd/template.h"

namespace kiln::test {

// A job template of one step, with more root fields and more step fields in YAML's flow style (", a: b").
inline std::string job(const std::string& root = "", const std::string& step = "",
                       const std::string& name = "Job") {
  return fmt::format(
      "{{specificationVersion: jobtemplate-2023-09, name: \"{}\"{}, steps: [{{name: S{}, "
      "script: {{actions: {{onRun: {{command: c}}}}}}}}]}}",
      name, root, step);
}
inline std::string with_parameter(const std::string& fields) {
  return job(", parameterDefinitions: [{" + fields + "}]");
}
inline std::string with_task_parameter(const std::string& fields, const std::string& extensions = "") {
  return job(extensions, ", parameterSpace: {taskParameterDefinitions: [{" + fields + "}]}");
}
inline std::string with_action(const std::string& fields, const std::string& root = "") {
  return "{specificationVersion: jobtemplate-2023-09, name: J" + root +
         ", steps: [{name: S, script: {actions: {onRun: {" + fields + "}}}}]}";
}
inline std::string with_file(const std::string& fields, const std::string& root = "") {
  return "{specificationVersion: jobtemplate-2023-09, name: J" + root +
         ", steps: [{name: S, script: {actions: {onRun: {command: c}}, embeddedFiles: [{" + fields + "}]}}]}";
}
inline std::string environment(const std::string& fields, const std::string& root = "") {
  return "{specificationVersion: environment-2023-09" + root + ", environment: {" + fields + "}}";
}

inline const std::string bundle = ", extensions: [FEATURE_BUNDLE_1]";
inline const std::string chunking = ", extensions: [TASK_CHUNKING]";

}  // namespace kiln::test
