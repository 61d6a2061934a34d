#include "box/boot_environment.h"

#include <fmt/format.h>

#include <algorithm>

namespace kiln::box {

namespace {

constexpr std::string_view header = "# GRUB Environment Block\n";

std::string variable_of(std::string_view slot, std::string_view what) {
  return fmt::format("{}_{}", slot, what);
}

}  // namespace

bool is_slot(std::string_view slot) {
  return slot == "A" || slot == "B";
}
std::string other_slot(std::string_view slot) {
  return slot == "A" ? "B" : "A";
}

BootEnvironment::BootEnvironment()
    : variables_{{"ORDER", "A B"}, {"A_OK", "1"}, {"A_TRY", "0"}, {"B_OK", "0"}, {"B_TRY", "0"}} {}

Result<BootEnvironment> BootEnvironment::parse(std::string_view block) {
  if (block.size() != block_bytes || !block.starts_with(header)) {
    return fail(Code::invalid,
                fmt::format("no GRUB environment block: {} bytes, {} with GRUB's first line expected",
                            block.size(), block_bytes));
  }
  BootEnvironment out;
  out.variables_.clear();
  block.remove_prefix(header.size());
  while (!block.empty() && block.front() != '#') {  // the rest is filled with #
    const auto end = block.find('\n');
    const auto line = block.substr(0, end);
    const auto equals = line.find('=');
    if (end == block.npos || equals == line.npos || equals == 0) {
      return fail(Code::invalid, "a damaged GRUB environment block: a line is no NAME=VALUE");
    }
    out.set(line.substr(0, equals), line.substr(equals + 1));
    block.remove_prefix(end + 1);
  }
  if (out.get("ORDER").empty()) return fail(Code::invalid, "the GRUB environment block has no ORDER");
  return out;
}

Result<std::string> BootEnvironment::block() const {
  std::string text(header);
  for (const auto& [name, value] : variables_) text += fmt::format("{}={}\n", name, value);
  if (text.size() > block_bytes) {
    return fail(Code::too_large,
                fmt::format("the boot environment holds {} bytes, {} fit", text.size(), block_bytes));
  }
  text.resize(block_bytes, '#');
  return text;
}

std::string BootEnvironment::primary() const {
  const auto order = get("ORDER");
  for (const char slot : order) {
    const std::string name(1, slot);
    if (is_slot(name) && is_good(name)) return name;
  }
  return {};
}
bool BootEnvironment::is_good(std::string_view slot) const {
  return get(variable_of(slot, "OK")) == "1";
}
int BootEnvironment::tries(std::string_view slot) const {
  const auto text = get(variable_of(slot, "TRY"));
  return text.size() == 1 && text[0] >= '0' && text[0] <= '9' ? text[0] - '0' : 0;
}

void BootEnvironment::set_primary(std::string_view slot) {
  set("ORDER", fmt::format("{} {}", slot, other_slot(slot)));
  set_good(slot, true);
}
void BootEnvironment::set_good(std::string_view slot, bool good) {
  set(variable_of(slot, "OK"), good ? "1" : "0");
  set(variable_of(slot, "TRY"), "0");
}

std::string BootEnvironment::get(std::string_view name) const {
  const auto found =
      std::find_if(variables_.begin(), variables_.end(), [&](const auto& one) { return one.first == name; });
  return found == variables_.end() ? std::string() : found->second;
}
void BootEnvironment::set(std::string_view name, std::string_view value) {
  const auto found =
      std::find_if(variables_.begin(), variables_.end(), [&](const auto& one) { return one.first == name; });
  if (found == variables_.end()) {
    variables_.emplace_back(name, value);
  } else {
    found->second = value;
  }
}

}  // namespace kiln::box
