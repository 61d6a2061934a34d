// A step's parameter space: section 3.4 of the specification.
#include <fmt/format.h>

#include <algorithm>

#include "openjd/numbers.h"
#include "openjd/parameter_space.h"
#include "openjd/reader.h"

namespace kiln::openjd {

namespace {

constexpr std::size_t max_parameters = 16;
constexpr std::size_t max_list = 1024;
constexpr std::int64_t highest = std::numeric_limits<std::int64_t>::max();

std::optional<TaskParameterType> read_type(const Value* value, std::string_view path, Context& context) {
  const bool is_chunk = value != nullptr && value->kind == Value::Kind::string && value->text == "CHUNK[INT]";
  if (is_chunk && context.extensions.task_chunking) return TaskParameterType::chunk;
  if (is_chunk) {
    context.problems.add(path, "CHUNK[INT] needs the extension TASK_CHUNKING; name it in 'extensions'");
    return std::nullopt;
  }
  std::vector<std::string_view> choices = {"INT", "FLOAT", "STRING", "PATH"};
  if (context.extensions.task_chunking) choices.emplace_back("CHUNK[INT]");
  const auto choice = read_choice(value, choices, path, context);
  if (choice == "INT") return TaskParameterType::integer;
  if (choice == "FLOAT") return TaskParameterType::floating;
  if (choice == "STRING") return TaskParameterType::string;
  if (choice == "PATH") return TaskParameterType::path;
  return std::nullopt;
}

bool is_integral(TaskParameterType type) {
  return type == TaskParameterType::integer || type == TaskParameterType::chunk;
}

// What may stand in a range's list beside strings.
bool takes(TaskParameterType type, Value::Kind kind) {
  if (kind == Value::Kind::string) return true;
  if (kind == Value::Kind::integer) return is_integral(type) || type == TaskParameterType::floating;
  return kind == Value::Kind::floating && type == TaskParameterType::floating;
}

std::vector<FormatString> read_values(const std::vector<Value>& list, TaskParameterType type,
                                      const Scope& scope, std::string_view path, Context& context) {
  std::vector<FormatString> out;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto where = at_index(path, i);
    const auto& value = list[i];
    if (!takes(type, value.kind)) {
      const std::string_view wanted = is_integral(type)                     ? "a whole number"
                                      : type == TaskParameterType::floating ? "a number"
                                                                            : "a string; put it in quotes";
      context.problems.add(where, fmt::format("is {}; it must be {}", describe(value.kind), wanted));
      continue;
    }
    std::optional<FormatString> text = FormatString::literal(value.text);
    if (value.kind == Value::Kind::string)
      text = read_format(&value, {.min = 0, .controls = true}, scope, where, context);
    if (!text) continue;
    if (!text->has_references()) {
      const auto known = task_value(type, text->text());
      if (!known) context.problems.add(where, known.error().message);
    }
    out.push_back(std::move(*text));
  }
  return out;
}

void read_range(TaskParameterDefinition& out, const Value* value, const Scope& scope, std::string_view path,
                Context& context) {
  if (value == nullptr) return;
  if (value->kind == Value::Kind::string && is_integral(out.type)) {
    auto text = read_format(value, {.min = 1, .controls = true}, scope, path, context);
    if (!text) return;
    if (!text->has_references() && !text->text().empty()) {
      const auto ranges = IntRanges::parse(text->text());
      if (!ranges) context.problems.add(path, ranges.error().message);
    }
    out.range = std::move(*text);
    return;
  }
  if (value->kind != Value::Kind::list) {
    context.problems.add(path, fmt::format("is {}; it must be a list{}", describe(value->kind),
                                           is_integral(out.type) ? " or a range like '1-24' in quotes" : ""));
    return;
  }
  const auto* list = read_list(value, 1, max_list, path, context);
  if (list != nullptr) out.range = read_values(*list, out.type, scope, path, context);
}

std::optional<ChunkDefinition> read_chunks(const Value* value, const Scope& scope, std::string path,
                                           Context& context) {
  if (value == nullptr) return std::nullopt;
  Fields fields(*value, std::move(path), context);
  if (!fields.is_object()) return std::nullopt;
  ChunkDefinition out;
  const auto count = read_late_integer(fields.required("defaultTaskCount"), 1, highest, scope,
                                       fields.path("defaultTaskCount"), context, true, "");
  if (count) out.default_task_count = *count;
  out.target_runtime_s = read_late_integer(fields.optional("targetRuntimeSeconds"), 0, highest, scope,
                                           fields.path("targetRuntimeSeconds"), context, true, "");
  const auto constraint = read_choice(fields.required("rangeConstraint"), {"CONTIGUOUS", "NONCONTIGUOUS"},
                                      fields.path("rangeConstraint"), context);
  out.contiguous = constraint != "NONCONTIGUOUS";
  fields.finish();
  return out;
}

std::optional<TaskParameterDefinition> read_definition(const Value& value, const Scope& scope,
                                                       std::string path, Context& context) {
  Fields fields(value, std::move(path), context);
  if (!fields.is_object()) return std::nullopt;
  TaskParameterDefinition out;
  out.name = read_identifier(fields.required("name"), fields.path("name"), context).value_or("");
  const auto type = read_type(fields.required("type"), fields.path("type"), context);
  if (!type) return out;  // what else is right depends on it
  out.type = *type;
  read_range(out, fields.required("range"), scope, fields.path("range"), context);
  if (*type == TaskParameterType::chunk)
    out.chunks = read_chunks(fields.required("chunks"), scope, fields.path("chunks"), context);
  fields.finish();
  return out;
}

void read_combination(ParameterSpaceDefinition& out, const Value* value, const std::string& path,
                      Context& context) {
  out.combination = Combination::product_of_all(out.parameters.size());
  constexpr std::size_t max_characters = 1280;
  const auto text = read_text(value, {.min = 1, .max = max_characters, .controls = true}, path, context);
  if (!text || text->empty() || text->size() > max_characters) return;
  std::vector<std::string> names;
  names.reserve(out.parameters.size());
  for (const auto& parameter : out.parameters) names.push_back(parameter.name);
  auto combination = Combination::parse(*text, names);
  if (!combination) {
    context.problems.add(path, combination.error().message);
    return;
  }
  for (std::size_t i = 0; i < out.parameters.size(); ++i) {
    if (out.parameters[i].type == TaskParameterType::chunk && combination->associates(i)) {
      context.problems.add(
          path,
          fmt::format("{} is a CHUNK[INT] and cannot stand beside others in parentheses; '*' can combine it",
                      out.parameters[i].name));
    }
  }
  out.combination = std::move(*combination);
}

bool is_known(const TaskParameterDefinition& parameter) {
  const auto is_literal = [](const FormatString& text) { return !text.has_references(); };
  const auto* list = std::get_if<std::vector<FormatString>>(&parameter.range);
  const bool range = list == nullptr ? is_literal(std::get<FormatString>(parameter.range))
                                     : std::all_of(list->begin(), list->end(), is_literal);
  const auto is_late = [](const LateInteger& number) { return number.text.has_value(); };
  const auto& chunks = parameter.chunks;
  return range && !(chunks && (is_late(chunks->default_task_count) ||
                               (chunks->target_runtime_s && is_late(*chunks->target_runtime_s))));
}

}  // namespace

