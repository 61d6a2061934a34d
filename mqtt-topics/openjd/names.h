// The character sets of the specification.
#pragma once

#include <string_view>

namespace kiln::openjd {

// Latin letters, digits and '_', not starting with a digit. The length is the caller's question.
bool is_identifier(std::string_view text);
// A character of Unicode's category Cc stands in the text that is not one of `allowed`.
bool has_control(std::string_view text, std::string_view allowed = {});
// `Frames` for `Frame`: at most two letters apart.
bool is_near(std::string_view a, std::string_view b);

}  // namespace kiln::openjd
