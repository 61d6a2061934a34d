// Messages as they cross the wire, for the simulations that send every one through its text.
#pragma once

#include <string>

#include "broker.h"

namespace kiln::sim {

std::string topic_text(const Topic& topic, const NodeId& node);
std::string encode(const Body& body);

}  // namespace kiln::sim
