#include "base/text.h"

#include "base/result.h"

namespace kiln {

std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return continues(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const unsigned low = first == 0xe0 ? 0xa0 : 0x80;
    const unsigned high = first == 0xed ? 0x9f : 0xbf;
    return continues(1, low, high) && continues(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const unsigned low = first == 0xf0 ? 0x90 : 0x80;
    const unsigned high = first == 0xf4 ? 0x8f : 0xbf;
    return continues(1, low, high) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

namespace {

bool is_ascii(char c) {
  return static_cast<unsigned char>(c) < 0x80;
}

// Where the first invalid byte or NUL stands, from `begin` on; the text's size when there is none.
std::size_t valid_until(std::string_view text, std::size_t begin) {
  std::size_t i = begin;
  while (i < text.size() && text[i] != '\0') {
    const auto length = is_ascii(text[i]) ? 1 : utf8_length(text.substr(i));
    if (length == 0) break;
    i += length;
  }
  return i;
}

}  // namespace

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0;; ++i) {
    i = valid_until(text, i);
    if (i == text.size()) return true;
    if (text[i] != '\0') return false;
  }
}

std::string to_utf8(std::string_view text) {
  std::string out;
  for (std::size_t begin = 0;; ++begin) {
    const auto end = valid_until(text, begin);
    out += text.substr(begin, end - begin);
    if (end == text.size()) return out;
    out += "\xef\xbf\xbd";
    begin = end;
  }
}

bool is_one_line(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return is_utf8(text);
}

std::string_view clip(std::string_view text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  std::size_t end = max_bytes;
  const auto continues = [&](std::size_t i) {
    return (static_cast<unsigned char>(text[i]) & 0xc0U) == 0x80U;
  };
  while (end > 0 && continues(end)) --end;
  return text.substr(0, end);
}

std::string as_sentence(std::string text) {
  constexpr std::size_t max_bytes = 2'000;
  if (text.size() <= max_bytes && is_one_line(text)) return text;
  constexpr std::string_view unknown = "\xef\xbf\xbd";
  constexpr std::string_view more = "…";
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto length = utf8_length(std::string_view(text).substr(i));
    const bool is_shown =
        length > 1 || (length == 1 && static_cast<unsigned char>(text[i]) >= 0x20 && text[i] != 0x7f);
    const auto piece = is_shown ? std::string_view(text).substr(i, length) : unknown;
    if (out.size() + piece.size() > max_bytes - more.size()) return out.append(more);
    out += piece;
    i += is_shown ? length : 1;
  }
  return out;
}

}  // namespace kiln
