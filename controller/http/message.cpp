#include "http/message.h"

#include <fmt/format.h>

#include <array>

namespace kiln::http {

namespace {
constexpr std::array<std::pair<Method, std::string_view>, 6> methods{{{Method::get, "GET"},
                                                                      {Method::head, "HEAD"},
                                                                      {Method::put, "PUT"},
                                                                      {Method::post, "POST"},
                                                                      {Method::patch, "PATCH"},
                                                                      {Method::delete_, "DELETE"}}};
}  // namespace

std::string_view to_string(Method method) {
  for (const auto& [value, name] : methods) {
    if (value == method) return name;
  }
  return "";
}

std::optional<Method> parse_method(std::string_view text) {
  for (const auto& [value, name] : methods) {
    if (name == text) return value;
  }
  return std::nullopt;
}

Result<std::string> Body::read_all(std::size_t max_bytes) {
  if (size() > max_bytes) {
    return fail(Code::too_large,
                fmt::format("the body has {} bytes; at most {} are read here", size(), max_bytes));
  }
  std::string text(static_cast<std::size_t>(size()), '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    auto count = read_some(std::span(text).subspan(have));
    if (!count) return fail(std::move(count.error()));
    if (*count == 0) return fail(Code::io, "the body ended early");
    have += *count;
  }
  return text;
}

const std::string& Request::param(std::string_view name) const {
  for (const auto& [key, value] : params) {
    if (key == name) return value;
  }
  KILN_ASSERT(!"the route's pattern has no such parameter");
  return path;
}

const std::string* Request::query_value(std::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return &value;
  }
  return nullptr;
}

}  // namespace kiln::http
