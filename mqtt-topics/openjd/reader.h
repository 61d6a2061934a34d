// Inside of the room: reads a value tree field by field, and notes everything that is wrong on the way.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "openjd/problems.h"
#include "openjd/scope.h"
#include "openjd/template.h"
#include "openjd/value.h"

namespace kiln::openjd {

// What every parser needs: where problems go, and what the template asked for.
struct Context {
  Problems& problems;
  Extensions extensions;

  // 64 characters, or 512 with FEATURE_BUNDLE_1.
  [[nodiscard]] std::size_t max_name() const { return extensions.feature_bundle_1 ? 512 : 64; }
};

// The members of one object. finish() reports those that nobody asked for.
class Fields {
 public:
  // Reports a value that is no object; every member is absent then.
  Fields(const Value& value, std::string path, Context& context);

  // The member, or null when it is absent. A member that is there but null is reported and is absent.
  const Value* optional(std::string_view key);
  // As above; reports a member that is absent.
  const Value* required(std::string_view key);
  [[nodiscard]] bool has(std::string_view key) const { return value_.find(key) != nullptr; }
  [[nodiscard]] bool is_object() const { return value_.kind == Value::Kind::map; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string path(std::string_view key) const { return at_key(path_, key); }
  void finish();

 private:
  const Value& value_;
  std::string path_;
  Context& context_;
  std::vector<std::string_view> known_;
};

constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

struct TextRule {
  std::size_t min = 1;  // in characters
  std::size_t max = no_limit;
  bool controls = false;         // whether any control character may stand in it
  std::string_view except = {};  // control characters that may
};

// Reports what in the text is against the rule.
void check_text(std::string_view text, const TextRule& rule, std::string_view path, Problems& problems);

// Each reports a value that is none of its kind. Absent (null) gives nothing and reports nothing.
std::optional<std::string> read_text(const Value* value, const TextRule& rule, std::string_view path,
                                     Context& context);
std::optional<std::string> read_identifier(const Value* value, std::string_view path, Context& context);
std::optional<std::string> read_choice(const Value* value, const std::vector<std::string_view>& choices,
                                       std::string_view path, Context& context);
std::optional<bool> read_bool(const Value* value, std::string_view path, Context& context);
// A whole number, not in quotes.
std::optional<std::int64_t> read_integer(const Value* value, std::int64_t min, std::int64_t max,
                                         std::string_view path, Context& context);
std::string read_description(Fields& fields, Context& context);

// The list, unless it has fewer than min or more than max items; null then.
const std::vector<Value>* read_list(const Value* value, std::size_t min, std::size_t max,
                                    std::string_view path, Context& context);

// The length is checked when nothing in it is to be resolved, the characters of what stands between always.
std::optional<FormatString> read_format(const Value* value, const TextRule& rule, const Scope& scope,
                                        std::string_view path, Context& context);
// A whole number, or a string with one or with references. `extension`: whether a string is allowed at all,
// and what would allow it.
std::optional<LateInteger> read_late_integer(const Value* value, std::int64_t min, std::int64_t max,
                                             const Scope& scope, std::string_view path, Context& context,
                                             bool allows_text, std::string_view extension);

// Sets of names that must differ. Reports the second of two.
class Unique {
 public:
  explicit Unique(std::string what) : what_(std::move(what)) {}
  void add(const std::string& name, std::string_view path, Problems& problems);

 private:
  std::string what_;
  std::set<std::string, std::less<>> seen_;
};

// --- The parsers, each in its own file.

std::vector<ParameterDefinition> read_parameter_definitions(const Value* value, std::size_t max,
                                                            std::string_view path, Context& context);
// Param.* and RawParam.*, but for a PATH's Param.*, which is mapped on the node.
Scope creation_scope(const std::vector<ParameterDefinition>& parameters);
// All of Param.* and RawParam.*, and Session.*: what an environment and a step's script begin with.
Scope node_scope(const std::vector<ParameterDefinition>& parameters);

// `creation` is what is known when the job is created, `node` what is known where the action runs.
struct Scopes {
  const Scope& creation;
  const Scope& node;
};
Action read_action(const Value* value, const Scopes& scopes, std::string_view path, Context& context);
// A step's `python:` and its like (FEATURE_BUNDLE_1): an action with the script embedded.
struct Interpreter {
  std::string_view name;    // the field and the command
  std::string_view ending;  // of the script's file name
  std::string_view option;  // what stands before the script on the command line
};
StepScript read_simple_action(const Interpreter& interpreter, const Value& value, const Scopes& scopes,
                              std::string path, Context& context);
std::vector<EmbeddedFile> read_embedded_files(const Value* value, const Scope& scope, std::string_view path,
                                              Context& context);
// The names of the files in that list, as far as they are any: they are known before the files are read.
void add_files(Scope& scope, std::string_view prefix, const Value* files);

std::optional<Environment> read_environment(const Value& value, const Scopes& scopes, std::string_view path,
                                            Context& context);
std::vector<Environment> read_environments(const Value* value, const Scopes& scopes, std::string_view path,
                                           Context& context);

ParameterSpaceDefinition read_parameter_space(const Value* value, const Scope& creation,
                                              std::string_view path, Context& context);
HostRequirements read_host_requirements(const Value* value, const Scope& creation, std::string_view path,
                                        Context& context);
std::vector<StepTemplate> read_steps(const Value* value, const Scopes& scopes, std::string_view path,
                                     Context& context);

}  // namespace kiln::openjd
