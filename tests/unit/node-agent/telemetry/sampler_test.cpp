#include "telemetry/sampler.h"

#include "check.h"
#include "tree.h"

using namespace kiln::telemetry;
using kiln::test::Tree;

namespace {

Config plain_box(const Tree& box) {
  box.write("proc/stat", "cpu  100 0 100 700 100 0 0 0\n");
  box.write("proc/meminfo", "MemTotal: 16384000 kB\nMemAvailable: 8192000 kB\n");
  box.write("proc/cpuinfo", "processor : 0\nmodel name : A CPU\nprocessor : 1\n");
  box.write("etc/os-release", "PRETTY_NAME=\"Kiln OS 1\"\n");
  box.write("sys/class/hwmon/hwmon0/name", "coretemp\n");
  box.write("sys/class/hwmon/hwmon0/temp1_label", "Package id 0\n");
  box.write("sys/class/hwmon/hwmon0/temp1_input", "55000\n");
  Config config;
  config.sysfs = box.root() / "sys";
  config.proc = box.root() / "proc";
  config.os_release = box.root() / "etc/os-release";
  config.pci_ids = box.root() / "pci.ids";
  config.data_dir = box.root();
  return config;
}

void a_box_without_a_gpu_says_so() {
  const Tree box;
  Sampler sampler(plain_box(box));
  const auto hardware = sampler.hardware();
  check_equal(hardware.cpu, "A CPU");
  check_equal(hardware.cores, 2U);
  check_equal(hardware.memory_mib, 16000U);
  check_equal(hardware.os, "Kiln OS 1");
  check(hardware.gpus.empty());
  box.write("proc/stat", "cpu  175 0 125 750 150 0 0 0\n");
  auto sample = sampler.sample(7);
  check(sample.gpus.empty());
  check_equal(sample.trouble, "");
  check_equal(sample.host.cpu_temp_c.value(), 55.0);
  check_equal(sample.host.cpu_pct, 50.0);
  check_equal(sample.host.mem_used_mib, 8000U);
  check_equal(sample.host.mem_total_mib, 16000U);
  check(sample.host.disk_total_mib >= sample.host.disk_free_mib);
  check(sample.host.disk_total_mib > 0);
  check_equal(sample.host.ts, 7);
  // Asked again within a tick, the load is the last one known.
  sample = sampler.sample(8);
  check_equal(sample.host.cpu_pct, 50.0);
}

void a_box_of_garbage_still_answers() {
  for (const auto& text : {std::string(), std::string("\xff\xfe\0\n:", 5), std::string(200'000, 'x')}) {
    const Tree box;
    auto config = plain_box(box);
    for (const char* file : {"proc/stat", "proc/meminfo", "proc/cpuinfo", "etc/os-release", "pci.ids",
                             "sys/class/hwmon/hwmon0/name", "sys/class/hwmon/hwmon0/temp1_input"}) {
      box.write(file, text);
    }
    config.data_dir = box.root() / "missing";
    Sampler sampler(config);
    check(sampler.hardware().gpus.empty());
    check_equal(sampler.hardware().memory_mib, 0U);
    const auto sample = sampler.sample(1);
    check(!sample.host.cpu_temp_c);
    check_equal(sample.host.cpu_pct, 0.0);
    check_equal(sample.host.disk_total_mib, 0U);
  }
}

void this_very_box_can_be_read() {
  Config config;
  config.data_dir = "/";
  config.nvml = false;
  Sampler sampler(config);
  const auto hardware = sampler.hardware();
  check(hardware.cores > 0);
  check(hardware.memory_mib > 0);
  check_equal(sampler.sample(1).host.mem_total_mib, hardware.memory_mib);
}

}  // namespace

int main() {
  return kiln::test::run("sampler", {{"a box without a GPU says so", a_box_without_a_gpu_says_so},
                                     {"a box of garbage still answers", a_box_of_garbage_still_answers},
                                     {"this very box can be read", this_very_box_can_be_read}});
}
