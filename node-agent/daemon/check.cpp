#include "daemon/check.h"

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>

#include "base/version.h"
#include "cage/cage.h"
#include "daemon/cages.h"
#include "daemon/discovery.h"
#include "daemon/identity.h"
#include "daemon/programs.h"
#include "daemon/slots.h"
#include "daemon/survey.h"
#include "runtime/clock.h"
#include "telemetry/sampler.h"

namespace kiln::agent {

namespace {

void row(std::string_view what, std::string_view text) {
  fmt::print("{:<12} {}\n", what, text);
  std::fflush(stdout);
}

std::string degrees(std::optional<double> temp_c) {
  return temp_c ? fmt::format("{:.0f} °C", *temp_c) : "temperature unknown";
}

std::string size(std::uint64_t mib) {
  return fmt::format("{:.1f} GiB", static_cast<double>(mib) / 1024);
}

// Whether tasks find what they run in.
bool show_cage(const Config& config, const telemetry::Hardware& hardware, const planner::Slots& slots) {
  if (!config.cage.enabled) {
    row("cage", "none: [cage] enabled = false; tasks run as this agent does and see what it sees");
    return true;
  }
  const auto works = cage::try_out(std::filesystem::temp_directory_path(), {});
  if (!works) {
    row("cage", works.error().message);
    return false;
  }
  row("cage", describe(cage_config(config, hardware, slots.with_gpu, slots.count)));
  return true;
}

bool show_hardware(const Config& config) {
  telemetry::Config sensors;
  sensors.data_dir = config.data;
  // The data folder may not be made yet: its disk is that of the nearest folder above it.
  std::error_code ignored;
  while (!std::filesystem::exists(sensors.data_dir, ignored))
    sensors.data_dir = sensors.data_dir.parent_path();
  sensors.sysfs = config.sysfs;
  telemetry::Sampler sampler(sensors);
  const auto hardware = sampler.hardware();
  const auto sample = sampler.sample(runtime::now().unix_ms / 1000);
  const auto& host = sample.host;
  row("cpu", fmt::format("{}, {} cores, {}", hardware.cpu, hardware.cores, degrees(host.cpu_temp_c)));
  row("memory", fmt::format("{}, {} in use", size(hardware.memory_mib), size(host.mem_used_mib)));
  row("disk", fmt::format("{} of {} free for {}", size(host.disk_free_mib), size(host.disk_total_mib),
                          config.data.string()));
  if (hardware.gpus.empty()) row("gpu", "none");
  for (const auto& gpu : hardware.gpus) {
    std::optional<double> temp_c;
    for (const auto& [index, values] : sample.gpus) {
      if (index == gpu.index) temp_c = values.temp_c;
    }
    row(fmt::format("gpu {}", gpu.index),
        fmt::format("{} ({}), {}, {}", gpu.name, gpu.vendor, size(gpu.memory_mib), degrees(temp_c)));
  }
  if (!sample.trouble.empty()) row("sensors", sample.trouble);
  const auto slots = slots_of(config, hardware.gpus);
  row("slots", fmt::format("{}: {} with a GPU each, {} without", slots.count, slots.with_gpu,
                           slots.count - slots.with_gpu));
  for (std::uint32_t i = 0; i < slots.with_gpu; ++i) row(fmt::format("slot {}", i), hardware.gpus[i].name);
  return show_cage(config, hardware, slots);
}

}  // namespace

bool check_box(const Config& config) {
  row("kiln-agent", version);
  const auto id = find_node_id(config.data);
  bool is_fine = id.has_value();
  if (config.id) {
    row("node", config.id->str());
  } else if (!id) {
    row("node", id.error().message);
  } else {
    row("node", *id ? (*id)->str() : "no id yet: it is made at the first start");
  }
  is_fine = show_hardware(config) && is_fine;

  if (!config.tags.empty()) row("tags", fmt::format("{}", fmt::join(config.tags, ", ")));
  const auto mac = mac_towards(host_of(config.controller), config.sysfs);
  row("wakes by", mac.empty() ? "no network address towards the controller" : mac);
  for (const auto& [what, command] :
       {std::pair("reboot", &config.reboot), std::pair("sleep", &config.sleep)}) {
    row(what, command->empty() ? "not allowed from the controller ([power] in agent.toml)"
                               : fmt::format("{}", fmt::join(*command, " ")));
  }

  Programs programs(config);
  for (const auto& one : programs.look()) row("program", fmt::format("{} {}", one.name, one.version));
  if (!programs.has_blender()) row("program", no_renderer(config.blender));
  is_fine = is_fine && programs.has_blender();

  std::error_code ignored;
  const auto key = std::filesystem::exists(config.data / key_name, ignored)
                       ? identity::Key::load_or_make(config.data / key_name)
                       : Result<identity::Key>(fail(Code::not_found, "made at the first start"));
  row("fingerprint", key ? identity::fingerprint_of_key(key->public_key()) : key.error().message);
  const auto farm = greet(config, config.data / ca_name);
  if (farm) {
    row("controller",
        fmt::format("{} answers: farm {}, version {}{}", config.controller, farm->farm, farm->version,
                    farm->ca_fingerprint.empty() ? "" : ", authority " + farm->ca_fingerprint));
  } else {
    row("controller", farm.error().message);
    is_fine = false;
  }
  row("", is_fine ? "all is well" : "this box cannot render for the farm yet");
  return is_fine;
}

}  // namespace kiln::agent
