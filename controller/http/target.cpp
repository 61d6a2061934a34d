#include "http/target.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace kiln::http {

namespace {

constexpr std::size_t max_query = 64;

tl::unexpected<Refusal> refuse(std::string detail) {
  return tl::make_unexpected(Refusal{400, std::move(detail)});
}

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size() || hex(text[i + 1]) < 0 || hex(text[i + 2]) < 0) return std::nullopt;
      out.push_back(static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2])));
      i += 2;
    } else {
      out.push_back(plus_is_space && text[i] == '+' ? ' ' : text[i]);
    }
  }
  return out;
}

// A decoded segment may hold a '/' that came as %2F: its parts count like segments.
bool has_dots(std::string_view segment) {
  for (std::size_t at = 0; at <= segment.size();) {
    const std::size_t end = std::min(segment.find('/', at), segment.size());
    const std::string_view part = segment.substr(at, end - at);
    if (part == "." || part == "..") return true;
    at = end + 1;
  }
  return false;
}

}  // namespace

tl::expected<Target, Refusal> parse_target(std::string_view target) {
  if (target.find('#') != std::string_view::npos)
    return refuse("a '#' in the request target must be written %23");
  const std::size_t mark = target.find('?');
  std::string_view path = target.substr(0, mark);
  Target out;
  path.remove_prefix(path.empty() ? 0 : 1);
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    auto segment = decode(path.substr(0, slash), false);
    if (!segment) return refuse("the path holds a '%' that two hex digits do not follow");
    if (!is_one_line(*segment) || segment->find('\\') != std::string::npos) {
      return refuse("the path holds a control character, a backslash or text that is no UTF-8");
    }
    if (has_dots(*segment)) return refuse("the path holds '.' or '..'; write where it leads");
    out.segments.push_back(std::move(*segment));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
    if (path.empty()) out.segments.emplace_back();
  }
  std::string_view query = mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
  while (!query.empty()) {
    const std::size_t amp = query.find('&');
    const std::string_view pair = query.substr(0, amp);
    query = amp == std::string_view::npos ? std::string_view() : query.substr(amp + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    auto key = decode(pair.substr(0, equals), true);
    auto value =
        decode(equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1), true);
    if (!key || !value) return refuse("the query holds a '%' that two hex digits do not follow");
    if (!is_one_line(*key) || !is_one_line(*value)) {
      return refuse("the query holds a control character or text that is no UTF-8");
    }
    if (out.query.size() == max_query) return refuse(fmt::format("more than {} query parameters", max_query));
    out.query.emplace_back(std::move(*key), std::move(*value));
  }
  return out;
}

std::string encode_path(std::string_view path) {
  std::string out;
  for (const char c : path) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                          c == '-' || c == '.' || c == '_' || c == '~' || c == '/';
    if (is_plain) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace kiln::http
