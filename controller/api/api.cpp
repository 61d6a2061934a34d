#include "api/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "api/gate.h"
#include "api/routes.h"

namespace kiln::api {

namespace {

// One disk write: large enough that the system call is nothing beside it.
constexpr std::size_t piece_bytes = 256ULL * 1024;

struct Type {
  std::string_view extension;
  std::string_view content_type;
};
constexpr std::array types{
    Type{"png", "image/png"},   Type{"jpg", "image/jpeg"},       Type{"jpeg", "image/jpeg"},
    Type{"webp", "image/webp"}, Type{"exr", "image/x-exr"},      Type{"tif", "image/tiff"},
    Type{"tiff", "image/tiff"}, Type{"bmp", "image/bmp"},        Type{"mp4", "video/mp4"},
    Type{"webm", "video/webm"}, Type{"mkv", "video/x-matroska"},
};

}  // namespace

http::Router make_router(Api& api) {
  http::Router router;
  add_farm_routes(router, api);
  add_job_routes(router, api);
  add_task_routes(router, api);
  add_result_routes(router, api);
  add_blob_routes(router, api);
  add_node_routes(router, api);
  add_event_routes(router, api);
  add_statistic_routes(router, api);
  add_metric_routes(router, api);
  add_type_routes(router, api);
  add_enroll_routes(router, api);
  add_login_routes(router, api);
  add_people_routes(router, api);
  add_page_routes(router, api);
  guard(router, api);
  return router;
}

http::Response json_response(const Json& json, int status) {
  return {.status = status, .content_type = "application/json", .body = json.dump()};
}

Result<std::uint32_t> query_number(const http::Request& request, std::string_view name,
                                   std::uint32_t otherwise, std::uint32_t max) {
  const std::string* text = request.query_value(name);
  if (text == nullptr) return otherwise;
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (text->empty() || error != std::errc{} || end != text->data() + text->size() || number > max) {
    return fail(Code::invalid,
                fmt::format("?{}={}: a whole number from 0 to {} is expected", name, *text, max));
  }
  return number;
}

Result<std::string> user_of(http::Request& request) {
  const Caller& caller = caller_of(request);
  if (caller.kind != Caller::Kind::local) return caller.name;
  const std::string* user = request.field("x-kiln-user");
  if (user == nullptr) return std::string("anonymous");
  if (auto checked = check_user(*user); !checked) return fail(std::move(checked.error()).with("X-Kiln-User"));
  return *user;
}

Result<std::uint32_t> step_of(const scheduler::JobRow& job, std::string_view name) {
  std::string names;
  for (std::size_t i = 0; i < job.spec.steps.size(); ++i) {
    if (job.spec.steps[i].name == name) return static_cast<std::uint32_t>(i);
    names.append(names.empty() ? "" : ", ").append(job.spec.steps[i].name);
  }
  return fail(Code::not_found,
              fmt::format("job {} has no step '{}'{}", job.id.str(), name,
                          names.empty() ? ": it is not made from a template" : "; it has " + names));
}

Result<FoundTask> find_task(Api& api, const std::string& text) {
  auto id = TaskId::parse(text);
  if (!id) return fail(std::move(id.error()));
  auto job = api.reader.job(id->job.str());
  if (!job) return fail(std::move(job.error()));
  if (id->index >= job->spec.task_count()) {
    return fail(Code::not_found, fmt::format("job {} has the tasks 0 to {}, not {}", job->id.str(),
                                             job->spec.task_count() - 1, id->index));
  }
  TaskQuery query;
  query.from = id->index;
  query.limit = 1;
  auto rows = api.reader.tasks(*job, query);
  if (!rows) return fail(std::move(rows.error()));
  if (rows->size() != 1 || rows->front().id != *id)
    return fail(Code::not_found, fmt::format("no task {}", text));
  return FoundTask{*id, std::move(*job), std::move(rows->front())};
}

Result<FoundAttempt> find_attempt(Api& api, const http::Request& request) {
  auto task = find_task(api, request.param("task"));
  if (!task) return fail(std::move(task.error()));
  const std::string& text = request.param("n");
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number == 0) {
    return fail(Code::invalid, fmt::format("'{}' is no attempt: they count from 1", text));
  }
  if (number > std::max(task->row.attempt, api.settings.attempt_floor)) {
    return fail(Code::not_found, fmt::format("task {} has had {} attempts, not {}", task->id.str(),
                                             task->row.attempt, number));
  }
  return FoundAttempt{std::move(*task), number};
}

http::Response file_response(Stored stored, std::string content_type, bool is_immutable) {
  http::Response response{.content_type = std::move(content_type)};
  response.etag = fmt::format("\"{}\"", stored.version);
  response.body = std::move(stored.file);
  if (is_immutable) response.set("Cache-Control", "private, max-age=31536000, immutable");
  return response;
}

std::string content_type_of(std::string_view path) {
  const std::size_t dot = path.rfind('.');
  std::string extension(dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1));
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (const auto& type : types) {
    if (type.extension == extension) return std::string(type.content_type);
  }
  return "application/octet-stream";
}

Status receive(http::Request& request, Upload& upload) {
  std::vector<char> piece(piece_bytes);
  for (;;) {
    auto count = request.body->read_some(piece);
    if (!count) return fail(std::move(count.error()));
    if (*count == 0) return {};
    if (auto written = upload.write({piece.data(), *count}); !written) return written;
  }
}

}  // namespace kiln::api
