// How task parameters combine: "A * B" is every A with every B, "(A, B)" walks both side by side.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kiln::openjd {

struct Combination {
  enum class Kind { parameter, product, association };

  Kind kind = Kind::parameter;
  std::size_t parameter = 0;  // its index in taskParameterDefinitions
  std::vector<Combination> children;

  // Each name must be one of `parameters` and each of these must stand once.
  // Errors: invalid, with the character or the names.
  static Result<Combination> parse(std::string_view text, const std::vector<std::string>& parameters);
  // Every value of the first with every value of the next …: what holds when nothing is written.
  static Combination product_of_all(std::size_t parameters);
  // Whether that parameter stands inside of an association.
  [[nodiscard]] bool associates(std::size_t which) const;
};

}  // namespace kiln::openjd
