#include "api/content_digest.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <optional>
#include <vector>

namespace kiln::api {

namespace {

constexpr std::size_t sha256_bytes = 32;

std::optional<std::vector<std::uint8_t>> decode_base64(std::string_view text) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (text.ends_with('=')) text.remove_suffix(1);
  std::vector<std::uint8_t> out;
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : text) {
    const std::size_t value = alphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = (bits << 6U | static_cast<std::uint32_t>(value)) & 0xffffffU;
    held += 6;
    if (held >= 8) {
      held -= 8;
      out.push_back(static_cast<std::uint8_t>(bits >> held & 0xffU));
    }
  }
  return out;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text.size() > 18 || error != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

}  // namespace

Result<std::string> parse_content_digest(std::string_view field) {
  constexpr std::string_view key = "sha-256=:";
  std::string_view rest = field;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    std::string_view one = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    while (one.starts_with(' ') || one.starts_with('\t')) one.remove_prefix(1);
    while (one.ends_with(' ') || one.ends_with('\t')) one.remove_suffix(1);
    if (!one.starts_with(key) || !one.ends_with(':') || one.size() <= key.size()) continue;
    const auto bytes = decode_base64(one.substr(key.size(), one.size() - key.size() - 1));
    if (!bytes || bytes->size() != sha256_bytes) break;
    std::string digest = "sha256:";
    for (const std::uint8_t byte : *bytes) digest += fmt::format("{:02x}", byte);
    return digest;
  }
  return fail(Code::invalid, "Content-Digest must be sha-256=:<the SHA-256 of the body in base64>:");
}

Result<UploadRange> parse_content_range(std::string_view field) {
  constexpr std::string_view unit = "bytes ";
  const std::size_t dash = field.find('-');
  const std::size_t slash = field.find('/');
  if (field.starts_with(unit) && dash != std::string_view::npos && slash != std::string_view::npos &&
      dash < slash) {
    const auto first = number(field.substr(unit.size(), dash - unit.size()));
    const auto last = number(field.substr(dash + 1, slash - dash - 1));
    const auto total = number(field.substr(slash + 1));
    if (first && last && total && *first <= *last && *last < *total) {
      return UploadRange{*first, *last - *first + 1, *total};
    }
  }
  return fail(Code::invalid,
              "Content-Range must be 'bytes first-last/total', for example 'bytes 100-199/200'");
}

}  // namespace kiln::api
