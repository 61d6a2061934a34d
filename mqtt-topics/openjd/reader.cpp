#include "openjd/reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "openjd/names.h"
#include "openjd/numbers.h"

namespace kiln::openjd {

namespace {

// Fields of extensions that are not supported, and whose they are.
std::string_view extension_of(std::string_view key) {
  if (key == "let") return "EXPR";
  if (key == "onWrapEnvEnter" || key == "onWrapTaskRun" || key == "onWrapEnvExit") return "WRAP_ACTIONS";
  return {};
}

std::string wrong_kind(const Value& value, std::string_view wanted) {
  if (value.kind == Value::Kind::string)
    return fmt::format("{} is {}; it must be {}", quoted(value.text), describe(value.kind), wanted);
  if (value.kind == Value::Kind::integer || value.kind == Value::Kind::floating) {
    return fmt::format("{} is {}; it must be {}", shortened(value.text), describe(value.kind), wanted);
  }
  return fmt::format("this is {}; it must be {}", describe(value.kind), wanted);
}

std::string range_text(std::int64_t min, std::int64_t max) {
  constexpr auto highest = std::numeric_limits<std::int64_t>::max();
  if (max == highest) return fmt::format("a whole number of at least {}", min);
  return fmt::format("a whole number from {} to {}", min, max);
}

}  // namespace

Fields::Fields(const Value& value, std::string path, Context& context)
    : value_(value), path_(std::move(path)), context_(context) {
  if (!is_object()) context_.problems.add(path_, wrong_kind(value, "an object"));
}

const Value* Fields::optional(std::string_view key) {
  known_.push_back(key);
  const Value* member = value_.find(key);
  if (member == nullptr || member->kind != Value::Kind::null) return member;
  context_.problems.add(path(key), "is null; leave it out, or give it a value");
  return nullptr;
}

const Value* Fields::required(std::string_view key) {
  const Value* member = optional(key);
  if (member == nullptr && is_object() && !has(key)) context_.problems.add(path(key), "is missing");
  return member;
}

void Fields::finish() {
  for (const auto& key : value_.keys) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    if (const auto extension = extension_of(key); !extension.empty()) {
      context_.problems.add(path(key),
                            fmt::format("needs the extension {}, which is not supported", extension));
      continue;
    }
    if (context_.problems.full()) {
      context_.problems.add(path_, "");
      continue;
    }
    const auto near = std::find_if(known_.begin(), known_.end(),
                                   [&](std::string_view known) { return is_near(key, known); });
    context_.problems.add(path(key),
                          near != known_.end()
                              ? fmt::format("is not known here; is '{}' meant?", *near)
                              : fmt::format("is not known here; allowed are {}", listed(known_, "and")));
  }
}

void check_text(std::string_view text, const TextRule& rule, std::string_view path, Problems& problems) {
  const auto length = characters(text);
  if (length < rule.min) {
    problems.add(path, rule.min == 1
                           ? "is empty; at least one character belongs here"
                           : fmt::format("has {} characters; at least {} are needed", length, rule.min));
  }
  if (length > rule.max)
    problems.add(path, fmt::format("has {} characters; at most {} are allowed", length, rule.max));
  if (!rule.controls && has_control(text, rule.except)) {
    problems.add(path,
                 fmt::format("{} holds a control character{}", quoted(text),
                             rule.except.empty()     ? "; line breaks and tabs are such, too"
                             : rule.except == "\r\n" ? "; of these only line breaks are allowed"
                                                     : "; of these only line breaks and tabs are allowed"));
  }
}

std::optional<std::string> read_text(const Value* value, const TextRule& rule, std::string_view path,
                                     Context& context) {
  if (value == nullptr) return std::nullopt;
  if (value->kind != Value::Kind::string) {
    const bool is_scalar = value->kind != Value::Kind::list && value->kind != Value::Kind::map;
    context.problems.add(path, wrong_kind(*value, is_scalar ? "a string; put it in quotes" : "a string"));
    return std::nullopt;
  }
  check_text(value->text, rule, path, context.problems);
  return value->text;
}

std::optional<std::string> read_identifier(const Value* value, std::string_view path, Context& context) {
  auto text = read_text(value, {.min = 1, .max = context.max_name(), .controls = true}, path, context);
  if (text && !text->empty() && !is_identifier(*text)) {
    context.problems.add(
        path, fmt::format("{} is no name; latin letters, digits and '_' are allowed, and no digit first",
                          quoted(*text)));
  }
  return text;
}

