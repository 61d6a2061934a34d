// What the codecs of this room share. Not for other rooms.
#pragma once

#include <fmt/core.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/text.h"
#include "payloads/messages.h"

namespace kiln::payloads {

// Numbers for people and plots: a tenth is all a sensor knows, and it keeps telemetry under its bound.
inline double tenths(double value) {
  constexpr double no_tenths_from =
      1e15;  // a double holds no tenths there, and ten times the largest is no number
  return std::abs(value) < no_tenths_from ? std::round(value * 10) / 10 : value;
}
inline std::optional<double> tenths(const std::optional<double>& value) {
  return value ? std::optional(tenths(*value)) : std::nullopt;
}

inline std::string name_text(std::string_view text) {
  return std::string(clip(text, max_name_bytes));
}
inline std::string sentence(std::string_view text) {
  return std::string(clip(text, max_text_bytes));
}

// Sets the member when there is something to say.
inline void set_some(Json& json, const char* key, const std::optional<double>& value) {
  if (value) json.set(key, *value);
}
inline void set_some(Json& json, const char* key, std::string value) {
  if (!value.empty()) json.set(key, std::move(value));
}

// Parses the text and hands the object to `read(JsonReader&, T&)`; every error starts with `what`.
template <class T, class Read>
Result<T> decode_object(const Json& json, std::string_view what, Read read) {
  JsonReader in(json, what);
  T value;
  if (in.ok()) read(in, value);
  return in.finish(std::move(value));
}
template <class T, class Read>
Result<T> decode_text(std::string_view text, std::string_view what, Read read,
                      const JsonLimits& limits = {}) {
  const auto json = Json::parse(text, limits);
  if (!json) return fail(Error(json.error()).with(what));
  return decode_object<T>(*json, what, read);
}

// Reads the object at `key` into `out`.
template <class T, class Read>
void read_object(JsonReader& in, std::string_view key, bool is_required, T& out, Read read) {
  const Json* json = in.member(key, is_required);
  if (json == nullptr || !in.ok()) return;
  auto value = decode_object<T>(*json, in.path(key), read);
  if (!value) return in.adopt(value.error());
  out = std::move(*value);
}

// Reads the array `key` of at most `max_items` objects into `out`, naming the item that is wrong.
template <class T, class Read>
void read_items(JsonReader& in, std::string_view key, std::size_t max_items, std::vector<T>& out, Read read) {
  const auto* items = in.array(key, max_items);
  if (items == nullptr) return;
  out.reserve(items->size());
  for (std::size_t i = 0; in.ok() && i < items->size(); ++i) {
    auto item = decode_object<T>((*items)[i], fmt::format("{}[{}]", in.path(key), i), read);
    if (!item) return in.adopt(item.error());
    out.push_back(std::move(*item));
  }
}
// The same for an array of strings.
inline void read_strings(JsonReader& in, std::string_view key, std::size_t max_items, std::size_t max_bytes,
                         std::vector<std::string>& out) {
  const auto* items = in.array(key, max_items);
  if (items == nullptr) return;
  for (const auto& item : *items) {
    const auto* text = item.as_string();
    if (text == nullptr || text->size() > max_bytes) {
      return in.reject(key, fmt::format("strings of at most {} bytes are expected", max_bytes));
    }
    out.push_back(*text);
  }
}

template <class Tag>
void read_id(JsonReader& in, std::string_view key, Id<Tag>& out) {
  std::string text;
  in.required(key, text);
  if (!in.ok()) return;
  auto id = Id<Tag>::parse(text);
  if (!id) return in.reject(key, id.error());
  out = std::move(*id);
}

void read_task_id(JsonReader& in, std::string_view key, TaskId& out);
// The correlation id: 1 to max_cid_bytes printable ASCII characters.
void read_cid(JsonReader& in, std::string& out);
// "sha256:…", or "" where `may_be_empty`.
void read_digest(JsonReader& in, std::string_view key, std::string& out, bool may_be_empty = false);
// A text on one line, at most max_name_bytes; optional.
void read_name(JsonReader& in, std::string_view key, std::string& out);
// A double of at least 0; optional.
void read_amount(JsonReader& in, std::string_view key, double& out);
void read_amount(JsonReader& in, std::string_view key, std::optional<double>& out);
void read_percent(JsonReader& in, double& out);

// "tags": at most max_tags ids.
void read_tags(JsonReader& in, std::vector<std::string>& out);

Json to_json(const RenderOptions& options);
void read_options(JsonReader& in, RenderOptions& out);

}  // namespace kiln::payloads
