// A template as it was written: what JSON and YAML have in common, with strict scalar types. "5", 5 and 5.0
// stay three different things; the template's own types come later.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kiln::openjd {

struct Value {
  enum class Kind { null, boolean, integer, floating, string, list, map };

  Kind kind = Kind::null;
  bool truth = false;  // boolean
  // A string's content. A number as written, but an integer that fits 64 bits in plain decimal ("0x1F" is
  // "31").
  std::string text;
  std::vector<Value> items;       // of a list; of a map, the member's value at the same index as its key
  std::vector<std::string> keys;  // of a map, in the order of the text; each once

  [[nodiscard]] const Value* find(std::string_view key) const;

  static Value of(std::string text) { return scalar(Kind::string, std::move(text)); }
  static Value scalar(Kind kind, std::string text) {
    Value value;
    value.kind = kind;
    value.text = std::move(text);
    return value;
  }
};

// "a string", "a whole number", "a list", …: how an error calls it.
std::string_view describe(Value::Kind kind);

enum class Syntax { json, yaml };

// What is read at all. A template carries its embedded files, hence the bytes.
struct DocumentLimits {
  std::size_t bytes = 1024ULL * 1024;
  std::size_t depth = 40;        // the deepest valid template has 12
  std::size_t values = 100'000;  // after aliases are expanded
};

// One document. JSON is ECMA-404; YAML is 1.2 with its core schema (`yes` and `2026-01-01` are strings),
// anchors and aliases included, without merge keys and tags of its own. A key that is no string or stands
// twice, bytes that are no UTF-8, a NUL and a second document are refused.
// Errors: too_large over a limit; invalid; the message starts with the line ("line 3: …").
Result<Value> parse_document(std::string_view text, Syntax syntax, const DocumentLimits& limits = {});

// By the name's ending: `.json` is JSON, everything else YAML.
Syntax syntax_of(std::string_view file_name);

}  // namespace kiln::openjd
