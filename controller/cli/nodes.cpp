#include <fmt/format.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/farm_view.h"
#include "cli/fields.h"
#include "cli/text.h"

namespace kiln::cli {

Result<Exit> list_nodes(Context& context) {
  const auto answer = context.client.nodes();
  if (!answer) return fail(answer.error());
  if (context.json) {
    context.print(*answer);
    return Exit::ok;
  }
  std::vector<const Json*> nodes;
  for (const auto& node : array_of(*answer, "nodes")) nodes.push_back(&node);
  if (nodes.empty()) {
    context.say(fmt::format("no nodes yet: on a box, run kiln-agent --controller {}", context.client.url()));
    return Exit::ok;
  }
  context.out.raw(nodes_table(nodes, context.out.width(), context.out.color(), now_ms()));
  for (const Json* node : nodes) {
    const Json& quarantine = member_of(*node, "quarantine");
    if (text_of(quarantine, "reason").empty()) continue;
    const auto id = harmless(text_of(*node, "id"));
    const auto left_s = static_cast<double>(integer_of(quarantine, "until_ms") - now_ms()) / 1000;
    context.out.line(fmt::format("{} gets no work for {}: {}; `kiln forgive {}` ends that",
                                 styled(id, Style::red, context.out.color()),
                                 duration_text(std::max(0.0, left_s)),
                                 harmless(text_of(quarantine, "reason")), id));
  }
  return Exit::ok;
}

Result<Exit> drain_node(Context& context, const std::string& id, bool drained) {
  if (auto checked = check_id(id, "node"); !checked) return fail(std::move(checked.error()));
  const auto node = drained ? context.client.drain(id) : context.client.undrain(id);
  if (!node) return fail(node.error());
  if (context.json) context.print(*node);
  context.say(drained ? fmt::format("node {}: finishes what it renders, takes nothing new", id)
                      : fmt::format("node {}: takes work again", id));
  return Exit::ok;
}

Result<Exit> forgive_node(Context& context, const std::string& id) {
  if (auto checked = check_id(id, "node"); !checked) return fail(std::move(checked.error()));
  const auto node = context.client.forgive(id);
  if (!node) return fail(node.error());
  if (context.json) context.print(*node);
  context.say(fmt::format("node {}: forgiven, it gets work again", id));
  return Exit::ok;
}

}  // namespace kiln::cli
