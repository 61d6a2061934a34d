#include <fmt/format.h>

#include "api/routes.h"

namespace kiln::api {

namespace {

// Nothing from elsewhere; inline styles are what a chart library sets on its elements.
constexpr std::string_view page_policy =
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'";

bool accepts_gzip(const http::Request& request) {
  const std::string* accepted = request.field("accept-encoding");
  return accepted != nullptr && accepted->find("gzip") != std::string::npos;
}

http::Response page(const Api& api, const http::Request& request) {
  const std::string& path = request.path;
  if (path.starts_with("/api/")) {
    return http::problem(
        404, fmt::format("there is nothing at {}; /api/v1/openapi.yaml lists what there is", path));
  }
  // A path without an extension is a place in the page, which finds its own way.
  const bool is_place = path.substr(path.rfind('/')).find('.') == std::string::npos;
  auto asset = api.assets.find(path);
  if (!asset && is_place) asset = api.assets.find("/index.html");
  if (!asset) return http::problem(404, fmt::format("there is nothing at {}", path));
  if (asset->is_gzip && !accepts_gzip(request)) {
    return http::problem(406,
                         "the page is sent gzipped only: open it in a browser, or use curl --compressed");
  }
  http::Response response{.content_type = std::string(asset->content_type), .etag = std::string(asset->etag)};
  response.body = http::StaticBytes{asset->bytes};
  if (asset->is_gzip) response.set("Content-Encoding", "gzip").set("Vary", "Accept-Encoding");
  response.set("Content-Security-Policy", std::string(page_policy));
  return response;
}

}  // namespace

void add_page_routes(http::Router& router, Api& api) {
  router.set_fallback([&](http::Request& request) { return page(api, request); });
}

}  // namespace kiln::api
