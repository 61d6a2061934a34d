#include "api/actions.h"

#include <fmt/format.h>

#include <algorithm>

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

// …and then gives what the farm answered.
template <class Answer, class Event>
Result<Answer> answer_about(Api& api, const std::string& job, Event event) {
  auto row = api.reader.job(job);
  if (!row) return fail(std::move(row.error()));
  event.job = row->id;
  auto answer = api.farm.ask([&](scheduler::RequestId request) {
    event.request = request;
    return scheduler::Event(event);
  });
  if (!answer) return fail(std::move(answer.error()));
  auto* value = std::get_if<Answer>(&*answer);
  KILN_ASSERT(value != nullptr);
  return std::move(*value);
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

Result<scheduler::JobRow> edit_job(Api& api, const std::string& job, scheduler::EditJob edit) {
  return ask_about(api, job, std::move(edit));
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

Result<std::uint32_t> requeue_tasks(Api& api, const std::string& job, scheduler::RequeueTasks wish) {
  const auto answer = answer_about<scheduler::Requeued>(api, job, std::move(wish));
  if (!answer) return fail(answer.error());
  return answer->tasks;
}

Result<std::vector<scheduler::Reason>> explain_job(Api& api, const std::string& job) {
  auto answer = answer_about<scheduler::Explanation>(api, job, scheduler::ExplainJob{});
  if (!answer) return fail(std::move(answer.error()));
  return std::move(answer->reasons);
}

Result<std::vector<std::uint64_t>> job_numbers(Api& api, const std::vector<std::string>& jobs) {
  std::vector<std::uint64_t> numbers;
  for (const auto& name : jobs) {
    const auto row = api.reader.job(name);
    if (!row) return fail(row.error());
    if (std::find(numbers.begin(), numbers.end(), row->number) == numbers.end())
      numbers.push_back(row->number);
  }
  return numbers;
}

Result<scheduler::NodeRow> edit_node(Api& api, const std::string& node, const NodeEdit& edit) {
  if (edit.has_settings) {
    auto changed = ask_about_node(api, node, edit.settings);
    if (!changed || !edit.drained) return changed;
  }
  return drain_node(api, node, edit.drained.value_or(false));
}

Result<scheduler::NodeRow> power_node(Api& api, const std::string& node, bool wake) {
  return ask_about_node(api, node, scheduler::PowerNode{0, {}, wake});
}

Status forget_node(Api& api, const std::string& node) {
  auto id = NodeId::parse(node);
  if (!id) return fail(std::move(id.error()));
  if (auto row = api.reader.node(*id); !row) return fail(std::move(row.error()));
  auto answer = api.farm.ask([&](scheduler::RequestId request) {
    return scheduler::ForgetNode{request, *id};
  });
  if (!answer) return fail(std::move(answer.error()));
  return {};
}

Status edit_farm(Api& api, scheduler::EditFarm edit) {
  auto answer = api.farm.ask([&](scheduler::RequestId request) {
    edit.request = request;
    return scheduler::Event(edit);
  });
  if (!answer) return fail(std::move(answer.error()));
  return {};
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

Json shown(Api& api, scheduler::JobRow job) {
  api.broadcaster.complete(job);
  return to_json(job, api.storage.output_dir(job.id), api.now().unix_ms);
}
Json shown(Api& api, scheduler::NodeRow node) {
  api.broadcaster.complete(node);
  return to_json(node, api.live.node(node.id), api.now().unix_ms);
}

}  // namespace kiln::api
