// Numbers as the specification writes them in strings: base 10, nothing around them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace kiln::openjd {

// `-12`, `+12`, `007`. Empty when it is none or does not fit 64 bits.
std::optional<std::int64_t> integer_of(std::string_view text);
// As above and `1.5`, `.5`, `2.`, `1e-3`, of any size.
bool is_decimal(std::string_view text);
// The same as a double. Empty when it is none or not finite.
std::optional<double> real_of(std::string_view text);

// Of valid UTF-8: how many Unicode characters. Every length in the specification counts these.
std::size_t characters(std::string_view text);

}  // namespace kiln::openjd
