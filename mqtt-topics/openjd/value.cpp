#include "openjd/value.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "openjd/document.h"
#include "openjd/numbers.h"

namespace kiln::openjd {

const Value* Value::find(std::string_view key) const {
  if (kind != Kind::map) return nullptr;
  const auto found = std::find(keys.begin(), keys.end(), key);
  return found == keys.end() ? nullptr : &items[static_cast<std::size_t>(found - keys.begin())];
}

std::string_view describe(Value::Kind kind) {
  switch (kind) {
    case Value::Kind::null:
      return "null";
    case Value::Kind::boolean:
      return "a boolean";
    case Value::Kind::integer:
      return "a whole number";
    case Value::Kind::floating:
      return "a number with a fraction";
    case Value::Kind::string:
      return "a string";
    case Value::Kind::list:
      return "a list";
    case Value::Kind::map:
      return "an object";
  }
  return "something";
}

Value integer_value(std::string_view digits) {
  const auto whole = integer_of(digits);
  return Value::scalar(Value::Kind::integer, whole ? fmt::format("{}", *whole) : std::string(digits));
}

tl::unexpected<Error> fail_at(std::size_t line, std::string_view message, Code code) {
  return fail(code, fmt::format("line {}: {}", line, message));
}

Result<Value> parse_document(std::string_view text, Syntax syntax, const DocumentLimits& limits) {
  if (text.size() > limits.bytes) {
    return fail(Code::too_large,
                fmt::format("{} bytes; a template has at most {}", text.size(), limits.bytes));
  }
  std::size_t line = 1;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = text[i] == '\0' ? 0 : utf8_length(text.substr(i));
    if (length == 0) return fail_at(line, "this is no UTF-8 text");
    if (text[i] == '\n') ++line;
    i += length;
  }
  return syntax == Syntax::json ? parse_json(text, limits) : parse_yaml(text, limits);
}

Syntax syntax_of(std::string_view file_name) {
  return file_name.ends_with(".json") || file_name.ends_with(".JSON") ? Syntax::json : Syntax::yaml;
}

}  // namespace kiln::openjd
