// Content under its digest: brought in one piece or several, resumed, verified. What blobs and images have in
// common.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/storage.h"
#include "base/result.h"
#include "http/message.h"

namespace kiln::api {

// Where it is kept.
struct Shelf {
  std::string_view what;  // "a blob"
  std::uint64_t min_bytes = 0;
  std::uint64_t max_bytes = 0;
  // nullopt: not here as a whole.
  std::function<std::optional<std::uint64_t>(const std::string& digest)> size;
  std::function<std::uint64_t(const std::string& digest)> partial_size;
  // As Storage::put_blob.
  std::function<Result<std::unique_ptr<Upload>>(const std::string& digest, std::uint64_t offset,
                                                std::uint64_t total)>
      put;
};

// The request's {digest}. Errors: invalid.
Result<std::string> digest_of(const http::Request& request);

// PUT: the request's body, or the piece of it that its Content-Range names. 200 it was here, 201 it is here
// now, 202 go on at Upload-Offset, 400, 409 go on elsewhere (Upload-Offset), 413, 422 other bytes than the
// digest's, 507.
http::Response put_content(http::Request& request, const Shelf& shelf);

// The response, and in its Upload-Offset how much of that content is here.
http::Response with_upload_offset(http::Response response, const Shelf& shelf, const std::string& digest);

}  // namespace kiln::api
