// Where the submitter's folders are on this box. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kiln::actions {

enum class PathFormat { posix, windows };

struct PathRule {
  PathFormat source_format = PathFormat::posix;
  std::string source;       // absolute, as the submitter writes it
  std::string destination;  // absolute, on this box
  friend bool operator==(const PathRule&, const PathRule&) = default;
};

class PathMapping {
 public:
  PathMapping() = default;
  // Errors: invalid, naming the rule: one whose source or destination is not absolute.
  static Result<PathMapping> create(std::vector<PathRule> rules);
  // The specification's document, {"version": "pathmapping-1.0", "path_mapping_rules": […]}, or the empty
  // object. Errors: invalid, too_large.
  static Result<PathMapping> parse(std::string_view json);

  [[nodiscard]] std::string dump() const;
  [[nodiscard]] bool empty() const { return rules_.empty(); }
  // By the rule with the longest source that the path lies in; whole folders only, so "/show" maps
  // "/show/a.png" and not "/shows". As it is when none applies. A Windows source takes either slash and any
  // case, and what follows it gets ours.
  [[nodiscard]] std::string apply(std::string_view path) const;

 private:
  std::vector<PathRule> rules_;  // the longest source first
};

}  // namespace kiln::actions
