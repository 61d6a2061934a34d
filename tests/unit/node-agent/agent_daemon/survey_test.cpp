#include "daemon/survey.h"

#include <stdlib.h>

#include <fstream>

#include "check.h"

namespace fs = std::filesystem;
using namespace kiln;         // NOLINT
using namespace kiln::agent;  // NOLINT

namespace {

void a_box_says_what_it_is() {
  Config config;
  config.name = "Box";
  config.tags = {"rtx"};
  config.slots = 1;
  telemetry::Hardware hardware;
  hardware.memory_mib = 1000;
  hardware.gpus.resize(2);
  const auto info = describe(config, hardware, {{"ffmpeg", "5.1"}}, "02:42:ac:11:00:02");
  check_equal(info.name, "Box");
  check_equal(info.slots, 3U);
  check_equal(info.gpu_slots, 2U);
  check_equal(info.memory_mib, 1000U);
  check(info.tags == config.tags);
  check_equal(info.mac, "02:42:ac:11:00:02");
  check_equal(info.renderers.at(0).name, "ffmpeg");
}

void what_a_box_says_of_itself_stays_below_4_kib() {
  Config config;
  config.name = std::string(payloads::max_name_bytes, 'n');
  config.tags.assign(payloads::max_tags, std::string(32, 't'));
  telemetry::Hardware hardware;
  hardware.gpus.resize(payloads::max_gpus);
  for (auto& gpu : hardware.gpus) {
    gpu.name = std::string(96, 'g');
    gpu.uuid = std::string(64, 'u');
    gpu.driver = std::string(80, 'd');
    gpu.vendor = "nvidia";
  }
  std::vector<payloads::RendererInfo> renderers = {{"blender", "3.4.1"}};
  for (int i = 0; i < 40; ++i) renderers.push_back({std::string(60, 'r'), "1.2.3"});
  const auto info = describe(config, hardware, renderers, "02:42:ac:11:00:02");
  check(payloads::encode(info).size() <= 4096);
  check_equal(info.gpus.size(), payloads::max_gpus);
  check_equal(info.renderers.at(0).name, "blender");  // the last go first
  check(info.renderers.size() > 1);
  check_ok(payloads::decode_node_info(payloads::encode(info)));
}

void an_interface_has_an_address_that_a_magic_packet_can_name() {
  std::string name = (fs::temp_directory_path() / "kiln-survey-XXXXXX").string();
  check(::mkdtemp(name.data()) != nullptr);
  const fs::path sysfs = name;
  const struct {
    const char* interface;
    const char* text;
    const char* mac;
  } cases[] = {
      {"eth0", "02:42:ac:11:00:02\n", "02:42:ac:11:00:02"},
      {"lo", "00:00:00:00:00:00\n", ""},
      {"tun0", "\n", ""},
      {"ib0", "80:00:02:08:fe:80:00:00:00:00:00:00:e4:1d:2d:03:00:aa:bb:cc\n", ""},
      {"odd", "02-42-ac-11-00-02\n", ""},
  };
  for (const auto& one : cases) {
    fs::create_directories(sysfs / "class/net" / one.interface);
    std::ofstream(sysfs / "class/net" / one.interface / "address") << one.text;
    check_equal(mac_of(sysfs, one.interface), one.mac);
  }
  check_equal(mac_of(sysfs, "gone"), "");
  check_equal(mac_of(sysfs, "../eth0"), "");
  check_equal(mac_of(sysfs, ""), "");
  // The way to ourselves is the loopback interface; this tree gives it an address to show that it is found.
  std::ofstream(sysfs / "class/net/lo/address") << "02:00:00:00:00:01\n";
  check_equal(mac_towards("127.0.0.1", sysfs), "02:00:00:00:00:01");
  check_equal(mac_towards("no such host", sysfs), "");
  fs::remove_all(sysfs);
}

}  // namespace

int main() {
  return test::run(
      "survey", {{"a box says what it is", a_box_says_what_it_is},
                 {"what a box says of itself stays below 4 KiB", what_a_box_says_of_itself_stays_below_4_kib},
                 {"an interface has an address that a magic packet can name",
                  an_interface_has_an_address_that_a_magic_packet_can_name}});
}
