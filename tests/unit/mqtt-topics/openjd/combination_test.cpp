#include "openjd/combination.h"

#include "check.h"

using kiln::openjd::Combination;

namespace {

// "(0,1)*2"
std::string shown(const Combination& node) {
  if (node.kind == Combination::Kind::parameter) return fmt::format("{}", node.parameter);
  std::string out;
  const bool is_product = node.kind == Combination::Kind::product;
  for (const auto& child : node.children) out += (out.empty() ? "" : is_product ? "*" : ",") + shown(child);
  return is_product ? out : "(" + out + ")";
}

void expressions_become_trees() {
  const struct {
    std::string text;
    std::string want;
  } cases[] = {{"A * B * C", "0*1*2"},        {"C*B*A", "2*1*0"},
               {"(A, B) * C", "(0,1)*2"},     {"(A,B,C)", "(0,1,2)"},
               {"(A, (B * C))", "(0,(1*2))"}, {"((A)) * B*C", "((0))*1*2"},
               {"( A * B , C )", "(0*1,2)"}};
  for (const auto& one : cases) {
    const auto tree = Combination::parse(one.text, {"A", "B", "C"});
    check_ok(tree);
    check_equal(shown(*tree), one.want);
  }
}

void wrong_expressions_are_refused_with_their_place() {
  const struct {
    std::string text;
    std::string part;
  } cases[] = {{"", "at character 1"},
               {"   ", "at character 4"},
               {"A B C", "at character 3"},
               {"A ** B", "at character 4"},
               {"* A", "at character 1"},
               {"A *", "at character 4"},
               {"(A, B", "')'"},
               {"A, B, C", "at character 2"},
               {"(A B), C", "')'"},
               {"A * B", "C is missing"},
               {"A*B*C*A", "A stands twice"},
               {"A*B*C*D", "no task parameter 'D'"},
               {"A@B", "at character 1"},
               {"()", "at character 2"},
               {"A*B*C)", "at character 6"},
               {"A\t*B*C", "at character 1"},
               {std::string(40, '(') + "A*B*C", "nest at most"}};
  for (const auto& one : cases) {
    const auto tree = Combination::parse(one.text, {"A", "B", "C"});
    check(!tree.has_value());
    check_contains(tree.error().message, one.part);
  }
}

void an_association_is_known() {
  const auto tree = Combination::parse("(A, (B * C)) * D * (E)", {"A", "B", "C", "D", "E"});
  check_ok(tree);
  for (const std::size_t inside : {0, 1, 2}) check(tree->associates(inside));
  for (const std::size_t outside : {3, 4}) check(!tree->associates(outside));
}

}  // namespace

int main() {
  return kiln::test::run("combination", {{"expressions become trees", &expressions_become_trees},
                                         {"wrong expressions are refused with their place",
                                          &wrong_expressions_are_refused_with_their_place},
                                         {"an association is known", &an_association_is_known}});
}
