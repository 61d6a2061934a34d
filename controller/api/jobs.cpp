#include <fmt/format.h>

#include "api/gate.h"
#include "api/routes.h"
#include "api/shapes.h"

namespace kiln::api {

namespace {

// A submission carries its manifest: a hundred thousand files with their paths and digests.
constexpr std::size_t max_submission_bytes = payloads::max_manifest_bytes;
constexpr std::size_t max_patch_bytes = 8ULL * 1024;
constexpr std::size_t max_requeue_bytes = 16ULL * 1024;  // a list of frames may be long

http::Response job_response(Api& api, const Result<scheduler::JobRow>& job, int status = 200) {
  return job ? json_response(shown(api, *job), status) : http::problem(job.error());
}

// A submission of 100,000 files takes some hundred MiB while it is parsed: of such, few at once.
class LargeBody {
 public:
  LargeBody(std::atomic<int>& count, std::uint64_t bytes) : count_(count), is_large_(bytes > large_bytes) {
    if (is_large_) is_taken_ = ++count_ <= at_once;
  }
  ~LargeBody() {
    if (is_large_) --count_;
  }
  LargeBody(const LargeBody&) = delete;
  LargeBody& operator=(const LargeBody&) = delete;
  [[nodiscard]] bool is_taken() const { return is_taken_; }

