#include "cli/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/text.h"

namespace kiln::cli {

std::string text_of(const Json& json, std::string_view key) {
  const Json* value = json.find(key);
  const auto* text = value != nullptr ? value->as_string() : nullptr;
  return text != nullptr ? *text : "";
}

std::optional<double> maybe_number(const Json& json, std::string_view key) {
  const Json* value = json.find(key);
  const auto* number = value != nullptr ? value->as_number() : nullptr;
  return number != nullptr ? std::optional(*number) : std::nullopt;
}

double number_of(const Json& json, std::string_view key) {
  return maybe_number(json, key).value_or(0);
}

std::int64_t integer_of(const Json& json, std::string_view key) {
  constexpr double most = 9007199254740992.0;  // 2^53: a double's integers
  return std::llround(std::clamp(number_of(json, key), -most, most));
}

bool flag_of(const Json& json, std::string_view key) {
  const Json* value = json.find(key);
  const auto* flag = value != nullptr ? value->as_bool() : nullptr;
  return flag != nullptr && *flag;
}

const Json& member_of(const Json& json, std::string_view key) {
  static const Json null;
  const Json* value = json.find(key);
  return value != nullptr ? *value : null;
}

const Json::Array& array_of(const Json& json, std::string_view key) {
  static const Json::Array empty;
  const auto* array = member_of(json, key).as_array();
  return array != nullptr ? *array : empty;
}

std::string joined(const Json& json, std::string_view key, std::string_view otherwise) {
  std::string out;
  for (const auto& item : array_of(json, key)) {
    if (!out.empty()) out += ", ";
    out += item.as_string() != nullptr ? harmless(*item.as_string()) : item.dump();
  }
  return out.empty() ? std::string(otherwise) : out;
}

Counts counts_of(const Json& job) {
  const Json& tasks = member_of(job, "tasks");
  return {integer_of(tasks, "queued"), integer_of(tasks, "running"), integer_of(tasks, "done"),
          integer_of(tasks, "failed"), integer_of(tasks, "cancelled")};
}

bool is_over(const Json& job) {
  const auto state = text_of(job, "state");
  return state == "done" || state == "failed" || state == "cancelled";
}

std::string job_label(const Json& job) {
  return fmt::format("{} '{}'", integer_of(job, "number"), harmless(text_of(job, "name")));
}

}  // namespace kiln::cli
