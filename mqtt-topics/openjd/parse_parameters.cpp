// Job parameter definitions: section 2 of the specification.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "openjd/names.h"
#include "openjd/numbers.h"
#include "openjd/parameters.h"
#include "openjd/reader.h"

namespace kiln::openjd {

namespace {

constexpr std::int64_t highest = std::numeric_limits<std::int64_t>::max();
bool is_numeric(ParameterType type) {
  return type == ParameterType::integer || type == ParameterType::floating;
}

std::optional<ParameterType> read_type(const Value* value, std::string_view path, Context& context) {
  if (value != nullptr && value->kind == Value::Kind::string) {
    const auto& type = value->text;
    if (type == "STRING") return ParameterType::string;
    if (type == "PATH") return ParameterType::path;
    if (type == "INT") return ParameterType::integer;
    if (type == "FLOAT") return ParameterType::floating;
    if (type == "BOOL" || type == "RANGE_EXPR" || type.starts_with("LIST[")) {
      context.problems.add(path,
                           fmt::format("{} needs the extension EXPR, which is not supported", quoted(type)));
      return std::nullopt;
    }
  }
  read_choice(value, {"STRING", "PATH", "INT", "FLOAT"}, path, context);
  return std::nullopt;
}

std::optional<std::string> read_value(const Value* value, ParameterType type, std::string_view path,
                                      Context& context) {
  if (value == nullptr) return std::nullopt;
  auto text = value_as(type, *value);
  if (text) return std::move(*text);
  context.problems.add(path, std::move(text.error().message));
  return std::nullopt;
}

std::optional<Number> read_bound(const Value* value, ParameterType type, std::string_view path,
                                 Context& context) {
  auto text = read_value(value, type, path, context);
  if (!text) return std::nullopt;
  return number_of(type, std::move(*text));
}

void read_allowed(ParameterDefinition& out, Fields& fields, Context& context) {
  const auto path = fields.path("allowedValues");
  const auto* list = read_list(fields.optional("allowedValues"), 1, no_limit, path, context);
  if (list == nullptr) return;
  out.allowed.emplace();
  for (std::size_t i = 0; i < list->size(); ++i) {
    auto value = read_value(&(*list)[i], out.type, at_index(path, i), context);
    if (value) out.allowed->push_back(std::move(*value));
  }
}

// The bounds among themselves, and the allowed values and the default against all that is known.
void check_consistency(const ParameterDefinition& definition, Fields& fields, Context& context) {
  ParameterDefinition bounds = definition;
  bounds.allowed.reset();
  if (const auto status = check_bounds(definition); !status) {
    context.problems.add(fields.path(is_numeric(definition.type) ? "maxValue" : "maxLength"),
                         status.error().message);
    return;
  }
  if (definition.allowed) {
    const auto path = fields.path("allowedValues");
    for (std::size_t i = 0; i < definition.allowed->size(); ++i) {
      const auto status = check_value(bounds, (*definition.allowed)[i]);
      if (!status) context.problems.add(at_index(path, i), status.error().message);
    }
  }
  if (definition.default_value) {
    const auto status = check_value(definition, *definition.default_value);
    if (!status) context.problems.add(fields.path("default"), status.error().message);
  }
}

// --- userInterface

const TextRule label_rule{.min = 1, .max = 64};

// "*", "*.*" or "*." and the characters of an extension.
bool is_filter_pattern(std::string_view text) {
  if (text == "*" || text == "*.*") return true;
  if (!text.starts_with("*.") || text.size() == 2) return false;
  return text.substr(2).find_first_of("\\/*?[]#%&{}<>$!'\":@`|=") == text.npos && !has_control(text);
}

std::optional<FileFilter> read_file_filter(const Value& value, std::string path, Context& context) {
  Fields fields(value, std::move(path), context);
  if (!fields.is_object()) return std::nullopt;
  constexpr std::size_t max_patterns = 20;
  FileFilter out;
  out.label = read_text(fields.required("label"), label_rule, fields.path("label"), context).value_or("");
  const auto patterns_path = fields.path("patterns");
  const auto* patterns = read_list(fields.required("patterns"), 1, max_patterns, patterns_path, context);
  for (std::size_t i = 0; patterns != nullptr && i < patterns->size(); ++i) {
    const auto where = at_index(patterns_path, i);
    const auto pattern = read_text(&(*patterns)[i], {.min = 1, .max = 20, .controls = true}, where, context);
    if (!pattern || pattern->empty()) continue;
    if (!is_filter_pattern(*pattern)) {
      context.problems.add(
          where, fmt::format("{} is no file pattern; it is '*', '*.*' or like '*.png'", quoted(*pattern)));
    }
    out.patterns.push_back(*pattern);
  }
  fields.finish();
  return out;
}

std::vector<std::string_view> controls_of(ParameterType type) {
  switch (type) {
    case ParameterType::string:
      return {"LINE_EDIT", "MULTILINE_EDIT", "DROPDOWN_LIST", "CHECK_BOX", "HIDDEN"};
    case ParameterType::path:
      return {"CHOOSE_INPUT_FILE", "CHOOSE_OUTPUT_FILE", "CHOOSE_DIRECTORY", "DROPDOWN_LIST", "HIDDEN"};
    default:
      return {"SPIN_BOX", "DROPDOWN_LIST", "HIDDEN"};
  }
}

std::string default_control(const ParameterDefinition& definition) {
  if (definition.allowed) return "DROPDOWN_LIST";
  if (definition.type == ParameterType::string) return "LINE_EDIT";
  if (definition.type != ParameterType::path) return "SPIN_BOX";
  if (definition.object_type != "FILE") return "CHOOSE_DIRECTORY";
  return definition.data_flow == "OUT" ? "CHOOSE_OUTPUT_FILE" : "CHOOSE_INPUT_FILE";
}

bool is_check_box_pair(const std::vector<std::string>& allowed) {
  if (allowed.size() != 2) return false;
  std::vector<std::string> pair = allowed;
  for (auto& word : pair) {
    std::transform(word.begin(), word.end(), word.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  }
  std::sort(pair.begin(), pair.end());
  const std::vector<std::vector<std::string>> pairs = {
      {"false", "true"}, {"no", "yes"}, {"off", "on"}, {"0", "1"}};
  return std::find(pairs.begin(), pairs.end(), pair) != pairs.end();
}

void check_control(const ParameterDefinition& definition, std::string_view path, Context& context) {
  const auto& control = definition.user_interface.control;
  if (control == "HIDDEN") return;
  if (control == "CHECK_BOX") {
    if (!definition.allowed || !is_check_box_pair(*definition.allowed)) {
      context.problems.add(
          path, "CHECK_BOX needs allowedValues of two: true and false, yes and no, on and off, or 1 and 0");
    }
  } else if (control == "DROPDOWN_LIST") {
    if (!definition.allowed) context.problems.add(path, "DROPDOWN_LIST needs allowedValues to choose from");
  } else if (definition.allowed) {
    context.problems.add(
        path, fmt::format("{} takes any value and cannot stand beside allowedValues; DROPDOWN_LIST or "
                          "HIDDEN can",
                          control));
  }
}

void read_number_interface(ParameterDefinition& definition, Fields& fields, Context& context) {
  auto& ui = definition.user_interface;
  const auto only_spin_box = [&](std::string_view key) {
    if (fields.has(key) && ui.control != "SPIN_BOX") {
      context.problems.add(fields.path(key), fmt::format("belongs to SPIN_BOX, not to {}", ui.control));
    }
  };
  const auto* delta = fields.optional("singleStepDelta");
  const auto path = fields.path("singleStepDelta");
  if (definition.type == ParameterType::integer) {
    if (const auto whole = read_integer(delta, 1, highest, path, context))
      ui.single_step_delta = static_cast<double>(*whole);
  } else {
    if (delta != nullptr) {
      const bool is_number = delta->kind == Value::Kind::integer || delta->kind == Value::Kind::floating;
      const auto real = is_number ? real_of(delta->text) : std::nullopt;
      if (real && *real > 0)
        ui.single_step_delta = real;
      else
        context.problems.add(path, "must be a number greater than 0, not in quotes");
    }
    ui.decimals = read_integer(fields.optional("decimals"), 0, highest, fields.path("decimals"), context);
    only_spin_box("decimals");
  }
  only_spin_box("singleStepDelta");
}

void read_path_interface(ParameterDefinition& definition, Fields& fields, Context& context) {
  auto& ui = definition.user_interface;
  constexpr std::size_t max_filters = 20;
  const auto path = fields.path("fileFilters");
  const auto* filters = read_list(fields.optional("fileFilters"), 1, max_filters, path, context);
  for (std::size_t i = 0; filters != nullptr && i < filters->size(); ++i) {
    if (auto filter = read_file_filter((*filters)[i], at_index(path, i), context)) {
      ui.file_filters.push_back(std::move(*filter));
    }
  }
  if (const auto* filter = fields.optional("fileFilterDefault")) {
    ui.default_file_filter = read_file_filter(*filter, fields.path("fileFilterDefault"), context);
  }
  if (ui.control == "CHOOSE_INPUT_FILE" || ui.control == "CHOOSE_OUTPUT_FILE") return;
  for (const std::string_view key : {"fileFilters", "fileFilterDefault"}) {
    if (fields.has(key)) {
      context.problems.add(
          fields.path(key),
          fmt::format("belongs to CHOOSE_INPUT_FILE and CHOOSE_OUTPUT_FILE, not to {}", ui.control));
    }
  }
}

void read_user_interface(ParameterDefinition& definition, Fields& outer, Context& context) {
  auto& ui = definition.user_interface;
  ui.control = default_control(definition);
  ui.label = definition.name;
  const auto* value = outer.optional("userInterface");
  if (value == nullptr) return;
  Fields fields(*value, outer.path("userInterface"), context);
  if (!fields.is_object()) return;
  const auto control_path = fields.path("control");
  if (auto control =
          read_choice(fields.optional("control"), controls_of(definition.type), control_path, context)) {
    ui.control = std::move(*control);
    check_control(definition, control_path, context);
  }
  if (auto label = read_text(fields.optional("label"), label_rule, fields.path("label"), context))
    ui.label = *label;
  ui.group_label =
      read_text(fields.optional("groupLabel"), label_rule, fields.path("groupLabel"), context).value_or("");
  if (is_numeric(definition.type)) read_number_interface(definition, fields, context);
  if (definition.type == ParameterType::path) read_path_interface(definition, fields, context);
  fields.finish();
}

std::optional<ParameterDefinition> read_definition(const Value& value, std::string path, Context& context) {
  Fields fields(value, std::move(path), context);
  if (!fields.is_object()) return std::nullopt;
  ParameterDefinition out;
  out.name = read_identifier(fields.required("name"), fields.path("name"), context).value_or("");
  const auto type = read_type(fields.required("type"), fields.path("type"), context);
  out.description = read_description(fields, context);
  if (!type) return out;  // what else is right depends on it
  out.type = *type;
  const auto before = context.problems.count();
  if (is_numeric(*type)) {
    out.min_value = read_bound(fields.optional("minValue"), *type, fields.path("minValue"), context);
    out.max_value = read_bound(fields.optional("maxValue"), *type, fields.path("maxValue"), context);
  } else {
    out.min_length =
        read_integer(fields.optional("minLength"), 0, highest, fields.path("minLength"), context);
    out.max_length =
        read_integer(fields.optional("maxLength"), 1, highest, fields.path("maxLength"), context);
  }
  if (*type == ParameterType::path) {
    out.object_type =
        read_choice(fields.optional("objectType"), {"FILE", "DIRECTORY"}, fields.path("objectType"), context);
    out.data_flow = read_choice(fields.optional("dataFlow"), {"NONE", "IN", "OUT", "INOUT"},
                                fields.path("dataFlow"), context);
  }
  read_allowed(out, fields, context);
  out.default_value = read_value(fields.optional("default"), *type, fields.path("default"), context);
  if (context.problems.count() == before) check_consistency(out, fields, context);
  read_user_interface(out, fields, context);
  fields.finish();
  return out;
}

}  // namespace

std::string_view to_string(ParameterType type) {
  switch (type) {
    case ParameterType::string:
      return "STRING";
    case ParameterType::path:
      return "PATH";
    case ParameterType::integer:
      return "INT";
    case ParameterType::floating:
      return "FLOAT";
  }
  return "?";
}

std::vector<ParameterDefinition> read_parameter_definitions(const Value* value, std::size_t max,
                                                            std::string_view path, Context& context) {
  std::vector<ParameterDefinition> out;
  const auto* list = read_list(value, 1, max, path, context);
  if (list == nullptr) return out;
  Unique names("parameter");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto where = at_index(path, i);
    auto definition = read_definition((*list)[i], where, context);
    if (!definition) continue;
    if (!definition->name.empty()) names.add(definition->name, at_key(where, "name"), context.problems);
    out.push_back(std::move(*definition));
  }
  return out;
}

Scope creation_scope(const std::vector<ParameterDefinition>& parameters) {
  Scope scope{Stage::creation, {}};
  for (const auto& parameter : parameters) {
    scope.names.insert("RawParam." + parameter.name);
    if (parameter.type != ParameterType::path) scope.names.insert("Param." + parameter.name);
  }
  return scope;
}

Scope node_scope(const std::vector<ParameterDefinition>& parameters) {
  Scope scope{Stage::environment,
              {"Session.WorkingDirectory", "Session.HasPathMappingRules", "Session.PathMappingRulesFile"}};
  for (const auto& parameter : parameters) {
    scope.names.insert("RawParam." + parameter.name);
    scope.names.insert("Param." + parameter.name);
  }
  return scope;
}

}  // namespace kiln::openjd
