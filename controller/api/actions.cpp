#include "api/actions.h"

#include <fmt/format.h>

#include "api/shapes.h"
#include "base/text.h"

namespace kiln::api {

namespace {

constexpr std::size_t max_user = 64;
constexpr std::size_t max_cid = 128;

// Asks for an event about that job, then reads the job again: the database has the change by then.
template <class Event>
Result<scheduler::JobRow> ask_about(Api& api, const std::string& job, Event event) {
  auto row = api.reader.job(job);
  if (!row) return row;
  event.job = row->id;
  auto answer = api.farm.ask([&](scheduler::RequestId request) {
    event.request = request;
    return scheduler::Event(event);
  });
  if (!answer) return fail(std::move(answer.error()));
  return api.reader.job(row->id.str());
}

template <class Event>
Result<scheduler::NodeRow> ask_about_node(Api& api, const std::string& node, Event event) {
  auto id = NodeId::parse(node);
  if (!id) return fail(std::move(id.error()));
  auto row = api.reader.node(*id);
  if (!row) return row;
  event.node = *id;
  auto answer = api.farm.ask([&](scheduler::RequestId request) {
    event.request = request;
    return scheduler::Event(event);
  });
  if (!answer) return fail(std::move(answer.error()));
  return api.reader.node(*id);
}

}  // namespace

Result<scheduler::JobRow> edit_job(Api& api, const std::string& job, std::optional<int> priority,
                                   std::optional<bool> paused) {
  return ask_about(api, job, scheduler::EditJob{0, {}, priority, paused});
}
Result<scheduler::JobRow> cancel_job(Api& api, const std::string& job) {
  return ask_about(api, job, scheduler::CancelJob{});
}
Result<scheduler::JobRow> retry_job(Api& api, const std::string& job) {
  return ask_about(api, job, scheduler::RetryJob{});
}

Status delete_job(Api& api, const std::string& job) {
  auto row = api.reader.job(job);
  if (!row) return fail(std::move(row.error()));
  auto answer = api.farm.ask([&](scheduler::RequestId request) {
    return scheduler::DeleteJob{request, row->id};
  });
  if (!answer) return fail(std::move(answer.error()));
  return {};
}

Result<scheduler::NodeRow> drain_node(Api& api, const std::string& node, bool drained) {
  return ask_about_node(api, node, scheduler::DrainNode{0, {}, drained});
}
Result<scheduler::NodeRow> forgive_node(Api& api, const std::string& node) {
  return ask_about_node(api, node, scheduler::ForgiveNode{});
}

Status accept_task(Api& api, const TaskId& task) {
  auto answer = api.farm.ask([&](scheduler::RequestId request) {
    return scheduler::AcceptTask{request, task};
  });
  if (!answer) return fail(std::move(answer.error()));
  return {};
}
Status requeue_task(Api& api, const TaskId& task) {
  auto answer = api.farm.ask([&](scheduler::RequestId request) {
    return scheduler::RequeueTask{request, task};
  });
  if (!answer) return fail(std::move(answer.error()));
  return {};
}

Status check_user(std::string_view user) {
  if (!user.empty() && user.size() <= max_user && is_one_line(user)) return {};
  return fail(Code::invalid,
              fmt::format("the user's name must be 1 to {} bytes of text on one line", max_user));
}

Status check_cid(std::string_view cid) {
  if (cid.size() <= max_cid && is_one_line(cid)) return {};
  return fail(Code::invalid,
              fmt::format("the idempotency key must be at most {} bytes of text on one line", max_cid));
}

Json shown(Api& api, const scheduler::JobRow& job) {
  return to_json(job, api.storage.output_dir(job.id));
}
Json shown(Api& api, const scheduler::NodeRow& node) {
  return to_json(node, api.live.node(node.id));
}

}  // namespace kiln::api
