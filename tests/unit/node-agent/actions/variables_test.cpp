#include "actions/variables.h"

#include "check.h"

using kiln::actions::Variables;

namespace {

std::string told(const Variables& variables) {
  const auto result = variables.resolve({{"BASE", "0"}});
  std::string out;
  for (const auto& [name, value] : result.set) out += fmt::format("{}={} ", name, value);
  for (const auto& name : result.unset) out += fmt::format("-{} ", name);
  return out;
}

void a_layer_lasts_until_its_environment_is_left() {
  Variables variables;
  check_equal(told(variables), "BASE=0 ");
  variables.enter().set["A"] = "outer";
  variables.enter().set["A"] = "inner";
  variables.innermost().set["BASE"] = "1";
  check_equal(told(variables), "A=inner BASE=1 ");
  variables.leave();
  check_equal(told(variables), "A=outer BASE=0 ");
  variables.leave();
  check_equal(told(variables), "BASE=0 ");
}

void unset_wins_within_an_environment_and_set_wins_further_in() {
  Variables variables;
  variables.enter().unset.insert("A");
  variables.innermost().set["A"] = "never";
  variables.innermost().unset.insert("BASE");
  check_equal(told(variables), "-A -BASE ");
  variables.enter().set["A"] = "again";
  check_equal(told(variables), "A=again -BASE ");
  variables.enter().unset.insert("A");
  check_equal(told(variables), "-A -BASE ");
}

}  // namespace

int main() {
  return kiln::test::run("variables", {
                                          {"a layer lasts until its environment is left",
                                           &a_layer_lasts_until_its_environment_is_left},
                                          {"unset wins within an environment, and set wins further in",
                                           &unset_wins_within_an_environment_and_set_wins_further_in},
                                      });
}
