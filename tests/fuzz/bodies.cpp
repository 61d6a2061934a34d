// The JSON bodies that cross HTTP, and JSON itself.
#include "base/text.h"
#include "fuzz.h"
#include "payloads/http_bodies.h"

using namespace kiln;            // NOLINT(google-build-using-namespace)
using namespace kiln::payloads;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = fuzz::text_of(data, size);
  constexpr std::size_t max_submission = 2 * max_manifest_bytes;
  const auto encoded = [](const auto& value) { return encode(value); };
  fuzz::check_codec(input, max_manifest_bytes, decode_manifest, encoded);
  fuzz::check_codec(input, max_result_bytes, decode_result_report, encoded);
  fuzz::check_codec(
      input, max_submission, [](std::string_view text) { return decode_job_submission(text); }, encoded);

  if (const auto manifest = decode_manifest(input)) {
    for (const auto& file : manifest->files) KILN_ASSERT(is_safe_path(file.path) && is_digest(file.digest));
  }
  if (const auto report = decode_result_report(input)) {
    KILN_ASSERT(report->files.size() <= max_result_files && report->warnings.size() <= max_warnings);
    for (const auto& file : report->files) KILN_ASSERT(is_safe_path(file.path) && is_digest(file.digest));
    KILN_ASSERT(report->ok || !report->failure.code.empty());
  }

  const auto json = Json::parse(input);
  if (json) {
    const auto text = json->dump();
    KILN_ASSERT(is_utf8(text));
    const auto again = Json::parse(text, {.bytes = 8 * input.size() + 64});
    KILN_ASSERT(again.has_value() && *again == *json);
    const auto pretty = json->dump_pretty();
    const auto from_pretty = Json::parse(pretty, {.bytes = pretty.size()});
    KILN_ASSERT(from_pretty.has_value() && *from_pretty == *json);
  } else {
    fuzz::check_sentence(json.error());
  }
  if (is_safe_path(input)) {
    const std::string inside = "/" + std::string(input) + "/";
    for (const char* bad : {"//", "/./", "/../", "\\", "\n"})
      KILN_ASSERT(inside.find(bad) == std::string::npos);
    KILN_ASSERT(is_one_line(input) && input.size() <= 1024);
  }
  return 0;
}
