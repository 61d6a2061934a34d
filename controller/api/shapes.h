// The farm's rows as the JSON that people and programs see. openapi.yaml describes each shape.
#pragma once

#include <cstdint>
#include <string>

#include "api/farm.h"
#include "base/json.h"
#include "scheduler/rows.h"

namespace kiln::api {

// `output_dir`: absolute, on the controller. `now_ms`: unix; what is left, and whether a node's hours are on,
// is as of then.
Json to_json(const scheduler::JobRow& job, const std::string& output_dir, std::int64_t now_ms);
// `held`: what the node that works on it says now; null when none does.
Json to_json(const scheduler::TaskRow& task, const scheduler::JobRow& job, const payloads::HeldTask* held);
Json to_json(const scheduler::AttemptRow& attempt);
Json to_json(const scheduler::ResultRow& result);
Json to_json(const scheduler::NodeRow& node, const LiveNode& live, std::int64_t now_ms);
Json to_json(const scheduler::FarmSettings& settings);  // {"fair_share","limits"}
Json to_json(const scheduler::RendererRow& renderer);
// "project", "sequence", "shot", as far as they are there.
void set_production(Json& json, const payloads::Production& production);
Json to_json(const scheduler::Reason& reason);
Json to_json(const scheduler::Waste& waste);
Json to_json(const scheduler::NodeUse& use);
Json to_json(const TelemetryPoint& point);  // [ts, temp_c, util_pct]; null where the box does not say
// What changes every second: {"id","tasks","warm","gpus","host"}.
Json live_json(const NodeId& node, const LiveNode& live);

}  // namespace kiln::api
