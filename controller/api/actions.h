// What people can ask the farm to do, the same over HTTP and MQTT.
#pragma once

#include <optional>
#include <string>

#include "api/api.h"
#include "compiler/compile.h"
#include "payloads/http_bodies.h"

namespace kiln::api {

struct Submitted {
  scheduler::JobRow job;
  bool is_duplicate = false;  // the same user sent the same cid before
};

// Compiles the submission and checks it against the farm (files, the scene's Blender version, what the nodes
// have, the jobs it waits for), stores its manifest and document and hands it to the scheduler. Refused with
// everything that is wrong with it, each problem saying what to do; or as the farm refuses.
compiler::Accepted<Submitted> submit_job(Api& api, const std::string& user, const std::string& cid,
                                         const payloads::JobSubmission& submission);

// `job`: an id or a number. Each gives the job as it is afterwards. Errors: not_found; invalid; conflict when
// the job's state forbids it.
Result<scheduler::JobRow> edit_job(Api& api, const std::string& job, std::optional<int> priority,
                                   std::optional<bool> paused);
Result<scheduler::JobRow> cancel_job(Api& api, const std::string& job);
Result<scheduler::JobRow> retry_job(Api& api, const std::string& job);
Status delete_job(Api& api, const std::string& job);
Result<scheduler::NodeRow> drain_node(Api& api, const std::string& node, bool drained);
Result<scheduler::NodeRow> forgive_node(Api& api, const std::string& node);
// What a person says of a frame that is held for a look: it is right; or it is to be rendered again.
Status accept_task(Api& api, const TaskId& task);
Status requeue_task(Api& api, const TaskId& task);

// Who asks, as a header or a topic names them: 1 to 64 bytes on one line. Errors: invalid.
Status check_user(std::string_view user);
// A client's idempotency key: at most 128 bytes on one line; "" for none. Errors: invalid.
Status check_cid(std::string_view cid);

// A job with the folder its frames go to.
Json shown(Api& api, const scheduler::JobRow& job);
Json shown(Api& api, const scheduler::NodeRow& node);

}  // namespace kiln::api
