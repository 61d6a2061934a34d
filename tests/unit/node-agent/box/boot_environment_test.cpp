#include "box/boot_environment.h"

#include "check.h"

using kiln::box::BootEnvironment;

namespace {

std::string block_of(const std::string& lines) {
  auto text = "# GRUB Environment Block\n" + lines;
  text.resize(BootEnvironment::block_bytes, '#');
  return text;
}

void a_fresh_image_starts_a_and_has_no_b() {
  const BootEnvironment fresh;
  check_equal(fresh.primary(), "A");
  check(!fresh.is_good("B"));
}

void what_is_written_is_read_again() {
  BootEnvironment environment;
  environment.set_primary("B");
  environment.set("KERNEL_ARGS", "console=ttyS0");
  const auto block = environment.block();
  check_ok(block);
  check_equal(block->size(), BootEnvironment::block_bytes);
  check(block->starts_with("# GRUB Environment Block\n"));
  const auto again = BootEnvironment::parse(*block);
  check_ok(again);
  check(*again == environment);
  check_equal(again->primary(), "B");
}

void what_the_house_writes_is_one_sector() {
  BootEnvironment environment;
  environment.set_primary("B");
  const auto block = environment.block();
  check_ok(block);
  check(block->find_first_of('#', 1) < 512);  // what follows is filling
}

void an_update_gets_all_its_tries() {
  const auto tried = BootEnvironment::parse(block_of("ORDER=A B\nA_OK=1\nA_TRY=0\nB_OK=0\nB_TRY=3\n"));
  check_ok(tried);
  auto environment = *tried;
  environment.set_primary("B");
  check_equal(environment.get("ORDER"), "B A");
  check(environment.is_good("B"));
  check_equal(environment.tries("B"), 0);
  check(environment.is_good("A"));
}

void a_bad_slot_is_not_the_first() {
  BootEnvironment environment;
  environment.set_primary("B");
  environment.set_good("B", false);
  check_equal(environment.primary(), "A");
  environment.set_good("A", false);
  check_equal(environment.primary(), "");
}

void a_damaged_block_is_none() {
  const std::string whole = block_of("ORDER=A B\nA_OK=1\n");
  for (const auto& damaged :
       {std::string(), std::string(1024, '\0'), std::string(1024, '#'), whole.substr(0, 1023), whole + "#",
        block_of("A_OK=1\n"), block_of("ORDER\n"), block_of("=A B\n"), block_of("ORDER=\n")}) {
    check(!BootEnvironment::parse(damaged).has_value());
  }
}

void variables_that_do_not_fit_are_refused() {
  BootEnvironment environment;
  environment.set("KERNEL_ARGS", std::string(1000, 'x'));
  const auto block = environment.block();
  check(!block.has_value());
  check_equal(block.error().code == kiln::Code::too_large, true);
}

}  // namespace

int main() {
  return kiln::test::run("boot environment",
                         {{"a fresh image starts A and has no B", &a_fresh_image_starts_a_and_has_no_b},
                          {"what is written is read again", &what_is_written_is_read_again},
                          {"what the house writes is one sector", &what_the_house_writes_is_one_sector},
                          {"an update gets all its tries", &an_update_gets_all_its_tries},
                          {"a bad slot is not the first", &a_bad_slot_is_not_the_first},
                          {"a damaged block is none", &a_damaged_block_is_none},
                          {"variables that do not fit are refused", &variables_that_do_not_fit_are_refused}});
}
