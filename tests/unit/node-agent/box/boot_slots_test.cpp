#include "box/boot_slots.h"

#include <stdlib.h>

#include <fstream>

#include "check.h"
#include "runtime/files.h"

namespace fs = std::filesystem;
using kiln::box::BootEnvironment;
using kiln::box::BootSlots;

namespace {

struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "kiln-box-XXXXXX").string();
    check(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  void write(const char* name, const std::string& text) const { std::ofstream(path / name) << text; }
  fs::path path;
};

std::string answer(const BootSlots& slots, const std::vector<std::string>& words) {
  std::string out;
  check_ok(kiln::box::boot_slots_command(slots, words, out));
  return out;
}

void rauc_gets_its_answers() {
  const Folder folder;
  const BootSlots slots(folder.path);
  check_ok(slots.store(BootEnvironment()));
  check_equal(answer(slots, {"get-primary"}), "A");
  check_equal(answer(slots, {"get-state", "B"}), "bad");
  answer(slots, {"set-state", "B", "bad"});
  answer(slots, {"set-primary", "B"});
  check_equal(answer(slots, {"get-primary"}), "B");
  check_equal(answer(slots, {"get-state", "B"}), "good");
  check_equal(answer(slots, {"get-state", "A"}), "good");
}

void a_wrong_question_is_answered_with_right_ones() {
  const Folder folder;
  const BootSlots slots(folder.path);
  check_ok(slots.store(BootEnvironment()));
  for (const std::vector<std::string>& words : {std::vector<std::string>{},
                                                {"get"},
                                                {"get-state"},
                                                {"get-state", "C"},
                                                {"set-state", "A"},
                                                {"set-state", "A", "fine"},
                                                {"set-primary", ""},
                                                {"set-primary", "A", "B"}}) {
    std::string out;
    const auto done = kiln::box::boot_slots_command(slots, words, out);
    check(!done.has_value());
    check_contains(done.error().message, "set-primary");
  }
}

void a_damaged_file_is_repaired_from_its_copy() {
  const Folder folder;
  const BootSlots slots(folder.path);
  BootEnvironment environment;
  environment.set_primary("B");
  for (const char* damaged : {"grubenv", "grubenv.good"}) {
    check_ok(slots.store(environment));
    folder.write(damaged, "");
    const auto repaired = slots.repair();
    check_ok(repaired);
    check(*repaired);
    const auto text = kiln::runtime::read_file(folder.path / damaged, 2048);
    check_ok(text);
    check_equal(text->size(), BootEnvironment::block_bytes);
    const auto again = slots.load();
    check_ok(again);
    check(*again == environment);
  }
  const auto whole = slots.repair();
  check_ok(whole);
  check(!*whole);
}

void with_both_damaged_there_is_a_fresh_one() {
  const Folder folder;
  folder.write("grubenv", "x");
  folder.write("grubenv.good", std::string(5000, 'x'));
  const BootSlots slots(folder.path);
  check_ok(slots.repair());
  const auto found = slots.load();
  check_ok(found);
  check_equal(found->primary(), "A");
}

void without_the_partition_nothing_is_made_up() {
  const Folder folder;
  const auto found = BootSlots(folder.path / "none").load();
  check(!found.has_value());
  check_contains(found.error().message, "not mounted");
}

void the_slot_that_runs_is_in_the_kernels_arguments() {
  const Folder folder;
  const struct {
    const char* cmdline;
    const char* slot;
  } cases[] = {{"boot=kiln rauc.slot=B quiet\n", "B"},
               {"rauc.slot=A", "A"},
               {"rauc.slot=C", ""},
               {"rauc.slot=", ""},
               {"quiet", ""}};
  for (const auto& one : cases) {
    folder.write("cmdline", one.cmdline);
    check_equal(kiln::box::booted_slot(folder.path / "cmdline"), one.slot);
  }
}

}  // namespace

int main() {
  return kiln::test::run(
      "boot slots",
      {{"RAUC gets its answers", &rauc_gets_its_answers},
       {"a wrong question is answered with right ones", &a_wrong_question_is_answered_with_right_ones},
       {"a damaged file is repaired from its copy", &a_damaged_file_is_repaired_from_its_copy},
       {"with both damaged there is a fresh one", &with_both_damaged_there_is_a_fresh_one},
       {"without the partition nothing is made up", &without_the_partition_nothing_is_made_up},
       {"the slot that runs is in the kernel's arguments", &the_slot_that_runs_is_in_the_kernels_arguments}});
}
