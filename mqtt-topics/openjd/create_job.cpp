#include "openjd/create_job.h"

#include <fmt/format.h>

#include <limits>
#include <set>

#include "openjd/capabilities.h"
#include "openjd/names.h"
#include "openjd/numbers.h"

namespace kiln::openjd {

namespace {

class Resolver {
 public:
  Resolver(const Symbols& symbols, Problems& problems) : symbols_(symbols), problems_(problems) {}

  std::optional<std::string> text(const FormatString& format, const std::string& path) {
    auto out = format.resolve(symbols_);
    if (out) return std::move(*out);
    problems_.add(path, std::move(out.error().message));
    return std::nullopt;
  }

  void integer(std::optional<LateInteger>& number, std::int64_t max, const std::string& path) {
    if (!number || !number->text) return;
    const auto resolved = text(*number->text, path);
    if (!resolved) return;
    const auto value = integer_of(*resolved);
    if (value && *value >= 1 && *value <= max) {
      *number = {std::nullopt, *value};
      return;
    }
    const bool is_open = max == std::numeric_limits<std::int64_t>::max();
    problems_.add(path, fmt::format("becomes {}; it must be a whole number of at least 1{}",
                                    quoted(*resolved), is_open ? "" : fmt::format(" and at most {}", max)));
  }

  void action(Action& action, const std::string& path) {
    constexpr std::int64_t max_notify_s = 600;
    auto& cancelation = action.cancelation;
    const auto cancelation_path = at_key(path, "cancelation");
    integer(action.timeout_s, std::numeric_limits<std::int64_t>::max(), at_key(path, "timeout"));
    integer(cancelation.notify_period_s, max_notify_s, at_key(cancelation_path, "notifyPeriodInSeconds"));
    if (!cancelation.late_mode) return;
    const auto mode = text(*cancelation.late_mode, at_key(cancelation_path, "mode"));
    if (!mode) return;
    cancelation.late_mode.reset();
    if (*mode == "NOTIFY_THEN_TERMINATE") {
      cancelation.mode = Cancelation::Mode::notify_then_terminate;
    } else if (*mode != "TERMINATE") {
      problems_.add(at_key(cancelation_path, "mode"),
                    fmt::format("becomes {}; it must be TERMINATE or NOTIFY_THEN_TERMINATE", quoted(*mode)));
    } else if (cancelation.notify_period_s) {
      problems_.add(at_key(cancelation_path, "notifyPeriodInSeconds"),
                    "belongs to NOTIFY_THEN_TERMINATE, and 'mode' becomes TERMINATE");
    }
  }

  void environment(Environment& environment, const std::string& path) {
    if (environment.on_enter) action(*environment.on_enter, path + ".script.actions.onEnter");
    if (environment.on_exit) action(*environment.on_exit, path + ".script.actions.onExit");
  }

  std::vector<Environment> environments(std::vector<Environment> list, const std::string& path) {
    for (std::size_t i = 0; i < list.size(); ++i) environment(list[i], at_index(path, i));
    return list;
  }

  std::vector<Amount> amounts(const std::vector<AmountRequirement>& list, const std::string& path) {
    std::vector<Amount> out;
    std::set<std::string, std::less<>> seen;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const auto where = at_index(path, i);
      const auto known = name(CapabilityKind::amount, list[i].name, at_key(where, "name"), seen);
      const auto min = amount(list[i].min, true, at_key(where, "min"));
      const auto max = amount(list[i].max, false, at_key(where, "max"));
      if (min && max && *min > *max) {
        problems_.add(at_key(where, "max"),
                      fmt::format("becomes {}, less than 'min', which is {}", *max, *min));
      }
      if (known) out.push_back({*known, min.value_or(default_minimum(*known)), max});
    }
    return out;
  }

  std::vector<Attribute> attributes(const std::vector<AttributeRequirement>& list, const std::string& path) {
    std::vector<Attribute> out;
    std::set<std::string, std::less<>> seen;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const auto where = at_index(path, i);
      auto known = name(CapabilityKind::attribute, list[i].name, at_key(where, "name"), seen);
      if (!known) continue;
      auto any_of = values(list[i].any_of, *known, at_key(where, "anyOf"));
      auto all_of = values(list[i].all_of, *known, at_key(where, "allOf"));
      if (all_of.size() > 1 && is_single_valued(*known)) {
        problems_.add(at_key(where, "allOf"),
                      fmt::format("a host has one {}, never all of several; use anyOf", *known));
      }
      out.push_back({std::move(*known), std::move(any_of), std::move(all_of)});
    }
    return out;
  }

 private:
  std::optional<std::string> name(CapabilityKind kind, const FormatString& format, const std::string& path,
                                  std::set<std::string, std::less<>>& seen) {
    const auto resolved = text(format, path);
    if (!resolved) return std::nullopt;
    auto known = capability_name(kind, *resolved);
    if (!known) {
      problems_.add(path, std::move(known.error().message));
      return std::nullopt;
    }
    if (!seen.insert(*known).second) problems_.add(path, fmt::format("{} is asked for twice", *known));
    return std::move(*known);
  }

  std::optional<double> amount(const std::optional<LateReal>& number, bool zero_allowed,
                               const std::string& path) {
    if (!number) return std::nullopt;
    if (!number->text) return number->value;
    const auto resolved = text(*number->text, path);
    if (!resolved) return std::nullopt;
    const auto value = real_of(*resolved);
    if (value && (*value > 0 || (zero_allowed && *value == 0))) return value;
    problems_.add(path, fmt::format("becomes {}; it must be a number {}", quoted(*resolved),
                                    zero_allowed ? "of at least 0" : "greater than 0"));
    return std::nullopt;
  }

