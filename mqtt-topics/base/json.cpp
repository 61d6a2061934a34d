#include "base/json.h"

#include <cjson/cJSON.h>
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <set>

#include "base/text.h"

namespace kiln {

namespace {

struct CJsonDelete {
  void operator()(cJSON* json) const { cJSON_Delete(json); }
};
using CJson = std::unique_ptr<cJSON, CJsonDelete>;

// Bounds depth and count before anything is allocated, and refuses bytes that are no UTF-8 or are NUL.
Status scan(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    return fail(Code::too_large,
                fmt::format("{} bytes of JSON; at most {} are read here", text.size(), limits.bytes));
  }
  std::size_t depth = 0;
  std::size_t values = 1;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const bool is_ascii = static_cast<unsigned char>(c) < 0x80;  // nearly always: do not look further
    const std::size_t length = c == '\0' ? 0 : is_ascii ? 1 : utf8_length(text.substr(i));
    if (length == 0) return fail(Code::invalid, fmt::format("byte {} is no UTF-8 text", i));
    if (in_string) {
      if (c == '\\') {
        // cJSON ends its C strings at an escaped NUL, so a name could change on the way: refuse it.
        if (text.substr(i).starts_with("\\u0000")) {
          return fail(Code::invalid, fmt::format("byte {}: \\u0000 is not allowed in a string", i));
        }
        i += i + 1 < text.size() ? 2 : 1;
        continue;
      }
      if (c == '"') in_string = false;
      if (static_cast<unsigned char>(c) < 0x20) {
        return fail(Code::invalid,
                    fmt::format("byte {}: a control character in a string must be escaped", i));
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > limits.depth) {
        return fail(Code::too_large, fmt::format("nested deeper than {} levels at byte {}", limits.depth, i));
      }
    } else if (c == '}' || c == ']') {
      if (depth > 0) --depth;
    } else if (c == ',' && ++values > limits.values) {
      return fail(Code::too_large, fmt::format("more than {} values", limits.values));
    }
    i += length;
  }
  return {};
}

Result<Json> from_cjson(const cJSON& item) {
  if (cJSON_IsNull(&item)) return Json();
  if (cJSON_IsBool(&item)) return Json(static_cast<bool>(cJSON_IsTrue(&item)));
  if (cJSON_IsNumber(&item)) {
    if (!std::isfinite(item.valuedouble)) return fail(Code::invalid, "a number is out of range");
    return Json(item.valuedouble);
  }
  if (cJSON_IsString(&item)) return Json(std::string(item.valuestring));
  const cJSON* child = nullptr;
  if (cJSON_IsArray(&item)) {
    Json::Array array;
    cJSON_ArrayForEach(child, &item) {
      auto value = from_cjson(*child);
      if (!value) return value;
      array.push_back(std::move(*value));
    }
    return Json(std::move(array));
  }
  Json::Object object;
  std::set<std::string_view> keys;
  cJSON_ArrayForEach(child, &item) {
    if (!keys.insert(child->string).second) {
      return fail(Code::invalid, fmt::format("the key '{}' stands twice in one object", child->string));
    }
    auto value = from_cjson(*child);
    if (!value) return value;
    object.emplace_back(child->string, std::move(*value));
  }
  return Json(std::move(object));
}

std::string number_text(double value) {
  if (!std::isfinite(value)) return "null";
  const bool is_whole =
      value == std::floor(value) && std::abs(value) <= static_cast<double>(JsonReader::max_exact);
  return is_whole ? fmt::format("{}", static_cast<std::int64_t>(value)) : fmt::format("{}", value);
}

