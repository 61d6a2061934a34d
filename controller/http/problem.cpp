#include "http/problem.h"

#include "base/json.h"

namespace kiln::http {

namespace {

struct CodeStatus {
  Code code;
  int status;
};
// The first row of a status is the code that stands for it.
constexpr CodeStatus codes[] = {
    {Code::invalid, 400},     {Code::denied, 403},      {Code::denied, 401},    {Code::not_found, 404},
    {Code::timeout, 408},     {Code::conflict, 409},    {Code::too_large, 413}, {Code::invalid, 421},
    {Code::too_large, 431},   {Code::internal, 500},    {Code::io, 500},        {Code::unsupported, 501},
    {Code::unavailable, 503}, {Code::unavailable, 429}, {Code::timeout, 504},   {Code::unsupported, 505},
    {Code::full, 507},
};

struct StatusReason {
  int status;
  std::string_view reason;
};
constexpr StatusReason reasons[] = {
    {100, "Continue"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {304, "Not Modified"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

}  // namespace

int status_of(Code code) {
  if (code == Code::timeout) return 504;  // a request that came too slowly (408) is the server's own affair
  for (const auto& row : codes) {
    if (row.code == code) return row.status;
  }
  return 500;
}

Code code_of(int status) {
  for (const auto& row : codes) {
    if (row.status == status) return row.code;
  }
  return status < 500 ? Code::invalid : Code::internal;
}

std::string_view reason_of(int status) {
  for (const auto& row : reasons) {
    if (row.status == status) return row.reason;
  }
  return "";
}

Response problem(int status, Code code, std::string_view detail) {
  Response response;
  response.status = status;
  response.content_type = "application/problem+json";
  response.body = Json::object({{"type", "about:blank"},
                                {"title", reason_of(status)},
                                {"status", status},
                                {"detail", as_sentence(std::string(detail))},
                                {"code", to_string(code)}})
                      .dump();
  if (status == 503) response.set("Retry-After", "2");
  return response;
}

Response problem(int status, std::string_view detail) {
  return problem(status, code_of(status), detail);
}
Response problem(const Error& error) {
  return problem(status_of(error.code), error.code, error.message);
}

}  // namespace kiln::http
