// YAML by libyaml's event parser, which builds nothing: depth, count and the copies that aliases make are
// bounded here while the events come. libyaml knows YAML 1.1; what a plain scalar means is decided here, by
// the core schema of 1.2.
#include <fmt/format.h>
#include <yaml.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "openjd/document.h"
#include "openjd/numbers.h"
#include "openjd/problems.h"

namespace kiln::openjd {

namespace {

class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { yaml_event_delete(&event_); }
  yaml_event_t* get() { return &event_; }
  const yaml_event_t* operator->() const { return &event_; }

 private:
  yaml_event_t event_{};
};

std::string_view view(const yaml_char_t* text) {
  return text == nullptr ? std::string_view() : std::string_view(reinterpret_cast<const char*>(text));
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

// `0x1F` and `0o17` of the core schema, which have no sign.
std::optional<std::int64_t> prefixed_integer(std::string_view text) {
  const int base = text.starts_with("0x") ? 16 : text.starts_with("0o") ? 8 : 0;
  if (base == 0 || text.size() < 3 || text[2] == '-') return std::nullopt;
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + 2, end, value, base);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

bool is_integer(std::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}

// A plain scalar by the core schema (YAML 1.2.2, 10.3.2).
Value plain_scalar(std::string_view text) {
  Value value;
  if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) return value;
  if (is_one_of(text, {"true", "True", "TRUE", "false", "False", "FALSE"})) {
    value.kind = Value::Kind::boolean;
    value.truth = text[0] == 't' || text[0] == 'T';
    return value;
  }
  if (is_integer(text)) return integer_value(text);
  if (const auto whole = prefixed_integer(text)) return integer_value(fmt::format("{}", *whole));
  const bool is_special = is_one_of(text, {".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf",
                                           "+.INF", "-.inf", "-.Inf", "-.INF"});
  if (is_special || is_decimal(text)) return Value::scalar(Value::Kind::floating, std::string(text));
  return Value::of(std::string(text));
}

class YamlText {
 public:
  YamlText(std::string_view text, const DocumentLimits& limits) : limits_(limits) {
    KILN_ASSERT(yaml_parser_initialize(&parser_) == 1);  // fails only without memory
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  }
  YamlText(const YamlText&) = delete;
  YamlText& operator=(const YamlText&) = delete;
  ~YamlText() { yaml_parser_delete(&parser_); }

  Result<Value> document() {
    {
      Event start;
      if (auto status = next(start); !status) return fail(std::move(status.error()));
    }
    {
      Event start;
      if (auto status = next(start); !status) return fail(std::move(status.error()));
      if (start->type == YAML_STREAM_END_EVENT) return fail_at(1, "the document is empty");
    }
    Event first;
    if (auto status = next(first); !status) return fail(std::move(status.error()));
    auto value = read(first, 1);
    if (!value) return value;
    Event end;
    if (auto status = next(end); !status) return fail(std::move(status.error()));
    Event after;
    if (auto status = next(after); !status) return fail(std::move(status.error()));
    if (after->type != YAML_STREAM_END_EVENT)
      return wrong(after, "a second document begins; a template is one");
    return value;
  }

 private:
  Status next(Event& event) {
    if (yaml_parser_parse(&parser_, event.get()) == 1) return {};
    const auto mark = parser_.problem_mark.line > 0 ? parser_.problem_mark : parser_.mark;
    const std::string_view problem = parser_.problem == nullptr ? "cannot be read" : parser_.problem;
    const std::string context = parser_.context == nullptr ? "" : fmt::format(" ({})", parser_.context);
    return fail_at(mark.line + 1, fmt::format("this is no YAML: {}{}", problem, context));
  }

  static tl::unexpected<Error> wrong(const Event& event, std::string_view message,
                                     Code code = Code::invalid) {
    return fail_at(event->start_mark.line + 1, message, code);
  }

  // Counts a value and the bytes of its text: an alias makes copies of both.
  [[nodiscard]] bool count(const Value& value) {
    values_ += 1;
    bytes_ += value.text.size();
    for (const auto& key : value.keys) bytes_ += key.size();
    return values_ <= limits_.values && bytes_ <= 2 * limits_.bytes;
  }
  // NOLINTNEXTLINE(misc-no-recursion): bounded by limits.depth, checked when the anchored value was read
  [[nodiscard]] bool count_all(const Value& value) {
    return count(value) && std::all_of(value.items.begin(), value.items.end(),
                                       [this](const Value& item) { return count_all(item); });
  }
  // NOLINTNEXTLINE(misc-no-recursion)
  static std::size_t depth_of(const Value& value) {
    std::size_t deepest = 0;
    for (const auto& item : value.items) deepest = std::max(deepest, depth_of(item));
    return deepest + 1;
  }

  Status too_many(const Event& event) {
    return wrong(event,
                 fmt::format("more than {} values, or {} bytes after its aliases are expanded",
                             limits_.values, 2 * limits_.bytes),
                 Code::too_large);
  }
  Status too_deep(const Event& event) {
    return wrong(event, fmt::format("nested deeper than {} levels", limits_.depth), Code::too_large);
  }

