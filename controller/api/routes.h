// One function a resource file, and what these files share. For this room only.
#pragma once

#include <optional>
#include <string>

#include "api/actions.h"
#include "api/api.h"
#include "http/problem.h"

namespace kiln::api {

void add_farm_routes(http::Router& router, Api& api);       // farm, openapi.yaml, healthz
void add_job_routes(http::Router& router, Api& api);        // jobs
void add_task_routes(http::Router& router, Api& api);       // tasks, attempts: files, log, result
void add_result_routes(http::Router& router, Api& api);     // results, a job's files, thumbnails, archive
void add_blob_routes(http::Router& router, Api& api);       // blobs
void add_node_routes(http::Router& router, Api& api);       // nodes, telemetry
void add_event_routes(http::Router& router, Api& api);      // the live stream
void add_statistic_routes(http::Router& router, Api& api);  // productions, usage, a job's statistics
void add_metric_routes(http::Router& router, Api& api);     // metrics
void add_type_routes(http::Router& router, Api& api);       // job types
void add_enroll_routes(http::Router& router, Api& api);     // enroll, enrollments, join tokens
void add_login_routes(http::Router& router, Api& api);      // login, logout, me
void add_people_routes(http::Router& router, Api& api);     // users, tokens, the audit log
void add_page_routes(http::Router& router, Api& api);       // everything else

// The studio's job types and the built-in ones.
std::vector<compiler::JobType> job_types(Api& api);

http::Response json_response(const Json& json, int status = 200);
// A whole-number query parameter from 0 to `max`, or `otherwise` when absent. Errors: invalid.
Result<std::uint32_t> query_number(const http::Request& request, std::string_view name,
                                   std::uint32_t otherwise, std::uint32_t max);
// As whom a job is submitted: the caller's name; of a local caller the X-Kiln-User header, "anonymous" when
// absent. Errors: invalid.
Result<std::string> user_of(http::Request& request);
// What one page of a long list is: ?limit= (at most 1000) into query.limit, and where it begins, the
// parameter of that name, into query.*place. Errors: invalid.
template <class Query, class Number>
Status read_page(const http::Request& request, std::string_view name, Number Query::*place, Query& query) {
  constexpr std::uint32_t max_rows = 1000;
  const auto begin = query_number(request, name, 0, 0xffffffffU);
  if (!begin) return fail(begin.error());
  const auto limit = query_number(request, "limit", query.limit, max_rows);
  if (!limit) return fail(limit.error());
  query.*place = *begin;
  query.limit = *limit;
  return {};
}
// {"<key>":[shape(row)…]}
template <class Rows, class Shape>
http::Response list_response(const char* key, const Rows& rows, const Shape& shape) {
  Json list(Json::Array{});
  for (const auto& row : rows) list.push(shape(row));
  return json_response(Json::object({{key, std::move(list)}}));
}

// The place of a step by its name. Errors: not_found, with the names there are.
Result<std::uint32_t> step_of(const scheduler::JobRow& job, std::string_view name);

// The task that a path names, with its job. Errors: invalid; not_found.
struct FoundTask {
  TaskId id;
  scheduler::JobRow job;
  scheduler::TaskRow row;
};
Result<FoundTask> find_task(Api& api, const std::string& text);
// …and one of its attempts. Errors: also not_found when it was never made.
struct FoundAttempt {
  FoundTask task;
  std::uint32_t attempt = 0;
};
Result<FoundAttempt> find_attempt(Api& api, const http::Request& request);

// GET /api/v1/farm, also a part of the stream's snapshot. Errors: those of the database.
Result<Json> farm_json(Api& api);
// A file with Range, and its version as ETag.
http::Response file_response(Stored stored, std::string content_type, bool is_immutable);
// By the path's extension; what no browser should guess at is application/octet-stream.
std::string content_type_of(std::string_view path);
// Streams the request's body into the upload. Errors: those of the body and of the upload; not finished yet.
Status receive(http::Request& request, Upload& upload);

}  // namespace kiln::api
