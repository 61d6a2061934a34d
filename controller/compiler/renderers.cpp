#include "compiler/renderers.h"

#include <fmt/format.h>

#include <algorithm>

namespace kiln::compiler {

namespace {

using Renderers = std::vector<scheduler::RendererRow>;
using Nodes = std::vector<scheduler::NodeRow>;

constexpr std::string_view attribute_name = "kiln:attr.renderer";
constexpr std::string_view installed = "blender";
constexpr std::size_t max_named = 20;

const payloads::Bundle* find(const Renderers& renderers, std::string_view value) {
  const auto means = [&](const scheduler::RendererRow& row) {
    const auto& name = row.bundle.name;
    return std::equal(value.begin(), value.end(), name.begin(), name.end(), [](char asked, char has) {
      const char small = asked >= 'A' && asked <= 'Z' ? static_cast<char>(asked + 32) : asked;
      return small == has || (small == '_' && has == '.');
    });
  };
  const auto found = std::find_if(renderers.begin(), renderers.end(), means);
  return found == renderers.end() ? nullptr : &found->bundle;
}

std::string those_there_are(const Renderers& renderers) {
  if (renderers.empty()) {
    return "the farm has none yet: put one there with `kiln renderer add`, or leave it out to render with "
           "what is "
           "installed on the nodes";
  }
  std::string text = "there are ";
  for (std::size_t i = 0; i < std::min(renderers.size(), max_named); ++i)
    text += fmt::format("{}{}", i == 0 ? "" : ", ", renderers[i].bundle.name);
  if (renderers.size() > max_named) text += fmt::format(" and {} more", renderers.size() - max_named);
  return text + ", and blender as it is installed on the nodes";
}

// "blender-4_2_1", not "povray": a program with its version, which is not what nodes call what they have.
bool names_version(std::string_view value, const Nodes& nodes) {
  const auto dash = value.find('-');
  if (dash == std::string_view::npos || dash + 1 >= value.size() || value[dash + 1] < '0' ||
      value[dash + 1] > '9')
    return false;
  return std::none_of(nodes.begin(), nodes.end(), [&](const scheduler::NodeRow& node) {
    const auto& all = node.info.renderers;
    return std::any_of(all.begin(), all.end(), [&](const auto& one) { return one.name == value; });
  });
}

// Whether one of the step's requirements names a renderer of the farm.
bool take_requirement(scheduler::Needs& needs, const Renderers& renderers) {
  if (const auto* bundle = find(renderers, needs.renderer); bundle != nullptr) {
    needs.bundle = *bundle;
    needs.renderer.clear();
    return true;
  }
  for (auto at = needs.attributes.begin(); at != needs.attributes.end(); ++at) {
    if (at->name != attribute_name || !at->all_of.empty()) continue;
    for (const auto& value : at->any_of) {
      const auto* bundle = find(renderers, value);
      if (bundle == nullptr) continue;
      needs.bundle = *bundle;
      needs.attributes.erase(at);
      return true;
    }
  }
  return false;
}

}  // namespace

std::vector<Problem> choose_renderers(CompiledJob& job, const std::string& wanted, const Renderers& renderers,
                                      const Nodes& nodes) {
  std::vector<Problem> problems;
  const bool is_asked = !wanted.empty() && wanted != installed;
  const auto* asked = is_asked ? find(renderers, wanted) : nullptr;
  if (is_asked && asked == nullptr) {
    problems.push_back(
        {"renderer", fmt::format("no renderer '{}' here; {}", wanted, those_there_are(renderers))});
    return problems;
  }
  auto& spec = job.spec;
  if (spec.steps.empty()) {
    if (is_asked && spec.renderer != installed)
      problems.push_back(
          {"renderer", fmt::format("a job of type {} renders nothing: leave it out", spec.renderer)});
    if (asked != nullptr) spec.bundle = *asked;
    return problems;
  }
  bool is_used = false;
  for (std::size_t i = 0; i < spec.steps.size(); ++i) {
    auto& step = spec.steps[i];
    if (take_requirement(step.needs, renderers)) {
      is_used = is_used || (asked != nullptr && step.needs.bundle == *asked);
    } else if (names_version(step.needs.renderer, nodes)) {
      problems.push_back({fmt::format("steps[{}]", i),
                          fmt::format("step {} asks for the renderer '{}', which is not here; {}", step.name,
                                      step.needs.renderer, those_there_are(renderers))});
    } else if (asked != nullptr && step.needs.renderer == installed) {
      step.needs.bundle = *asked;
      step.needs.renderer.clear();
      is_used = true;
    }
  }
  if (is_asked && !is_used && problems.empty()) {
    problems.push_back(
        {"renderer", fmt::format("no step of this job asks for {} ({}): {} would be used by none",
                                 attribute_name, installed, wanted)});
  }
  return problems;
}

}  // namespace kiln::compiler
