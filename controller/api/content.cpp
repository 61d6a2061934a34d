#include "api/content.h"

#include <fmt/format.h>

#include "api/content_range.h"
#include "api/routes.h"

namespace kiln::api {

Result<std::string> digest_of(const http::Request& request) {
  const std::string& digest = request.param("digest");
  if (is_digest(digest)) return digest;
  return fail(Code::invalid,
              fmt::format("'{}' is no digest: write sha256: and 64 lower-case hex digits", digest));
}

http::Response with_upload_offset(http::Response response, const Shelf& shelf, const std::string& digest) {
  response.set("Upload-Offset", fmt::format("{}", shelf.partial_size(digest)));
  return response;
}

http::Response put_content(http::Request& request, const Shelf& shelf) {
  const auto digest = digest_of(request);
  if (!digest) return http::problem(digest.error());
  UploadRange range{0, request.body->size(), request.body->size()};
  if (const std::string* field = request.field("content-range")) {
    const auto parsed = parse_content_range(*field);
    if (!parsed) return http::problem(parsed.error());
    if (parsed->length != request.body->size()) {
      return http::problem(400, fmt::format("Content-Range speaks of {} bytes, Content-Length of {}",
                                            parsed->length, request.body->size()));
    }
    range = *parsed;
  }
  if (range.total < shelf.min_bytes || range.total > shelf.max_bytes) {
    return http::problem(413, fmt::format("{} bytes; {} has {} to {}", range.total, shelf.what,
                                          shelf.min_bytes, shelf.max_bytes));
  }
  if (const auto size = shelf.size(*digest)) {
    return json_response(Json::object({{"digest", *digest}, {"size", *size}}));
  }
  auto upload = shelf.put(*digest, range.first, range.total);
  if (!upload) {
    auto response = http::problem(upload.error());
    if (response.status == 409) return with_upload_offset(std::move(response), shelf, *digest);
    return response;
  }
  if (const auto received = receive(request, **upload); !received) return http::problem(received.error());
  const std::uint64_t held = range.first + range.length;
  if (held < range.total) {
    upload->reset();
    http::Response response = json_response(Json::object({{"digest", *digest}, {"size", held}}), 202);
    response.set("Upload-Offset", fmt::format("{}", held));
    return response;
  }
  if (const auto finished = (*upload)->finish(); !finished) {
    return finished.error().code == Code::invalid
               ? http::problem(422, Code::invalid, finished.error().message)
               : http::problem(finished.error());
  }
  return json_response(Json::object({{"digest", *digest}, {"size", range.total}}), 201);
}

}  // namespace kiln::api
