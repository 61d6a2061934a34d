// The two root documents: section 1 of the specification.
#include <fmt/format.h>

#include <algorithm>

#include "openjd/reader.h"

namespace kiln::openjd {

namespace {

constexpr std::string_view job_version = "jobtemplate-2023-09";
constexpr std::string_view environment_version = "environment-2023-09";
constexpr std::size_t max_parameters = 50;
constexpr std::size_t max_parameters_bundle = 200;  // FEATURE_BUNDLE_1, job templates only

bool is_extension_name(std::string_view name) {
  constexpr std::size_t shortest = 3;
  constexpr std::size_t longest = 128;
  return name.size() >= shortest && name.size() <= longest &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; });
}

// False when one of them is not supported: then nothing else can be judged.
bool read_extensions(Fields& fields, Context& context) {
  const auto path = fields.path("extensions");
  const auto* list = read_list(fields.optional("extensions"), 1, no_limit, path, context);
  Unique names("extension");
  bool supported = true;
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const auto where = at_index(path, i);
    const auto name = read_text(&(*list)[i], {.min = 1, .controls = true}, where, context);
    if (!name || name->empty()) continue;
    names.add(*name, where, context.problems);
    if (*name == "TASK_CHUNKING") {
      context.extensions.task_chunking = true;
    } else if (*name == "REDACTED_ENV_VARS") {
      context.extensions.redacted_env_vars = true;
    } else if (*name == "FEATURE_BUNDLE_1") {
      context.extensions.feature_bundle_1 = true;
    } else if (is_extension_name(*name)) {
      supported = false;
      context.problems.add(
          where, fmt::format("the extension {} is not supported; TASK_CHUNKING, REDACTED_ENV_VARS and "
                             "FEATURE_BUNDLE_1 are",
                             *name));
    } else {
      context.problems.add(
          where, fmt::format("{} is no name of an extension; it has 3 to 128 of A to Z, 0 to 9 and '_'",
                             quoted(*name)));
    }
  }
  return supported;
}

void check_environment_names(const JobTemplate& job, const Value& document, Context& context) {
  // The indices of `job` are those of the document only when everything in it could be read.
  const auto* steps = document.find("steps");
  if (steps == nullptr || steps->items.size() != job.steps.size()) return;
  for (std::size_t i = 0; i < job.steps.size(); ++i) {
    const auto& inner = job.steps[i].environments;
    for (std::size_t j = 0; j < inner.size(); ++j) {
      const bool is_taken =
          std::any_of(job.environments.begin(), job.environments.end(),
                      [&](const Environment& outer) { return outer.name == inner[j].name; });
      if (!is_taken || inner[j].name.empty()) continue;
      context.problems.add(fmt::format("steps[{}].stepEnvironments[{}].name", i, j),
                           fmt::format("{} is the name of a job environment; each needs a name of its own",
                                       quoted(inner[j].name)));
    }
  }
}

JobTemplate read_job(const Value& document, Context& context) {
  JobTemplate out;
  Fields fields(document, "", context);
  fields.required("specificationVersion");
  fields.optional("$schema");
  if (!read_extensions(fields, context)) return out;
  const auto& extensions = context.extensions;
  out.extensions = extensions;
  out.parameters = read_parameter_definitions(
      fields.optional("parameterDefinitions"),
      extensions.feature_bundle_1 ? max_parameters_bundle : max_parameters, "parameterDefinitions", context);
  const auto creation = creation_scope(out.parameters);
  const auto node = node_scope(out.parameters);
  const TextRule name_rule{.min = 1, .max = max_job_name(extensions)};
  if (auto name = read_format(fields.required("name"), name_rule, creation, "name", context))
    out.name = std::move(*name);
  out.description = read_description(fields, context);
  out.environments =
      read_environments(fields.optional("jobEnvironments"), {creation, node}, "jobEnvironments", context);
  out.steps = read_steps(fields.required("steps"), {creation, node}, "steps", context);
  check_environment_names(out, document, context);
  fields.finish();
  return out;
}

EnvironmentTemplate read_environment_template(const Value& document, Context& context) {
  EnvironmentTemplate out;
  Fields fields(document, "", context);
  fields.required("specificationVersion");
  if (!read_extensions(fields, context)) return out;
  out.extensions = context.extensions;
  out.parameters = read_parameter_definitions(fields.optional("parameterDefinitions"), max_parameters,
                                              "parameterDefinitions", context);
  const auto creation = creation_scope(out.parameters);
  const auto node = node_scope(out.parameters);
  if (const auto* environment = fields.required("environment")) {
    auto read = read_environment(*environment, {creation, node}, "environment", context);
    if (read) out.environment = std::move(*read);
  }
  fields.finish();
  return out;
}

}  // namespace

Checked<Template> parse_template(const Value& document) {
  Problems problems;
  Context context{problems, {}};
  const auto* version = document.find("specificationVersion");
  const bool is_text = version != nullptr && version->kind == Value::Kind::string;
  Template out;
  if (document.kind != Value::Kind::map) {
    problems.add("", fmt::format("a template is an object, this is {}", describe(document.kind)));
  } else if (is_text && version->text == job_version) {
    out = read_job(document, context);
  } else if (is_text && version->text == environment_version) {
    out = read_environment_template(document, context);
  } else {
    problems.add("specificationVersion",
                 fmt::format("{}; it is '{}' for a job template and '{}' for an environment template",
                             version == nullptr ? "is missing"
                             : is_text          ? fmt::format("{} is not known", quoted(version->text))
                                                : fmt::format("is {}", describe(version->kind)),
                             job_version, environment_version));
  }
  if (!problems.empty()) return tl::make_unexpected(std::move(problems));
  return out;
}

Checked<Template> parse_template(std::string_view text, Syntax syntax, const DocumentLimits& limits) {
  const auto document = parse_document(text, syntax, limits);
  if (document) return parse_template(*document);
  Problems problems;
  problems.add("", document.error().message);
  return tl::make_unexpected(std::move(problems));
}

}  // namespace kiln::openjd
