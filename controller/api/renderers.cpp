#include <fmt/format.h>

#include <algorithm>

#include "api/gate.h"
#include "api/routes.h"
#include "api/shapes.h"
#include "base/text.h"
#include "bundles/archive.h"
#include "bundles/names.h"

namespace kiln::api {

namespace {

constexpr std::size_t max_body_bytes = 8ULL * 1024;
constexpr std::string_view program = "blender";  // what the agents know to speak with

struct Wish {
  std::string file;
  std::string digest;
  bundles::Name name;
};

Result<Wish> read_wish(std::string_view body) {
  const auto json = Json::parse(body);
  if (!json) return fail(json.error());
  JsonReader in(*json, "renderer");
  Wish wish;
  in.required("file", wish.file, payloads::max_name_bytes);
  in.required("digest", wish.digest);
  in.optional("name", wish.name.name, payloads::max_name_bytes);
  in.optional("version", wish.name.version, payloads::max_name_bytes);
  if (in.ok() && !is_digest(wish.digest))
    in.reject("digest", "sha256: and 64 lower-case hex digits are expected: of a blob that was PUT before");
  if (in.ok() && !is_one_line(wish.file)) in.reject("file", "the archive's name is expected");
  if (auto read = in.finish(0); !read) return fail(std::move(read.error()));
  if (wish.name.name.empty() || wish.name.version.empty()) {
    auto said = bundles::name_of_file(wish.file);
    if (!said) return fail(std::move(said.error()));
    if (wish.name.name.empty()) wish.name.name = std::move(said->name);
    if (wish.name.version.empty()) wish.name.version = std::move(said->version);
  }
  if (auto fine = bundles::check_name(wish.name); !fine) return fail(std::move(fine.error()));
  return wish;
}

Result<scheduler::RendererRow> find(Api& api, const std::string& name) {
  auto all = api.reader.renderers();
  if (!all) return fail(std::move(all.error()));
  const auto found =
      std::find_if(all->begin(), all->end(), [&](const auto& row) { return row.bundle.name == name; });
  if (found != all->end()) return std::move(*found);
  return fail(Code::not_found,
              fmt::format("there is no renderer {}; GET /api/v1/renderers lists them", name));
}

http::Response add(Api& api, http::Request& request) {
  const auto body = request.body->read_all(max_body_bytes);
  if (!body) return http::problem(body.error());
  const auto wish = read_wish(*body);
  if (!wish) return http::problem(wish.error());
  const auto user = user_of(request);
  if (!user) return http::problem(user.error());
  const auto name = wish->name.str();
  caller_of(request).what = fmt::format("renderer {}: {} ({})", name, wish->file, wish->digest);
  if (auto known = find(api, name); known && known->bundle.digest == wish->digest)
    return json_response(to_json(*known));

  const auto blob = api.storage.open_blob(wish->digest);
  if (!blob && blob.error().code == Code::not_found)
    return http::problem(422, Code::invalid,
                         fmt::format("upload the archive first: PUT /api/v1/blobs/{}", wish->digest));
  if (!blob) return http::problem(blob.error());
  auto contents = [&] {
    const std::lock_guard lock(api.examining);
    return bundles::examine(blob->file.fd.get(), program);
  }();
  if (!contents) {
    auto error = std::move(contents.error()).with(wish->file);
    const bool is_io = error.code == Code::io;
    return is_io ? http::problem(error) : http::problem(422, Code::invalid, error.message);
  }
  scheduler::RendererRow row;
  row.bundle = {
      name, wish->name.version, wish->digest, blob->file.size, contents->bytes, std::move(contents->program)};
  row.file = wish->file;
  row.user = *user;
  row.added_ms = api.now().unix_ms;
  const auto answer = api.farm.ask([&](scheduler::RequestId id) { return scheduler::AddRenderer{id, row}; });
  if (!answer) return http::problem(answer.error());
  return json_response(to_json(row), 201);
}

http::Response remove(Api& api, http::Request& request) {
  const auto row = find(api, request.param("name"));
  if (!row) return http::problem(row.error());
  caller_of(request).what = fmt::format("renderer {}", row->bundle.name);
  const auto answer = api.farm.ask([&](scheduler::RequestId id) {
    return scheduler::RemoveRenderer{id, row->bundle.name};
  });
  if (!answer) return http::problem(answer.error());
  // The same archive may be there under another name.
  const auto left = api.reader.renderers();
  const bool is_used = !left || std::any_of(left->begin(), left->end(), [&](const auto& other) {
    return other.bundle.digest == row->bundle.digest;
  });
  if (!is_used) {
    if (auto removed = api.storage.remove_blob(row->bundle.digest); !removed)
      return http::problem(removed.error());
  }
  return {.status = 204};
}

}  // namespace

void add_renderer_routes(http::Router& router, Api& api) {
  using http::Method;
  router.add(Method::get, "/api/v1/renderers", [&](http::Request&) {
    const auto all = api.reader.renderers();
    if (!all) return http::problem(all.error());
    return list_response("renderers", *all, [](const scheduler::RendererRow& row) { return to_json(row); });
  });
  router.add(Method::get, "/api/v1/renderers/{name}", [&](http::Request& request) {
    const auto row = find(api, request.param("name"));
    return row ? json_response(to_json(*row)) : http::problem(row.error());
  });
  router.add(Method::post, "/api/v1/renderers", [&](http::Request& request) { return add(api, request); });
  router.add(Method::delete_, "/api/v1/renderers/{name}",
             [&](http::Request& request) { return remove(api, request); });
}

}  // namespace kiln::api
