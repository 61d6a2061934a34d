#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/table.h"
#include "cli/text.h"

namespace kiln::cli {

Result<Exit> list_types(Context& context) {
  const auto answer = context.client.types();
  if (!answer) return fail(answer.error());
  if (context.json) {
    context.print(*answer);
    return Exit::ok;
  }
  std::size_t widest = 0;
  for (const auto& type : array_of(*answer, "types")) widest = std::max(widest, text_of(type, "name").size());
  for (const auto& type : array_of(*answer, "types")) {
    const auto error = text_of(type, "error");
    const auto what = !error.empty()              ? "cannot be used: " + error
                      : flag_of(type, "built_in") ? text_of(type, "title")
                                                  : text_of(type, "title") + " (the studio's own)";
    context.out.line(fmt::format("{:<{}}  {}", harmless(text_of(type, "name")), widest, harmless(what)));
    if (!error.empty()) continue;
    std::string parameters;
    for (const auto& one : array_of(type, "parameters")) {
      if (!parameters.empty()) parameters += ", ";
      parameters += text_of(one, "name") + (one.find("default") == nullptr ? "!" : "");
    }
    context.out.line(fmt::format("{:<{}}  {}", "", widest, harmless(parameters)));
  }
  context.say("! must be given; `kiln types show NAME` prints a type's template");
  return Exit::ok;
}

Result<Exit> show_type(Context& context, const std::string& name) {
  if (auto checked = check_id(name, "job type"); !checked) return fail(std::move(checked.error()));
  const auto text = context.client.type(name);
  if (!text) return fail(text.error());
  context.out.raw(*text);
  return Exit::ok;
}

}  // namespace kiln::cli
