// ECMA-404, read by hand: cJSON (base/json.h) makes every number a double, and a template's 5 is not its 5.0.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>

#include "openjd/document.h"
#include "openjd/problems.h"

namespace kiln::openjd {

namespace {

class JsonText {
 public:
  JsonText(std::string_view text, const DocumentLimits& limits) : text_(text), limits_(limits) {}

  Result<Value> document() {
    if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;
    auto value = read(1);
    if (!value) return value;
    skip_space();
    if (at_ != text_.size()) return wrong("something follows the end of the document");
    return value;
  }

 private:
  [[nodiscard]] tl::unexpected<Error> wrong(std::string_view message, Code code = Code::invalid) const {
    const auto line = std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at_), '\n');
    return fail_at(static_cast<std::size_t>(line) + 1, message, code);
  }

  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(std::string_view token) {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }

  // NOLINTNEXTLINE(misc-no-recursion): bounded by limits.depth
  Result<Value> read(std::size_t depth) {
    skip_space();
    if (depth > limits_.depth) {
      return wrong(fmt::format("nested deeper than {} levels", limits_.depth), Code::too_large);
    }
    if (++values_ > limits_.values) {
      return wrong(fmt::format("more than {} values", limits_.values), Code::too_large);
    }
    switch (peek()) {
      case '{':
        return map(depth);
      case '[':
        return list(depth);
      case '"': {
        auto text = string();
        if (!text) return fail(std::move(text.error()));
        return Value::of(std::move(*text));
      }
      default:
        return plain();
    }
  }

  Result<Value> list(std::size_t depth) {
    Value value;
    value.kind = Value::Kind::list;
    ++at_;
    skip_space();
    if (take("]")) return value;
    while (true) {
      auto item = read(depth + 1);
      if (!item) return item;
      value.items.push_back(std::move(*item));
      skip_space();
      if (take("]")) return value;
      if (!take(",")) return wrong("a list goes on with ',' or ends with ']'");
    }
  }

  Result<Value> map(std::size_t depth) {
    Value value;
    value.kind = Value::Kind::map;
    std::set<std::string, std::less<>> seen;
    ++at_;
    skip_space();
    if (take("}")) return value;
    while (true) {
      skip_space();
      if (peek() != '"') return wrong("an object's key is a string in double quotes");
      auto key = string();
      if (!key) return fail(std::move(key.error()));
      if (!seen.insert(*key).second)
        return wrong(fmt::format("the key {} stands twice in one object", quoted(*key)));
      skip_space();
      if (!take(":")) return wrong("a ':' belongs after an object's key");
      auto item = read(depth + 1);
      if (!item) return item;
      value.keys.push_back(std::move(*key));
      value.items.push_back(std::move(*item));
      skip_space();
      if (take("}")) return value;
      if (!take(",")) return wrong("an object goes on with ',' or ends with '}'");
    }
  }

  Result<Value> plain() {
    Value value;
    if (take("null")) return value;
    value.kind = Value::Kind::boolean;
    if (take("true")) {
      value.truth = true;
      return value;
    }
    if (take("false")) return value;
    return number();
  }

  std::size_t digits() {
    const std::size_t begin = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ - begin;
  }

  Result<Value> number() {
    const std::size_t begin = at_;
    take("-");
    const bool leading_zero = peek() == '0';
    const std::size_t whole = digits();
    if (whole == 0) return wrong("this is no JSON value");
    if (leading_zero && whole > 1) return wrong("a number has no leading zero");
    bool is_integer = true;
    if (take(".")) {
      is_integer = false;
      if (digits() == 0) return wrong("digits belong after the decimal point");
    }
    if (take("e") || take("E")) {
      is_integer = false;
      if (!take("+")) take("-");
      if (digits() == 0) return wrong("digits belong into the exponent");
    }
    const auto text = text_.substr(begin, at_ - begin);
    if (is_integer) return integer_value(text);
    return Value::scalar(Value::Kind::floating, std::string(text));
  }

  // The four hex digits at at_.
  std::optional<std::uint32_t> hex4() {
    std::uint32_t code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      const bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
      if (!is_hex) return std::nullopt;
      const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
      code = code * 16 + static_cast<std::uint32_t>(digit);
    }
    return code;
  }

  Status escape(std::string& out) {
    const char c = peek();
    ++at_;
    switch (c) {
      case '"':
      case '\\':
      case '/':
        out += c;
        return {};
      case 'b':
        out += '\b';
        return {};
      case 'f':
        out += '\f';
        return {};
      case 'n':
        out += '\n';
        return {};
      case 'r':
        out += '\r';
        return {};
      case 't':
        out += '\t';
        return {};
      case 'u':
        break;
      default:
        return wrong("an escape is one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
    }
    auto code = hex4();
    if (code && *code >= 0xd800 && *code <= 0xdbff && take("\\u")) {
      const auto low = hex4();
      if (!low || *low < 0xdc00 || *low > 0xdfff)
        code.reset();
      else
        code = 0x10000 + ((*code - 0xd800) << 10U) + (*low - 0xdc00);
    }
    if (!code || *code == 0 || (*code >= 0xd800 && *code <= 0xdfff)) {
      return wrong(
          "\\u takes the four hex digits of a character other than NUL; outside the first plane, a pair");
    }
    append_utf8(out, *code);
    return {};
  }

  static void append_utf8(std::string& out, std::uint32_t code) {
    const auto tail = [&](std::uint32_t shift) {
      out += static_cast<char>(0x80U | ((code >> shift) & 0x3fU));
    };
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xc0U | (code >> 6U));
      tail(0);
    } else if (code < 0x10000) {
      out += static_cast<char>(0xe0U | (code >> 12U));
      tail(6);
      tail(0);
    } else {
      out += static_cast<char>(0xf0U | (code >> 18U));
      tail(12);
      tail(6);
      tail(0);
    }
  }

  Result<std::string> string() {
    std::string out;
    ++at_;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return out;
      }
      if (static_cast<unsigned char>(c) < 0x20)
        return wrong("a control character in a string must be escaped");
      ++at_;
      if (c != '\\') {
        out += c;
      } else if (auto status = escape(out); !status) {
        return fail(std::move(status.error()));
      }
    }
    return wrong("a string does not end");
  }

  std::string_view text_;
  const DocumentLimits& limits_;
  std::size_t at_ = 0;
  std::size_t values_ = 0;
};

}  // namespace

Result<Value> parse_json(std::string_view text, const DocumentLimits& limits) {
  return JsonText(text, limits).document();
}

}  // namespace kiln::openjd
