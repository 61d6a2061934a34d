// Requests that come over MQTT: the same actions as over HTTP.
#pragma once

#include <string>
#include <string_view>

#include "api/api.h"
#include "payloads/messages.h"

namespace kiln::api {

// Verbs: job-submit (a JobSubmission beside the cid); job-pause, job-resume, job-cancel, job-retry,
// job-status, job-why ({"job": id or number}), job-priority (and "priority"), job-requeue (and "which",
// "step", "frames" as over HTTP); node-drain, node-resume, node-forgive, node-enable, node-disable,
// node-reboot, node-wake, node-sleep ({"node": id}). Answers as HTTP would: status, error, and the job or
// node as data (of job-why the reasons, of job-requeue the number of tasks), short enough for a message.
// What each verb takes is as over HTTP; `user` is who the broker says it is (see caller_of_mqtt).
// Blocks like an HTTP request; thread-safe.
payloads::Response handle_request(Api& api, const std::string& user, std::string_view verb,
                                  const payloads::Request& request);

}  // namespace kiln::api