 private:
  static constexpr std::uint64_t large_bytes = 1U << 20U;
  static constexpr int at_once = 2;
  std::atomic<int>& count_;
  bool is_large_;
  bool is_taken_ = true;
};

// Problem JSON with everything that is wrong as a list besides.
http::Response refused(const compiler::Refusal& refusal) {
  auto response = http::problem(refusal.error());
  if (refusal.problems.size() < 2 && refusal.problems.front().path.empty()) return response;
  Json list(Json::Array{});
  for (const auto& one : refusal.problems)
    list.push(Json::object({{"path", one.path}, {"message", as_sentence(one.message)}}));
  auto json = Json::parse(std::get<std::string>(response.body));
  KILN_ASSERT(json.has_value());
  json->set("problems", std::move(list));
  if (refusal.left_out > 0) json->set("problems_left_out", refusal.left_out);
  response.body = json->dump();
  return response;
}

http::Response submit(Api& api, http::Request& request) {
  const auto user = user_of(request);
  if (!user) return http::problem(user.error());
  const std::string* key = request.field("idempotency-key");
  const std::string cid = key == nullptr ? "" : *key;
  if (const auto checked = check_cid(cid); !checked) return http::problem(checked.error());
  const LargeBody turn(api.large_bodies, request.body->size());
  if (!turn.is_taken())
    return http::problem(503, "other large submissions are being read; try again in a moment");
  const auto body = request.body->read_all(max_submission_bytes);
  if (!body) return http::problem(body.error());
  const auto submission = payloads::decode_job_submission(std::string_view(*body));
  if (!submission) return http::problem(submission.error());
  const auto submitted = submit_job(api, *user, cid, *submission);
  if (!submitted) return refused(submitted.error());
  http::Response response = json_response(shown(api, submitted->job), submitted->is_duplicate ? 200 : 201);
  response.set("Location", "/api/v1/jobs/" + submitted->job.id.str());
  return response;
}

http::Response list(Api& api, http::Request& request) {
  JobQuery query;
  if (const std::string* state = request.query_value("state")) {
    constexpr std::string_view states[] = {"queued", "running", "paused", "done", "failed", "cancelled"};
    if (std::find(std::begin(states), std::end(states), *state) == std::end(states)) {
      return http::problem(
          400,
          fmt::format("?state={}: queued, running, paused, done, failed or cancelled is expected", *state));
    }
    query.state = *state;
  }
  if (const std::string* user = request.query_value("user")) query.user = *user;
  if (const std::string* project = request.query_value("project")) query.project = *project;
  if (const std::string* sequence = request.query_value("sequence")) query.sequence = *sequence;
  if (const std::string* shot = request.query_value("shot")) query.shot = *shot;
  if (const auto page = read_page(request, "before", &JobQuery::before, query); !page)
    return http::problem(page.error());
  const auto jobs = api.reader.jobs(query);
  if (!jobs) return http::problem(jobs.error());
  return list_response("jobs", *jobs, [&](const scheduler::JobRow& job) { return shown(api, job); });
}

http::Response patch(Api& api, http::Request& request) {
  const auto body = request.body->read_all(max_patch_bytes);
  if (!body) return http::problem(body.error());
  const auto json = Json::parse(*body);
  if (!json) return http::problem(json.error());
  const auto edit = read_job_edit(api, *json);
  if (!edit) return http::problem(edit.error());
  caller_of(request).what = json->dump();
  return job_response(api, edit_job(api, request.param("id"), *edit));
}

http::Response requeue(Api& api, http::Request& request) {
  const auto body = request.body->read_all(max_requeue_bytes);
  if (!body) return http::problem(body.error());
  const auto json = Json::parse(*body);
  if (!json) return http::problem(json.error());
  const auto wish = read_requeue(*json);
  if (!wish) return http::problem(wish.error());
  caller_of(request).what = json->dump();
  const auto tasks = requeue_tasks(api, request.param("id"), *wish);
  if (!tasks) return http::problem(tasks.error());
  return json_response(Json::object({{"tasks", *tasks}}));
}

http::Response why(Api& api, http::Request& request) {
  const auto reasons = explain_job(api, request.param("id"));
  if (!reasons) return http::problem(reasons.error());
  return list_response("reasons", *reasons, [](const scheduler::Reason& reason) { return to_json(reason); });
}

http::Response tasks(Api& api, http::Request& request) {
  const auto job = api.reader.job(request.param("id"));
  if (!job) return http::problem(job.error());
  TaskQuery query;
  if (const std::string* text = request.query_value("state")) {
    using enum scheduler::TaskState;
    for (const auto state : {queued, assigned, running, done, failed, cancelled}) {
      if (scheduler::to_string(state) == *text) query.state = state;
    }
    query.held = *text == scheduler::to_string(scheduler::Review::held);
    if (!query.state && !query.held) {
      return http::problem(
          400,
          fmt::format("?state={}: queued, assigned, running, done, failed, cancelled or held is expected",
                      *text));
    }
  }
  if (const auto page = read_page(request, "from", &TaskQuery::from, query); !page)
    return http::problem(page.error());
  if (const std::string* name = request.query_value("step")) {
    const auto step = step_of(*job, *name);
    if (!step) return http::problem(step.error());
    query.step = *step;
  }
  const auto rows = api.reader.tasks(*job, query);
  if (!rows) return http::problem(rows.error());

  std::map<NodeId, LiveNode> nodes;  // each asked once
  return list_response("tasks", *rows, [&](const scheduler::TaskRow& row) {
    const payloads::HeldTask* held = nullptr;
    const bool is_held =
        row.state == scheduler::TaskState::assigned || row.state == scheduler::TaskState::running;
    if (is_held && !row.node.empty()) {
      const auto [found, is_new] = nodes.try_emplace(row.node);
      if (is_new) found->second = api.live.node(row.node);
      for (const auto& one : found->second.tasks.run) {
        if (one.task == row.id && one.attempt == row.attempt) held = &one;
      }
    }
    return to_json(row, *job, held);
  });
}

}  // namespace

void add_job_routes(http::Router& router, Api& api) {
  using http::Method;
  router.add(Method::post, "/api/v1/jobs", [&](http::Request& request) { return submit(api, request); });
  router.add(Method::get, "/api/v1/jobs", [&](http::Request& request) { return list(api, request); });
  router.add(Method::get, "/api/v1/jobs/{id}",
             [&](http::Request& request) { return job_response(api, api.reader.job(request.param("id"))); });
  router.add(Method::patch, "/api/v1/jobs/{id}", [&](http::Request& request) { return patch(api, request); });
  router.add(Method::delete_, "/api/v1/jobs/{id}", [&](http::Request& request) {
    const auto deleted = delete_job(api, request.param("id"));
    return deleted ? http::Response{.status = 204} : http::problem(deleted.error());
  });
  router.add(Method::post, "/api/v1/jobs/{id}/cancel",
             [&](http::Request& request) { return job_response(api, cancel_job(api, request.param("id"))); });
  router.add(Method::post, "/api/v1/jobs/{id}/retry",
             [&](http::Request& request) { return job_response(api, retry_job(api, request.param("id"))); });
  router.add(Method::post, "/api/v1/jobs/{id}/requeue",
             [&](http::Request& request) { return requeue(api, request); });
  router.add(Method::get, "/api/v1/jobs/{id}/why", [&](http::Request& request) { return why(api, request); });
  router.add(Method::get, "/api/v1/jobs/{id}/tasks",
             [&](http::Request& request) { return tasks(api, request); });
}

}  // namespace kiln::api
