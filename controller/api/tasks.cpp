#include <fmt/format.h>

#include <map>

#include "api/routes.h"
#include "api/shapes.h"
#include "runtime/sha256.h"

namespace kiln::api {

namespace {

constexpr std::uint64_t max_log_bytes = 16ULL << 20U;
constexpr std::size_t max_report_bytes = 1U << 20U;
constexpr std::uint32_t max_page = 1000;  // results read at once

http::Response shown_task(Api& api, const Result<FoundTask>& task) {
  if (!task) return http::problem(task.error());
  const auto attempts = api.reader.attempts(task->id);
  if (!attempts) return http::problem(attempts.error());
  const payloads::HeldTask* held = nullptr;
  const LiveNode live = task->row.node.empty() ? LiveNode() : api.live.node(task->row.node);
  for (const auto& one : live.tasks.run) {
    if (one.task == task->id && one.attempt == task->row.attempt) held = &one;
  }
  Json json = to_json(task->row, task->job, held);
  json.set("job", task->job.id.str());
  Json list(Json::Array{});
  for (const auto& attempt : *attempts) list.push(to_json(attempt));
  json.set("attempts", std::move(list));
  return json_response(json);
}

// A person's verdict on a task; the answer is the task as it is afterwards.
http::Response judge(Api& api, http::Request& request, Status (*verdict)(Api&, const TaskId&)) {
  const auto task = find_task(api, request.param("task"));
  if (!task) return http::problem(task.error());
  if (const auto judged = verdict(api, task->id); !judged) return http::problem(judged.error());
  return shown_task(api, find_task(api, request.param("task")));
}

// What the tasks [from, to) delivered. Errors: those of the reader; unavailable while two files of one name
// are being told apart.
Status add_inputs(Api& api, const scheduler::JobRow& job, std::uint32_t from, std::uint32_t to,
                  std::map<std::string, payloads::ManifestFile>& files) {
  ResultQuery query{.job = job.id, .limit = max_page, .from_task = from, .to_task = to};
  for (;;) {
    const auto rows = api.reader.results(query);
    if (!rows) return fail(rows.error());
    for (const auto& row : *rows) {
      const auto path = api.storage.placed(row.task, row.attempt, row.file.path);
      const auto [known, is_new] =
          files.try_emplace(path, payloads::ManifestFile{path, row.file.digest, row.file.size});
      // The same content under the same name lies there once.
      if (is_new || known->second.digest == row.file.digest) continue;
      return fail(Code::unavailable,
                  fmt::format("two tasks delivered {}; one of them is being given another name", path));
    }
    if (rows->size() < query.limit) return {};
    query.from += query.limit;
  }
}

// The files that earlier steps made for this task, as a manifest: each lies under jobs/{job}/files.
http::Response get_inputs(Api& api, http::Request& request) {
  const auto task = find_task(api, request.param("task"));
  if (!task) return http::problem(task.error());
  const auto& spec = task->job.spec;
  const auto steps = spec.all_steps();
  const auto place = spec.place_of(task->id.index);
  std::vector<std::uint32_t> firsts;
  std::uint32_t first = 0;
  for (const auto& step : steps) {
    firsts.push_back(first);
    first += step.max_tasks();
  }
  std::map<std::string, payloads::ManifestFile> files;
  for (const auto other : steps[place.step].after) {
    const auto end = firsts[other] + steps[other].max_tasks();
    if (const auto added = add_inputs(api, task->job, firsts[other], end, files); !added)
      return http::problem(added.error());
  }
  for (const auto other : steps[place.step].pairs_with) {
    const auto partner = firsts[other] + (task->id.index - place.first);
    if (const auto added = add_inputs(api, task->job, partner, partner + 1, files); !added)
      return http::problem(added.error());
  }
  if (files.size() > payloads::max_manifest_files) {
    return http::problem(413, fmt::format("the steps before made {} files; a task may have {}", files.size(),
                                          payloads::max_manifest_files));
  }
  payloads::Manifest manifest;
  for (auto& [path, file] : files) manifest.files.push_back(std::move(file));
  return {.content_type = "application/json", .body = payloads::encode(manifest)};
}

// Nobody judges here whether the attempt may still win: its commit decides.
http::Response put_file(Api& api, http::Request& request) {
  const auto found = find_attempt(api, request);
  if (!found) return http::problem(found.error());
  const std::string& path = request.param("path");
  if (!payloads::is_safe_path(path)) {
    return http::problem(400,
                         fmt::format("'{}' is no relative path that stays in the job's output folder", path));
  }
  const std::string* field = request.field("content-digest");
  if (field == nullptr) {
    return http::problem(400,
                         "Content-Digest is missing; send sha-256=:<the SHA-256 of the body in base64>:");
  }
  const auto digest = runtime::from_content_digest(*field);
  if (!digest) return http::problem(digest.error());
  const std::uint64_t size = request.body->size();
  // What a template's command leaves behind may be empty; the node looked whether it is a picture.
  if (size == 0 && found->task.job.spec.steps.empty())
    return http::problem(400, "the file is empty; a frame has at least one byte");
  if (size > api.settings.max_file_bytes) {
    return http::problem(413,
                         fmt::format("{} bytes; a result may have {}", size, api.settings.max_file_bytes));
  }
  const TaskId& task = found->task.id;
  const Json answer = Json::object({{"path", path}, {"digest", *digest}, {"size", size}});
  if (api.storage.has_result(task, found->attempt, path, *digest)) return json_response(answer);
  auto upload = api.storage.put_result(task, found->attempt, path, size, *digest);
  if (!upload) return http::problem(upload.error());
  if (const auto received = receive(request, **upload); !received) return http::problem(received.error());
  if (const auto finished = (*upload)->finish(); !finished) {
    return finished.error().code == Code::invalid
               ? http::problem(422, Code::invalid, finished.error().message)
               : http::problem(finished.error());
  }
  return json_response(answer, 201);
}

http::Response put_log(Api& api, http::Request& request) {
  const auto found = find_attempt(api, request);
  if (!found) return http::problem(found.error());
  const std::uint64_t size = request.body->size();
  if (size > max_log_bytes) {
    return http::problem(
        413, fmt::format("a log of {} bytes; send at most {}, the end of it", size, max_log_bytes));
  }
  auto upload = api.storage.put_log(found->task.id, found->attempt, size);
  if (!upload) return http::problem(upload.error());
  if (const auto received = receive(request, **upload); !received) return http::problem(received.error());
  if (const auto finished = (*upload)->finish(); !finished) return http::problem(finished.error());
  return {.status = 204};
}

http::Response get_log(Api& api, http::Request& request) {
  const auto found = find_attempt(api, request);
  if (!found) return http::problem(found.error());
  auto log = api.storage.open_log(found->task.id, found->attempt);
  if (!log) return http::problem(log.error());
  return file_response(std::move(*log), "text/plain; charset=utf-8", false);
}

http::Response finish(Api& api, http::Request& request) {
  const auto found = find_attempt(api, request);
  if (!found) return http::problem(found.error());
  const auto body = request.body->read_all(max_report_bytes);
  if (!body) return http::problem(body.error());
  if (const std::string* field = request.field("content-digest")) {
    const auto digest = runtime::from_content_digest(*field);
    if (!digest) return http::problem(digest.error());
    if (*digest != runtime::digest_of(*body)) {
      return http::problem(
          422, Code::invalid,
          "the report is not what its Content-Digest says: it was damaged on its way, send it again");
    }
  }
  auto report = payloads::decode_result_report(*body);
  if (!report) return http::problem(report.error());
  // A done task's files lie in the output already: the farm answers duplicate or superseded.
  if (report->ok && found->task.row.state != scheduler::TaskState::done) {
    for (const auto& file : report->files) {
      if (api.storage.has_result(found->task.id, found->attempt, file.path, file.digest)) continue;
      return http::problem(422, Code::invalid,
                           fmt::format("'{}' was not uploaded for this attempt, or has another content: "
                                       "PUT it, then send the result again",
                                       file.path));
    }
  }
  const auto answer = api.farm.ask([&](scheduler::RequestId id) {
    return scheduler::FinishAttempt{id, found->task.id, found->attempt, *report};
  });
  if (!answer) return http::problem(answer.error());
  const auto* committed = std::get_if<scheduler::Committed>(&*answer);
  KILN_ASSERT(committed != nullptr);
  const bool is_lost = committed->verdict == payloads::Verdict::superseded;
  return json_response(Json::object({{"verdict", payloads::to_string(committed->verdict)}}),
                       is_lost ? 409 : 200);
}

// A node may hold frames of another farm: another controller had this address, or this one had another
// database. It says which farm it means, and every answer says which one this is: only the right one may
// judge them.
http::Handler for_this_farm(Api& api, http::Response (*handler)(Api&, http::Request&)) {
  return [&api, handler](http::Request& request) {
    const std::string* farm = request.field("kiln-farm");
    auto response =
        farm == nullptr || *farm == api.settings.farm
            ? handler(api, request)
            : http::problem(421, Code::conflict,
                            fmt::format("this is farm {}; the attempt was made for farm {}: keep it",
                                        api.settings.farm, *farm));
    response.set("Kiln-Farm", api.settings.farm);
    return response;
  };
}

}  // namespace

void add_task_routes(http::Router& router, Api& api) {
  using http::Method;
  const std::string attempt = "/api/v1/tasks/{task}/attempts/{n}";
  router.add(Method::get, "/api/v1/tasks/{task}",
             [&](http::Request& request) { return shown_task(api, find_task(api, request.param("task"))); });
  router.add(Method::get, "/api/v1/tasks/{task}/inputs",
             [&](http::Request& request) { return get_inputs(api, request); });
  router.add(Method::post, "/api/v1/tasks/{task}/accept",
             [&](http::Request& request) { return judge(api, request, accept_task); });
  router.add(Method::post, "/api/v1/tasks/{task}/requeue",
             [&](http::Request& request) { return judge(api, request, requeue_task); });
  router.add(Method::put, attempt + "/files/{path...}", for_this_farm(api, put_file));
  router.add(Method::put, attempt + "/log", for_this_farm(api, put_log));
  router.add(Method::get, attempt + "/log", [&](http::Request& request) { return get_log(api, request); });
  router.add(Method::post, attempt + "/result", for_this_farm(api, finish));
}

}  // namespace kiln::api
