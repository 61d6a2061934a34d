#include "api/content_range.h"

#include "check.h"

using kiln::api::parse_content_range;

namespace {

void an_uploads_range_is_read() {
  const auto range = parse_content_range("bytes 100-199/300");
  check_ok(range);
  check_equal(range->first, 100U);
  check_equal(range->length, 100U);
  check_equal(range->total, 300U);
  for (const char* field : {"", "bytes 1-0/3", "bytes 0-3/3", "bytes */3", "bytes 0-1/*", "bytes=0-1/3",
                            "bytes 0-1", "bytes -1/3", "bytes 0-99999999999999999999/3", "bytes +0-1/3"}) {
    check(!parse_content_range(field).has_value());
  }
}

}  // namespace

int main() {
  return kiln::test::run("content_range", {{"an upload's range is read", an_uploads_range_is_read}});
}
