#include "openjd/format_string.h"

#include <fmt/format.h>

#include <algorithm>

#include "openjd/names.h"
#include "openjd/problems.h"

namespace kiln::openjd {

namespace {

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// <Name> ::= <Name> "." <Identifier> | <Identifier>, with spaces allowed around the dots.
Result<std::string> reference(std::string_view inside) {
  const auto text = trimmed(inside);
  if (text.empty()) return fail(Code::invalid, "'{{ }}' names no value; write one like {{Param.Frames}}");
  std::string name;
  for (std::size_t begin = 0; begin <= text.size();) {
    const auto dot = std::min(text.find('.', begin), text.size());
    const auto part = trimmed(text.substr(begin, dot - begin));
    if (!is_identifier(part)) {
      return fail(
          Code::invalid,
          fmt::format(
              "{} is no name of a value like Param.Frames; expressions need the extension EXPR, which "
              "is not supported",
              quoted(fmt::format("{{{{{}}}}}", inside))));
    }
    if (!name.empty()) name += '.';
    name += part;
    begin = dot + 1;
  }
  return name;
}

}  // namespace

Result<FormatString> FormatString::parse(std::string_view text) {
  FormatString out;
  out.text_ = text;
  const auto add_text = [&out](std::string_view part) {
    if (!part.empty()) out.parts_.push_back({false, std::string(part)});
  };
  for (std::size_t at = 0; at < text.size();) {
    const auto open = text.find("{{", at);
    const auto close = text.find("}}", at);
    if (open == text.npos && close == text.npos) {
      add_text(text.substr(at));
      break;
    }
    if (close < open) {
      return fail(
          Code::invalid,
          fmt::format(
              "'}}}}' at character {} closes nothing; put '{{{{' before it, or a space between the braces",
              close + 1));
    }
    if (close == text.npos) {
      return fail(Code::invalid, fmt::format("'{{{{' at character {} is not closed by '}}}}'", open + 1));
    }
    add_text(text.substr(at, open - at));
    auto name = reference(text.substr(open + 2, close - open - 2));
    if (!name) return fail(std::move(name.error()));
    out.parts_.push_back({true, std::move(*name)});
    at = close + 2;
  }
  return out;
}

FormatString FormatString::literal(std::string text) {
  FormatString out;
  if (!text.empty()) out.parts_.push_back({false, text});
  out.text_ = std::move(text);
  return out;
}

bool FormatString::has_references() const {
  return std::any_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.is_reference; });
}

Result<std::string> FormatString::resolve(const Symbols& symbols) const {
  std::string out;
  for (const auto& part : parts_) {
    if (!part.is_reference) {
      out += part.text;
      continue;
    }
    const auto found = symbols.find(part.text);
    if (found == symbols.end()) {
      return fail(Code::not_found, fmt::format("'{{{{{}}}}}' has no value here", shortened(part.text)));
    }
    out += found->second;
  }
  return out;
}

}  // namespace kiln::openjd
