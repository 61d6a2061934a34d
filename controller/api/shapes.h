// The farm's rows as the JSON that people and programs see. openapi.yaml describes each shape.
#pragma once

#include <cstdint>
#include <string>

#include "api/farm.h"
#include "base/json.h"
#include "scheduler/rows.h"

namespace kiln::api {

// `output_dir`: absolute, on the controller.
Json to_json(const scheduler::JobRow& job, const std::string& output_dir);
// `held`: what the node that works on it says now; null when none does.
Json to_json(const scheduler::TaskRow& task, const scheduler::JobRow& job, const payloads::HeldTask* held);
Json to_json(const scheduler::AttemptRow& attempt);
Json to_json(const scheduler::ResultRow& result);
Json to_json(const scheduler::NodeRow& node, const LiveNode& live);
Json to_json(const TelemetryPoint& point);  // [ts, temp_c, util_pct]; null where the box does not say
// What changes every second: {"id","tasks","warm","gpus","host"}.
Json live_json(const NodeId& node, const LiveNode& live);

}  // namespace kiln::api
