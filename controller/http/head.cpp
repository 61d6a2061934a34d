#include "http/head.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <charconv>

namespace kiln::http {

namespace {

namespace beast = boost::beast::http;

tl::unexpected<Refusal> refuse(int status, std::string detail) {
  return tl::make_unexpected(Refusal{status, std::move(detail)});
}

bool same(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// What Beast would read leniently, or in an order of its own: checked on the raw lines first.
tl::expected<void, Refusal> check_lines(std::string_view bytes, const HeadRules& rules) {
  const std::size_t first_end = bytes.find("\r\n");
  const std::string_view request_line = bytes.substr(0, first_end);
  if (request_line.empty()) return refuse(400, "the request begins with an empty line");
  const std::size_t version_at = request_line.rfind(" HTTP/");
  if (version_at == std::string_view::npos) {
    return refuse(400, "the request line does not end in the protocol's version, HTTP/1.1");
  }
  const std::string_view version = request_line.substr(version_at + 6);
  if (version.size() != 3 || !is_digit(version[0]) || version[1] != '.' || !is_digit(version[2])) {
    return refuse(400, "the protocol's version is malformed; HTTP/1.1 is spoken here");
  }
  if (version != "1.1" && version != "1.0") return refuse(505, "only HTTP/1.1 and HTTP/1.0 are spoken here");

  std::size_t count = 0;
  for (std::size_t at = first_end + 2; at + 2 < bytes.size();) {
    const std::size_t end = bytes.find("\r\n", at);
    const std::string_view line = bytes.substr(at, end - at);
    at = end + 2;
    if (line.front() == ' ' || line.front() == '\t') {
      return refuse(400, "a header field is folded over two lines; write it on one");
    }
    if (++count > rules.max_fields)
      return refuse(431, fmt::format("more than {} header fields", rules.max_fields));
    const std::string_view name = trimmed(line.substr(0, line.find(':')));
    if (same(name, "transfer-encoding")) {
      return refuse(501, "Transfer-Encoding is not supported; send a Content-Length");
    }
  }
  return {};
}

tl::expected<std::optional<std::uint64_t>, Refusal> content_length(const Fields& fields) {
  std::optional<std::uint64_t> length;
  for (const auto& [name, value] : fields) {
    if (!same(name, "content-length")) continue;
    if (length) return refuse(400, "Content-Length stands there twice");
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (value.empty() || value.size() > 18 || !std::all_of(value.begin(), value.end(), is_digit) ||
        error != std::errc{} || end != value.data() + value.size()) {
      return refuse(400, "Content-Length must be one decimal number of bytes");
    }
    length = number;
  }
  return length;
}

// "host" or "host:port" without user information, spaces or an empty name.
bool is_host_form(std::string_view host) {
  std::string_view rest = host;
  if (host.starts_with('[')) {
    const std::size_t close = host.find(']');
    if (close == std::string_view::npos) return false;
    rest = host.substr(close + 1);
    if (!rest.empty() && rest.front() != ':') return false;
  } else {
    const auto is_name = [](char c) {
      return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
             c == '_';
    };
    const std::size_t colon = host.find(':');
    const std::string_view name = host.substr(0, colon);
    if (name.empty() || name.size() > 253 || !std::all_of(name.begin(), name.end(), is_name)) return false;
    rest = colon == std::string_view::npos ? std::string_view() : host.substr(colon);
  }
  if (rest.empty()) return true;
  rest.remove_prefix(1);
  return !rest.empty() && rest.size() <= 5 && std::all_of(rest.begin(), rest.end(), is_digit);
}

std::string_view host_name(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

tl::expected<void, Refusal> read_host(Head& head, bool is_http11, const HeadRules& rules) {
  const std::string* host = nullptr;
  for (const auto& [name, value] : head.fields) {
    if (!same(name, "host")) continue;
    if (host != nullptr) return refuse(400, "Host stands there twice");
    host = &value;
  }
  if (host == nullptr) {
    return refuse(400, is_http11 ? "Host is missing" : "Host is missing; HTTP/1.0 needs it here as well");
  }
  if (!is_host_form(*host)) return refuse(400, "Host must be a name or address, with or without a port");
  head.host = *host;

  // RFC 9112, 3.2.2: the absolute form names the host a second time. Both must say the same.
  constexpr std::string_view scheme = "http://";
  if (head.target.size() > scheme.size() &&
      same(std::string_view(head.target).substr(0, scheme.size()), scheme)) {
    const std::size_t path = head.target.find_first_of("/?", scheme.size());
    const std::string authority = head.target.substr(scheme.size(), path - scheme.size());
    if (!same(authority, head.host)) {
      return refuse(421, "the target's host is not the one in Host; this server is no proxy");
    }
    std::string rest = path == std::string::npos ? "/" : head.target.substr(path);
    if (rest.front() == '?') rest.insert(0, "/");
    head.target = std::move(rest);
  }
  if (head.target.front() != '/') return refuse(400, "the request target must begin with /");
  if (!is_our_host(head.host, rules.names)) {
    return refuse(
        421, fmt::format("'{}' is not a name of this farm. Use its address, its plain host name, or its "
                         "name in .local; or add the name to http.names in the controller's configuration",
                         host_name(head.host)));
  }
  return {};
}

tl::expected<void, Refusal> read_connection(Head& head, bool is_http11) {
  head.keep_alive = is_http11;
  for (const auto& [name, value] : head.fields) {
    if (same(name, "connection")) {
      std::string_view rest = value;
      while (!rest.empty()) {
        const std::size_t comma = rest.find(',');
        if (same(trimmed(rest.substr(0, comma)), "close")) head.keep_alive = false;
        rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
      }
    } else if (same(name, "expect")) {
      if (!same(value, "100-continue")) return refuse(417, "the only expectation known here is 100-continue");
      head.expects_continue = is_http11;
    }
  }
  return {};
}

}  // namespace

const std::string* find_field(const Fields& fields, std::string_view name) {
  for (const auto& [key, value] : fields) {
    if (same(key, name)) return &value;
  }
  return nullptr;
}

bool is_our_host(std::string_view host, const std::vector<std::string>& names) {
  std::string name(host_name(host));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (name.starts_with('[')) {
    in6_addr address{};
    return ::inet_pton(AF_INET6, name.substr(1, name.size() - 2).c_str(), &address) == 1;
  }
  in_addr address{};
  if (::inet_pton(AF_INET, name.c_str(), &address) == 1) return true;
  if (name.ends_with('.')) name.pop_back();
  if (name.empty()) return false;
  if (name.find('.') == std::string::npos || name.ends_with(".local")) return true;
  return std::any_of(names.begin(), names.end(), [&](const std::string& ours) { return same(ours, name); });
}

tl::expected<std::size_t, Refusal> find_head_end(std::string_view bytes, std::size_t from,
                                                 const HeadRules& rules) {
  // Step back over what a line end could be split across: CR LF CR | LF.
  for (std::size_t i = from < 3 ? 0 : from - 3; i < bytes.size(); ++i) {
    if (i >= rules.max_bytes) break;
    const auto c = static_cast<unsigned char>(bytes[i]);
    if (i == 0 && c == 0x16) {
      return refuse(400, "this port speaks plain HTTP; use an http:// address");  // a TLS handshake
    }
    if (c == '\r') {
      if (i + 1 < bytes.size() && bytes[i + 1] != '\n')
        return refuse(400, "a carriage return stands alone in the head");
    } else if (c == '\n') {
      if (i == 0 || bytes[i - 1] != '\r') return refuse(400, "a line of the head does not end in CR LF");
      if (i == 1) return refuse(400, "the request begins with an empty line");
      if (i >= 3 && bytes.substr(i - 3, 4) == "\r\n\r\n") return i + 1;
    } else if ((c < 0x20 && c != '\t') || c == 0x7f) {
      return refuse(400, "a control character stands in the head");
    }
  }
  if (bytes.size() >= rules.max_bytes) {
    return refuse(431, fmt::format("the head is larger than {} bytes", rules.max_bytes));
  }
  return std::size_t{0};
}

tl::expected<Head, Refusal> parse_head(std::string_view bytes, const HeadRules& rules) {
  if (auto checked = check_lines(bytes, rules); !checked)
    return tl::make_unexpected(std::move(checked.error()));

  beast::request_parser<beast::empty_body> parser;
  parser.header_limit(static_cast<std::uint32_t>(rules.max_bytes) + 4);
  parser.body_limit(boost::none);  // bodies are read by Body, which has bounds of its own
  parser.skip(true);
  boost::system::error_code error;
  parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
  if (error || !parser.is_header_done()) {
    return refuse(400, fmt::format("the head is malformed: {}", error ? error.message() : "incomplete"));
  }

  const auto& message = parser.get();
  Head head;
  head.method = std::string(message.method_string());
  head.target = std::string(message.target());
  for (const auto& field : message) {
    const std::string value(field.value());
    head.fields.emplace_back(std::string(field.name_string()), std::string(trimmed(value)));
  }
  const bool is_http11 = message.version() == 11;
  const bool is_visible =
      std::all_of(head.target.begin(), head.target.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (head.target.empty() || !is_visible) {
    return refuse(400, "the request target holds a character that must be percent-encoded");
  }
  if (head.method == "CONNECT" || head.target == "*") return refuse(405, "this server is no proxy");

  auto length = content_length(head.fields);
  if (!length) return tl::make_unexpected(std::move(length.error()));
  head.content_length = *length;
  if (auto read = read_host(head, is_http11, rules); !read)
    return tl::make_unexpected(std::move(read.error()));
  if (auto read = read_connection(head, is_http11); !read)
    return tl::make_unexpected(std::move(read.error()));

  const bool has_body_method = head.method == "PUT" || head.method == "POST" || head.method == "PATCH";
  if (has_body_method && !head.content_length) {
    return refuse(411, fmt::format("{} needs a Content-Length, 0 for no body (curl: -d '')", head.method));
  }
  if (!has_body_method && head.content_length.value_or(0) > 0) {
    return refuse(400, fmt::format("{} takes no body here", head.method.substr(0, 16)));
  }
  // A page elsewhere can make a browser send requests here, though it cannot read the answers: nothing that
  // changes something is taken from one.
  const std::string* origin = find_field(head.fields, "origin");
  if (origin != nullptr && head.method != "GET" && head.method != "HEAD" &&
      !same(*origin, "http://" + head.host) && !same(*origin, "https://" + head.host)) {
    return refuse(403, "a page of another site may not ask for changes here");
  }
  return head;
}

}  // namespace kiln::http
