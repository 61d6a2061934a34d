#include "openjd/capabilities.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "openjd/names.h"
#include "openjd/numbers.h"
#include "openjd/problems.h"

namespace kiln::openjd {

namespace {

constexpr std::size_t max_characters = 100;
constexpr std::array<std::string_view, 5> standard_amounts = {"amount.worker.vcpu", "amount.worker.memory",
                                                              "amount.worker.gpu", "amount.worker.gpu.memory",
                                                              "amount.worker.disk.scratch"};
constexpr std::array<std::string_view, 2> standard_attributes = {"attr.worker.os.family",
                                                                 "attr.worker.cpu.arch"};
constexpr std::array<std::string_view, 4> reserved = {"worker", "job", "step", "task"};

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  for (std::size_t begin = 0; begin <= text.size();) {
    const auto end = std::min(text.find(separator, begin), text.size());
    out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

std::vector<std::string_view> standard_names(CapabilityKind kind) {
  if (kind == CapabilityKind::amount) return {standard_amounts.begin(), standard_amounts.end()};
  return {standard_attributes.begin(), standard_attributes.end()};
}

// What the specification allows for an attribute of its own; empty for any other.
std::vector<std::string_view> standard_values(std::string_view name) {
  if (name == "attr.worker.os.family") return {"linux", "windows", "macos"};
  if (name == "attr.worker.cpu.arch") return {"x86_64", "arm64"};
  return {};
}

}  // namespace

Result<std::string> capability_name(CapabilityKind kind, std::string_view name) {
  const std::string_view prefix = kind == CapabilityKind::amount ? "amount" : "attr";
  const auto wrong = [&](std::string_view message) {
    return fail(Code::invalid, fmt::format("{} {}", quoted(name), message));
  };
  if (const auto length = characters(name); length > max_characters) {
    return wrong(fmt::format("has {} characters; at most {} are allowed", length, max_characters));
  }
  std::string lowered = lower(name);
  const auto standard = standard_names(kind);
  if (std::find(standard.begin(), standard.end(), lowered) != standard.end()) return lowered;
  std::string_view rest = lowered;
  if (const auto colon = rest.find(':'); colon != rest.npos) {
    if (!is_identifier(rest.substr(0, colon)))
      return wrong("has no name before its ':'; a vendor's prefix is like 'acme:'");
    rest.remove_prefix(colon + 1);
  }
  const auto parts = split(rest, '.');
  const bool is_name =
      parts.size() > 1 && parts[0] == prefix && std::all_of(parts.begin(), parts.end(), is_identifier);
  if (!is_name)
    return wrong(
        fmt::format("is no name of this kind; it is like '{0}.scanner' or 'acme:{0}.scanner'", prefix));
  if (std::find(reserved.begin(), reserved.end(), parts[1]) != reserved.end()) {
    return wrong(fmt::format("is not among the names that the specification reserves in '{}.{}.': {}", prefix,
                             parts[1], listed(standard, "and")));
  }
  return lowered;
}

Status check_attribute_value(std::string_view name, std::string_view value) {
  const auto allowed = standard_values(name);
  if (!allowed.empty()) {
    if (std::find(allowed.begin(), allowed.end(), lower(value)) != allowed.end()) return {};
    return fail(Code::invalid, fmt::format("{} is no {}; it is {}", quoted(value), name, listed(allowed)));
  }
  if (const auto length = characters(value); length > max_characters) {
    return fail(Code::invalid,
                fmt::format("has {} characters; at most {} are allowed", length, max_characters));
  }
  std::string plain(value);
  std::replace(plain.begin(), plain.end(), '-', '_');
  if (!is_identifier(plain) || value.starts_with('-')) {
    return fail(
        Code::invalid,
        fmt::format("{} is no value of an attribute; latin letters, digits, '_' and '-' are allowed, and "
                    "a letter or '_' comes first",
                    quoted(value)));
  }
  return {};
}

bool is_single_valued(std::string_view attribute_name) {
  return !standard_values(attribute_name).empty();
}

double default_minimum(std::string_view amount_name) {
  return amount_name == "amount.worker.vcpu" ? 1 : 0;
}

}  // namespace kiln::openjd
