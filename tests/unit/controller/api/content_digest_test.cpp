#include "api/content_digest.h"

#include "check.h"

using kiln::api::parse_content_digest;
using kiln::api::parse_content_range;

namespace {

// Of no bytes at all: RFC 9530 writes it so.
const char* empty_base64 = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
const char* empty_hex = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

void a_digest_is_read_beside_others() {
  for (const std::string& field : {std::string(empty_base64), "sha-512=:AAAA:, " + std::string(empty_base64),
                                   std::string(empty_base64) + ", unixsum=:AA==:"}) {
    const auto digest = parse_content_digest(field);
    check_ok(digest);
    check_equal(*digest, empty_hex);
  }
}

void what_is_no_sha256_is_refused() {
  for (const char* field : {"", "sha-256", "sha-256=::", "sha-256=:AAAA:", "sha-512=:AAAA:", "sha-256=47DE",
                            "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF!=:",
                            "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}) {
    check(!parse_content_digest(field).has_value());
  }
}

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
  return kiln::test::run("content_digest",
                         {{"a digest is read beside others", a_digest_is_read_beside_others},
                          {"what is no SHA-256 is refused", what_is_no_sha256_is_refused},
                          {"an upload's range is read", an_uploads_range_is_read}});
}
