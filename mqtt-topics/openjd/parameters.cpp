#include "openjd/parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "openjd/numbers.h"

namespace kiln::openjd {

namespace {

constexpr std::size_t max_value_characters = 1024;

bool is_numeric(ParameterType type) {
  return type == ParameterType::integer || type == ParameterType::floating;
}

std::string shown(const Value& value) {
  if (value.kind == Value::Kind::string) return quoted(value.text);
  if (value.kind == Value::Kind::integer || value.kind == Value::Kind::floating) return shortened(value.text);
  return std::string(describe(value.kind));
}

bool less(ParameterType type, const Number& a, const Number& b) {
  return type == ParameterType::integer ? a.whole < b.whole : a.real < b.real;
}

bool same(ParameterType type, const std::string& a, const std::string& b) {
  if (!is_numeric(type)) return a == b;
  const auto left = number_of(type, a);
  const auto right = number_of(type, b);
  return !less(type, left, right) && !less(type, right, left);
}

bool is_allowed(const ParameterDefinition& definition, std::string_view value) {
  return std::any_of(definition.allowed->begin(), definition.allowed->end(),
                     [&](const std::string& one) { return same(definition.type, one, std::string(value)); });
}

std::string allowed_text(const std::vector<std::string>& allowed) {
  constexpr std::size_t max_shown = 8;
  std::string out;
  for (std::size_t i = 0; i < allowed.size() && i < max_shown; ++i) {
    if (i > 0) out += ", ";
    out += quoted(allowed[i]);
  }
  return allowed.size() > max_shown ? out + ", …" : out;
}

}  // namespace

Result<std::string> value_as(ParameterType type, const Value& value) {
  const bool is_string = value.kind == Value::Kind::string;
  switch (type) {
    case ParameterType::string:
    case ParameterType::path: {
      if (!is_string)
        return fail(Code::invalid, fmt::format("{} is no string; put it in quotes", shown(value)));
      if (const auto length = characters(value.text); length > max_value_characters) {
        return fail(Code::invalid,
                    fmt::format("has {} characters; at most {} are allowed", length, max_value_characters));
      }
      return value.text;
    }
    case ParameterType::integer: {
      const auto whole =
          is_string || value.kind == Value::Kind::integer ? integer_of(value.text) : std::nullopt;
      if (!whole)
        return fail(Code::invalid, fmt::format("{} is no whole number of at most 64 bits", shown(value)));
      return fmt::format("{}", *whole);
    }
    case ParameterType::floating: {
      const bool is_number =
          is_string || value.kind == Value::Kind::integer || value.kind == Value::Kind::floating;
      if (!is_number || !real_of(value.text)) {
        return fail(Code::invalid,
                    fmt::format("{} is no number that a double can hold, like 1.5", shown(value)));
      }
      return value.text;
    }
  }
  return fail(Code::internal, "no such type");
}

Number number_of(ParameterType type, std::string text) {
  Number out;
  out.real = real_of(text).value_or(0);
  if (type == ParameterType::integer) out.whole = integer_of(text).value_or(0);
  out.text = std::move(text);
  return out;
}

Status check_bounds(const ParameterDefinition& definition) {
  if (definition.min_length && definition.max_length && *definition.min_length > *definition.max_length) {
    return fail(Code::invalid, fmt::format("a length of at least {} and at most {} is impossible",
                                           *definition.min_length, *definition.max_length));
  }
  if (definition.min_value && definition.max_value &&
      less(definition.type, *definition.max_value, *definition.min_value)) {
    return fail(Code::invalid,
                fmt::format("a value of at least {} and at most {} is impossible",
                            shortened(definition.min_value->text), shortened(definition.max_value->text)));
  }
  return {};
}

Status check_value(const ParameterDefinition& definition, std::string_view value) {
  if (definition.allowed && !is_allowed(definition, value)) {
    return fail(Code::invalid, fmt::format("{} is not allowed; allowed are {}", quoted(value),
                                           allowed_text(*definition.allowed)));
  }
  if (is_numeric(definition.type)) {
    const auto number = number_of(definition.type, std::string(value));
    if (definition.min_value && less(definition.type, number, *definition.min_value)) {
      return fail(Code::invalid, fmt::format("{} is too small; at least {} is allowed", shortened(value),
                                             shortened(definition.min_value->text)));
    }
    if (definition.max_value && less(definition.type, *definition.max_value, number)) {
      return fail(Code::invalid, fmt::format("{} is too large; at most {} is allowed", shortened(value),
                                             shortened(definition.max_value->text)));
    }
    return {};
  }
  const auto length = static_cast<std::int64_t>(characters(value));
  if (definition.min_length && length < *definition.min_length) {
    return fail(Code::invalid, fmt::format("{} has {} characters; at least {} are needed", quoted(value),
                                           length, *definition.min_length));
  }
  if (definition.max_length && length > *definition.max_length) {
    return fail(Code::invalid, fmt::format("{} has {} characters; at most {} are allowed", quoted(value),
                                           length, *definition.max_length));
  }
  return {};
}

}  // namespace kiln::openjd
