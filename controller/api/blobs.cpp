#include <fmt/format.h>

#include "api/content_range.h"
#include "api/routes.h"

namespace kiln::api {

namespace {

constexpr std::size_t max_asked = 10'000;  // digests in one question
constexpr std::size_t max_question_bytes = 1U << 20U;

Result<std::string> digest_of(const http::Request& request) {
  const std::string& digest = request.param("digest");
  if (is_digest(digest)) return digest;
  return fail(Code::invalid,
              fmt::format("'{}' is no digest: write sha256: and 64 lower-case hex digits", digest));
}

http::Response get(Api& api, http::Request& request) {
  const auto digest = digest_of(request);
  if (!digest) return http::problem(digest.error());
  auto blob = api.storage.open_blob(*digest);
  if (blob) {
    blob->version = *digest;
    return file_response(std::move(*blob), "application/octet-stream", true);
  }
  http::Response response = http::problem(blob.error());
  if (response.status == 404)
    response.set("Upload-Offset", fmt::format("{}", api.storage.partial_size(*digest)));
  return response;
}

http::Response put(Api& api, http::Request& request) {
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
  if (range.total > api.settings.max_file_bytes) {
    return http::problem(
        413, fmt::format("{} bytes; a blob may have {}", range.total, api.settings.max_file_bytes));
  }
  if (const auto size = api.storage.blob_size(*digest)) {
    return json_response(Json::object({{"digest", *digest}, {"size", *size}}));
  }
  auto upload = api.storage.put_blob(*digest, range.first, range.total);
  if (!upload) {
    http::Response response = http::problem(upload.error());
    if (response.status == 409)
      response.set("Upload-Offset", fmt::format("{}", api.storage.partial_size(*digest)));
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

http::Response missing(Api& api, http::Request& request) {
  const auto body = request.body->read_all(max_question_bytes);
  if (!body) return http::problem(body.error());
  const auto json = Json::parse(*body, {.bytes = max_question_bytes, .depth = 4, .values = max_asked + 16});
  if (!json) return http::problem(json.error());
  JsonReader in(*json, "question");
  const auto* digests = in.array("digests", max_asked);
  if (const auto read = in.finish(0); !read) return http::problem(read.error());
  if (digests == nullptr) return http::problem(400, "question.digests: missing");
  Json absent(Json::Array{});
  for (const auto& one : *digests) {
    const std::string* digest = one.as_string();
    if (digest == nullptr || !is_digest(*digest)) {
      return http::problem(400,
                           "question.digests: sha256: and 64 lower-case hex digits are expected in each");
    }
    if (!api.storage.blob_size(*digest)) absent.push(*digest);
  }
  return json_response(Json::object({{"missing", std::move(absent)}}));
}

}  // namespace

void add_blob_routes(http::Router& router, Api& api) {
  using http::Method;
  router.add(Method::get, "/api/v1/blobs/{digest}",
             [&](http::Request& request) { return get(api, request); });
  router.add(Method::put, "/api/v1/blobs/{digest}",
             [&](http::Request& request) { return put(api, request); });
  router.add(Method::post, "/api/v1/blobs/missing",
             [&](http::Request& request) { return missing(api, request); });
}

}  // namespace kiln::api
