// The API's description, as the controller serves it.
#pragma once

#include <string_view>

namespace kiln::api {

// OpenAPI 3.1; the text of openapi.yaml.
std::string_view openapi_yaml();

}  // namespace kiln::api