  std::vector<std::string> values(const std::vector<FormatString>& list, std::string_view name,
                                  const std::string& path) {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const auto where = at_index(path, i);
      auto resolved = text(list[i], where);
      if (!resolved) continue;
      if (auto status = check_attribute_value(name, *resolved); !status) {
        problems_.add(where, std::move(status.error().message));
      }
      out.push_back(std::move(*resolved));
    }
    return out;
  }

  const Symbols& symbols_;
  Problems& problems_;
};

std::string job_name(const JobTemplate& job, Resolver& resolver, Problems& problems) {
  auto name = resolver.text(job.name, "name");
  if (!name) return "";
  const auto length = characters(*name);
  const auto max = max_job_name(job.extensions);
  if (length == 0) problems.add("name", "becomes empty; at least one character belongs here");
  if (length > max)
    problems.add("name", fmt::format("becomes {} characters long; at most {} are allowed", length, max));
  if (has_control(*name))
    problems.add("name", fmt::format("becomes {}, which holds a control character", quoted(*name)));
  return *name;
}

Step make_step(const StepTemplate& step, const Symbols& symbols, const std::string& path, Resolver& resolver,
               Problems& problems) {
  Step out;
  out.name = step.name;
  out.description = step.description;
  out.dependencies = step.dependencies;
  out.environments = resolver.environments(step.environments, at_key(path, "stepEnvironments"));
  out.amounts = resolver.amounts(step.requirements.amounts, path + ".hostRequirements.amounts");
  out.attributes = resolver.attributes(step.requirements.attributes, path + ".hostRequirements.attributes");
  auto space = ParameterSpace::create(step.space, symbols, at_key(path, "parameterSpace"), problems);
  if (space) out.space = std::move(*space);
  out.script = step.script;
  resolver.action(out.script.on_run,
                  path + (step.script.field == "script" ? ".script.actions.onRun" : "." + step.script.field));
  return out;
}

}  // namespace

Checked<Job> create_job(const Submission& submission) {
  const auto& source = *submission.job;
  const auto definitions = merge_parameters(submission.environments, source);
  if (!definitions) return tl::make_unexpected(definitions.error());
  auto values = parameter_values(*definitions, submission.parameters, submission.base);
  if (!values) return tl::make_unexpected(std::move(values.error()));

  Symbols symbols;
  for (const auto& value : *values) {
    symbols.emplace("RawParam." + value.name, value.value);
    if (value.type != ParameterType::path) symbols.emplace("Param." + value.name, value.value);
  }
  Problems problems;
  Resolver resolver(symbols, problems);
  Job out;
  out.extensions = source.extensions;
  out.name = job_name(source, resolver, problems);
  out.description = source.description;
  out.parameters = std::move(*values);
  for (std::size_t i = 0; i < submission.environments.size(); ++i) {
    out.environments.push_back(submission.environments[i]->environment);
    out.environment_extensions.push_back(submission.environments[i]->extensions);
    resolver.environment(out.environments.back(), at_index("environments", i) + ".environment");
  }
  for (auto& environment : resolver.environments(source.environments, "jobEnvironments")) {
    out.environments.push_back(std::move(environment));
  }
  out.environment_extensions.resize(out.environments.size(), source.extensions);
  for (std::size_t i = 0; i < source.steps.size(); ++i) {
    out.steps.push_back(make_step(source.steps[i], symbols, at_index("steps", i), resolver, problems));
  }
  if (!problems.empty()) return tl::make_unexpected(std::move(problems));
  return out;
}

namespace {

// Adds what is wrong with the document, under `where`; "" for the job template itself.
template <class T>
std::optional<T> parse_source(const Source& source, std::string_view where, std::string_view what,
                              Problems& problems) {
  auto parsed = parse_template(source.text, source.syntax);
  if (!parsed) {
    for (const auto& one : parsed.error().list())
      problems.add(
          where.empty() || one.path.empty() ? std::string(where) + one.path : at_key(where, one.path),
          one.message);
    return std::nullopt;
  }
  if (!std::holds_alternative<T>(*parsed)) {
    problems.add(std::string(where), fmt::format("is not {}", what));
    return std::nullopt;
  }
  return std::get<T>(std::move(*parsed));
}

}  // namespace

Checked<Job> create_job(const Source& job, const std::vector<Source>& environments,
                        const std::map<std::string, std::string>& parameters) {
  Problems problems;
  const auto definition = parse_source<JobTemplate>(job, "", "a job template", problems);
  std::vector<EnvironmentTemplate> parsed;
  for (std::size_t i = 0; i < environments.size(); ++i) {
    auto one = parse_source<EnvironmentTemplate>(environments[i], at_index("environments", i),
                                                 "an environment template", problems);
    if (one) parsed.push_back(std::move(*one));
  }
  if (!problems.empty()) return tl::make_unexpected(std::move(problems));
  Submission submission;
  submission.job = &*definition;
  for (const auto& one : parsed) submission.environments.push_back(&one);
  for (const auto& [name, value] : parameters) submission.parameters.emplace(name, Value::of(value));
  return create_job(submission);
}

}  // namespace kiln::openjd
