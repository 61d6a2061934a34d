#include "openjd/problems.h"

#include <fmt/format.h>

#include "base/text.h"

namespace kiln::openjd {

void Problems::add(std::string_view path, std::string message) {
  if (list_.size() >= max_reported) {
    ++left_out_;
    return;
  }
  list_.push_back({std::string(path), std::move(message)});
}

std::string at_key(std::string_view path, std::string_view key) {
  // A key comes from the template: a path stays one line whatever stands there.
  const bool is_plain = !key.empty() && key.find_first_not_of(
                                            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                            "0123456789_$-") == key.npos;
  const std::string name = is_plain && key.size() <= 64 ? std::string(key) : quoted(key);
  return path.empty() ? name : fmt::format("{}.{}", path, name);
}

std::string at_index(std::string_view path, std::size_t index) {
  return fmt::format("{}[{}]", path, index);
}

std::string quoted(std::string_view text) {
  constexpr std::size_t shown_bytes = 60;
  std::string out = "'";
  for (const char c : clip(text, shown_bytes)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte == 0x7f ? ' ' : c;
  }
  // The C1 controls are two bytes, of which the second alone would not be UTF-8.
  for (std::size_t i = 0; (i = out.find('\xc2', i)) != out.npos; ++i) {
    if (i + 1 < out.size() && static_cast<unsigned char>(out[i + 1]) < 0xa0) out.replace(i, 2, " ");
  }
  out += text.size() > shown_bytes ? "…'" : "'";
  return out;
}

std::string shortened(std::string_view text) {
  constexpr std::size_t shown_bytes = 64;
  return text.size() <= shown_bytes ? std::string(text) : fmt::format("{}…", clip(text, shown_bytes));
}

std::string listed(const std::vector<std::string_view>& words, std::string_view last_word) {
  constexpr std::size_t max_words = 16;
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i == max_words) return out + ", …";
    if (i > 0) out += i + 1 == words.size() ? fmt::format(" {} ", last_word) : ", ";
    out += shortened(words[i]);
  }
  return out;
}

}  // namespace kiln::openjd
