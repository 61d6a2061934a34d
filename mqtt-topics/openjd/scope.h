// Which names a format string may use where it stands: known when the job is created, or only on the node.
#pragma once

#include <set>
#include <string>
#include <string_view>

namespace kiln::openjd {

enum class Stage {
  creation,     // when a job is created from its template
  environment,  // on the node, where an environment is entered or left
  task,         // on the node, where a task runs
};

struct Scope {
  Stage stage = Stage::creation;
  std::set<std::string, std::less<>> names;  // "Param.Frames", "Session.WorkingDirectory"
  const Scope* outer = nullptr;              // whose names are known here, too

  [[nodiscard]] bool knows(std::string_view name) const;
  // Why the name, which is not known, may not stand here, and what may.
  [[nodiscard]] std::string why_not(std::string_view name) const;
};

}  // namespace kiln::openjd
