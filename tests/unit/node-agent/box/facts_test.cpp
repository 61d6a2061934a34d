#include "box/facts.h"

#include <stdlib.h>

#include <fstream>

#include "box/clock.h"
#include "check.h"

namespace fs = std::filesystem;
using kiln::box::Places;

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
  void write(const fs::path& name, const std::string& text) const {
    fs::create_directories((path / name).parent_path());
    std::ofstream(path / name) << text;
  }
  fs::path path;
};

void the_agents_status_is_read_as_far_as_it_goes() {
  const auto full = kiln::box::parse_agent_status(
      R"({"id":"n1","name":"shelf","fingerprint":"ab","controller":"https://farm:8780","state":"online","temp_c":61,
          "running":[{"job":"7","frame":12,"percent":48.5},{"job":"8","frame":"1-4"}],"new":[1]})");
  check_ok(full);
  check_equal(full->running.size(), 2U);
  check_equal(full->running[0].frame, "12");
  check_equal(full->running[1].frame, "1-4");
  check_ok(kiln::box::parse_agent_status("{}"));
  check(!kiln::box::parse_agent_status("[").has_value());
  Places places;
  places.agent = "/nonexistent";
  check_equal(kiln::box::read_agent_status(places).state, "");
}

void problems_of_all_are_kept_apart_and_read_together() {
  const Folder folder;
  Places places;
  places.run = folder.path;
  folder.write("problems.d/boot", "the disk is damaged\n");
  check_ok(kiln::box::write_box_state(places,
                                      {.name = "shelf", .controller = "farm", .problems = {"one", "two"}}));
  check_ok(
      kiln::box::write_box_state(places, {.name = "shelf", .controller = "farm", .problems = {"three"}}));
  const auto state = kiln::box::read_box_state(places);
  check_equal(state.name, "shelf");
  check_equal(state.problems.size(), 2U);
  check_equal(state.problems[0], "the disk is damaged");
  check_equal(state.problems[1], "three");
}

void gpus_count_when_a_driver_has_them() {
  const Folder folder;
  folder.write("bus/pci/devices/0000:01:00.0/class", "0x030000\n");
  folder.write("bus/pci/devices/0000:01:00.0/driver/x", "");
  folder.write("bus/pci/devices/0000:02:00.0/class", "0x030200\n");
  folder.write("bus/pci/devices/0000:02:00.0/driver/x", "");
  folder.write("bus/pci/devices/0000:03:00.0/class", "0x030000\n");
  folder.write("bus/pci/devices/0000:04:00.0/class", "0x020000\n");
  folder.write("bus/pci/devices/0000:04:00.0/driver/x", "");
  check_equal(kiln::box::count_gpus(folder.path), 2U);
  check_equal(kiln::box::count_gpus("/nonexistent"), 0U);
}

void a_link_is_a_wired_ports_carrier() {
  const Folder folder;
  folder.write("class/net/lo/type", "772\n");
  folder.write("class/net/lo/carrier", "1\n");
  folder.write("class/net/enp1s0/type", "1\n");
  folder.write("class/net/enp1s0/carrier", "0\n");
  folder.write("class/net/enp1s0/device/x", "");
  check(!kiln::box::has_link(folder.path));
  folder.write("class/net/enp1s0/carrier", "1\n");
  check(kiln::box::has_link(folder.path));
}

void what_is_no_address_is_not_reached() {
  for (const char* url : {"", "http://", "http://[", "http://127.0.0.1:1", "x:y:z", "http://256.0.0.1:80"}) {
    check(!kiln::box::is_reachable(url, 100));
  }
}

void the_image_says_what_it_is() {
  const Folder folder;
  folder.write("image",
               "KILN_IMAGE_VERSION=0.1.0+1\nKILN_IMAGE_COMPATIBLE=kiln\nKILN_IMAGE_BUILT=1700000000\n");
  Places places;
  places.image = folder.path / "image";
  check_equal(kiln::box::image_fact(places, "VERSION"), "0.1.0+1");
  check_equal(kiln::box::image_fact(places, "BUILT"), "1700000000");
  check_equal(kiln::box::image_fact(places, "NONE"), "");
}

void a_date_of_http_is_read() {
  check(kiln::box::parse_http_date("Fri, 27 Nov 2026 04:23:54 GMT") == 1795753434);
  for (const char* text :
       {"", "27 Nov 2026", "Fri, 27 Nov 2026 04:23:54 GMT+1", "Fri, 27 Nov 2026 04:23:54"}) {
    check(!kiln::box::parse_http_date(text).has_value());
  }
}

}  // namespace

int main() {
  return kiln::test::run("facts", {{"the agent's status is read as far as it goes",
                                    &the_agents_status_is_read_as_far_as_it_goes},
                                   {"problems of all are kept apart and read together",
                                    &problems_of_all_are_kept_apart_and_read_together},
                                   {"GPUs count when a driver has them", &gpus_count_when_a_driver_has_them},
                                   {"a link is a wired port's carrier", &a_link_is_a_wired_ports_carrier},
                                   {"what is no address is not reached", &what_is_no_address_is_not_reached},
                                   {"the image says what it is", &the_image_says_what_it_is},
                                   {"a date of HTTP is read", &a_date_of_http_is_read}});
}
