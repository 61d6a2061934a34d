#include "rollout/rows.h"

#include <algorithm>
#include <array>
#include <utility>

namespace kiln::rollout {

namespace {

constexpr std::array states{std::pair{State::running, "running"}, std::pair{State::paused, "paused"},
                            std::pair{State::halted, "halted"}, std::pair{State::done, "done"},
                            std::pair{State::stopped, "stopped"}};
constexpr std::array steps{std::pair{Step::waiting, "waiting"}, std::pair{Step::updating, "updating"},
                           std::pair{Step::good, "good"},       std::pair{Step::rolled_back, "rolled-back"},
                           std::pair{Step::failed, "failed"},   std::pair{Step::skipped, "skipped"}};
constexpr std::size_t max_nodes = 10'000;
constexpr std::size_t max_windows = 32;

template <class Table, class Value>
std::string_view name_in(const Table& table, Value value) {
  return std::find_if(table.begin(), table.end(), [&](const auto& one) { return one.first == value; })
      ->second;
}
template <class Value, class Table>
std::optional<Value> value_in(const Table& table, std::string_view text) {
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const auto& one) { return one.second == text; });
  if (found == table.end()) return std::nullopt;
  return found->first;
}

}  // namespace

std::string_view to_string(State state) {
  return name_in(states, state);
}
std::optional<State> parse_state(std::string_view text) {
  return value_in<State>(states, text);
}
std::string_view to_string(Step step) {
  return name_in(steps, step);
}
std::optional<Step> parse_step(std::string_view text) {
  return value_in<Step>(steps, text);
}

Json to_json(const Plan& plan) {
  Json nodes{Json::Array()};
  for (const auto& node : plan.nodes) nodes.push(node.str());
  Json window{Json::Array()};
  for (const auto& one : plan.window)
    window.push(Json::object({{"days", one.days}, {"from_min", one.from_min}, {"to_min", one.to_min}}));
  return Json::object({{"image", plan.image},
                       {"version", plan.version},
                       {"machine", plan.machine},
                       {"bytes", plan.bytes},
                       {"canary_pct", plan.canary_pct},
                       {"soak_s", plan.soak_s},
                       {"at_once", plan.at_once},
                       {"nodes", std::move(nodes)},
                       {"window", std::move(window)},
                       {"by", plan.by}});
}

Result<Plan> parse_plan(const Json& json) {
  Plan plan;
  JsonReader in(json, "plan");
  in.required("image", plan.image);
  in.required("version", plan.version);
  in.required("machine", plan.machine);
  in.required("bytes", plan.bytes);
  in.required("canary_pct", plan.canary_pct);
  in.required("soak_s", plan.soak_s);
  in.required("at_once", plan.at_once);
  in.optional("by", plan.by);
  if (const auto* nodes = in.array("nodes", max_nodes)) {
    for (const auto& node : *nodes) {
      auto id = NodeId::parse(node.as_string() != nullptr ? *node.as_string() : "");
      if (!id) return fail(std::move(id.error()));
      plan.nodes.push_back(std::move(*id));
    }
  }
  if (const auto* window = in.array("window", max_windows)) {
    for (const auto& one : *window) {
      constexpr std::uint32_t all_days = 0x7F;
      std::uint32_t days = 0, from_min = 0, to_min = 0;
      JsonReader part(one, "plan.window");
      part.required("days", days, all_days);
      part.required("from_min", from_min, scheduler::day_min);
      part.required("to_min", to_min, scheduler::day_min);
      if (auto read = part.finish(0); !read) return fail(std::move(read.error()));
      plan.window.push_back({static_cast<std::uint8_t>(days), static_cast<std::uint16_t>(from_min),
                             static_cast<std::uint16_t>(to_min)});
    }
  }
  return in.finish(std::move(plan));
}

}  // namespace kiln::rollout
