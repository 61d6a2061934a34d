// What a PATCH or a request asks to change, read once for both ways in. An absent field stays as it is.
#pragma once

#include <optional>
#include <string>

#include "api/api.h"
#include "base/json.h"
#include "base/result.h"
#include "scheduler/events.h"

namespace kiln::api {

struct NodeEdit {
  scheduler::EditNode settings;
  bool has_settings = false;  // at least one of `settings` is there
  std::optional<bool> drained;
};

// Errors: invalid with the field and what would be right; a body that changes nothing is one.
// Jobs that `after` names are looked up. Errors: also not_found.
Result<scheduler::EditJob> read_job_edit(Api& api, const Json& body);
Result<NodeEdit> read_node_edit(const Json& body);
Result<scheduler::EditFarm> read_farm_edit(const Json& body);
// {"which":"failed"|"all","step","frames"}
Result<scheduler::RequeueTasks> read_requeue(const Json& body);

}  // namespace kiln::api
