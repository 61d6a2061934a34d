#include "box/verdict.h"

#include <fmt/format.h>

namespace kiln::box {

Json to_json(const Trial& trial) {
  Json boots = Json::Array();
  for (const auto& boot : trial.boots) boots.push(boot);
  return Json::object({{"slot", trial.slot},
                       {"version", trial.version},
                       {"boot", trial.boot},
                       {"installed", trial.installed},
                       {"online_before", trial.online_before},
                       {"link_before", trial.link_before},
                       {"gpus_before", trial.gpus_before},
                       {"boots", std::move(boots)},
                       {"reason", trial.reason}});
}

Result<Trial> parse_trial(const Json& json) {
  Trial out;
  JsonReader in(json, "trial.json");
  in.required("slot", out.slot);
  in.optional("version", out.version);
  in.optional("boot", out.boot);
  in.optional("installed", out.installed);
  in.optional("online_before", out.online_before);
  in.optional("link_before", out.link_before);
  in.optional("gpus_before", out.gpus_before);
  in.optional("reason", out.reason, 4096);
  if (const auto* boots = in.array("boots", 100)) {
    for (const auto& boot : *boots) {
      if (boot.as_string() != nullptr) out.boots.push_back(*boot.as_string());
    }
  }
  return in.finish(std::move(out));
}

std::string missing(const HealthFacts& facts) {
  const auto& before = *facts.trial;
  if (!facts.agent_active) return "the agent is not running";
  if (!facts.data_writable) return "the data partition cannot be written";
  if (before.link_before && !facts.link) return "no network link, and there was one before the update";
  if (facts.gpus < before.gpus_before) {
    return fmt::format("{} of {} GPUs have a driver", facts.gpus, before.gpus_before);
  }
  // Only then: an outage of the controller never rolls a farm back.
  if (before.online_before && !facts.controller_reachable) {
    return "the controller is not reached, and it was before the update";
  }
  return {};
}

Verdict judge(const HealthFacts& facts, double well_s) {
  using Kind = Verdict::Kind;
  if (!facts.trial) return {Kind::settled, ""};
  const auto& trial = *facts.trial;
  if (trial.slot != facts.slot) {
    if (trial.boot == facts.boot) return {Kind::pending, ""};
    if (!trial.installed)
      return {Kind::interrupted, fmt::format("the installation of {} was cut off", trial.version)};
    return {Kind::rolled_back, fmt::format("the update {} was given up: {}", trial.version,
                                           trial.reason.empty() ? "it did not start" : trial.reason)};
  }
  const auto what = missing(facts);
  if (what.empty()) return well_s >= min_well_s ? Verdict{Kind::good, ""} : Verdict{Kind::wait, ""};
  if (facts.agent_restarts >= max_agent_restarts) {
    return {Kind::bad, fmt::format("{}; it was started {} times", what, facts.agent_restarts + 1)};
  }
  if (facts.up_s >= max_trial_s) return {Kind::bad, what};
  return {Kind::wait, what};
}

}  // namespace kiln::box
