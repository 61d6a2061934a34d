#include "api/requests.h"

#include <fmt/format.h>

#include <array>

#include "api/actions.h"
#include "api/gate.h"
#include "api/shapes.h"
#include "http/problem.h"

namespace kiln::api {

namespace {

// protocol.md: 16 KiB a message; the rest is for the envelope.
constexpr std::size_t max_data_bytes = 14ULL * 1024;

struct Reply {
  int status = 200;
  Json data;
};

// Without what can be long; HTTP has it all.
Json brief(Json json) {
  if (json.dump().size() <= max_data_bytes) return json;
  Json out;
  for (const auto& [key, value] : *json.as_object()) {
    if (key != "warnings" && key != "frames" && key != "tasks" && key != "info" && key != "steps")
      out.set(key, value);
  }
  return out;
}

Result<std::string> named(const payloads::Request& request, std::string_view key) {
  const Json* value = request.body.find(key);
  if (value != nullptr && value->as_string() != nullptr) return *value->as_string();
  // A job's number is a number to whoever types it.
  if (value != nullptr && value->as_number() != nullptr && key == "job") return value->dump();
  return fail(Code::invalid, fmt::format("request.{0}: send {{\"cid\":…,\"{0}\":\"<id>\"}}", key));
}

Result<Reply> submit(Api& api, const std::string& user, const payloads::Request& request) {
  auto submission = payloads::decode_job_submission(request.body);
  if (!submission) return fail(std::move(submission.error()));
  auto submitted = submit_job(api, user, request.cid, *submission);
  if (!submitted) return fail(submitted.error().error());
  return Reply{submitted->is_duplicate ? 200 : 201, brief(shown(api, submitted->job))};
}

template <class Act>
Result<Reply> about(Api& api, const payloads::Request& request, std::string_view key, const Act& act) {
  auto name = named(request, key);
  if (!name) return fail(std::move(name.error()));
  auto row = act(*name);
  if (!row) return fail(std::move(row.error()));
  return Reply{200, brief(shown(api, *row))};
}

Result<Reply> requeue(Api& api, const std::string&, const payloads::Request& request) {
  auto job = named(request, "job");
  if (!job) return fail(std::move(job.error()));
  auto wish = read_requeue(request.body);
  if (!wish) return fail(std::move(wish.error()));
  auto tasks = requeue_tasks(api, *job, std::move(*wish));
  if (!tasks) return fail(std::move(tasks.error()));
  return Reply{200, Json::object({{"tasks", *tasks}})};
}

Result<Reply> set_priority(Api& api, const std::string&, const payloads::Request& request) {
  auto job = named(request, "job");
  if (!job) return fail(std::move(job.error()));
  JsonReader in(request.body, "request");
  int priority = 0;
  in.required("priority", priority, 0, 100);
  if (auto read = in.finish(0); !read) return fail(std::move(read.error()));
  scheduler::EditJob edit;
  edit.priority = priority;
  auto row = edit_job(api, *job, std::move(edit));
  if (!row) return fail(std::move(row.error()));
  return Reply{200, brief(shown(api, *row))};
}

// As many reasons as a message holds, and how many more there are.
Result<Reply> why(Api& api, const std::string&, const payloads::Request& request) {
  auto job = named(request, "job");
  if (!job) return fail(std::move(job.error()));
  auto reasons = explain_job(api, *job);
  if (!reasons) return fail(std::move(reasons.error()));
  Json list(Json::Array{});
  std::size_t bytes = 0;
  std::size_t left = reasons->size();
  for (const auto& reason : *reasons) {
    Json one = to_json(reason);
    bytes += one.dump().size() + 1;
    if (bytes > max_data_bytes) break;
    list.push(std::move(one));
    --left;
  }
  Json data = Json::object({{"reasons", std::move(list)}});
  if (left > 0) data.set("more", left);
  return Reply{200, std::move(data)};
}

Result<scheduler::JobRow> pause(Api& api, const std::string& job, bool paused) {
  scheduler::EditJob edit;
  edit.paused = paused;
  return edit_job(api, job, std::move(edit));
}

NodeEdit enabling(bool enabled) {
  NodeEdit edit;
  edit.settings.enabled = enabled;
  edit.has_settings = true;
  return edit;
}
NodeEdit rebooting() {
  NodeEdit edit;
  edit.settings.reboot = true;
  edit.has_settings = true;
  return edit;
}

struct Verb {
  std::string_view name;
  Least least;  // as of its sister in the gate's table; an artist steers own jobs only
  Result<Reply> (*act)(Api&, const std::string& user, const payloads::Request&);
};
using User = const std::string&;
using Ask = const payloads::Request&;
constexpr std::array verbs{
    Verb{"job-submit", Least::artist, submit},
    Verb{"job-status", Least::viewer,
         [](Api& api, User, Ask ask) {
           return about(api, ask, "job", [&](const std::string& id) { return api.reader.job(id); });
         }},
    Verb{"job-pause", Least::artist,
         [](Api& api, User, Ask ask) {
           return about(api, ask, "job", [&](const std::string& id) { return pause(api, id, true); });
         }},
    Verb{"job-resume", Least::artist,
         [](Api& api, User, Ask ask) {
           return about(api, ask, "job", [&](const std::string& id) { return pause(api, id, false); });
         }},
    Verb{"job-cancel", Least::artist,
         [](Api& api, User, Ask ask) {
           return about(api, ask, "job", [&](const std::string& id) { return cancel_job(api, id); });
         }},
    Verb{"job-retry", Least::artist,
         [](Api& api, User, Ask ask) {
           return about(api, ask, "job", [&](const std::string& id) { return retry_job(api, id); });
         }},
    Verb{"job-requeue", Least::artist, requeue},
    Verb{"job-priority", Least::artist, set_priority},
    Verb{"job-why", Least::viewer, why},
    Verb{"node-enable", Least::operator_,
         [](Api& api, User, Ask ask) {
           return about(api, ask, "node",
                        [&](const std::string& id) { return edit_node(api, id, enabling(true)); });
         }},
    Verb{"node-disable", Least::operator_,
         [](Api& api, User, Ask ask) {
           return about(api, ask, "node",
                        [&](const std::string& id) { return edit_node(api, id, enabling(false)); });
         }},
    Verb{"node-reboot", Least::operator_,
         [](Api& api, User, Ask ask) {
           return about(api, ask, "node",
                        [&](const std::string& id) { return edit_node(api, id, rebooting()); });
         }},
    Verb{"node-wake", Least::operator_,
         [](Api& api, User, Ask ask) {
           return about(api, ask, "node", [&](const std::string& id) { return power_node(api, id, true); });
         }},
    Verb{"node-sleep", Least::operator_,
         [](Api& api, User, Ask ask) {
           return about(api, ask, "node", [&](const std::string& id) { return power_node(api, id, false); });
         }},
    Verb{"node-drain", Least::operator_,
         [](Api& api, User, Ask ask) {
           return about(api, ask, "node", [&](const std::string& id) { return drain_node(api, id, true); });
         }},
    Verb{"node-resume", Least::operator_,
         [](Api& api, User, Ask ask) {
           return about(api, ask, "node", [&](const std::string& id) { return drain_node(api, id, false); });
         }},
    Verb{"node-forgive", Least::operator_,
         [](Api& api, User, Ask ask) {
           return about(api, ask, "node", [&](const std::string& id) { return forgive_node(api, id); });
         }},
};

Result<const Verb*> find_verb(std::string_view name) {
  std::string known;
  for (const auto& one : verbs) {
    if (one.name == name) return &one;
    known.append(known.empty() ? "" : ", ").append(one.name);
  }
  return fail(Code::not_found, fmt::format("'{}' is no request; there are {}", name, known));
}

// Errors: denied when it is somebody else's and the caller no operator. A job that is not there is for the
// verb to say.
Status check_owner(Api& api, const Caller& caller, const Verb& verb, const payloads::Request& request) {
  if (verb.least != Least::artist || caller.is(accounts::Role::operator_)) return {};
  const auto name = named(request, "job");
  if (!name) return {};
  const auto row = api.reader.job(*name);
  return row ? check_own(caller, *row) : Status();
}

Result<Reply> act(Api& api, const Caller& caller, const Verb& verb, const payloads::Request& request) {
  if (auto checked = check_cid(request.cid); !checked) return fail(std::move(checked.error()));
  if (auto allowed = check_role(caller, verb.least); !allowed) return fail(std::move(allowed.error()));
  if (auto allowed = check_owner(api, caller, verb, request); !allowed)
    return fail(std::move(allowed.error()));
  return verb.act(api, caller.name, request);
}

// "job 7: {…}": what a change was about. A submission's own text is long and is kept with its job.
std::string what_of(const Verb& verb, const payloads::Request& request, const Reply& reply) {
  const bool is_node = verb.name.starts_with("node-");
  if (verb.name == "job-submit") {
    const Json* id = reply.data.find("id");
    return fmt::format("job {}", id != nullptr && id->as_string() != nullptr ? *id->as_string() : "?");
  }
  const auto name = named(request, is_node ? "node" : "job");
  return fmt::format("{} {}: {}", is_node ? "node" : "job", name.value_or("?"), request.body.dump());
}

}  // namespace

payloads::Response handle_request(Api& api, const std::string& user, std::string_view verb,
                                  const payloads::Request& request) {
  payloads::Response response;
  response.cid = request.cid;
  const auto answer = [&]() -> Result<Reply> {
    if (auto checked = check_user(user); !checked) return fail(std::move(checked.error()));
    const auto caller = caller_of_mqtt(api, user);
    if (!caller) return fail(caller.error());
    const auto known = find_verb(verb);
    if (!known) return fail(known.error());
    auto reply = act(api, *caller, **known, request);
    if (reply && (*known)->least != Least::viewer) {
      log_deed(api, *caller, "mqtt", "REQUEST", fmt::format("request/{}/{}", user, verb),
               what_of(**known, request, *reply), reply->status);
    }
    return reply;
  };
  auto reply = answer();
  if (reply) {
    response.status = reply->status;
    response.data = std::move(reply->data);
  } else {
    response.status = http::status_of(reply.error().code);
    response.error = std::move(reply.error().message);
  }
  return response;
}

}  // namespace kiln::api
