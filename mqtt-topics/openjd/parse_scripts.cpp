// Actions, embedded files and environments: sections 4 to 6 of the specification.
#include <fmt/format.h>

#include "openjd/names.h"
#include "openjd/reader.h"

namespace kiln::openjd {

namespace {

constexpr std::int64_t highest = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t max_notify_s = 600;    // section 5.3.2
constexpr std::int64_t exit_timeout_s = 300;  // section 4.3: how long an onExit may take when it does not say
constexpr std::string_view bundle = "FEATURE_BUNDLE_1";

Cancelation read_cancelation(const Value* value, const Scope& creation, std::string path, Context& context) {
  Cancelation out;
  if (value == nullptr) return out;
  Fields fields(*value, std::move(path), context);
  if (!fields.is_object()) return out;
  const auto* mode = fields.required("mode");
  const auto mode_path = fields.path("mode");
  const bool is_late =
      mode != nullptr && mode->kind == Value::Kind::string && mode->text.find("{{") != mode->text.npos;
  if (is_late && context.extensions.feature_bundle_1) {
    out.late_mode = read_format(mode, {.min = 1}, creation, mode_path, context);
  } else if (is_late) {
    context.problems.add(mode_path, fmt::format("a format string needs the extension {} here", bundle));
  } else if (read_choice(mode, {"TERMINATE", "NOTIFY_THEN_TERMINATE"}, mode_path, context) ==
             "NOTIFY_THEN_TERMINATE") {
    out.mode = Cancelation::Mode::notify_then_terminate;
  }
  const auto* period = fields.optional("notifyPeriodInSeconds");
  const auto period_path = fields.path("notifyPeriodInSeconds");
  const bool is_terminate = mode != nullptr && mode->kind == Value::Kind::string && mode->text == "TERMINATE";
  if (period != nullptr && is_terminate) {
    context.problems.add(period_path, "belongs to NOTIFY_THEN_TERMINATE; TERMINATE does not wait");
  } else {
    out.notify_period_s = read_late_integer(period, 1, max_notify_s, creation, period_path, context,
                                            context.extensions.feature_bundle_1, bundle);
  }
  fields.finish();
  return out;
}

const TextRule arg_rule{.min = 0, .except = "\r\n"};

std::vector<FormatString> read_args(const Value* value, const Scope& scope, std::string_view path,
                                    Context& context) {
  std::vector<FormatString> out;
  const auto* list = read_list(value, 1, no_limit, path, context);
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    if (auto arg = read_format(&(*list)[i], arg_rule, scope, at_index(path, i), context))
      out.push_back(std::move(*arg));
  }
  return out;
}

std::optional<LateInteger> read_timeout(Fields& fields, const Scope& creation, Context& context) {
  return read_late_integer(fields.optional("timeout"), 1, highest, creation, fields.path("timeout"), context,
                           context.extensions.feature_bundle_1, bundle);
}

std::optional<EmbeddedFile::EndOfLine> read_end_of_line(Fields& fields, Context& context) {
  const auto* value = fields.optional("endOfLine");
  if (value == nullptr) return std::nullopt;
  if (!context.extensions.feature_bundle_1) {
    context.problems.add(fields.path("endOfLine"),
                         fmt::format("needs the extension {}; name it in 'extensions'", bundle));
    return std::nullopt;
  }
  const auto choice = read_choice(value, {"AUTO", "LF", "CRLF"}, fields.path("endOfLine"), context);
  if (choice == "LF") return EmbeddedFile::EndOfLine::lf;
  if (choice == "CRLF") return EmbeddedFile::EndOfLine::crlf;
  return EmbeddedFile::EndOfLine::as_host;
}

std::string read_filename(Fields& fields, Context& context) {
  const std::size_t max = context.extensions.feature_bundle_1 ? 256 : 64;
  const auto path = fields.path("filename");
  const auto name = read_text(fields.optional("filename"), {.min = 1, .max = max}, path, context);
  if (!name) return "";
  if (name->find_first_of("/\\") != name->npos || *name == "." || *name == "..") {
    context.problems.add(
        path, fmt::format("{} is no plain file name; folders do not belong into it", quoted(*name)));
  }
  return *name;
}

EmbeddedFile read_embedded_file(const Value& value, const Scope& scope, std::string path, Context& context) {
  Fields fields(value, std::move(path), context);
  EmbeddedFile out;
  if (!fields.is_object()) return out;
  out.name = read_identifier(fields.required("name"), fields.path("name"), context).value_or("");
  read_choice(fields.required("type"), {"TEXT"}, fields.path("type"), context);
  out.filename = read_filename(fields, context);
  out.runnable = read_bool(fields.optional("runnable"), fields.path("runnable"), context).value_or(false);
  auto data =
      read_format(fields.required("data"), {.min = 1, .controls = true}, scope, fields.path("data"), context);
  if (data) out.data = std::move(*data);
  out.end_of_line = read_end_of_line(fields, context).value_or(EmbeddedFile::EndOfLine::as_host);
  fields.finish();
  return out;
}

std::vector<std::pair<std::string, FormatString>> read_variables(const Value* value, const Scope& scope,
                                                                 const std::string& path, Context& context) {
  std::vector<std::pair<std::string, FormatString>> out;
  if (value == nullptr) return out;
  if (value->kind != Value::Kind::map || value->items.empty()) {
    context.problems.add(path, "must be an object with at least one variable, like {\"DISPLAY\": \":0\"}");
    return out;
  }
  constexpr std::size_t max_name = 256;
  constexpr std::size_t max_characters = 2048;
  for (std::size_t i = 0; i < value->keys.size(); ++i) {
    const auto& name = value->keys[i];
    const auto where = at_key(path, name);
    if (name.size() > max_name || !is_identifier(name)) {
      context.problems.add(
          where,
          fmt::format("a variable's name has 1 to {} latin letters, digits and '_', and no digit first",
                      max_name));
    }
    auto text = read_format(&value->items[i], {.min = 0, .max = max_characters, .controls = true}, scope,
                            where, context);
    if (text) out.emplace_back(name, std::move(*text));
  }
  return out;
}

void read_environment_script(Environment& out, const Value& value, const Scopes& outer, std::string path,
                             Context& context) {
  Fields fields(value, std::move(path), context);
  if (!fields.is_object()) return;
  Scope scope{Stage::environment, {}, &outer.node};
  const auto* files = fields.optional("embeddedFiles");
  add_files(scope, "Env.File.", files);
  out.files = read_embedded_files(files, scope, fields.path("embeddedFiles"), context);
  if (const auto* actions = fields.required("actions")) {
    Fields inner(*actions, fields.path("actions"), context);
    const Scopes scopes{outer.creation, scope};
    if (const auto* enter = inner.required("onEnter"))
      out.on_enter = read_action(enter, scopes, inner.path("onEnter"), context);
    if (const auto* leave = inner.optional("onExit")) {
      out.on_exit = read_action(leave, scopes, inner.path("onExit"), context);
      if (!out.on_exit->timeout_s) out.on_exit->timeout_s = LateInteger{std::nullopt, exit_timeout_s};
    }
    inner.finish();
  }
  fields.finish();
}

}  // namespace

