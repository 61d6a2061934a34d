#include "compiler/feasible.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "scheduler/matching.h"

namespace kiln::compiler {

namespace {

using scheduler::Needs;
using scheduler::NodeRow;
using Nodes = std::vector<NodeRow>;

constexpr std::size_t nodes_shown = 3;

std::string name_of(const NodeRow& node) {
  return node.info.name.empty() ? node.id.str() : node.info.name;
}

bool some_node_has(const Needs& needs, const std::vector<std::string>& tags, const Nodes& nodes) {
  return std::any_of(nodes.begin(), nodes.end(),
                     [&](const NodeRow& node) { return !scheduler::lacking(needs, tags, node); });
}

Needs only_amount(const scheduler::Amount& amount) {
  Needs needs;
  needs.amounts = {amount};
  return needs;
}

// "amount.worker.memory 256000 MiB; the largest node, n3, has 64216"
std::string amount_refusal(const scheduler::Amount& amount, const Nodes& nodes) {
  const auto of = [&](const NodeRow& node) { return scheduler::amount_of(node, amount.name).value_or(0); };
  const auto less = [&](const NodeRow& a, const NodeRow& b) { return of(a) < of(b); };
  const auto largest = std::max_element(nodes.begin(), nodes.end(), less);
  const bool is_mib = amount.name == "amount.worker.memory" || amount.name == "amount.worker.gpu.memory";
  const auto unit = is_mib ? " MiB" : "";
  if (of(*largest) < amount.min) {
    return fmt::format("{} {:.10g}{}; the largest node, {}, has {:.10g}", amount.name, amount.min, unit,
                       name_of(*largest), of(*largest));
  }
  const auto smallest = std::min_element(nodes.begin(), nodes.end(), less);
  return fmt::format("{} of {:.10g} to {:.10g}{}; no node is in between: {} has {:.10g}, {} has {:.10g}",
                     amount.name, amount.min, amount.max.value_or(0), unit, name_of(*smallest), of(*smallest),
                     name_of(*largest), of(*largest));
}

// What each node that comes nearest lacks; those that fail last are nearest: lacking() asks for renderer and
// device first.
std::string nearest(const Needs& needs, const std::vector<std::string>& tags, const Nodes& nodes) {
  std::vector<std::string> lines;
  for (const auto& node : nodes) {
    if (lines.size() == nodes_shown) {
      lines.push_back(fmt::format("{} more", nodes.size() - nodes_shown));
      break;
    }
    lines.push_back(fmt::format("{}: {}", name_of(node), scheduler::lacking(needs, tags, node).value_or("")));
  }
  return fmt::format("{}", fmt::join(lines, "; "));
}

// The first requirement that no node meets even by itself, else that they do not come together.
std::string refusal(const Needs& needs, const std::vector<std::string>& tags, const Nodes& nodes) {
  Needs one;
  one.renderer = needs.renderer;
  if (!some_node_has(one, {}, nodes)) {
    return fmt::format(
        "no node has {0}: install {0} on a node (on Debian: apt install {0}) and restart its kiln-agent, "
        "then "
        "submit again",
        needs.renderer);
  }
  one.bundle = needs.bundle;
  if (!some_node_has(one, {}, nodes)) {
    return fmt::format("no node has {} or takes it from the farm; {}", needs.bundle.name,
                       nearest(one, {}, nodes));
  }
  one.device = needs.device;
  if (!some_node_has(one, {}, nodes)) {
    return fmt::format(
        "the job asks for a GPU, and none of the farm's nodes{} has one: leave it out to render on their "
        "CPUs, "
        "or add a box with a GPU and its driver",
        needs.renderer.empty() ? std::string() : " with " + needs.renderer);
  }
  for (const auto& tag : tags) {
    if (some_node_has({}, {tag}, nodes)) continue;
    return fmt::format("no node has the tag {}; {}", tag, nearest({}, {tag}, nodes));
  }
  for (const auto& attribute : needs.attributes) {
    one = {};
    one.attributes = {attribute};
    if (some_node_has(one, {}, nodes)) continue;
    std::vector<std::string> values;
    for (const auto& value : attribute.all_of) values.push_back(value);
    if (!attribute.any_of.empty()) values.push_back(fmt::format("{}", fmt::join(attribute.any_of, " or ")));
    return fmt::format("asks for {} {}, and no node is such; {}", attribute.name, fmt::join(values, " and "),
                       nearest(one, {}, nodes));
  }
  for (const auto& amount : needs.amounts) {
    if (!some_node_has(only_amount(amount), {}, nodes)) return "asks for " + amount_refusal(amount, nodes);
  }
  return fmt::format("no node has all that it asks for; {}", nearest(needs, tags, nodes));
}

}  // namespace

std::vector<Problem> impossible(const CompiledJob& job, const Nodes& nodes) {
  const auto is_new = [](const NodeRow& node) { return node.info.agent_version.empty(); };
  if (nodes.empty() || std::any_of(nodes.begin(), nodes.end(), is_new)) return {};
  std::vector<Problem> problems;
  for (const auto& step : job.spec.all_steps()) {
    if (step.needs.renderer == "noop" && job.wishes.tags.empty()) continue;
    if (some_node_has(step.needs, job.wishes.tags, nodes)) continue;
    auto text = refusal(step.needs, job.wishes.tags, nodes);
    const bool is_of_template = !job.spec.steps.empty();
    if (is_of_template)
      text = fmt::format("step {}{} {}", step.name, text.starts_with("asks") ? "" : ":", text);
    const bool is_gpu = !is_of_template && text.starts_with("the job asks for a GPU");
    problems.push_back({is_gpu ? "options.device" : "", std::move(text)});
  }
  return problems;
}

}  // namespace kiln::compiler
