// Host requirements: section 3.3 of the specification.
#include <fmt/format.h>

#include "openjd/capabilities.h"
#include "openjd/numbers.h"
#include "openjd/reader.h"

namespace kiln::openjd {

namespace {

constexpr std::size_t max_requirements = 50;
constexpr std::size_t max_values = 50;
constexpr std::string_view bundle = "FEATURE_BUNDLE_1";

std::optional<FormatString> read_name(CapabilityKind kind, Fields& fields, const Scope& scope, Unique& names,
                                      Context& context) {
  const auto path = fields.path("name");
  auto name = read_format(fields.required("name"), {.min = 1, .max = 100}, scope, path, context);
  if (!name || name->text().empty() || name->has_references()) return name;
  const auto known = capability_name(kind, name->text());
  if (known)
    names.add(*known, path, context.problems);
  else
    context.problems.add(path, known.error().message);
  return name;
}

std::optional<LateReal> read_amount(const Value* value, bool zero_allowed, const Scope& scope,
                                    std::string_view path, Context& context) {
  if (value == nullptr) return std::nullopt;
  const std::string_view wanted = zero_allowed ? "a number of at least 0" : "a number greater than 0";
  std::optional<double> number;
  if (value->kind == Value::Kind::string) {
    if (!context.extensions.feature_bundle_1) {
      context.problems.add(path, fmt::format("{} is a string, which needs the extension {}; it must be {}",
                                             quoted(value->text), bundle, wanted));
      return std::nullopt;
    }
    auto format = read_format(value, {.min = 1}, scope, path, context);
    if (!format) return std::nullopt;
    if (format->has_references()) return LateReal{std::move(*format), 0};
    number = real_of(format->text());
  } else if (value->kind == Value::Kind::integer || value->kind == Value::Kind::floating) {
    number = real_of(value->text);
  }
  if (number && (*number > 0 || (zero_allowed && *number == 0))) return LateReal{std::nullopt, *number};
  context.problems.add(path, fmt::format("must be {}", wanted));
  return std::nullopt;
}

AmountRequirement read_amount_requirement(const Value& value, const Scope& scope, std::string path,
                                          Unique& names, Context& context) {
  AmountRequirement out;
  Fields fields(value, std::move(path), context);
  if (!fields.is_object()) return out;
  if (auto name = read_name(CapabilityKind::amount, fields, scope, names, context))
    out.name = std::move(*name);
  out.min = read_amount(fields.optional("min"), true, scope, fields.path("min"), context);
  out.max = read_amount(fields.optional("max"), false, scope, fields.path("max"), context);
  if (!fields.has("min") && !fields.has("max")) {
    context.problems.add(fields.path(), "has neither 'min' nor 'max'; it needs one of them");
  }
  const bool both_known = out.min && out.max && !out.min->text && !out.max->text;
  if (both_known && out.min->value > out.max->value) {
    context.problems.add(fields.path("max"),
                         fmt::format("is {}, less than 'min', which is {}", out.max->value, out.min->value));
  }
  fields.finish();
  return out;
}

std::vector<FormatString> read_values(const Value* value, const FormatString& name, bool all,
                                      const Scope& scope, std::string_view path, Context& context) {
  std::vector<FormatString> out;
  const auto* list = read_list(value, 1, max_values, path, context);
  if (list == nullptr) return out;
  const auto known = name.has_references() ? Result<std::string>("")
                                           : capability_name(CapabilityKind::attribute, name.text());
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto where = at_index(path, i);
    auto text = read_format(&(*list)[i], {.min = 1, .controls = true}, scope, where, context);
    if (!text) continue;
    if (!text->has_references() && !text->text().empty() && known) {
      const auto status = check_attribute_value(*known, text->text());
      if (!status) context.problems.add(where, status.error().message);
    }
    out.push_back(std::move(*text));
  }
  if (all && out.size() > 1 && known && is_single_valued(*known)) {
    context.problems.add(path, fmt::format("a host has one {}, never all of several; use anyOf", *known));
  }
  return out;
}

AttributeRequirement read_attribute_requirement(const Value& value, const Scope& scope, std::string path,
                                                Unique& names, Context& context) {
  AttributeRequirement out;
  Fields fields(value, std::move(path), context);
  if (!fields.is_object()) return out;
  if (auto name = read_name(CapabilityKind::attribute, fields, scope, names, context))
    out.name = std::move(*name);
  out.any_of = read_values(fields.optional("anyOf"), out.name, false, scope, fields.path("anyOf"), context);
  out.all_of = read_values(fields.optional("allOf"), out.name, true, scope, fields.path("allOf"), context);
  if (!fields.has("anyOf") && !fields.has("allOf")) {
    context.problems.add(fields.path(), "has neither 'anyOf' nor 'allOf'; it needs one of them");
  }
  fields.finish();
  return out;
}

}  // namespace

HostRequirements read_host_requirements(const Value* value, const Scope& creation, std::string_view path,
                                        Context& context) {
  HostRequirements out;
  if (value == nullptr) return out;
  Fields fields(*value, std::string(path), context);
  if (!fields.is_object()) return out;
  const auto amounts_path = fields.path("amounts");
  const auto attributes_path = fields.path("attributes");
  const auto* amounts = read_list(fields.optional("amounts"), 1, max_requirements, amounts_path, context);
  const auto* attributes =
      read_list(fields.optional("attributes"), 1, max_requirements, attributes_path, context);
  if (!fields.has("amounts") && !fields.has("attributes")) {
    context.problems.add(path, "has neither 'amounts' nor 'attributes'; it needs one of them");
  }
  const auto count =
      (amounts == nullptr ? 0 : amounts->size()) + (attributes == nullptr ? 0 : attributes->size());
  if (count > max_requirements) {
    context.problems.add(path,
                         fmt::format("has {} requirements; at most {} are allowed", count, max_requirements));
  }
  Unique amount_names("amount");
  for (std::size_t i = 0; amounts != nullptr && i < amounts->size(); ++i) {
    out.amounts.push_back(
        read_amount_requirement((*amounts)[i], creation, at_index(amounts_path, i), amount_names, context));
  }
  Unique attribute_names("attribute");
  for (std::size_t i = 0; attributes != nullptr && i < attributes->size(); ++i) {
    out.attributes.push_back(read_attribute_requirement(
        (*attributes)[i], creation, at_index(attributes_path, i), attribute_names, context));
  }
  fields.finish();
  return out;
}

}  // namespace kiln::openjd
