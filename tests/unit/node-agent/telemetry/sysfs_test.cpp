#include "telemetry/sysfs.h"

#include <filesystem>
#include <set>

#include "check.h"
#include "tree.h"

using namespace kiln::telemetry;
using kiln::test::Tree;

namespace {

void amd_card(const Tree& sys, const std::string& folder) {
  sys.write(folder + "/unique_id", "a1b2c3d4e5f60718\n");
  sys.write(folder + "/gpu_busy_percent", "97\n");
  sys.write(folder + "/mem_info_vram_total", "25753026560\n");
  sys.write(folder + "/mem_info_vram_used", "1073741824\n");
  const auto hwmon = folder + "/hwmon/hwmon3";
  sys.write(hwmon + "/name", "amdgpu\n");
  sys.write(hwmon + "/temp1_input", "61000\n");
  sys.write(hwmon + "/temp1_label", "edge\n");
  sys.write(hwmon + "/temp2_input", "78000\n");
  sys.write(hwmon + "/temp2_label", "junction\n");
  sys.write(hwmon + "/power1_average", "212000000\n");
  sys.write(hwmon + "/pwm1", "51\n");
  sys.write(hwmon + "/fan1_input", "900\n");
}

void an_amd_card_says_everything() {
  const Tree sys;
  amd_card(sys, sys.gpu("0000:03:00.0", "0x1002", "0x744c", "amdgpu", 1));
  const auto gpus = find_gpus(sys.root());
  check_equal(gpus.size(), 1U);
  const auto info = describe(gpus[0], "\n1002  AMD\n\t744c  Navi 31 [Radeon RX 7900 XTX]\n");
  check_equal(info.name, "AMD Radeon RX 7900 XTX");
  check_equal(info.vendor, "amd");
  check_equal(info.uuid, "a1b2c3d4e5f60718");
  check_equal(info.driver, "amdgpu");
  check_equal(info.memory_mib, 24560U);
  EnergyReadings energy;
  const auto now = read_sensors(gpus[0], 0, energy);
  check_equal(now.temp_c.value(), 61.0);
  check_equal(now.util_pct.value(), 97.0);
  check_equal(now.power_w.value(), 212.0);
  check_equal(now.mem_mib.value(), 1024.0);
  check_equal(now.fan_pct.value(), 20.0);
  check_equal(describe(gpus[0], "").name, "AMD GPU 1002:744c");
}

void a_data_centre_card_has_a_junction_only() {
  const Tree sys;
  const auto folder = sys.gpu("0000:c1:00.0", "0x1002", "0x740f", "amdgpu", 0);
  sys.write(folder + "/product_name", "AMD INSTINCT MI210 OAM\n");
  sys.write(folder + "/unique_id", "0000000000000000\n");
  sys.write(folder + "/hwmon/hwmon0/name", "amdgpu\n");
  sys.write(folder + "/hwmon/hwmon0/temp2_input", "45000\n");
  sys.write(folder + "/hwmon/hwmon0/temp2_label", "junction\n");
  sys.write(folder + "/hwmon/hwmon0/power1_input", "90000000\n");
  const auto gpus = find_gpus(sys.root());
  EnergyReadings energy;
  check_equal(describe(gpus[0], "").name, "AMD INSTINCT MI210 OAM");
  check_equal(describe(gpus[0], "").uuid, "");
  check_equal(read_sensors(gpus[0], 0, energy).temp_c.value(), 45.0);
  check_equal(read_sensors(gpus[0], 0, energy).power_w.value(), 90.0);
}

void intel_power_is_energy_over_time() {
  const struct {
    const char* driver;
    const char* chip;
    const char* temp;
    const char* label;
    const char* energy;
  } cases[] = {{"i915", "i915", "temp1_input", "temp1_label", "energy1_input"},
               {"xe", "xe", "temp2_input", "temp2_label", "energy2_input"}};
  for (const auto& one : cases) {
    const Tree sys;
    const auto folder = sys.gpu("0000:03:00.0", "0x8086", "0x56a0", one.driver, 0);
    sys.write(folder + "/hwmon/hwmon2/name", "i915_gt0\n");  // an engine's chip, listed first
    sys.write(folder + "/hwmon/hwmon2/energy1_input", "1\n");
    const auto hwmon = folder + "/hwmon/hwmon4/";
    sys.write(hwmon + "name", std::string(one.chip) + "\n");
    sys.write(hwmon + "temp3_input", "80000\n");
    sys.write(hwmon + "temp3_label", "vram\n");
    sys.write(hwmon + one.temp, "54000\n");
    sys.write(hwmon + one.label, "pkg\n");
    sys.write(hwmon + "fan1_input", "1200\n");
    sys.write(hwmon + one.energy, "1000000\n");
    const auto gpus = find_gpus(sys.root());
    check_equal(gpus.size(), 1U);
    check_equal(describe(gpus[0], "").vendor, "intel");
    EnergyReadings energy;
    const auto first = read_sensors(gpus[0], 10'000, energy);
    check_equal(first.temp_c.value(), 54.0);
    check(!first.power_w && !first.fan_pct && !first.util_pct);
    sys.write(hwmon + one.energy, "301000000\n");
    check(!read_sensors(gpus[0], 10'010, energy).power_w);  // too soon to tell
    check_equal(read_sensors(gpus[0], 12'000, energy).power_w.value(), 150.0);
    sys.write(hwmon + one.energy, "5\n");
    check(!read_sensors(gpus[0], 14'000, energy).power_w);  // the counter wrapped
    sys.write(hwmon + one.energy, "20000005\n");
    check_equal(read_sensors(gpus[0], 16'000, energy).power_w.value(), 10.0);
  }
}

void the_order_is_that_of_the_bus() {
  const Tree sys;
  sys.gpu("0000:81:00.0", "0x10de", "0x2684", "nvidia", -1);  // no nvidia-drm: on the bus only
  sys.gpu("0000:0a:00.0", "0x1002", "0x744c", "amdgpu", 10);
  sys.gpu("0000:0b:00.0", "0x8086", "0x56a0", "xe", 2);
  sys.gpu("0000:01:00.0", "0x10de", "0x2684", "nvidia", 0);  // listed twice, counted once
  std::vector<std::string> order;
  for (const auto& gpu : find_gpus(sys.root())) order.push_back(gpu.pci);
  check(order == std::vector<std::string>({"0000:01:00.0", "0000:0a:00.0", "0000:0b:00.0", "0000:81:00.0"}));
}

void what_cannot_render_is_no_gpu() {
  const Tree sys;
  sys.gpu("0000:00:01.0", "0x1af4", "0x1050", "virtio-pci", 0);
  sys.gpu("0000:00:02.0", "0x1234", "0x1111", "bochs-drm", 1);
  sys.gpu("0000:00:03.0", "0x1a03", "0x2000", "ast", 2);
  sys.gpu("0000:00:04.0", "0x1002", "0x515e", "radeon", 3);     // ES1000 on a server board
  sys.gpu("0000:00:05.0", "0x10de", "0x2684", "vfio-pci", -1);  // a guest has it
  const auto vf = sys.gpu("0000:00:06.1", "0x8086", "0x56c0", "i915", 4);
  sys.link(vf + "/physfn", "../0000:00:06.0");
  sys.write("class/drm/card9/device/vendor", "0x1002\n");  // no PCI address
  sys.write("class/drm/version", "drm 1.1.0\n");
  check(find_gpus(sys.root()).empty());
  check(find_gpus(sys.root() / "missing").empty());
}

void a_sleeping_card_is_not_woken() {
  const Tree sys;
  const auto folder = sys.gpu("0000:03:00.0", "0x1002", "0x744c", "amdgpu", 0);
  amd_card(sys, folder);
  sys.write(folder + "/power/runtime_status", "suspended\n");
  EnergyReadings energy;
  check(read_sensors(find_gpus(sys.root())[0], 0, energy) == kiln::payloads::GpuTelemetry());
}

void garbage_is_an_absent_value() {
  const std::string garbage[] = {"",
                                 "\n",
                                 "-",
                                 "nan",
                                 "511000 ",
                                 "-128000",
                                 "2147483647",
                                 "99999999999999999999999",
                                 "0",
                                 "\xff\xfe",
                                 "61000 61000",
                                 std::string(100'000, '9'),
                                 std::string("6\0001", 3)};
  for (const auto& text : garbage) {
    const Tree sys;
    const auto folder = sys.gpu("0000:03:00.0", "0x1002", "0x744c", "amdgpu", 0);
    amd_card(sys, folder);
    for (const char* file :
         {"unique_id", "gpu_busy_percent", "mem_info_vram_total", "mem_info_vram_used", "product_name",
          "power/runtime_status", "hwmon/hwmon3/temp1_input", "hwmon/hwmon3/temp2_input",
          "hwmon/hwmon3/temp1_label", "hwmon/hwmon3/temp2_label", "hwmon/hwmon3/power1_average",
          "hwmon/hwmon3/pwm1", "hwmon/hwmon3/fan1_input", "hwmon/hwmon3/fan1_max"}) {
      sys.write(folder + "/" + file, text);
    }
    const auto gpus = find_gpus(sys.root());
    check_equal(gpus.size(), 1U);
    EnergyReadings energy;
    const auto now = read_sensors(gpus[0], 0, energy);
    check(!now.temp_c || (*now.temp_c > 0 && *now.temp_c < 150));
    check(!now.util_pct || (*now.util_pct >= 0 && *now.util_pct <= 100));
    check(!now.power_w || (*now.power_w >= 0 && *now.power_w <= 2000));
    check(!now.fan_pct || (*now.fan_pct >= 0 && *now.fan_pct <= 100));
    const auto info = describe(gpus[0], text);
    check(info.name.starts_with("AMD "));
    check(info.memory_mib < 4UL * 1024 * 1024);
    for (const char* file : {"vendor", "device", "class"}) sys.write(folder + "/" + file, text);
    check(find_gpus(sys.root()).empty());
  }
}

void the_clearest_sensor_is_the_cpu() {
  const Tree sys;
  check(!read_cpu_temp_c(sys.root()));
  sys.write("class/thermal/thermal_zone0/type", "acpitz\n");
  sys.write("class/thermal/thermal_zone0/temp", "27800\n");
  check_equal(read_cpu_temp_c(sys.root()).value(), 27.8);
  sys.write("class/thermal/thermal_zone1/type", "cpu-thermal\n");
  sys.write("class/thermal/thermal_zone1/temp", "48000\n");
  check_equal(read_cpu_temp_c(sys.root()).value(), 48.0);
  const auto chip = [&](const std::string& n, const char* name,
                        std::initializer_list<std::pair<const char*, const char*>> temps) {
    sys.write("class/hwmon/hwmon" + n + "/name", std::string(name) + "\n");
    int i = 0;
    for (const auto& [label, value] : temps) {
      const auto base = "class/hwmon/hwmon" + n + "/temp" + std::to_string(++i);
      sys.write(base + "_label", label);
      sys.write(base + "_input", value);
    }
  };
  chip("0", "nvme", {{"Composite", "90000"}});
  chip("1", "acpitz", {{"", "20000"}});
  check_equal(read_cpu_temp_c(sys.root()).value(), 48.0);
  chip("2", "cpu_thermal", {{"", "50000"}});
  check_equal(read_cpu_temp_c(sys.root()).value(), 50.0);
  chip("3", "k10temp", {{"Tctl", "81000"}, {"Tdie", "61000"}, {"Tccd1", "70000"}});
  check_equal(read_cpu_temp_c(sys.root()).value(), 61.0);
  chip("10", "coretemp", {{"Package id 0", "55000"}, {"Core 0", "99000"}});
  chip("11", "coretemp", {{"Package id 1", "63000"}, {"Core 0", "40000"}});  // two sockets: the hotter one
  check_equal(read_cpu_temp_c(sys.root()).value(), 63.0);
  chip("10", "coretemp", {{"Package id 0", "-128000"}, {"Core 0", "junk"}});
  chip("11", "coretemp", {{"Package id 1", "511000"}, {"Core 0", "0"}});
  check_equal(read_cpu_temp_c(sys.root()).value(), 61.0);
}

}  // namespace

int main() {
  return kiln::test::run("sysfs",
                         {{"an AMD card says everything", an_amd_card_says_everything},
                          {"a data-centre card has a junction only", a_data_centre_card_has_a_junction_only},
                          {"Intel's power is energy over time", intel_power_is_energy_over_time},
                          {"the order is that of the bus", the_order_is_that_of_the_bus},
                          {"what cannot render is no GPU", what_cannot_render_is_no_gpu},
                          {"a sleeping card is not woken", a_sleeping_card_is_not_woken},
                          {"garbage is an absent value", garbage_is_an_absent_value},
                          {"the clearest sensor is the CPU", the_clearest_sensor_is_the_cpu}});
}
