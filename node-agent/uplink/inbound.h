// MQTT messages as the planner's facts. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "planner/facts.h"

namespace kiln::uplink {

// A command that does not decode is a fact too (it gets answered). `random` spreads the answers to a rebirth.
// Errors: invalid for a status that does not decode or a topic that nobody subscribed to; names both.
Result<planner::Fact> read_message(const NodeId& node, std::string_view topic, std::string_view payload,
                                   bool is_retained, std::uint32_t random);

}  // namespace kiln::uplink
