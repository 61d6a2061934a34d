// What a .blend says about itself; also compressed.
#include "compiler/blend_file.h"

#include <algorithm>

#include "fuzz.h"

using namespace kiln;  // NOLINT(google-build-using-namespace)

namespace {

Result<compiler::BlendFile> inspect(std::string_view bytes, std::size_t piece) {
  return compiler::inspect([bytes, piece](std::span<char> out) mutable {
    const auto count = std::min({out.size(), bytes.size(), piece});
    std::copy_n(bytes.begin(), count, out.begin());
    bytes.remove_prefix(count);
    return count;
  });
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = fuzz::text_of(data, size);
  const auto whole = inspect(input, input.size() + 1);
  const auto in_pieces = inspect(input, 1 + input.size() % 13);
  if (!whole) fuzz::check_sentence(whole.error());
  // libzstd gives nothing of a call that finds damage, so there the pieces decide how far the file is read.
  if (input.starts_with("\x28\xb5\x2f\xfd") && whole.has_value() != in_pieces.has_value()) return 0;
  KILN_ASSERT(whole.has_value() == in_pieces.has_value());
  if (!whole) {
    KILN_ASSERT(input.starts_with("\x28\xb5\x2f\xfd") || whole.error() == in_pieces.error());
    return 0;
  }
  KILN_ASSERT(*whole == *in_pieces);
  fuzz::notice(whole->version());
  KILN_ASSERT(compiler::can_open(whole->version(), *whole));
  KILN_ASSERT(compiler::can_open("9999.0", *whole) && compiler::can_open("no version", *whole));
  return 0;
}
