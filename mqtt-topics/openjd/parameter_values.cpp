// What a submission gives for the job's parameters, and where its relative paths lead.
#include <fmt/format.h>

#include <algorithm>

#include "openjd/names.h"
#include "openjd/parameters.h"

namespace kiln::openjd {

namespace {

bool is_absolute(std::string_view path) {
  return path.starts_with('/');
}

// "/a/b" and "../c/./d" give "/a/c/d". `folder` is absolute.
std::string joined(std::string_view folder, std::string_view path) {
  std::vector<std::string_view> parts;
  for (const auto text : {folder, path}) {
    for (std::size_t begin = 0; begin < text.size();) {
      const auto end = std::min(text.find('/', begin), text.size());
      const auto part = text.substr(begin, end - begin);
      if (part == ".." && !parts.empty())
        parts.pop_back();
      else if (!part.empty() && part != "." && part != "..")
        parts.push_back(part);
      begin = end + 1;
    }
  }
  std::string out;
  for (const auto part : parts) out += fmt::format("/{}", part);
  return out.empty() ? "/" : out;
}

bool is_inside(std::string_view path, std::string_view folder) {
  return folder == "/" || path == folder || (path.starts_with(folder) && path[folder.size()] == '/');
}

Result<std::string> default_path(const std::string& value, const PathBase& base) {
  if (value.empty() || base.template_folder.empty()) return value;
  if (is_absolute(value)) {
    return fail(
        Code::invalid,
        fmt::format("the default {} is absolute; a PATH's default is relative to the template's folder",
                    quoted(value)));
  }
  const auto folder = joined(base.template_folder, "");
  auto path = joined(folder, value);
  if (!is_inside(path, folder)) {
    return fail(Code::invalid,
                fmt::format("the default {} leads out of the template's folder", quoted(value)));
  }
  return path;
}

// Empty when the parameter has no value: then a problem was added.
std::optional<std::string> value_of(const ParameterDefinition& definition, const ParameterInput& input,
                                    const PathBase& base, Problems& problems) {
  const auto path = at_key("parameters", definition.name);
  const auto wrong = [&](std::string message) {
    problems.add(path, std::move(message));
    return std::nullopt;
  };
  const bool is_path = definition.type == ParameterType::path;
  const auto given = input.find(definition.name);
  if (given == input.end()) {
    if (!definition.default_value) return wrong("has no value, and the template has no default for it");
    auto value = is_path ? default_path(*definition.default_value, base)
                         : Result<std::string>(*definition.default_value);
    if (!value) return wrong(std::move(value.error().message));
    // The default itself was checked with the template; what the folder makes of it was not.
    if (const auto status = check_value(definition, *value); !status) return wrong(status.error().message);
    return std::move(*value);
  }
  auto value = value_as(definition.type, given->second);
  if (!value) return wrong(std::move(value.error().message));
  if (const auto status = check_value(definition, *value); !status) return wrong(status.error().message);
  const bool is_relative = is_path && !value->empty() && !is_absolute(*value) && !base.working_folder.empty();
  return is_relative ? joined(base.working_folder, *value) : std::move(*value);
}

}  // namespace

Checked<std::vector<ParameterValue>> parameter_values(const std::vector<ParameterDefinition>& definitions,
                                                      const ParameterInput& input, const PathBase& base) {
  Problems problems;
  std::vector<std::string_view> names;
  names.reserve(definitions.size());
  for (const auto& definition : definitions) names.emplace_back(definition.name);
  for (const auto& [name, value] : input) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    if (problems.full()) {
      problems.add("", "");
      continue;
    }
    const auto near = std::find_if(names.begin(), names.end(), [&wanted = name](std::string_view known) {
      return is_near(wanted, known);
    });
    problems.add(at_key("parameters", name),
                 near != names.end() ? fmt::format("there is no such parameter; is '{}' meant?", *near)
                 : names.empty()
                     ? "there is no such parameter; the template has none"
                     : fmt::format("there is no such parameter; there is {}", listed(names, "and")));
  }
  std::vector<ParameterValue> out;
  for (const auto& definition : definitions) {
    auto value = value_of(definition, input, base, problems);
    if (!value) continue;
    const bool is_path = definition.type == ParameterType::path;
    out.push_back({definition.name, definition.type, std::move(*value),
                   is_path ? definition.object_type.value_or("DIRECTORY") : "",
                   is_path ? definition.data_flow.value_or("NONE") : ""});
  }
  if (!problems.empty()) return tl::make_unexpected(std::move(problems));
  return out;
}

}  // namespace kiln::openjd