CJson to_cjson(const Json& json) {
  if (const auto* value = json.as_bool()) return CJson(cJSON_CreateBool(*value));
  // cJSON 1.7.15 prints numbers with 15 digits, which loses integers from 2^50 on: print them ourselves.
  if (const auto* value = json.as_number()) return CJson(cJSON_CreateRaw(number_text(*value).c_str()));
  if (const auto* value = json.as_string()) return CJson(cJSON_CreateString(to_utf8(*value).c_str()));
  if (const auto* value = json.as_array()) {
    CJson array(cJSON_CreateArray());
    for (const auto& element : *value) cJSON_AddItemToArray(array.get(), to_cjson(element).release());
    return array;
  }
  if (const auto* value = json.as_object()) {
    CJson object(cJSON_CreateObject());
    for (const auto& [key, member] : *value) {
      cJSON_AddItemToObject(object.get(), to_utf8(key).c_str(), to_cjson(member).release());
    }
    return object;
  }
  return CJson(cJSON_CreateNull());
}

std::string print(const Json& json, bool pretty) {
  const CJson root = to_cjson(json);
  char* text = pretty ? cJSON_Print(root.get()) : cJSON_PrintUnformatted(root.get());
  KILN_ASSERT(text != nullptr);
  std::string out(text);
  cJSON_free(text);
  return out;
}

}  // namespace

Result<Json> Json::parse(std::string_view text, const JsonLimits& limits) {
  if (auto scanned = scan(text, limits); !scanned) return fail(std::move(scanned.error()));
  const char* end = nullptr;
  const CJson root(cJSON_ParseWithLengthOpts(text.data(), text.size(), &end, false));
  const auto offset = end == nullptr ? 0 : static_cast<std::size_t>(end - text.data());
  if (!root) return fail(Code::invalid, fmt::format("no JSON: error at byte {}", offset));
  const auto rest = text.substr(std::min(offset, text.size()));
  if (rest.find_first_not_of(" \t\r\n") != std::string_view::npos) {
    return fail(Code::invalid, fmt::format("text after the JSON value at byte {}", offset));
  }
  return from_cjson(*root);
}

std::string Json::dump() const {
  return print(*this, false);
}
std::string Json::dump_pretty() const {
  return print(*this, true);
}

const Json* Json::find(std::string_view key) const {
  const auto* object = as_object();
  if (object == nullptr) return nullptr;
  const auto found =
      std::find_if(object->begin(), object->end(), [&](const Member& m) { return m.first == key; });
  return found == object->end() ? nullptr : &found->second;
}

Json& Json::set(std::string key, Json value) {
  if (is_null()) value_ = Object();
  auto* object = std::get_if<Object>(&value_);
  KILN_ASSERT(object != nullptr);
  object->emplace_back(std::move(key), std::move(value));
  return *this;
}

Json& Json::push(Json value) {
  if (is_null()) value_ = Array();
  auto* array = std::get_if<Array>(&value_);
  KILN_ASSERT(array != nullptr);
  array->push_back(std::move(value));
  return *this;
}

JsonReader::JsonReader(const Json& json, std::string_view what) : json_(json), what_(what) {
  if (json.as_object() == nullptr)
    error_ = Error{Code::invalid, fmt::format("{}: a JSON object is expected", what_)};
}

std::string JsonReader::path(std::string_view key) const {
  return fmt::format("{}.{}", what_, key);
}

void JsonReader::reject(std::string_view key, std::string_view message) {
  if (!error_) error_ = Error{Code::invalid, fmt::format("{}: {}", path(key), message)};
}

void JsonReader::reject(std::string_view key, const Error& error) {
  if (!error_) error_ = Error{error.code, fmt::format("{}: {}", path(key), error.message)};
}

void JsonReader::adopt(const Error& error) {
  if (!error_) error_ = error;
}

const Json* JsonReader::member(std::string_view key, bool is_required) {
  const Json* found = json_.find(key);
  if (found != nullptr && found->is_null()) found = nullptr;  // null and absent mean the same
  if (found == nullptr && is_required) reject(key, "missing");
  return found;
}

