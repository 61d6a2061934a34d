#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "cli/commands.h"
#include "cli/farm_view.h"
#include "cli/fields.h"
#include "cli/steering.h"
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
  for (const Json* node : nodes) {
    if (const auto hot = harmless(text_of(*node, "hot")); !hot.empty()) {
      context.out.line(fmt::format(
          "{} is hot: {}", styled(harmless(text_of(*node, "id")), Style::red, context.out.color()), hot));
    }
  }
  for (const Json* node : nodes) {
    for (const auto& problem : array_of(member_of(*node, "update"), "problems")) {
      const auto* text = problem.as_string();
      if (text == nullptr) continue;
      const auto id = styled(harmless(text_of(*node, "id")), Style::yellow, context.out.color());
      context.out.line(fmt::format("{}: {}", id, harmless(*text)));
    }
  }
  return Exit::ok;
}

Result<Exit> show_boot_logs(Context& context, const std::string& node, const std::string& boot) {
  if (auto checked = check_id(node, "node"); !checked) return fail(std::move(checked.error()));
  const auto boots = context.client.boot_logs(node);
  if (!boots) return fail(boots.error());
  const auto list = array_of(*boots, "boots");
  if (!boot.empty()) {
    if (boot == "last" && list.empty())
      return fail(Code::not_found, fmt::format("node {} has delivered no log of a boot that failed", node));
    const auto text = context.client.boot_log(node, boot == "last" ? text_of(list.front(), "boot") : boot);
    if (!text) return fail(text.error());
    context.out.raw(context.out.is_tty() ? harmless_lines(*text) : *text);
    return Exit::ok;
  }
  if (context.json) {
    context.print(*boots);
    return Exit::ok;
  }
  if (list.empty()) context.say(fmt::format("no boot of {} failed, as far as it said", node));
  std::vector<Row> rows;
  for (const auto& one : list) {
    rows.push_back({{text_of(one, "boot")},
                    {ago_text(integer_of(one, "at_ms"), now_ms())},
                    {fmt::format("{} KiB", integer_of(one, "bytes") / 1024)}});
  }
  if (!rows.empty())
    context.out.raw(
        table_text({{"BOOT"}, {"CAME"}, {"SIZE"}}, rows, context.out.width(), context.out.color()));
  return Exit::ok;
}

Result<Exit> show_node(Context& context, const std::string& id) {
  if (auto checked = check_id(id, "node"); !checked) return fail(std::move(checked.error()));
  const auto node = context.client.node(id);
  if (!node) return fail(node.error());
  if (context.json) {
    context.print(*node);
    return Exit::ok;
  }
  const bool color = context.out.color();
  const auto fact = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) context.out.line(styled(fmt::format("{:<10}", name), Style::dim, color) + value);
  };
  const Json& info = member_of(*node, "info");
  context.out.line(styled("node " + id, Style::bold, color));
  fact("state", node_state(*node).text);
  fact("name", harmless(text_of(*node, "name")));
  fact("hot", styled(harmless(text_of(*node, "hot")), Style::red, color));
  fact("slots", fmt::format("{}, {} with a GPU", integer_of(info, "slots"), integer_of(info, "gpu_slots")));
  fact("tags", joined(*node, "tags"));
  fact("own tags", joined(info, "tags"));
  fact("schedule", schedule_text(member_of(*node, "schedule")));
  const auto limit = [&](const char* key) {
    const auto value = maybe_number(*node, key);
    return value ? fmt::format("{:.0f} °C", *value) : std::string("the farm's");
  };
  fact("heat", fmt::format("no new work above {}, moved away above {}", limit("soft_c"), limit("hard_c")));
  const auto sleep_s = integer_of(*node, "sleep_after_s");
  fact("sleep",
       sleep_s == 0 ? "never by itself" : "after " + duration_text(static_cast<double>(sleep_s)) + " idle");
  fact("wakes by", harmless(text_of(info, "mac")));
  if (const auto busy = maybe_number(*node, "utilisation_pct"))
    fact("busy", fmt::format("{} of its time online", percent_text(*busy)));
  fact("tasks",
       fmt::format("{} done, {} failed", integer_of(*node, "tasks_done"), integer_of(*node, "tasks_failed")));
  return Exit::ok;
}

