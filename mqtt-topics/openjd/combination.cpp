#include "openjd/combination.h"

#include <fmt/format.h>

#include <algorithm>

#include "openjd/names.h"
#include "openjd/problems.h"

namespace kiln::openjd {

namespace {

constexpr std::size_t max_depth = 32;  // of parentheses; there are at most 16 names to put into them

class CombinationText {
 public:
  CombinationText(std::string_view text, const std::vector<std::string>& parameters)
      : text_(text), parameters_(parameters), seen_(parameters.size(), false) {}

  Result<Combination> parse() {
    auto root = product(1);
    if (!root) return root;
    skip_space();
    if (at_ != text_.size()) return wrong("'*' and a task parameter, or the end, belongs here");
    std::vector<std::string_view> missing;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      if (!seen_[i]) missing.emplace_back(parameters_[i]);
    }
    if (!missing.empty()) {
      return fail(Code::invalid,
                  fmt::format("{} is missing; each task parameter stands once", listed(missing, "and")));
    }
    return root;
  }

 private:
  [[nodiscard]] tl::unexpected<Error> wrong(std::string_view message) const {
    return fail(Code::invalid,
                fmt::format("at character {}: {}; it reads like 'A * (B, C)'", at_ + 1, message));
  }
  void skip_space() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  // NOLINTNEXTLINE(misc-no-recursion): bounded by max_depth
  Result<Combination> product(std::size_t depth) {
    Combination out{Combination::Kind::product, 0, {}};
    do {
      auto child = element(depth);
      if (!child) return child;
      out.children.push_back(std::move(*child));
    } while (take('*'));
    if (out.children.size() > 1) return out;
    Combination only = std::move(out.children.front());
    return only;
  }

  // NOLINTNEXTLINE(misc-no-recursion)
  Result<Combination> element(std::size_t depth) {
    if (!take('(')) return name();
    if (depth > max_depth) return wrong(fmt::format("parentheses nest at most {} deep", max_depth));
    Combination out{Combination::Kind::association, 0, {}};
    do {
      auto child = product(depth + 1);
      if (!child) return child;
      out.children.push_back(std::move(*child));
    } while (take(','));
    if (!take(')')) return wrong("',' or ')' belongs here");
    return out;
  }

  Result<Combination> name() {
    skip_space();
    const auto end = std::min(text_.find_first_of(" *(),", at_), text_.size());
    const auto word = text_.substr(at_, end - at_);
    if (!is_identifier(word)) return wrong("the name of a task parameter or '(' belongs here");
    const auto found = std::find(parameters_.begin(), parameters_.end(), word);
    if (found == parameters_.end()) return wrong(fmt::format("there is no task parameter {}", quoted(word)));
    const auto which = static_cast<std::size_t>(found - parameters_.begin());
    if (seen_[which])
      return wrong(fmt::format("{} stands twice; each task parameter stands once", shortened(word)));
    seen_[which] = true;
    at_ = end;
    return Combination{Combination::Kind::parameter, which, {}};
  }

  std::string_view text_;
  const std::vector<std::string>& parameters_;
  std::vector<bool> seen_;
  std::size_t at_ = 0;
};

// NOLINTNEXTLINE(misc-no-recursion): as deep as the parentheses were
bool contains(const Combination& node, std::size_t which) {
  if (node.kind == Combination::Kind::parameter) return node.parameter == which;
  return std::any_of(node.children.begin(), node.children.end(),
                     [which](const Combination& child) { return contains(child, which); });
}

}  // namespace

Result<Combination> Combination::parse(std::string_view text, const std::vector<std::string>& parameters) {
  return CombinationText(text, parameters).parse();
}

Combination Combination::product_of_all(std::size_t parameters) {
  Combination out{Kind::product, 0, {}};
  for (std::size_t i = 0; i < parameters; ++i) out.children.push_back({Kind::parameter, i, {}});
  return out;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the parentheses were
bool Combination::associates(std::size_t which) const {
  // One name in parentheses stands beside nothing.
  if (kind == Kind::association && children.size() > 1) return contains(*this, which);
  return std::any_of(children.begin(), children.end(),
                     [which](const Combination& child) { return child.associates(which); });
}

}  // namespace kiln::openjd
