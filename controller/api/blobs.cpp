#include "api/content.h"
#include "api/routes.h"

namespace kiln::api {

namespace {

constexpr std::size_t max_asked = 10'000;  // digests in one question
constexpr std::size_t max_question_bytes = 1U << 20U;

Shelf blobs_of(Api& api) {
  return {.what = "a blob",
          .max_bytes = api.settings.max_file_bytes,
          .size = [&](const auto& digest) { return api.storage.blob_size(digest); },
          .partial_size = [&](const auto& digest) { return api.storage.partial_size(digest); },
          .put = [&](const auto& digest, auto offset,
                     auto total) { return api.storage.put_blob(digest, offset, total); }};
}

http::Response get(Api& api, http::Request& request) {
  const auto digest = digest_of(request);
  if (!digest) return http::problem(digest.error());
  auto blob = api.storage.open_blob(*digest);
  if (blob) {
    blob->version = *digest;
    return file_response(std::move(*blob), "application/octet-stream", true);
  }
  auto response = http::problem(blob.error());
  if (response.status == 404) return with_upload_offset(std::move(response), blobs_of(api), *digest);
  return response;
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
             [&](http::Request& request) { return put_content(request, blobs_of(api)); });
  router.add(Method::post, "/api/v1/blobs/missing",
             [&](http::Request& request) { return missing(api, request); });
}

}  // namespace kiln::api