std::string_view to_string(TaskParameterType type) {
  switch (type) {
    case TaskParameterType::string:
      return "STRING";
    case TaskParameterType::path:
      return "PATH";
    case TaskParameterType::integer:
      return "INT";
    case TaskParameterType::floating:
      return "FLOAT";
    case TaskParameterType::chunk:
      return "CHUNK[INT]";
  }
  return "?";
}

ParameterSpaceDefinition read_parameter_space(const Value* value, const Scope& creation,
                                              std::string_view path, Context& context) {
  ParameterSpaceDefinition out;
  if (value == nullptr) return out;
  Fields fields(*value, std::string(path), context);
  if (!fields.is_object()) return out;
  const auto before = context.problems.count();
  const auto list_path = fields.path("taskParameterDefinitions");
  const auto* list =
      read_list(fields.required("taskParameterDefinitions"), 1, max_parameters, list_path, context);
  Unique names("task parameter");
  bool has_chunk = false;
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const auto where = at_index(list_path, i);
    auto parameter = read_definition((*list)[i], creation, where, context);
    if (!parameter) continue;
    if (!parameter->name.empty()) names.add(parameter->name, at_key(where, "name"), context.problems);
    if (parameter->type == TaskParameterType::chunk && std::exchange(has_chunk, true)) {
      context.problems.add(at_key(where, "type"), "a step has one CHUNK[INT] parameter at most");
    }
    out.parameters.push_back(std::move(*parameter));
  }
  read_combination(out, fields.optional("combination"), fields.path("combination"), context);
  fields.finish();
  // Nothing to resolve: then what only creating a job would tell can be told now.
  const bool is_whole = context.problems.count() == before &&
                        std::all_of(out.parameters.begin(), out.parameters.end(), is_known);
  if (is_whole) static_cast<void>(ParameterSpace::create(out, {}, path, context.problems));
  return out;
}

}  // namespace kiln::openjd
