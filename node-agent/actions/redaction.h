// Secrets that output must not show. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kiln::actions {

class Redaction {
 public:
  // From now on the value is hidden, and of a value of several lines each line. An empty one hides nothing.
  void add(std::string_view secret);
  [[nodiscard]] bool empty() const { return secrets_.empty() && lines_.empty(); }

  static constexpr std::string_view mask = "********";  // whatever the secret's length

  // The line with every secret replaced by the mask; overlapping ones by one mask. `is_cut`: the line ends
  // because it was too long, and may end within a secret.
  [[nodiscard]] std::string apply(std::string_view line, bool is_cut = false) const;

 private:
  std::vector<std::string> secrets_;
  std::vector<std::string> lines_;  // short lines of a longer secret: only hidden where they are all there is
};

}  // namespace kiln::actions
