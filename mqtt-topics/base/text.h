// UTF-8 as it comes from outside: file names, renderer output, hosts. JSON carries nothing else.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace kiln {

// Length of the valid UTF-8 sequence that starts `text` (1 to 4), or 0. Overlong forms, surrogates and what
// lies above U+10FFFF are not valid (Unicode 15, table 3-7). `text` is not empty.
std::size_t utf8_length(std::string_view text);
bool is_utf8(std::string_view text);
// The text with every invalid byte, and every NUL, replaced by U+FFFD.
std::string to_utf8(std::string_view text);
// Valid UTF-8 without control characters: fit for a name on one line.
bool is_one_line(std::string_view text);
// At most max_bytes of the text, cut between characters.
std::string_view clip(std::string_view text, std::size_t max_bytes);

}  // namespace kiln