std::optional<std::string> read_choice(const Value* value, const std::vector<std::string_view>& choices,
                                       std::string_view path, Context& context) {
  if (value == nullptr) return std::nullopt;
  const bool is_one = value->kind == Value::Kind::string &&
                      std::find(choices.begin(), choices.end(), value->text) != choices.end();
  if (is_one) return value->text;
  const auto wanted = listed(choices);
  context.problems.add(path, value->kind == Value::Kind::string
                                 ? fmt::format("{} is not known; it is {}", quoted(value->text), wanted)
                                 : wrong_kind(*value, wanted));
  return std::nullopt;
}

std::optional<bool> read_bool(const Value* value, std::string_view path, Context& context) {
  if (value == nullptr) return std::nullopt;
  if (value->kind == Value::Kind::boolean) return value->truth;
  context.problems.add(path, wrong_kind(*value, "true or false, not in quotes"));
  return std::nullopt;
}

std::optional<std::int64_t> read_integer(const Value* value, std::int64_t min, std::int64_t max,
                                         std::string_view path, Context& context) {
  if (value == nullptr) return std::nullopt;
  if (value->kind == Value::Kind::integer) {
    const auto number = integer_of(value->text);
    if (number && *number >= min && *number <= max) return number;
    context.problems.add(path,
                         fmt::format("is {}; it must be {}", shortened(value->text), range_text(min, max)));
  } else {
    const bool is_string = value->kind == Value::Kind::string;
    context.problems.add(path,
                         wrong_kind(*value, range_text(min, max) + (is_string ? ", not in quotes" : "")));
  }
  return std::nullopt;
}

std::string read_description(Fields& fields, Context& context) {
  const TextRule rule{.min = 1, .max = 2048, .except = "\r\n\t"};
  return read_text(fields.optional("description"), rule, fields.path("description"), context).value_or("");
}

const std::vector<Value>* read_list(const Value* value, std::size_t min, std::size_t max,
                                    std::string_view path, Context& context) {
  if (value == nullptr) return nullptr;
  if (value->kind != Value::Kind::list) {
    context.problems.add(path, wrong_kind(*value, "a list"));
    return nullptr;
  }
  const auto size = value->items.size();
  if (size < min) {
    context.problems.add(path, fmt::format("is empty; leave it out, or put at least one entry into it"));
    return nullptr;
  }
  if (size > max) {
    context.problems.add(path, fmt::format("has {} entries; at most {} are allowed", size, max));
    return nullptr;
  }
  return &value->items;
}

std::optional<FormatString> read_format(const Value* value, const TextRule& rule, const Scope& scope,
                                        std::string_view path, Context& context) {
  if (value == nullptr) return std::nullopt;
  auto text = read_text(value, {.min = 0, .controls = true}, path, context);
  if (!text) return std::nullopt;
  auto format = FormatString::parse(*text);
  if (!format) {
    context.problems.add(path, format.error().message);
    return std::nullopt;
  }
  TextRule now = rule;
  // What a reference stands for may be empty, or longer than its name.
  if (format->has_references()) {
    now.min = 0;
    now.max = no_limit;
  }
  if (!format->has_references()) {
    check_text(*text, now, path, context.problems);
  } else {
    for (const auto& part : format->parts()) {
      if (!part.is_reference) {
        check_text(part.text, now, path, context.problems);
      } else if (!scope.knows(part.text)) {
        context.problems.add(path, context.problems.full() ? "" : scope.why_not(part.text));
      }
    }
  }
  return std::move(*format);
}

std::optional<LateInteger> read_late_integer(const Value* value, std::int64_t min, std::int64_t max,
                                             const Scope& scope, std::string_view path, Context& context,
                                             bool allows_text, std::string_view extension) {
  if (value == nullptr) return std::nullopt;
  if (value->kind == Value::Kind::string && !allows_text) {
    context.problems.add(path, fmt::format("{} is a string, which needs the extension {}; it must be {}",
                                           quoted(value->text), extension, range_text(min, max)));
    return std::nullopt;
  }
  if (value->kind != Value::Kind::string) {
    const auto number = read_integer(value, min, max, path, context);
    if (!number) return std::nullopt;
    return LateInteger{std::nullopt, *number};
  }
  auto format = read_format(value, {.min = 1, .controls = true}, scope, path, context);
  if (!format) return std::nullopt;
  if (format->has_references()) return LateInteger{std::move(*format), 0};
  const auto number = integer_of(format->text());
  if (number && *number >= min && *number <= max) return LateInteger{std::nullopt, *number};
  context.problems.add(path, fmt::format("{} is not {}", quoted(format->text()), range_text(min, max)));
  return std::nullopt;
}

void Unique::add(const std::string& name, std::string_view path, Problems& problems) {
  if (!seen_.insert(name).second) {
    problems.add(
        path, fmt::format("{} is the name of another {}; each needs a name of its own", quoted(name), what_));
  }
}

}  // namespace kiln::openjd
