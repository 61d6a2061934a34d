#include "compiler/job_types.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "base/ids.h"
#include "base/text.h"
#include "openjd/template.h"

namespace kiln::compiler {

namespace {

struct Embedded {
  std::string_view name;
  std::string_view text;
};
constexpr Embedded embedded[] = {
#include "types_embedded.inc"
};

Json number_json(const openjd::ParameterDefinition& definition, const std::string& text) {
  // A FLOAT keeps the digits that somebody wrote, an INT may be larger than a double's integers.
  if (definition.type != openjd::ParameterType::integer && definition.type != openjd::ParameterType::floating)
    return text;
  const auto number = Json::parse(text);
  return number && number->as_number() != nullptr ? *number : Json(text);
}

Json parameter_json(const openjd::ParameterDefinition& definition) {
  Json json = Json::object({{"name", definition.name},
                            {"type", openjd::to_string(definition.type)},
                            {"label", definition.user_interface.label},
                            {"control", definition.user_interface.control}});
  if (!definition.user_interface.group_label.empty())
    json.set("group", definition.user_interface.group_label);
  if (!definition.description.empty()) json.set("description", definition.description);
  if (definition.default_value) json.set("default", number_json(definition, *definition.default_value));
  if (definition.allowed) {
    Json values{Json::Array()};
    for (const auto& value : *definition.allowed) values.push(number_json(definition, value));
    json.set("allowed", std::move(values));
  }
  if (definition.min_length) json.set("min_length", *definition.min_length);
  if (definition.max_length) json.set("max_length", *definition.max_length);
  if (definition.min_value) json.set("min", number_json(definition, definition.min_value->text));
  if (definition.max_value) json.set("max", number_json(definition, definition.max_value->text));
  if (definition.type == openjd::ParameterType::path) {
    json.set("object_type", definition.object_type.value_or("DIRECTORY"));
    json.set("data_flow", definition.data_flow.value_or("NONE"));
  }
  return json;
}

std::string_view without_space(std::string_view text) {
  const auto first = text.find_first_not_of(" \n");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \n") - first + 1);
}

}  // namespace

const std::vector<JobType>& built_in_types() {
  static const std::vector<JobType> types = [] {
    std::vector<JobType> out;
    out.reserve(std::size(embedded));
    for (const auto& one : embedded) out.push_back({std::string(one.name), {std::string(one.text)}, true});
    return out;
  }();
  return types;
}

std::vector<JobType> all_types(std::vector<JobType> own) {
  std::map<std::string, JobType> by_name;
  for (auto& one : own) by_name.emplace(one.name, std::move(one));
  for (const auto& one : built_in_types()) by_name.emplace(one.name, one);
  std::vector<JobType> out;
  out.reserve(by_name.size());
  for (auto& [name, one] : by_name) out.push_back(std::move(one));
  return out;
}

const JobType* find_type(const std::vector<JobType>& types, std::string_view name) {
  const auto found =
      std::find_if(types.begin(), types.end(), [&](const auto& one) { return one.name == name; });
  return found == types.end() ? nullptr : &*found;
}

Status check_type_name(std::string_view name) {
  if (!is_id(name)) {
    return fail(Code::invalid,
                fmt::format("'{}' is no name of a job type: 1 to 32 of a-z, 0-9 and - are expected",
                            clip(to_utf8(name), 60)));
  }
  if (name == "blender" || name == "noop" || name == "openjd")
    return fail(Code::invalid, fmt::format("'{}' means something else already: give it another name", name));
  return {};
}

Json describe(const JobType& type) {
  Json json = Json::object({{"name", type.name}, {"built_in", type.is_built_in}});
  if (!type.error.empty()) {
    json.set("title", type.name);
    json.set("description", "");
    json.set("error", as_sentence(type.error));
    return json;
  }
  const auto parsed =
      openjd::parse_template(type.text.text, type.text.is_json ? openjd::Syntax::json : openjd::Syntax::yaml);
  const auto* job = parsed ? std::get_if<openjd::JobTemplate>(&*parsed) : nullptr;
  if (job == nullptr) {
    const auto error = parsed ? "this is an environment template: it goes around jobs and makes none"
                              : fmt::format("{}{}", parsed.error().list().front().to_text(),
                                            parsed.error().count() > 1
                                                ? fmt::format(" (and {} more)", parsed.error().count() - 1)
                                                : std::string());
    json.set("title", type.name);
    json.set("description", "");
    json.set("error", as_sentence(error));
    return json;
  }
  const auto text = without_space(job->description);
  const auto title = text.substr(0, std::min(text.find('\n'), text.size()));
  json.set("title", title.empty() ? std::string_view(type.name) : title);
  json.set("description", without_space(text.substr(title.size())));
  Json parameters{Json::Array()};
  for (const auto& one : job->parameters) parameters.push(parameter_json(one));
  json.set("parameters", std::move(parameters));
  return json;
}

}  // namespace kiln::compiler
