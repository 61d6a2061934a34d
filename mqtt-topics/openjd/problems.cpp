#include "openjd/problems.h"

#include <fmt/format.h>

#include "base/text.h"

namespace kiln::openjd {

void Problems::add(std::string_view path, std::string message) {
  if (full()) {
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

std::string shortened(std::string_view text) {
  constexpr std::size_t shown_bytes = 64;
  std::string out(clip(text, shown_bytes));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto byte = static_cast<unsigned char>(out[i]);
    // The C1 controls are two bytes, of which the second alone would not be UTF-8.
    const bool is_c1 = byte == 0xc2 && i + 1 < out.size() && static_cast<unsigned char>(out[i + 1]) < 0xa0;
    if (is_c1) out.replace(i, 2, " ");
    if (byte < 0x20 || byte == 0x7f) out[i] = ' ';
  }
  return text.size() > shown_bytes ? out + "…" : out;
}

std::string quoted(std::string_view text) {
  return fmt::format("'{}'", shortened(text));
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