const Json* JsonReader::typed(std::string_view key, bool is_required, std::string_view wanted,
                              bool (*is_type)(const Json&)) {
  const Json* found = member(key, is_required);
  if (found != nullptr && !is_type(*found)) {
    reject(key, fmt::format("{} is expected", wanted));
    return nullptr;
  }
  return found;
}

const Json::Array* JsonReader::array(std::string_view key, std::size_t max_items) {
  const Json* found = typed(key, false, "an array", [](const Json& j) { return j.as_array() != nullptr; });
  if (found == nullptr) return nullptr;
  const auto* array = found->as_array();
  if (array->size() > max_items) {
    reject(key, fmt::format("{} items; at most {}", array->size(), max_items));
    return nullptr;
  }
  return array;
}

template <class Int>
void JsonReader::integer(std::string_view key, bool is_required, Int& out, Int min, Int max) {
  const Json* found =
      typed(key, is_required, "a number", [](const Json& j) { return j.as_number() != nullptr; });
  if (found == nullptr) return;
  const double value = *found->as_number();
  if (value != std::floor(value) || value < static_cast<double>(min) || value > static_cast<double>(max)) {
    reject(key, fmt::format("a whole number from {} to {} is expected, not {}", min, max, value));
    return;
  }
  out = static_cast<Int>(value);
}

namespace {
bool is_string(const Json& json) {
  return json.as_string() != nullptr;
}
bool is_bool(const Json& json) {
  return json.as_bool() != nullptr;
}
bool is_number(const Json& json) {
  return json.as_number() != nullptr;
}
constexpr auto max_signed = static_cast<std::int64_t>(JsonReader::max_exact);
}  // namespace

void JsonReader::required(std::string_view key, std::string& out, std::size_t max_bytes) {
  member(key, true);
  optional(key, out, max_bytes);
}
void JsonReader::required(std::string_view key, bool& out) {
  member(key, true);
  optional(key, out);
}
void JsonReader::required(std::string_view key, double& out) {
  member(key, true);
  optional(key, out);
}
void JsonReader::required(std::string_view key, std::uint64_t& out, std::uint64_t max) {
  integer<std::uint64_t>(key, true, out, 0, max);
}
void JsonReader::required(std::string_view key, std::uint32_t& out, std::uint32_t max) {
  integer<std::uint32_t>(key, true, out, 0, max);
}
void JsonReader::required(std::string_view key, int& out, int min, int max) {
  integer(key, true, out, min, max);
}
void JsonReader::required(std::string_view key, std::int64_t& out) {
  integer(key, true, out, -max_signed, max_signed);
}

void JsonReader::optional(std::string_view key, std::string& out, std::size_t max_bytes) {
  const Json* found = typed(key, false, "a string", is_string);
  if (found == nullptr) return;
  const auto& text = *found->as_string();
  if (text.size() > max_bytes)
    return reject(key, fmt::format("{} bytes; at most {}", text.size(), max_bytes));
  out = text;
}
void JsonReader::optional(std::string_view key, bool& out) {
  if (const Json* found = typed(key, false, "true or false", is_bool)) out = *found->as_bool();
}
void JsonReader::optional(std::string_view key, double& out) {
  if (const Json* found = typed(key, false, "a number", is_number)) out = *found->as_number();
}
void JsonReader::optional(std::string_view key, std::optional<double>& out) {
  if (const Json* found = typed(key, false, "a number", is_number)) out = *found->as_number();
}
void JsonReader::optional(std::string_view key, std::uint64_t& out, std::uint64_t max) {
  integer<std::uint64_t>(key, false, out, 0, max);
}
void JsonReader::optional(std::string_view key, std::uint32_t& out, std::uint32_t max) {
  integer<std::uint32_t>(key, false, out, 0, max);
}
void JsonReader::optional(std::string_view key, int& out, int min, int max) {
  integer(key, false, out, min, max);
}
void JsonReader::optional(std::string_view key, std::int64_t& out) {
  integer(key, false, out, -max_signed, max_signed);
}

}  // namespace kiln
