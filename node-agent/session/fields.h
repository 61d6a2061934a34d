// Fields of a JSON line between us and Blender's script: absent ones read as nothing.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace kiln::session {

inline std::string text_of(const Json& json, std::string_view key) {
  const auto* value = json.find(key);
  const auto* text = value != nullptr ? value->as_string() : nullptr;
  return text != nullptr ? *text : std::string();
}

inline double number_of(const Json& json, std::string_view key) {
  const auto* value = json.find(key);
  const auto* number = value != nullptr ? value->as_number() : nullptr;
  return number != nullptr ? *number : 0;
}

inline const Json::Array& array_of(const Json& json, std::string_view key) {
  static const Json::Array none;
  const auto* value = json.find(key);
  const auto* array = value != nullptr ? value->as_array() : nullptr;
  return array != nullptr ? *array : none;
}

}  // namespace kiln::session
