// Whether a node is what a step asks for, by what the node says of itself and what its settings add. Whether
// it has room now is placement's business.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "scheduler/rows.h"

namespace kiln::scheduler {

// The first thing that the node lacks, as a clause for people that fits behind "n3: ": "it has 64216 MiB of
// memory; 256000 are asked for". nullopt: it is fit. Device::cpu lacks nothing anywhere: a node without a
// slot for it renders on the CPU beside its GPU. Counted limits are the farm's, not the node's.
std::optional<std::string> lacking(const Needs& needs, const std::vector<std::string>& job_tags,
                                   const NodeRow& node);

// Whether the node has fetched that renderer.
bool has_bundle(const NodeRow& node, const payloads::Bundle& bundle);

// How much of that amount the node has: 0 of what nobody knows ("acme:amount.scanner"). nullopt where a node
// does not say, so that nothing can be held against it: amount.worker.disk.scratch.
std::optional<double> amount_of(const NodeRow& node, std::string_view name);
// Those of its info and those of its settings, in lower case, each once.
std::vector<std::string> tags_of(const NodeRow& node);
// An amount for people, in its unit: "256000 MiB of memory", "2 GPUs", "3 of acme:amount.scanner".
std::string amount_text(std::string_view name, double value);

}  // namespace kiln::scheduler
