#include "api/openapi.h"

extern "C" {
extern const char kiln_openapi_begin[];
extern const char kiln_openapi_end[];
}

namespace kiln::api {

std::string_view openapi_yaml() {
  return {kiln_openapi_begin, static_cast<std::size_t>(kiln_openapi_end - kiln_openapi_begin)};
}

}  // namespace kiln::api