Result<Exit> act_on_node(Context& context, const std::string& id, NodeAction action) {
  if (auto checked = check_id(id, "node"); !checked) return fail(std::move(checked.error()));
  if (action == NodeAction::forget) {
    auto gone = context.client.forget(id);
    // One that was revoked or never let in is known by its key alone.
    if (!gone && gone.error().code == Code::not_found) {
      const auto key = context.client.call("DELETE", "/api/v1/enrollments/" + id);
      gone = key ? Status() : Status(fail(key.error()));
    }
    if (!gone) return fail(std::move(gone.error()));
    if (context.json) context.print(Json::object({{"forgotten", id}}));
    context.say(fmt::format("node {}: forgotten, until it speaks again", id));
    return Exit::ok;
  }
  const auto change = [&](const char* key, bool value) {
    return context.client.patch_node(id, Json::object({{key, value}}));
  };
  const auto node = action == NodeAction::enable    ? change("enabled", true)
                    : action == NodeAction::disable ? change("enabled", false)
                    : action == NodeAction::reboot  ? change("reboot", true)
                                                    : context.client.power(id, action == NodeAction::wake);
  if (!node) return fail(node.error());
  if (context.json) context.print(*node);
  const char* said = action == NodeAction::enable    ? "enabled, it gets work"
                     : action == NodeAction::disable ? "disabled, it gets nothing"
                     : action == NodeAction::reboot  ? "restarts as soon as it is idle"
                     : action == NodeAction::wake    ? "is being woken"
                                                     : "goes to sleep";
  context.say(fmt::format("node {}: {}", id, said));
  return Exit::ok;
}

namespace {

Result<Exit> change_node(Context& context, const std::string& id, const Json& changes,
                         std::string (*said)(const Json&)) {
  if (auto checked = check_id(id, "node"); !checked) return fail(std::move(checked.error()));
  const auto node = context.client.patch_node(id, changes);
  if (!node) return fail(node.error());
  if (context.json) context.print(*node);
  context.say(fmt::format("node {}: {}", id, said(*node)));
  return Exit::ok;
}

// A number of degrees, or null for the farm's.
Result<Json> degrees(const std::string& text) {
  if (text == "farm") return Json();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    return fail(Code::invalid, fmt::format("'{}' is no number of °C, and not farm", harmless(text)));
  return Json(value);
}

}  // namespace

Result<Exit> tag_node(Context& context, const std::string& id, const std::vector<std::string>& tags) {
  Json list(Json::Array{});
  for (const auto& tag : tags) {
    if (!tag.empty()) list.push(tag);
  }
  return change_node(context, id, Json::object({{"tags", std::move(list)}}),
                     [](const Json& node) { return "tags " + joined(node, "tags", "none"); });
}

Result<Exit> schedule_node(Context& context, const std::string& id, const std::vector<std::string>& words) {
  auto schedule = parse_schedule(words);
  if (!schedule) return fail(std::move(schedule.error()));
  return change_node(context, id, Json::object({{"schedule", std::move(*schedule)}}), [](const Json& node) {
    return "renders " + schedule_text(member_of(node, "schedule"));
  });
}

Result<Exit> limit_node(Context& context, const std::string& id, const NodeLimits& limits) {
  Json changes(Json::Object{});
  for (const auto& [key, text] : {std::pair{"soft_c", limits.soft_c}, std::pair{"hard_c", limits.hard_c}}) {
    if (text.empty()) continue;
    auto value = degrees(text);
    if (!value) return fail(std::move(value.error()));
    changes.set(key, std::move(*value));
  }
  if (limits.sleep_after_min) changes.set("sleep_after_s", *limits.sleep_after_min * 60);
  if (changes.as_object()->empty())
    return fail(Code::invalid, "what should change? --soft, --hard or --sleep-after");
  return change_node(context, id, changes, [](const Json& node) {
    const auto limit = [&](const char* key) {
      const auto value = maybe_number(node, key);
      return value ? fmt::format("{:.0f} °C", *value) : std::string("the farm's");
    };
    const auto sleep_s = integer_of(node, "sleep_after_s");
    return fmt::format("no new work above {}, moved away above {}, {}", limit("soft_c"), limit("hard_c"),
                       sleep_s == 0
                           ? "never sleeps by itself"
                           : "sleeps after " + duration_text(static_cast<double>(sleep_s)) + " idle");
  });
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
