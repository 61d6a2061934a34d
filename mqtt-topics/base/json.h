// JSON values. cJSON does the parsing and printing; nobody outside json.cpp sees it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace kiln {

// What a parser accepts, checked before cJSON sees a byte. The defaults fit an MQTT message.
struct JsonLimits {
  std::size_t bytes = 16ULL * 1024;  // protocol.md: 16 KiB a message
  std::size_t depth = 16;
  std::size_t values = 4096;  // keys and elements in all
};

class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;  // in the order of the text; keys are unique

  Json() = default;  // null
  Json(std::nullptr_t) {}
  Json(bool value) : value_(value) {}
  Json(double value) : value_(value) {}
  template <class Int, class = std::enable_if_t<std::is_integral_v<Int> && !std::is_same_v<Int, bool>>>
  Json(Int value) : value_(static_cast<double>(value)) {}  // exact to 2^53
  Json(const char* value) : value_(std::string(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(Array value) : value_(std::move(value)) {}
  Json(Object value) : value_(std::move(value)) {}

  // `Json::object({{"state", "online"}, {"sid", 17}})`
  static Json object(std::initializer_list<Member> members) { return Json(Object(members)); }

  // Errors: too_large over a limit; invalid with the byte offset for anything but one JSON value in valid
  // UTF-8 without a duplicate key.
  static Result<Json> parse(std::string_view text, const JsonLimits& limits = {});
  // Compact, keys in insertion order, integers without a fraction. Always valid UTF-8: a byte that is none,
  // or a NUL, is printed as U+FFFD.
  [[nodiscard]] std::string dump() const;
  [[nodiscard]] std::string dump_pretty() const;

  [[nodiscard]] bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }
  [[nodiscard]] const bool* as_bool() const { return std::get_if<bool>(&value_); }
  [[nodiscard]] const double* as_number() const { return std::get_if<double>(&value_); }
  [[nodiscard]] const std::string* as_string() const { return std::get_if<std::string>(&value_); }
  [[nodiscard]] const Array* as_array() const { return std::get_if<Array>(&value_); }
  [[nodiscard]] const Object* as_object() const { return std::get_if<Object>(&value_); }

  // The member of that name, or null if this is no object or has none.
  [[nodiscard]] const Json* find(std::string_view key) const;
  // Appends a member (objects) or an element (arrays); a null value becomes the container first.
  Json& set(std::string key, Json value);
  Json& push(Json value);

  friend bool operator==(const Json&, const Json&) = default;

 private:
  std::variant<std::nullptr_t, bool, double, std::string, Array, Object> value_;
};

// Reads the fields of one JSON object and remembers the first thing wrong, so that a decoder reads top to
// bottom and asks once at the end. Unknown fields are ignored (the contract's rule).
//
//   JsonReader in(json, "node status");
//   in.required("sid", status.sid);
//   in.optional("url", status.url);
//   return in.finish(status);
class JsonReader {
 public:
  JsonReader(const Json& json, std::string_view what);

  void required(std::string_view key, std::string& out, std::size_t max_bytes = 1024);
  void required(std::string_view key, bool& out);
  void required(std::string_view key, double& out);
  void required(std::string_view key, std::uint64_t& out, std::uint64_t max = max_exact);
  void required(std::string_view key, std::uint32_t& out, std::uint32_t max = 0xffffffffU);
  void required(std::string_view key, int& out, int min, int max);
  void required(std::string_view key, std::int64_t& out);

  void optional(std::string_view key, std::string& out, std::size_t max_bytes = 1024);
  void optional(std::string_view key, bool& out);
  void optional(std::string_view key, double& out);
  void optional(std::string_view key, std::optional<double>& out);
  void optional(std::string_view key, std::uint64_t& out, std::uint64_t max = max_exact);
  void optional(std::string_view key, std::uint32_t& out, std::uint32_t max = 0xffffffffU);
  void optional(std::string_view key, int& out, int min, int max);
  void optional(std::string_view key, std::int64_t& out);

  // The array of that name, or null when it is absent; over max_items or no array is an error.
  const Json::Array* array(std::string_view key, std::size_t max_items);
  // The value of that name or null; an absent required one is an error.
  const Json* member(std::string_view key, bool is_required);

  // A field that parsed but means nothing: reports `<what>.<key>: <message>` unless something failed before.
  void reject(std::string_view key, std::string_view message);
  // Takes over another decoder's error as this one's, at that key.
  void reject(std::string_view key, const Error& error);
  // Takes over the error of a reader that was given path() as its `what`.
  void adopt(const Error& error);
  // `<what>.<key>`: what a reader of the object there is to be called.
  [[nodiscard]] std::string path(std::string_view key) const;

  [[nodiscard]] bool ok() const { return !error_; }
  template <class T>
  Result<T> finish(T value) {
    if (error_) return fail(*error_);
    return value;
  }

  static constexpr std::uint64_t max_exact = 1ULL << 53;  // a double's integers

 private:
  const Json* typed(std::string_view key, bool is_required, std::string_view wanted,
                    bool (*is_type)(const Json&));
  template <class Int>
  void integer(std::string_view key, bool is_required, Int& out, Int min, Int max);

  const Json& json_;
  std::string what_;
  std::optional<Error> error_;
};

}  // namespace kiln
