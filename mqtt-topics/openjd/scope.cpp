#include "openjd/scope.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "openjd/names.h"
#include "openjd/problems.h"

namespace kiln::openjd {

namespace {

std::string_view place(Stage stage) {
  switch (stage) {
    case Stage::creation:
      return "when the job is created";
    case Stage::environment:
      return "in an environment";
    case Stage::task:
      return "in a step's script";
  }
  return "here";
}

bool exists_on_a_node(std::string_view name) {
  return name == "Session.WorkingDirectory" || name == "Session.HasPathMappingRules" ||
         name == "Session.PathMappingRulesFile" || name.starts_with("Task.Param.") ||
         name.starts_with("Task.RawParam.") || name.starts_with("Task.File.") ||
         name.starts_with("Env.File.");
}

}  // namespace

bool Scope::knows(std::string_view name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->outer) {
    if (scope->names.contains(name)) return true;
  }
  return false;
}

std::string Scope::why_not(std::string_view name) const {
  const auto shown = shortened(name);
  if (name == "Job.Name" || name == "Step.Name") {
    return fmt::format("{} needs the extension EXPR, which is not supported", name);
  }
  if (name.starts_with("Param.") && knows(fmt::format("Raw{}", name))) {
    return fmt::format("{} is a PATH, mapped on the node; here, {}, only Raw{} is known", shown, place(stage),
                       shown);
  }
  std::vector<std::string_view> known;
  for (const Scope* scope = this; scope != nullptr; scope = scope->outer) {
    known.insert(known.end(), scope->names.begin(), scope->names.end());
  }
  const auto near =
      std::find_if(known.begin(), known.end(), [&](std::string_view one) { return is_near(name, one); });
  if (near != known.end()) {
    return fmt::format("there is no {} {}; is {} meant?", shown, place(stage), shortened(*near));
  }
  if (stage == Stage::creation && exists_on_a_node(name)) {
    return fmt::format("{} is known on the node only, not {}; Param and RawParam are", shown, place(stage));
  }
  if (stage == Stage::environment && name.starts_with("Task.")) {
    return fmt::format("{} is known in a step's script only; an environment serves many tasks", shown);
  }
  if (known.empty()) return fmt::format("there is no {}; nothing is known {}", shown, place(stage));
  return fmt::format("there is no {} {}; known are {}", shown, place(stage), listed(known, "and"));
}

}  // namespace kiln::openjd
