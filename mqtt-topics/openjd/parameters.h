// What a job parameter's value may be, and how the definitions of several templates become one.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "openjd/problems.h"
#include "openjd/template.h"
#include "openjd/value.h"

namespace kiln::openjd {

// The text that a value stands for in a format string. STRING and PATH take strings; INT also a string with
// a whole number; FLOAT numbers and strings with one. Errors: invalid, saying what would be right.
Result<std::string> value_as(ParameterType type, const Value& value);
// The text of a value_as() of that type; INT and FLOAT.
Number number_of(ParameterType type, std::string text);

// Whether minimum and maximum leave anything between them. Errors: invalid.
Status check_bounds(const ParameterDefinition& definition);
// The value against the bounds, lengths and allowed values. `value` is text of value_as(). Errors: invalid.
Status check_value(const ParameterDefinition& definition, std::string_view value);

// Section 1.2.1: the environment templates' in their order, the job template's last. Bounds become the
// narrowest, allowed values the intersection, the default the last one. Problems have the path
// "parameterDefinitions.<name>".
Checked<std::vector<ParameterDefinition>> merge_parameters(
    const std::vector<const EnvironmentTemplate*>& environments, const JobTemplate& job);

// Values as a submission gives them, by name.
using ParameterInput = std::map<std::string, Value, std::less<>>;

// Where relative PATH values stand. Both absolute, or both empty: then paths stay as they are, which is right
// where the template's folder does not exist (on the controller).
struct PathBase {
  std::string template_folder;  // for a PATH's default, which may not leave it
  std::string working_folder;   // for a PATH's value
};

struct ParameterValue {
  std::string name;
  ParameterType type = ParameterType::string;
  std::string value;
  // Of a PATH, the specification's defaults filled in; else "".
  std::string object_type = {};  // "FILE" | "DIRECTORY"
  std::string data_flow = {};    // "NONE" | "IN" | "OUT" | "INOUT"
};

// The value of every parameter, defaults included, in the order of the definitions. Problems have the path
// "parameters.<name>".
Checked<std::vector<ParameterValue>> parameter_values(const std::vector<ParameterDefinition>& definitions,
                                                      const ParameterInput& input, const PathBase& base);

}  // namespace kiln::openjd
