#include "box/install_to.h"

#include "check.h"

namespace {

constexpr const char* lsblk = R"({"blockdevices": [
  {"path":"/dev/sda","type":"disk","size":15500000000,"model":"Stick","ro":false},
  {"path":"/dev/sdb","type":"disk","size":4000000000,"model":"small","ro":false},
  {"path":"/dev/sr0","type":"rom","size":1073741312,"model":"DVD","ro":false},
  {"path":"/dev/sdc","type":"disk","size":500000000000,"model":"locked","ro":true},
  {"path":"/dev/nvme0n1","type":"disk","size":500000000000,"model":null,"ro":false}
]})";

void the_only_other_disk_with_room_is_found() {
  const auto disks = kiln::box::parse_disks(lsblk);
  check_ok(disks);
  const auto found = kiln::box::only_other_disk(*disks, "/dev/sda");
  check_ok(found);
  check_equal(found->path, "/dev/nvme0n1");
}

void two_disks_are_a_question() {
  auto disks = kiln::box::parse_disks(lsblk);
  check_ok(disks);
  disks->push_back({.path = "/dev/sdd", .model = "Other", .bytes = 1'000'000'000'000});
  const auto found = kiln::box::only_other_disk(*disks, "/dev/sda");
  check(!found.has_value());
  check_contains(found.error().message, "/dev/nvme0n1 (disk, 500 GB)");
  check_contains(found.error().message, "/dev/sdd (Other, 1000 GB)");
  check_contains(found.error().message, "kiln-box install-to");
}

void no_disk_is_an_answer() {
  const auto found =
      kiln::box::only_other_disk({{.path = "/dev/sda", .model = "", .bytes = 15'000'000'000}}, "/dev/sda");
  check(!found.has_value());
  check_contains(found.error().message, "8 GB");
  check(!kiln::box::parse_disks("nonsense").has_value());
  check(!kiln::box::parse_disks("{}").has_value());
}

}  // namespace

int main() {
  return kiln::test::run("install to",
                         {{"the only other disk with room is found", &the_only_other_disk_with_room_is_found},
                          {"two disks are a question", &two_disks_are_a_question},
                          {"no disk is an answer", &no_disk_is_an_answer}});
}
