#include "check.h"
#include "openjd/value.h"

using kiln::Code;
using kiln::openjd::parse_document;
using kiln::openjd::Syntax;
using kiln::openjd::Value;
using Kind = kiln::openjd::Value::Kind;

namespace {

// "text" for a string, kind and text for a number, so that a table can hold them.
std::string shown(const Value& value) {
  switch (value.kind) {
    case Kind::null:
      return "null";
    case Kind::boolean:
      return value.truth ? "true" : "false";
    case Kind::integer:
      return "int " + value.text;
    case Kind::floating:
      return "float " + value.text;
    case Kind::string:
      return "\"" + value.text + "\"";
    case Kind::list: {
      std::string out = "[";
      for (const auto& item : value.items) out += (out.size() > 1 ? "," : "") + shown(item);
      return out + "]";
    }
    case Kind::map: {
      std::string out = "{";
      for (std::size_t i = 0; i < value.keys.size(); ++i) {
        out += (i > 0 ? "," : "") + value.keys[i] + ":" + shown(value.items[i]);
      }
      return out + "}";
    }
  }
  return "";
}

void scalars_keep_their_types() {
  const struct {
    Syntax syntax;
    std::string text;
    std::string want;
  } cases[] = {
      {Syntax::yaml, "[5, 5.0, '5', \"5\", +5, 007, 0x1F, 0o17, -3]",
       "[int 5,float 5.0,\"5\",\"5\",int 5,int 7,int 31,int 15,int -3]"},
      {Syntax::yaml, "[1e3, .5, 2., -.inf, .nan, 1.0e+309]",
       "[float 1e3,float .5,float 2.,float -.inf,float .nan,float 1.0e+309]"},
      // YAML 1.1 would make booleans, dates and sexagesimals of these.
      {Syntax::yaml, "[yes, no, on, OFF, 2026-01-01, 1:30, 1_000, 1e, -, 1.2.3]",
       "[\"yes\",\"no\",\"on\",\"OFF\",\"2026-01-01\",\"1:30\",\"1_000\",\"1e\",\"-\",\"1.2.3\"]"},
      {Syntax::yaml, "[true, False, null, ~, '', !!str 5, !!int 5]",
       "[true,false,null,null,\"\",\"5\",int 5]"},
      {Syntax::yaml, "a: 1-24\nb: |\n  x\n  y\nc:\n", "{a:\"1-24\",b:\"x\ny\n\",c:null}"},
      {Syntax::yaml, "9223372036854775807", "int 9223372036854775807"},
      {Syntax::yaml, "9223372036854775808", "int 9223372036854775808"},
      {Syntax::yaml, "a: &x [1, 2]\nb: *x\n", "{a:[int 1,int 2],b:[int 1,int 2]}"},
      {Syntax::yaml, R"({"a": "ü\u00e4\n", "b": [1]})", "{a:\"üä\n\",b:[int 1]}"},
      {Syntax::json, R"({"a": [5, 5.0, "5", -0, 1e3, true, null]})",
       "{a:[int 5,float 5.0,\"5\",int 0,float 1e3,true,null]}"},
      {Syntax::json, R"("\u00e4\ud83d\ude00\/\t")", "\"ä😀/\t\""},
      {Syntax::json, " {} ", "{}"},
  };
  for (const auto& one : cases) {
    const auto value = parse_document(one.text, one.syntax);
    check_ok(value);
    check_equal(shown(*value), one.want);
  }
}

void hostile_documents_are_refused_with_their_line() {
  std::string deep_json(60, '[');
  std::string deep_yaml;
  for (int i = 0; i < 60; ++i) deep_yaml += "- ";
  std::string bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c < 'l'; ++c) {
    const char before = static_cast<char>(c - 1);
    bomb += fmt::format("{0}: &{0} [*{1},*{1},*{1},*{1},*{1},*{1},*{1},*{1},*{1},*{1}]\n", c, before);
  }
  std::string long_copies = "a: &a " + std::string(100'000, 'x') + "\nb: [";
  for (int i = 0; i < 1000; ++i) long_copies += "*a,";
  const struct {
    Syntax syntax;
    std::string text;
    Code code;
    std::string part;
  } cases[] = {
      {Syntax::json, "", Code::invalid, "line 1"},
      {Syntax::json, "{\"a\":\n1,}", Code::invalid, "line 2"},
      {Syntax::json, "{\"a\":1,\"a\":2}", Code::invalid, "'a' stands twice"},
      {Syntax::json, "{} {}", Code::invalid, "follows the end"},
      {Syntax::json, "[01]", Code::invalid, "leading zero"},
      {Syntax::json, "[1.]", Code::invalid, "decimal point"},
      {Syntax::json, "[nan]", Code::invalid, "no JSON value"},
      {Syntax::json, "\"\\u0000\"", Code::invalid, "other than NUL"},
      {Syntax::json, "\"\\ud83d\"", Code::invalid, "pair"},
      {Syntax::json, "\"\\ud83d\\u0041\"", Code::invalid, "pair"},
      {Syntax::json, "\"a\nb\"", Code::invalid, "escaped"},
      {Syntax::json, "\"\xff\"", Code::invalid, "UTF-8"},
      {Syntax::json, deep_json, Code::too_large, "levels"},
      {Syntax::yaml, "", Code::invalid, "empty"},
      {Syntax::yaml, "a: 1\na: 2\n", Code::invalid, "line 2: the key 'a' stands twice"},
      {Syntax::yaml, "a: [1\nb: 2\n", Code::invalid, "no YAML"},
      {Syntax::yaml, "a: 1\n--- \nb: 1\n", Code::invalid, "second document"},
      {Syntax::yaml, "1: a\n", Code::invalid, "key is a string"},
      {Syntax::yaml, "[a]: 1\n", Code::invalid, "key is a string"},
      {Syntax::yaml, "a: *b\n", Code::invalid, "no anchor '&b'"},
      {Syntax::yaml, "a: &a [*a]\n", Code::invalid, "no anchor '&a'"},
      {Syntax::yaml, "a: !!python/object:os.system x\n", Code::invalid, "tag"},
      {Syntax::yaml, "a: !!int x\n", Code::invalid, "!!int"},
      {Syntax::yaml, std::string(100'000, '!'), Code::invalid, "tag"},
      {Syntax::yaml, std::string(1000, 'k') + ": 1\n" + std::string(1000, 'k') + ": 2\n", Code::invalid,
       "twice"},
      {Syntax::yaml, "a: \"\\0\"\n", Code::invalid, "NUL"},
      {Syntax::yaml, "a: \xff\n", Code::invalid, "line 1: this is no UTF-8"},
      {Syntax::yaml, std::string("a: \0b", 5), Code::invalid, "UTF-8"},
      {Syntax::yaml, deep_yaml, Code::too_large, "levels"},
      {Syntax::yaml, bomb, Code::too_large, "aliases"},
      {Syntax::yaml, long_copies + "x]", Code::too_large, "aliases"},
      {Syntax::yaml, std::string(2 << 20U, ' '), Code::too_large, "at most 1048576"},
  };
  for (const auto& one : cases) {
    const auto value = parse_document(one.text, one.syntax);
    check(!value.has_value());
    check_equal(to_string(value.error().code), to_string(one.code));
    check_contains(value.error().message, one.part);
    check(value.error().message.size() < 500);
  }
}

void a_name_tells_the_syntax() {
  check(kiln::openjd::syntax_of("a/b.json") == Syntax::json);
  check(kiln::openjd::syntax_of("b.yaml") == Syntax::yaml);
  check(kiln::openjd::syntax_of("json") == Syntax::yaml);
}

}  // namespace

int main() {
  return kiln::test::run(
      "document",
      {{"scalars keep their types, by JSON and by the core schema of YAML 1.2", &scalars_keep_their_types},
       {"hostile documents are refused with their line", &hostile_documents_are_refused_with_their_line},
       {"a file's name tells the syntax", &a_name_tells_the_syntax}});
}