void add_files(Scope& scope, std::string_view prefix, const Value* files) {
  if (files == nullptr || files->kind != Value::Kind::list) return;
  for (const auto& file : files->items) {
    const auto* name = file.find("name");
    if (name != nullptr && name->kind == Value::Kind::string)
      scope.names.insert(fmt::format("{}{}", prefix, name->text));
  }
}

std::vector<EmbeddedFile> read_embedded_files(const Value* value, const Scope& scope, std::string_view path,
                                              Context& context) {
  std::vector<EmbeddedFile> out;
  const auto* list = read_list(value, 1, no_limit, path, context);
  Unique names("embedded file");
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const auto where = at_index(path, i);
    out.push_back(read_embedded_file((*list)[i], scope, where, context));
    const auto& file = out.back();
    if (!file.name.empty()) names.add(file.name, at_key(where, "name"), context.problems);
  }
  return out;
}

Action read_action(const Value* value, const Scopes& scopes, std::string_view path, Context& context) {
  Action out;
  if (value == nullptr) return out;
  Fields fields(*value, std::string(path), context);
  if (!fields.is_object()) return out;
  auto command =
      read_format(fields.required("command"), {.min = 1}, scopes.node, fields.path("command"), context);
  if (command) out.command = std::move(*command);
  out.args = read_args(fields.optional("args"), scopes.node, fields.path("args"), context);
  out.timeout_s = read_timeout(fields, scopes.creation, context);
  out.cancelation =
      read_cancelation(fields.optional("cancelation"), scopes.creation, fields.path("cancelation"), context);
  fields.finish();
  return out;
}

