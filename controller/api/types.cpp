#include <fmt/format.h>

#include "api/routes.h"

namespace kiln::api {

std::vector<compiler::JobType> job_types(Api& api) {
  return compiler::all_types(api.own_types ? api.own_types() : std::vector<compiler::JobType>());
}

void add_type_routes(http::Router& router, Api& api) {
  using http::Method;
  router.add(Method::get, "/api/v1/types",
             [&](http::Request&) { return list_response("types", job_types(api), compiler::describe); });
  router.add(Method::get, "/api/v1/types/{name}", [&](http::Request& request) {
    const auto types = job_types(api);
    const auto* type = compiler::find_type(types, request.param("name"));
    if (type == nullptr)
      return http::problem(
          404, fmt::format("no job type '{}'; GET /api/v1/types lists them", request.param("name")));
    return http::Response{.content_type = type->text.is_json ? "application/json" : "application/yaml",
                          .body = type->text.text};
  });
}

}  // namespace kiln::api
