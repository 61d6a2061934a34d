// Names and values of host requirements: section 3.3, and which of them the specification itself defines.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace kiln::openjd {

enum class CapabilityKind { amount, attribute };

// The name in lower case: it is not case-sensitive. Errors: invalid, with what would be right.
Result<std::string> capability_name(CapabilityKind kind, std::string_view name);

// A value of that attribute; `name` as capability_name() gives it. Errors: invalid.
Status check_attribute_value(std::string_view name, std::string_view value);
// Whether a host has one value of it at most, so that it cannot have all of several.
bool is_single_valued(std::string_view attribute_name);

// What is asked of an amount when nothing is written: 1 CPU, and 0 of everything else.
double default_minimum(std::string_view amount_name);

}  // namespace kiln::openjd
