#include "actions/path_mapping.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/json.h"

namespace kiln::actions {

namespace {

constexpr std::string_view version = "pathmapping-1.0";
constexpr std::size_t max_bytes = 4UL * 1024 * 1024;
constexpr std::size_t max_rules = 10'000;
constexpr std::size_t max_path = 32UL * 1024;

bool is_separator(PathFormat format, char c) {
  return c == '/' || (format == PathFormat::windows && c == '\\');
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Folder by folder; "/" is a first part of its own, so that no relative path lies in an absolute one.
std::vector<std::string_view> parts_of(PathFormat format, std::string_view path) {
  std::vector<std::string_view> parts;
  if (!path.empty() && is_separator(format, path[0])) parts.emplace_back("/");
  for (std::size_t begin = 0; begin < path.size();) {
    auto end = begin;
    while (end < path.size() && !is_separator(format, path[end])) ++end;
    const auto part = path.substr(begin, end - begin);
    if (!part.empty() && part != ".") parts.push_back(part);
    begin = end + 1;
  }
  return parts;
}

bool is_absolute(PathFormat format, std::string_view path) {
  if (format == PathFormat::posix) return path.starts_with('/');
  const bool has_drive = path.size() >= 2 && is_letter(path[0]) && path[1] == ':';
  return has_drive || path.starts_with("\\\\") || path.starts_with("//");
}

bool is_same(PathFormat format, std::string_view a, std::string_view b) {
  if (format == PathFormat::posix) return a == b;
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::optional<std::string> map(const PathRule& rule, std::string_view path) {
  const auto format = rule.source_format;
  const auto source = parts_of(format, rule.source);
  const auto parts = parts_of(format, path);
  if (parts.size() < source.size() ||
      !std::equal(source.begin(), source.end(), parts.begin(),
                  [&](std::string_view a, std::string_view b) { return is_same(format, a, b); }))
    return std::nullopt;
  auto out = rule.destination;
  while (out.size() > 1 && out.ends_with('/')) out.pop_back();
  for (auto part = parts.begin() + static_cast<std::ptrdiff_t>(source.size()); part != parts.end(); ++part) {
    if (!out.ends_with('/')) out += '/';
    out += *part;
  }
  if (is_separator(format, path.back()) && !out.ends_with('/')) out += '/';
  return out;
}

}  // namespace

Result<PathMapping> PathMapping::create(std::vector<PathRule> rules) {
  PathMapping out;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const auto& rule = rules[i];
    if (!is_absolute(rule.source_format, rule.source)) {
      return fail(Code::invalid,
                  fmt::format("path_mapping_rules[{}].source_path: '{}' is not absolute", i, rule.source));
    }
    if (!is_absolute(PathFormat::posix, rule.destination)) {
      return fail(Code::invalid, fmt::format("path_mapping_rules[{}].destination_path: '{}' is not absolute",
                                             i, rule.destination));
    }
  }
  out.rules_ = std::move(rules);
  const auto length = [](const PathRule& rule) {
    std::size_t sum = 0;
    for (const auto part : parts_of(rule.source_format, rule.source)) sum += part.size() + 1;
    return sum;
  };
  std::stable_sort(out.rules_.begin(), out.rules_.end(),
                   [&](const PathRule& a, const PathRule& b) { return length(a) > length(b); });
  return out;
}

Result<PathMapping> PathMapping::parse(std::string_view text) {
  const auto json = Json::parse(text, {.bytes = max_bytes, .depth = 4, .values = max_rules * 4});
  if (!json) return fail(Error(json.error()).with("path mapping rules"));
  if (json->as_object() == nullptr)
    return fail(Code::invalid, "path mapping rules: must be an object, {} when there are none");
  if (json->as_object()->empty()) return PathMapping();
  JsonReader in(*json, "path mapping rules");
  std::string named;
  in.required("version", named);
  if (in.ok() && named != version)
    in.reject("version", fmt::format("'{}' is not supported; it must be '{}'", named, version));
  std::vector<PathRule> rules;
  if (in.member("path_mapping_rules", true) != nullptr) {
    const auto* list = in.array("path_mapping_rules", max_rules);
    for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
      JsonReader one((*list)[i], in.path(fmt::format("path_mapping_rules[{}]", i)));
      PathRule rule;
      std::string format;
      one.required("source_path_format", format);
      one.required("source_path", rule.source, max_path);
      one.required("destination_path", rule.destination, max_path);
      if (one.ok() && format != "POSIX" && format != "WINDOWS")
        one.reject("source_path_format",
                   fmt::format("'{}' is not supported; it must be POSIX or WINDOWS", format));
      rule.source_format = format == "WINDOWS" ? PathFormat::windows : PathFormat::posix;
      auto finished = one.finish(std::move(rule));
      if (!finished) return fail(std::move(finished.error()));
      rules.push_back(std::move(*finished));
    }
  }
  auto read = in.finish(std::move(rules));
  if (!read) return fail(std::move(read.error()));
  auto out = create(std::move(*read));
  if (!out) return fail(std::move(out.error()).with("path mapping rules"));
  return out;
}

std::string PathMapping::dump() const {
  Json::Array rules;
  for (const auto& rule : rules_) {
    rules.push_back(
        Json::object({{"source_path_format", rule.source_format == PathFormat::posix ? "POSIX" : "WINDOWS"},
                      {"source_path", rule.source},
                      {"destination_path", rule.destination}}));
  }
  return Json::object({{"version", version}, {"path_mapping_rules", std::move(rules)}}).dump();
}

std::string PathMapping::apply(std::string_view path) const {
  if (path.empty()) return "";
  for (const auto& rule : rules_) {
    if (auto mapped = map(rule, path)) return std::move(*mapped);
  }
  return std::string(path);
}

}  // namespace kiln::actions
