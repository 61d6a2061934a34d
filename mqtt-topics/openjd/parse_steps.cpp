// Steps and what they wait for: section 3 of the specification.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "openjd/reader.h"

namespace kiln::openjd {

namespace {

constexpr std::string_view bundle = "FEATURE_BUNDLE_1";
constexpr std::array<Interpreter, 5> interpreters = {{{"python", ".py", ""},
                                                      {"bash", ".sh", ""},
                                                      {"cmd", ".bat", "/C"},
                                                      {"powershell", ".ps1", "-File"},
                                                      {"node", ".js", ""}}};

StepScript read_script(const Value& value, const Scopes& scopes, std::string path, Context& context) {
  StepScript out;
  Fields fields(value, std::move(path), context);
  if (!fields.is_object()) return out;
  Scope scope{Stage::task, {}, &scopes.node};
  const auto* files = fields.optional("embeddedFiles");
  add_files(scope, "Task.File.", files);
  out.files = read_embedded_files(files, scope, fields.path("embeddedFiles"), context);
  if (const auto* actions = fields.required("actions")) {
    Fields inner(*actions, fields.path("actions"), context);
    out.on_run = read_action(inner.required("onRun"), {scopes.creation, scope}, inner.path("onRun"), context);
    inner.finish();
  }
  fields.finish();
  return out;
}

// `script`, or one of the interpreters.
StepScript read_any_script(Fields& fields, const Scopes& scopes, Context& context) {
  StepScript out;
  std::string_view chosen;
  if (const auto* script = fields.optional("script")) {
    chosen = "script";
    out = read_script(*script, scopes, fields.path("script"), context);
  }
  for (const auto& interpreter : interpreters) {
    const auto* value = fields.optional(interpreter.name);
    if (value == nullptr) continue;
    const auto path = fields.path(interpreter.name);
    if (!context.extensions.feature_bundle_1) {
      context.problems.add(path, fmt::format("needs the extension {}; name it in 'extensions'", bundle));
    } else if (!chosen.empty()) {
      context.problems.add(path, fmt::format("stands beside '{}'; a step has one of them", chosen));
    } else {
      out = read_simple_action(interpreter, *value, scopes, path, context);
    }
    chosen = interpreter.name;
  }
  const bool has_any =
      fields.has("script") || std::any_of(interpreters.begin(), interpreters.end(),
                                          [&](const Interpreter& one) { return fields.has(one.name); });
  if (!has_any) {
    context.problems.add(fields.path("script"),
                         context.extensions.feature_bundle_1
                             ? "is missing; 'python', 'bash', 'cmd', 'powershell' or 'node' can stand for it"
                             : "is missing");
  }
  return out;
}

// As written: the names that a step waits for, each with its path.
struct Waits {
  std::vector<std::pair<std::string, std::string>> names;
};

Waits read_dependencies(const Value* value, const std::string& step, std::string_view path,
                        Context& context) {
  Waits out;
  const auto* list = read_list(value, 1, no_limit, path, context);
  std::set<std::string, std::less<>> seen;
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    Fields fields((*list)[i], at_index(path, i), context);
    if (!fields.is_object()) continue;
    const auto where = fields.path("dependsOn");
    const auto name =
        read_text(fields.required("dependsOn"), {.min = 1, .max = context.max_name()}, where, context);
    fields.finish();
    if (!name || name->empty()) continue;
    if (!seen.insert(*name).second) {
      context.problems.add(where, fmt::format("{} is named twice", quoted(*name)));
      continue;
    }
    if (*name == step)
      context.problems.add(where, "names the step itself; a step cannot wait for itself");
    else
      out.names.emplace_back(*name, where);
  }
  return out;
}

std::optional<StepTemplate> read_step(const Value& value, const Scopes& scopes, std::string path,
                                      Waits& waits, Context& context) {
  Fields fields(value, std::move(path), context);
  if (!fields.is_object()) return std::nullopt;
  StepTemplate out;
  const TextRule name_rule{.min = 1, .max = context.max_name()};
  out.name = read_text(fields.required("name"), name_rule, fields.path("name"), context).value_or("");
  out.description = read_description(fields, context);
  waits = read_dependencies(fields.optional("dependencies"), out.name, fields.path("dependencies"), context);
  out.environments = read_environments(fields.optional("stepEnvironments"), scopes,
                                       fields.path("stepEnvironments"), context);
  out.requirements = read_host_requirements(fields.optional("hostRequirements"), scopes.creation,
                                            fields.path("hostRequirements"), context);
  const auto* space = fields.optional("parameterSpace");
  out.space = read_parameter_space(space, scopes.creation, fields.path("parameterSpace"), context);
  Scope node{Stage::task, {}, &scopes.node};
  for (const auto& parameter : out.space.parameters) {
    node.names.insert("Task.Param." + parameter.name);
    node.names.insert("Task.RawParam." + parameter.name);
  }
  out.script = read_any_script(fields, {scopes.creation, node}, context);
  fields.finish();
  return out;
}

// Finds steps that wait for each other, and says which ring they form. Every step that is left once all that
// can run have run stands in a ring or behind one; walking dependencies among these ends in a ring.
void report_cycle(const std::vector<StepTemplate>& steps, std::string_view path, Context& context) {
  std::vector<bool> done(steps.size(), false);
  std::vector<std::size_t> missing(steps.size());
  std::vector<std::vector<std::size_t>> followers(steps.size());
  std::vector<std::size_t> ready;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    missing[i] = steps[i].dependencies.size();
    if (missing[i] == 0) ready.push_back(i);
    for (const auto one : steps[i].dependencies) followers[one].push_back(i);
  }
  while (!ready.empty()) {
    const auto step = ready.back();
    ready.pop_back();
    done[step] = true;
    for (const auto follower : followers[step]) {
      if (--missing[follower] == 0) ready.push_back(follower);
    }
  }
  const auto first = std::find(done.begin(), done.end(), false);
  if (first == done.end()) return;
  std::vector<std::size_t> walk = {static_cast<std::size_t>(first - done.begin())};
  std::vector<std::size_t> seen_at(steps.size(), steps.size());
  while (seen_at[walk.back()] == steps.size()) {
    seen_at[walk.back()] = walk.size() - 1;
    const auto& needs = steps[walk.back()].dependencies;
    walk.push_back(*std::find_if(needs.begin(), needs.end(), [&](std::size_t one) { return !done[one]; }));
  }
  constexpr std::size_t max_shown = 8;
  std::string ring;
  std::size_t shown = 0;
  for (std::size_t i = seen_at[walk.back()]; i < walk.size(); ++i) {
    if (!ring.empty()) ring += " -> ";
    if (++shown > max_shown) {
      ring += "…";
      break;
    }
    ring += quoted(steps[walk[i]].name);
  }
  context.problems.add(path, fmt::format("the steps wait for each other in a ring: {}", ring));
}

}  // namespace

std::vector<StepTemplate> read_steps(const Value* value, const Scopes& scopes, std::string_view path,
                                     Context& context) {
  std::vector<StepTemplate> out;
  std::vector<Waits> waits;
  const auto* list = read_list(value, 1, no_limit, path, context);
  Unique names("step");
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const auto where = at_index(path, i);
    Waits wait;
    auto step = read_step((*list)[i], scopes, where, wait, context);
    if (!step) continue;
    if (!step->name.empty()) names.add(step->name, at_key(where, "name"), context.problems);
    out.push_back(std::move(*step));
    waits.push_back(std::move(wait));
  }
  std::map<std::string_view, std::size_t> index;
  for (std::size_t i = 0; i < out.size(); ++i) index.emplace(out[i].name, i);
  for (std::size_t i = 0; i < out.size(); ++i) {
    for (const auto& [name, where] : waits[i].names) {
      const auto found = index.find(name);
      if (found == index.end())
        context.problems.add(where, fmt::format("there is no step {}", quoted(name)));
      else
        out[i].dependencies.push_back(found->second);
    }
  }
  report_cycle(out, path, context);
  return out;
}

}  // namespace kiln::openjd