StepScript read_simple_action(const Interpreter& interpreter, const Value& value, const Scopes& scopes,
                              std::string path, Context& context) {
  StepScript out;
  Fields fields(value, std::move(path), context);
  if (!fields.is_object()) return out;
  out.field = interpreter.name;
  // The written form of section 8: the script as an embedded file, whose place is the interpreter's argument.
  EmbeddedFile file;
  file.name = "Script";
  file.filename = fmt::format("script{}", interpreter.ending);
  file.runnable = true;
  auto data = read_format(fields.required("script"), {.min = 1, .controls = true}, scopes.node,
                          fields.path("script"), context);
  if (data) file.data = std::move(*data);
  out.files.push_back(std::move(file));
  auto& action = out.on_run;
  action.command = FormatString::literal(std::string(interpreter.name));
  if (!interpreter.option.empty())
    action.args.push_back(FormatString::literal(std::string(interpreter.option)));
  action.args.push_back(FormatString::parse("{{Task.File.Script}}").value());
  for (auto& arg : read_args(fields.optional("args"), scopes.node, fields.path("args"), context))
    action.args.push_back(std::move(arg));
  action.timeout_s = read_timeout(fields, scopes.creation, context);
  action.cancelation =
      read_cancelation(fields.optional("cancelation"), scopes.creation, fields.path("cancelation"), context);
  fields.finish();
  return out;
}

std::optional<Environment> read_environment(const Value& value, const Scopes& scopes, std::string_view path,
                                            Context& context) {
  Fields fields(value, std::string(path), context);
  if (!fields.is_object()) return std::nullopt;
  Environment out;
  out.name =
      read_text(fields.required("name"), {.min = 1, .max = context.max_name()}, fields.path("name"), context)
          .value_or("");
  out.description = read_description(fields, context);
  const Scope node{Stage::environment, {}, &scopes.node};
  const auto* script = fields.optional("script");
  if (script != nullptr)
    read_environment_script(out, *script, {scopes.creation, node}, fields.path("script"), context);
  out.variables = read_variables(fields.optional("variables"), node, fields.path("variables"), context);
  if (!fields.has("script") && !fields.has("variables")) {
    context.problems.add(path, "has neither 'script' nor 'variables'; it needs one of them");
  }
  fields.finish();
  return out;
}

std::vector<Environment> read_environments(const Value* value, const Scopes& scopes, std::string_view path,
                                           Context& context) {
  std::vector<Environment> out;
  const auto* list = read_list(value, 1, no_limit, path, context);
  Unique names("environment");
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const auto where = at_index(path, i);
    auto environment = read_environment((*list)[i], scopes, where, context);
    if (!environment) continue;
    if (!environment->name.empty()) names.add(environment->name, at_key(where, "name"), context.problems);
    out.push_back(std::move(*environment));
  }
  return out;
}

}  // namespace kiln::openjd
