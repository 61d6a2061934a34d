#include <fmt/format.h>

#include <algorithm>

#include "api/routes.h"
#include "api/shapes.h"
#include "http/target.h"

namespace kiln::api {

namespace {

http::Response list(Api& api, http::Request& request, std::optional<JobId> job) {
  ResultQuery query;
  query.job = std::move(job);
  if (const auto page = read_page(request, "from", &ResultQuery::from, query); !page)
    return http::problem(page.error());
  const auto rows = api.reader.results(query);
  if (!rows) return http::problem(rows.error());
  return list_response("results", *rows, [](const scheduler::ResultRow& row) { return to_json(row); });
}

// The job by id or number, then what `open` gives of it.
template <class Open>
http::Response file_of_job(Api& api, http::Request& request, const Open& open) {
  const auto job = api.reader.job(request.param("id"));
  if (!job) return http::problem(job.error());
  const std::string& path = request.param("path");
  if (!payloads::is_safe_path(path))
    return http::problem(400, fmt::format("'{}' is no path of an output file", path));
  return open(job->id, path);
}

http::Response archive(Api& api, http::Request& request) {
  const auto job = api.reader.job(request.param("id"));
  if (!job) return http::problem(job.error());
  auto zip = api.storage.archive(job->id);
  if (!zip) return http::problem(zip.error());
  // RFC 6266: the plain name for old clients, the exact one beside it.
  std::string name = fmt::format("{}-{}.zip", job->spec.name, job->number);
  std::replace(name.begin(), name.end(), '/', '_');
  std::string plain = name;
  for (char& c : plain) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e || c == '"' ||
        c == '\\' || c == '/' || c == '%') {
      c = '_';
    }
  }
  http::Response response{.content_type = "application/zip",
                          .body = http::Stream{zip->size, std::move(zip->write)}};
  response.set("Content-Disposition", fmt::format("attachment; filename=\"{}\"; filename*=UTF-8''{}", plain,
                                                  http::encode_path(name)));
  return response;
}

}  // namespace

void add_result_routes(http::Router& router, Api& api) {
  using http::Method;
  router.add(Method::get, "/api/v1/results",
             [&](http::Request& request) { return list(api, request, std::nullopt); });
  router.add(Method::get, "/api/v1/jobs/{id}/results", [&](http::Request& request) {
    const auto job = api.reader.job(request.param("id"));
    return job ? list(api, request, job->id) : http::problem(job.error());
  });
  router.add(Method::get, "/api/v1/jobs/{id}/files/{path...}", [&](http::Request& request) {
    return file_of_job(api, request, [&](const JobId& job, const std::string& path) {
      auto file = api.storage.open_output(job, path);
      return file ? file_response(std::move(*file), content_type_of(path), false)
                  : http::problem(file.error());
    });
  });
  router.add(Method::get, "/api/v1/jobs/{id}/thumbnails/{path...}", [&](http::Request& request) {
    return file_of_job(api, request, [&](const JobId& job, const std::string& path) {
      auto file = api.storage.open_thumbnail(job, path);
      if (file) return file_response(std::move(*file), "image/jpeg", false);
      // What cannot be shown is not there: 501 would say that the controller lacks something.
      if (file.error().code == Code::unsupported)
        return http::problem(404, Code::unsupported, file.error().message);
      return http::problem(file.error());
    });
  });
  router.add(Method::get, "/api/v1/jobs/{id}/archive",
             [&](http::Request& request) { return archive(api, request); });
}

}  // namespace kiln::api
