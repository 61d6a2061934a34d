// A request's head, its target and the fields that we read ourselves.
#include <algorithm>

#include "api/content_range.h"
#include "base/ids.h"
#include "base/text.h"
#include "fuzz.h"
#include "http/head.h"
#include "http/range.h"
#include "http/target.h"
#include "runtime/sha256.h"

using namespace kiln;  // NOLINT(google-build-using-namespace)

namespace {

void check(const http::Refusal& refusal) {
  KILN_ASSERT(refusal.status >= 400 && refusal.status < 600);
  fuzz::notice(refusal.detail);
  KILN_ASSERT(!refusal.detail.empty());
}

void check_target(std::string_view text) {
  const auto target = http::parse_target(text);
  if (!target) return check(target.error());
  std::string path;
  for (const auto& segment : target->segments) {
    KILN_ASSERT(segment != "." && segment != ".." && is_utf8(segment));
    KILN_ASSERT(segment.find('\0') == std::string::npos && segment.find('\\') == std::string::npos);
    path.append("/").append(segment);
  }
  if (path.empty()) path.assign(1, '/');
  const auto again = http::parse_target(http::encode_path(path));
  KILN_ASSERT(again.has_value());
}

void check_fields(const http::Fields& fields) {
  for (const auto& [name, value] : fields) {
    for (const auto size : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 40U}) {
      const auto range = http::parse_range(value, size);
      if (range.kind != http::ByteRange::Kind::part) continue;
      KILN_ASSERT(range.length > 0 && range.first < size && range.length <= size - range.first);
    }
    (void)http::names_etag(value, "\"v1\"");
    if (const auto digest = runtime::from_content_digest(value)) {
      KILN_ASSERT(is_digest(*digest));
    } else {
      fuzz::check_sentence(digest.error());
    }
    if (const auto range = api::parse_content_range(value)) {
      KILN_ASSERT(range->length > 0 && range->first <= range->total &&
                  range->length <= range->total - range->first);
    } else {
      fuzz::check_sentence(range.error());
    }
    (void)http::is_our_host(value, {"farm.example"});
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = fuzz::text_of(data, size);
  const http::HeadRules rules;
  check_target(input);
  check_fields({{"x", std::string(input)}});

  const auto end = http::find_head_end(input, 0, rules);
  // However the bytes arrive, the head ends at the same place, or is refused.
  const auto step = 1 + size % 11;
  std::size_t seen = 0;
  tl::expected<std::size_t, http::Refusal> dribbled = std::size_t{0};
  for (std::size_t have = step; dribbled && *dribbled == 0; have += step) {
    dribbled = http::find_head_end(input.substr(0, have), seen, rules);
    seen = std::min(have, input.size());
    if (have >= input.size()) break;
  }
  KILN_ASSERT(end.has_value() == dribbled.has_value());
  if (!end) {
    check(end.error());
    return 0;
  }
  KILN_ASSERT(*end == *dribbled && *end <= input.size() && *end <= rules.max_bytes);
  if (*end == 0) return 0;
  const auto head = http::parse_head(input.substr(0, *end), rules);
  if (!head) {
    check(head.error());
    return 0;
  }
  fuzz::notice(head->method + head->host);
  KILN_ASSERT(!head->method.empty() && head->target.starts_with('/') &&
              head->fields.size() <= rules.max_fields);
  KILN_ASSERT(http::find_field(head->fields, "transfer-encoding") == nullptr);
  KILN_ASSERT(http::is_our_host(head->host, rules.names));
  check_target(head->target);
  check_fields(head->fields);
  return 0;
}
