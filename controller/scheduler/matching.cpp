#include "scheduler/matching.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace kiln::scheduler {

namespace {

constexpr std::string_view nothing_rendered = "noop";

std::string lower(std::string_view text) {
  std::string out(text);
  // Names of capabilities, and the values that a specification compares without case, are ASCII.
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

std::vector<std::string> renderers_of(const NodeRow& node) {
  std::vector<std::string> out;
  for (const auto& one : node.info.renderers) out.push_back(lower(one.name));
  return out;
}

std::vector<std::string> values_of(const NodeRow& node, std::string_view attribute) {
  if (attribute == "attr.worker.os.family") return {"linux"};  // an agent runs nowhere else
  if (attribute == "attr.worker.cpu.arch") return {"x86_64"};  // nor is it built for another
  if (attribute == "kiln:attr.renderer") return renderers_of(node);
  if (attribute == "kiln:attr.tag") return tags_of(node);
  return {};
}

bool has(const std::vector<std::string>& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

std::string attribute_text(std::string_view name, const std::vector<std::string>& asked) {
  const auto values = fmt::format("{}", fmt::join(asked, " or "));
  if (name == "kiln:attr.renderer") return fmt::format("it has no {}", values);
  if (name == "kiln:attr.tag") return fmt::format("it has not the tag {}", values);
  return fmt::format("its {} is not {}", name, values);
}

std::optional<std::string> lacking(const Attribute& attribute, const NodeRow& node) {
  const auto values = values_of(node, attribute.name);
  for (const auto& asked : attribute.all_of) {
    if (!has(values, lower(asked))) return attribute_text(attribute.name, {asked});
  }
  const auto& any = attribute.any_of;
  const auto fits = [&](const std::string& asked) { return has(values, lower(asked)); };
  if (any.empty() || std::any_of(any.begin(), any.end(), fits)) return std::nullopt;
  return attribute_text(attribute.name, any);
}

// What a box may keep is in its settings and on its disk; whether the renderer starts there, nobody knows
// before it did.
std::optional<std::string> lacking(const payloads::Bundle& bundle, const NodeRow& node) {
  if (bundle.name.empty() || has_bundle(node, bundle)) return std::nullopt;
  constexpr std::uint64_t mib = 1024UL * 1024;
  const auto room_mib = node.info.bundles_max_mib;
  if (room_mib == 0) return fmt::format("it has no {} and fetches no renderers", bundle.name);
  const auto takes_mib = (bundle.unpacked_bytes + bundle.size + mib - 1) / mib;
  if (takes_mib <= room_mib) return std::nullopt;
  return fmt::format("it has room for {} MiB of renderers; {} takes {} while it is unpacked", room_mib,
                     bundle.name, takes_mib);
}

std::optional<std::string> lacking(const Amount& amount, const NodeRow& node) {
  const auto there = amount_of(node, amount.name);
  if (!there) return std::nullopt;
  if (*there < amount.min) {
    return fmt::format("it has {}; {:.10g} {} asked for", amount_text(amount.name, *there), amount.min,
                       amount.min == 1 ? "is" : "are");
  }
  if (amount.max && *there > *amount.max) {
    return fmt::format("it has {}; at most {:.10g} may be there", amount_text(amount.name, *there),
                       *amount.max);
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> tags_of(const NodeRow& node) {
  std::set<std::string> out;
  for (const auto& tag : node.info.tags) out.insert(lower(tag));
  for (const auto& tag : node.settings.tags) out.insert(lower(tag));
  return {out.begin(), out.end()};
}

bool has_bundle(const NodeRow& node, const payloads::Bundle& bundle) {
  return std::any_of(node.info.bundles.begin(), node.info.bundles.end(), [&](const auto& one) {
    return !one.fetching && one.name == bundle.name && one.digest == payloads::short_digest(bundle.digest);
  });
}

std::optional<double> amount_of(const NodeRow& node, std::string_view name) {
  const auto& info = node.info;
  if (name == "amount.worker.vcpu") return info.cores;
  if (name == "amount.worker.memory") return static_cast<double>(info.memory_mib);
  if (name == "amount.worker.gpu") return info.gpu_slots;
  if (name == "amount.worker.gpu.memory") {
    std::uint64_t largest = 0;
    for (const auto& gpu : info.gpus) largest = std::max(largest, gpu.memory_mib);
    return static_cast<double>(largest);
  }
  if (name == "amount.worker.disk.scratch") return std::nullopt;
  return 0;
}

std::string amount_text(std::string_view name, double value) {
  if (name == "amount.worker.vcpu") return fmt::format("{:.10g} CPU core{}", value, value == 1 ? "" : "s");
  if (name == "amount.worker.memory") return fmt::format("{:.10g} MiB of memory", value);
  if (name == "amount.worker.gpu") return fmt::format("{:.10g} GPU{}", value, value == 1 ? "" : "s");
  if (name == "amount.worker.gpu.memory") return fmt::format("{:.10g} MiB of GPU memory", value);
  if (name == "amount.worker.disk.scratch") return fmt::format("{:.10g} GiB of disk", value);
  return fmt::format("{:.10g} of {}", value, name);
}

std::optional<std::string> lacking(const Needs& needs, const std::vector<std::string>& job_tags,
                                   const NodeRow& node) {
  if (!needs.renderer.empty() && needs.renderer != nothing_rendered &&
      !has(renderers_of(node), lower(needs.renderer))) {
    return attribute_text("kiln:attr.renderer", {needs.renderer});
  }
  if (auto clause = lacking(needs.bundle, node)) return clause;
  if (needs.device == payloads::Device::gpu && node.info.gpu_slots == 0) return "it has no slot with a GPU";
  const auto tags = job_tags.empty() ? std::vector<std::string>() : tags_of(node);
  for (const auto& tag : job_tags) {
    if (!has(tags, lower(tag))) return attribute_text("kiln:attr.tag", {tag});
  }
  for (const auto& attribute : needs.attributes) {
    if (auto clause = lacking(attribute, node)) return clause;
  }
  for (const auto& amount : needs.amounts) {
    if (auto clause = lacking(amount, node)) return clause;
  }
  return std::nullopt;
}

}  // namespace kiln::scheduler
