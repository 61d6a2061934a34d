#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "openjd/parameters.h"

namespace kiln::openjd {

namespace {

struct Sourced {
  std::string source;  // "the environment template 'Maya'"
  const ParameterDefinition* definition = nullptr;
};

template <class T, class Tighter>
void tighten(std::optional<T>& out, const std::optional<T>& other, Tighter tighter) {
  if (other && (!out || tighter(*other, *out))) out = other;
}

bool is_smaller(ParameterType type, const Number& a, const Number& b) {
  return type == ParameterType::integer ? a.whole < b.whole : a.real < b.real;
}

// Equal for equal values: a FLOAT may be written in many ways.
std::string comparable(ParameterType type, const std::string& value) {
  if (type != ParameterType::floating) return value;
  const double real = number_of(type, value).real;
  return fmt::format("{}", real == 0 ? 0.0 : real);  // -0 is 0
}

void intersect(ParameterDefinition& out, const ParameterDefinition& next) {
  if (!next.allowed) return;
  if (!out.allowed) {
    out.allowed = next.allowed;
    return;
  }
  std::set<std::string, std::less<>> kept;
  for (const auto& value : *next.allowed) kept.insert(comparable(next.type, value));
  auto& allowed = *out.allowed;
  allowed.erase(
      std::remove_if(allowed.begin(), allowed.end(),
                     [&](const std::string& value) { return !kept.contains(comparable(next.type, value)); }),
      allowed.end());
}

// Both say something, and not the same.
bool differ(const std::optional<std::string>& a, const std::optional<std::string>& b) {
  return a && b && *a != *b;
}

class Merge {
 public:
  explicit Merge(Problems& problems) : problems_(problems) {}

  void add(const std::string& source, const std::vector<ParameterDefinition>& definitions) {
    for (const auto& definition : definitions) {
      const auto found = std::find_if(merged_.begin(), merged_.end(), [&](const ParameterDefinition& one) {
        return one.name == definition.name;
      });
      if (found == merged_.end()) {
        merged_.push_back(definition);
        sources_.push_back({source, &definition});
      } else {
        const auto which = static_cast<std::size_t>(found - merged_.begin());
        join(*found, sources_[which], {source, &definition});
        sources_[which].source += fmt::format(" and {}", source);
      }
    }
  }

  // What all of them say together must be possible.
  void check() {
    for (const auto& definition : merged_) {
      const auto path = at_key("parameterDefinitions", definition.name);
      if (const auto status = check_bounds(definition); !status) {
        problems_.add(path,
                      fmt::format("the templates together ask the impossible: {}", status.error().message));
      } else if (definition.allowed && definition.allowed->empty()) {
        problems_.add(path, "no value is in the allowedValues of all templates");
      } else if (definition.default_value) {
        const auto fits = check_value(definition, *definition.default_value);
        if (!fits)
          problems_.add(path, fmt::format("the default does not fit what the templates ask together: {}",
                                          fits.error().message));
      }
    }
  }

  std::vector<ParameterDefinition> take() { return std::move(merged_); }

 private:
  void join(ParameterDefinition& out, const Sourced& before, const Sourced& next) {
    const auto& definition = *next.definition;
    const auto path = at_key("parameterDefinitions", out.name);
    const auto conflict = [&](std::string_view what, std::string_view a, std::string_view b) {
      problems_.add(path, fmt::format("{} is {} in {} and {} in {}; it must be the same", what, a,
                                      before.source, b, next.source));
    };
    if (out.type != definition.type) {
      conflict("type", to_string(out.type), to_string(definition.type));
      return;
    }
    if (differ(out.object_type, definition.object_type))
      conflict("objectType", *out.object_type, *definition.object_type);
    if (differ(out.data_flow, definition.data_flow))
      conflict("dataFlow", *out.data_flow, *definition.data_flow);
    if (definition.object_type) out.object_type = definition.object_type;
    if (definition.data_flow) out.data_flow = definition.data_flow;
    intersect(out, definition);
    tighten(out.min_length, definition.min_length, std::greater<>());
    tighten(out.max_length, definition.max_length, std::less<>());
    tighten(out.min_value, definition.min_value,
            [&](const Number& a, const Number& b) { return is_smaller(out.type, b, a); });
    tighten(out.max_value, definition.max_value,
            [&](const Number& a, const Number& b) { return is_smaller(out.type, a, b); });
    if (definition.default_value) out.default_value = definition.default_value;
    if (!definition.description.empty()) out.description = definition.description;
    out.user_interface = definition.user_interface;
  }

  Problems& problems_;
  std::vector<ParameterDefinition> merged_;
  std::vector<Sourced> sources_;
};

}  // namespace

Checked<std::vector<ParameterDefinition>> merge_parameters(
    const std::vector<const EnvironmentTemplate*>& environments, const JobTemplate& job) {
  Problems problems;
  Merge merge(problems);
  for (const auto* environment : environments) {
    merge.add(fmt::format("the environment template {}", quoted(environment->environment.name)),
              environment->parameters);
  }
  merge.add("the job template", job.parameters);
  if (problems.empty()) merge.check();
  if (!problems.empty()) return tl::make_unexpected(std::move(problems));
  return merge.take();
}

}  // namespace kiln::openjd
