// Inside of the room: what the two syntaxes share.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/result.h"
#include "openjd/value.h"

namespace kiln::openjd {

Result<Value> parse_json(std::string_view text, const DocumentLimits& limits);
Result<Value> parse_yaml(std::string_view text, const DocumentLimits& limits);

// A plain number of either syntax, as an integer in plain decimal or as a float.
Value integer_value(std::string_view digits);
// "line 3: <message>"
tl::unexpected<Error> fail_at(std::size_t line, std::string_view message, Code code = Code::invalid);

}  // namespace kiln::openjd
