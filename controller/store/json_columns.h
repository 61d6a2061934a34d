// Columns that are JSON: what grows with every version and is searched by nobody. "" stands for what is empty
// or as it is by default, so that a job without it costs nothing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "scheduler/rows.h"

namespace kiln::store {

std::string options_text(const payloads::RenderOptions& options);
std::string warnings_text(const std::vector<std::string>& warnings);
std::string steps_text(const std::vector<scheduler::StepSpec>& steps);
std::string counts_text(const std::vector<payloads::TaskCounts>& counts);
std::string limits_text(const std::vector<payloads::LimitUse>& limits);
std::string bundle_text(const payloads::Bundle& bundle);
std::string wishes_text(const scheduler::JobWishes& wishes);
std::string settings_text(const scheduler::NodeSettings& settings);

// Each reads what its counterpart wrote; members that are not there keep their default. None is asked of "".
Result<payloads::RenderOptions> parse_options(std::string_view text);
Result<std::vector<std::string>> parse_warnings(std::string_view text);
Result<std::vector<scheduler::StepSpec>> parse_steps(std::string_view text);
Result<std::vector<payloads::TaskCounts>> parse_counts(std::string_view text);
Result<std::vector<payloads::LimitUse>> parse_limits(std::string_view text);
Result<payloads::Bundle> parse_bundle(std::string_view text);
Result<scheduler::JobWishes> parse_wishes(std::string_view text);
Result<scheduler::NodeSettings> parse_settings(std::string_view text);

}  // namespace kiln::store
