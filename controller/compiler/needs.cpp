#include "compiler/needs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/ids.h"

namespace kiln::compiler {

namespace {

constexpr std::string_view renderer_attribute = "kiln:attr.renderer";
// As a value of that attribute: nothing is asked, so that a template's parameter can say so.
constexpr std::string_view no_renderer = "none";
constexpr std::string_view device_attribute = "kiln:attr.device";  // any, cpu or gpu
constexpr std::string_view gpu_amount = "amount.worker.gpu";

// The value of an attribute that leaves no choice; "" otherwise.
std::string only_value(const openjd::Attribute& attribute) {
  if (attribute.any_of.size() + attribute.all_of.size() != 1) return "";
  return attribute.any_of.empty() ? attribute.all_of.front() : attribute.any_of.front();
}

// Whether the attribute was one that the scheduler knows by a word of its own.
bool take_attribute(const openjd::Attribute& attribute, std::string_view where, scheduler::Needs& needs,
                    openjd::Problems& problems) {
  const auto value = only_value(attribute);
  if (attribute.name == device_attribute) {
    const auto device = payloads::parse_device(value);
    if (device)
      needs.device = *device;
    else
      problems.add(where, fmt::format("{} is one of any, cpu and gpu", device_attribute));
    return true;
  }
  if (attribute.name != renderer_attribute || value.empty()) return false;
  if (value == no_renderer) return true;
  if (!needs.renderer.empty()) return false;
  needs.renderer = value;
  return true;
}

void take_limit(const openjd::Amount& amount, std::string_view where, scheduler::Needs& needs,
                openjd::Problems& problems) {
  payloads::LimitUse use{amount.name.substr(limit_prefix.size()), 0};
  // An id has '-' where the names of capabilities have '_'.
  std::replace(use.name.begin(), use.name.end(), '_', '-');
  const bool is_count =
      amount.min >= 0 && amount.min <= payloads::max_limit_count && std::floor(amount.min) == amount.min;
  if (!is_id(use.name)) {
    problems.add(where, fmt::format("{} is no name of a limit: 1 to 32 letters, digits and '_' are expected",
                                    openjd::quoted(use.name)));
  } else if (!is_count) {
    problems.add(where, fmt::format("takes {:g} of the limit {}; a whole number up to {} is expected",
                                    amount.min, use.name, payloads::max_limit_count));
  } else if (amount.max) {
    problems.add(where, fmt::format("is a limit, of which 'min' is taken; 'max' means nothing here"));
  } else if (amount.min > 0) {
    use.count = static_cast<std::uint32_t>(amount.min);
    add_limit(needs.limits, use);
  }
}

void take_gpu(const openjd::Amount& amount, std::string_view where, scheduler::Needs& needs,
              openjd::Problems& problems) {
  if (amount.min > 1) {
    problems.add(where, fmt::format("asks for {:g} GPUs; a task gets one slot, which has one GPU at most",
                                    amount.min));
  } else if (amount.min > 0) {
    needs.device = payloads::Device::gpu;
  } else if (amount.max && *amount.max < 1) {
    needs.device = payloads::Device::cpu;
  }
}

}  // namespace

void add_limit(std::vector<payloads::LimitUse>& limits, const payloads::LimitUse& use) {
  const auto known =
      std::find_if(limits.begin(), limits.end(), [&](const auto& one) { return one.name == use.name; });
  if (known == limits.end())
    limits.push_back(use);
  else
    known->count = std::max(known->count, use.count);
}

scheduler::Needs needs_of(const openjd::Step& step, const std::vector<payloads::LimitUse>& limits,
                          std::string_view where, openjd::Problems& problems) {
  scheduler::Needs needs;
  const auto requirements = openjd::at_key(where, "hostRequirements");
  for (std::size_t i = 0; i < step.attributes.size(); ++i) {
    const auto& attribute = step.attributes[i];
    const auto path = openjd::at_index(openjd::at_key(requirements, "attributes"), i);
    if (!take_attribute(attribute, path, needs, problems))
      needs.attributes.push_back({attribute.name, attribute.any_of, attribute.all_of});
  }
  for (std::size_t i = 0; i < step.amounts.size(); ++i) {
    const auto& amount = step.amounts[i];
    const auto path = openjd::at_index(openjd::at_key(requirements, "amounts"), i);
    if (amount.name.starts_with(limit_prefix)) {
      take_limit(amount, path, needs, problems);
    } else if (amount.name == gpu_amount) {
      take_gpu(amount, path, needs, problems);
    } else if (amount.min > 0 || amount.max) {
      needs.amounts.push_back({amount.name, amount.min, amount.max});
    }
  }
  for (const auto& use : limits) add_limit(needs.limits, use);
  if (needs.limits.size() > payloads::max_limits) {
    problems.add(where, fmt::format("takes of {} limits; at most {} are allowed", needs.limits.size(),
                                    payloads::max_limits));
  }
  return needs;
}

}  // namespace kiln::compiler
