#include "api/content_range.h"

#include <charconv>
#include <optional>

namespace kiln::api {

namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text.size() > 18 || error != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

}  // namespace

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