  // NOLINTNEXTLINE(misc-no-recursion): bounded by limits.depth
  Result<Value> read(const Event& event, std::size_t depth) {
    if (depth > limits_.depth) return fail(std::move(too_deep(event).error()));
    Result<Value> value;
    std::string_view anchor;
    switch (event->type) {
      case YAML_ALIAS_EVENT:
        return alias(event, depth);
      case YAML_SCALAR_EVENT:
        anchor = view(event->data.scalar.anchor);
        value = scalar(event);
        break;
      case YAML_SEQUENCE_START_EVENT:
        anchor = view(event->data.sequence_start.anchor);
        value = list(event, depth);
        break;
      case YAML_MAPPING_START_EVENT:
        anchor = view(event->data.mapping_start.anchor);
        value = map(event, depth);
        break;
      default:
        return wrong(event, "a value is missing");
    }
    if (!value) return value;
    if (!count(*value)) return fail(std::move(too_many(event).error()));
    if (!anchor.empty()) {
      if (!count_all(*value)) return fail(std::move(too_many(event).error()));
      anchors_.insert_or_assign(std::string(anchor), *value);
    }
    return value;
  }

  Result<Value> alias(const Event& event, std::size_t depth) {
    const auto name = view(event->data.alias.anchor);
    const auto found = anchors_.find(name);
    if (found == anchors_.end())
      return wrong(event, fmt::format("there is no anchor {} before this", quoted(fmt::format("&{}", name))));
    if (!count_all(found->second)) return fail(std::move(too_many(event).error()));
    if (depth + depth_of(found->second) - 1 > limits_.depth) return fail(std::move(too_deep(event).error()));
    return found->second;
  }

  Result<Value> scalar(const Event& event) {
    const auto& data = event->data.scalar;
    const std::string_view text(reinterpret_cast<const char*>(data.value), data.length);
    if (text.find('\0') != text.npos) return wrong(event, "a NUL character is not allowed");
    const auto tag = view(data.tag);
    if (data.plain_implicit == 1) return plain_scalar(text);
    const std::string_view standard = "tag:yaml.org,2002:";
    if (data.quoted_implicit == 1 || tag == "!" || tag == "tag:yaml.org,2002:str")
      return Value::of(std::string(text));
    Value value = plain_scalar(text);
    const bool agrees = (tag == "tag:yaml.org,2002:int" && value.kind == Value::Kind::integer) ||
                        (tag == "tag:yaml.org,2002:float" && value.kind == Value::Kind::floating) ||
                        (tag == "tag:yaml.org,2002:bool" && value.kind == Value::Kind::boolean) ||
                        (tag == "tag:yaml.org,2002:null" && value.kind == Value::Kind::null);
    if (agrees) return value;
    if (tag.starts_with(standard)) {
      return wrong(event, fmt::format("{} is not what its tag {} says", quoted(text),
                                      quoted(fmt::format("!!{}", tag.substr(standard.size())))));
    }
    return wrong(event, fmt::format("the tag {} is not known; a template needs none", quoted(tag)));
  }

  // NOLINTNEXTLINE(misc-no-recursion): bounded by limits.depth
  Result<Value> list(const Event& event, std::size_t depth) {
    if (event->data.sequence_start.tag != nullptr) return wrong(event, "a list has no tag here");
    Value value;
    value.kind = Value::Kind::list;
    while (true) {
      Event item;
      if (auto status = next(item); !status) return fail(std::move(status.error()));
      if (item->type == YAML_SEQUENCE_END_EVENT) return value;
      auto read_item = read(item, depth + 1);
      if (!read_item) return read_item;
      value.items.push_back(std::move(*read_item));
    }
  }

  // NOLINTNEXTLINE(misc-no-recursion): bounded by limits.depth
  Result<Value> map(const Event& event, std::size_t depth) {
    if (event->data.mapping_start.tag != nullptr) return wrong(event, "an object has no tag here");
    Value value;
    value.kind = Value::Kind::map;
    std::set<std::string, std::less<>> seen;
    while (true) {
      Event key;
      if (auto status = next(key); !status) return fail(std::move(status.error()));
      if (key->type == YAML_MAPPING_END_EVENT) return value;
      auto name = read(key, depth + 1);
      if (!name) return name;
      if (name->kind != Value::Kind::string) {
        return wrong(
            key, fmt::format("an object's key is a string, not {}; put it in quotes", describe(name->kind)));
      }
      if (!seen.insert(name->text).second) {
        return wrong(key, fmt::format("the key {} stands twice in one object", quoted(name->text)));
      }
      Event item;
      if (auto status = next(item); !status) return fail(std::move(status.error()));
      auto read_item = read(item, depth + 1);
      if (!read_item) return read_item;
      value.keys.push_back(std::move(name->text));
      value.items.push_back(std::move(*read_item));
    }
  }

  yaml_parser_t parser_{};
  const DocumentLimits& limits_;
  std::map<std::string, Value, std::less<>> anchors_;
  std::size_t values_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace

Result<Value> parse_yaml(std::string_view text, const DocumentLimits& limits) {
  return YamlText(text, limits).document();
}

}  // namespace kiln::openjd
