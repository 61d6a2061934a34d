// What people can ask the farm to do, the same over HTTP and MQTT.
#pragma once

#include <string>
#include <vector>

#include "api/api.h"
#include "api/edits.h"
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
// the job's state forbids it. `edit`: its job and request are filled in.
Result<scheduler::JobRow> edit_job(Api& api, const std::string& job, scheduler::EditJob edit);
Result<scheduler::JobRow> cancel_job(Api& api, const std::string& job);
Result<scheduler::JobRow> retry_job(Api& api, const std::string& job);
Status delete_job(Api& api, const std::string& job);
// How many tasks are queued again. `wish`: its job and request are filled in.
Result<std::uint32_t> requeue_tasks(Api& api, const std::string& job, scheduler::RequeueTasks wish);
// Why its tasks wait.
Result<std::vector<scheduler::Reason>> explain_job(Api& api, const std::string& job);
// The numbers of jobs named by id or number, each once. Errors: not_found.
Result<std::vector<std::uint64_t>> job_numbers(Api& api, const std::vector<std::string>& jobs);
Result<scheduler::NodeRow> drain_node(Api& api, const std::string& node, bool drained);
Result<scheduler::NodeRow> forgive_node(Api& api, const std::string& node);
Result<scheduler::NodeRow> edit_node(Api& api, const std::string& node, const NodeEdit& edit);
Result<scheduler::NodeRow> power_node(Api& api, const std::string& node, bool wake);
Status forget_node(Api& api, const std::string& node);
Status edit_farm(Api& api, scheduler::EditFarm edit);
// What a person says of a frame that is held for a look: it is right; or it is to be rendered again.
Status accept_task(Api& api, const TaskId& task);
Status requeue_task(Api& api, const TaskId& task);

// Who asks, as a header or a topic names them: 1 to 64 bytes on one line. Errors: invalid.
Status check_user(std::string_view user);
// A client's idempotency key: at most 128 bytes on one line; "" for none. Errors: invalid.
Status check_cid(std::string_view cid);

// A job with the folder its frames go to; both with what no database holds (an estimate, heat).
Json shown(Api& api, scheduler::JobRow job);
Json shown(Api& api, scheduler::NodeRow node);

}  // namespace kiln::api
