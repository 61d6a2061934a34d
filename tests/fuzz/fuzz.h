// What the fuzz targets share. A target is one file with LLVMFuzzerTestOneInput; driver.cpp runs it with our
// own mutations, or libFuzzer does (-DKILN_LIBFUZZER=ON with clang).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"

// The name and signature that libFuzzer asks for.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace kiln::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Something that the code under test did or said. The driver keeps an input that made it say something new;
// digits and what stands in quotes do not count as new.
void notice(std::string_view said);
// True when something new was noticed since the last call.
bool was_new();

// A refusal is one line of UTF-8 for people, and not endless.
void check_sentence(const Error& error);

// What was accepted can be said again: decode(encode(x)) is accepted, and from then on nothing changes
// (numbers for people are rounded and texts are cut once). Refusals are sentences.
template <class Decode, class Encode>
void check_codec(std::string_view input, std::size_t max_bytes, const Decode& decode, const Encode& encode) {
  const auto first = decode(input);
  if (!first) return check_sentence(first.error());
  const auto text = encode(*first);
  notice(text);
  KILN_ASSERT(text.size() <= max_bytes);
  const auto second = decode(std::string_view(text));
  KILN_ASSERT(second.has_value());
  KILN_ASSERT(encode(*second) == text);
  const auto third = decode(std::string_view(encode(*second)));
  KILN_ASSERT(third.has_value() && *third == *second);
}

}  // namespace kiln::fuzz
