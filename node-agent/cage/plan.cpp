#include "cage/plan.h"

#include <algorithm>
#include <array>

namespace kiln::cage {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t mib_of_gib = 1024;
constexpr const char* tmp_bytes = "1073741824";  // /tmp is memory; what is big belongs into TMPDIR, on disk
constexpr const char* shm_bytes = "1073741824";  // what the processes of one program share
constexpr const char* run_bytes = "1048576";

// What programs look up in /etc, where it is: the linker's cache, fonts, Debian's alternatives, time zone,
// drivers.
constexpr std::array etc = {"ld.so.cache",   "ld.so.conf",  "ld.so.conf.d",  "alternatives",   "fonts",
                            "localtime",     "timezone",    "locale.alias",  "mime.types",     "magic",
                            "nsswitch.conf", "OpenCL",      "vulkan",        "glvnd",          "egl",
                            "nvidia",        "povray",      "ImageMagick-6", "ImageMagick-7",  "python3",
                            "python3.11",    "python3.12",  "python3.13",    "perl",           "libva.conf",
                            "drirc",         "bash.bashrc", "profile",       "ssl/openssl.cnf"};
// Topology and CPU features, which thread pools and math libraries ask for.
constexpr std::array sys = {"/sys/devices/system/cpu", "/sys/devices/system/node"};
// How GPU runtimes find their cards.
constexpr std::array sys_of_gpus = {"/sys/bus/pci",      "/sys/class/drm", "/sys/class/kfd",
                                    "/sys/dev/char",     "/sys/devices",   "/sys/module/amdgpu",
                                    "/sys/module/nvidia"};

}  // namespace

bool is_below(const fs::path& path, const fs::path& folder) {
  const auto [at, rest] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return at == folder.end();
}

Bounds bounds_of(const Settings& settings, std::uint64_t memory_mib, std::uint32_t cores,
                 std::uint64_t free_mib) {
  Bounds out;
  // The rest is the system's and the agent's.
  out.memory_mib = settings.memory_mib != 0 ? settings.memory_mib : memory_mib - memory_mib / 10;
  // A renderer has some threads a core in each of its pools, a build or an encode some processes.
  constexpr std::uint64_t plain = 1024;
  constexpr std::uint64_t each_core = 16;
  out.processes = settings.max_processes != 0 ? settings.max_processes : plain + each_core * cores;
  out.scratch_mib =
      std::max<std::uint64_t>(1, std::min(settings.scratch_gib * mib_of_gib, free_mib - free_mib / 10));
  return out;
}

std::vector<std::string> arguments(const Plan& plan) {
  std::vector<std::string> out = {plan.bwrap.native()};
  const auto add = [&](std::initializer_list<std::string> more) { out.insert(out.end(), more); };
  add({"--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--uid", "1000", "--gid", "1000",
       "--cap-drop", "ALL", "--new-session", "--die-with-parent", "--as-pid-1"});

  add({"--ro-bind", "/usr", "/usr"});
  for (const auto& [path, target] : plan.layout) {
    target.empty() ? add({"--ro-bind", path, path}) : add({"--symlink", target, path});
  }
  add({"--ro-bind-try", "/opt", "/opt"});
  for (const auto* name : etc)
    add({"--ro-bind-try", std::string("/etc/") + name, std::string("/etc/") + name});
  for (const auto* name : {"passwd", "group"})
    add({"--ro-bind", (plan.accounts / name).native(), std::string("/etc/") + name});
  add({"--ro-bind-try", "/var/cache/fontconfig", "/var/cache/fontconfig"});

  add({"--proc", "/proc", "--dev", "/dev", "--size", shm_bytes, "--tmpfs", "/dev/shm"});
  for (const auto& one : plan.devices) add({"--dev-bind-try", one.native(), one.native()});
  add({"--remount-ro", "/dev"});
  for (const auto* one : sys) add({"--ro-bind-try", one, one});
  if (!plan.devices.empty()) {
    for (const auto* one : sys_of_gpus) add({"--ro-bind-try", one, one});
    add({"--ro-bind-try", "/run/nvidia-persistenced/socket", "/run/nvidia-persistenced/socket"});
  }
  add({"--size", tmp_bytes, "--tmpfs", "/tmp", "--dir", "/tmp/home", "--size", tmp_bytes, "--tmpfs",
       "/var/tmp"});

  bool is_data_in_sight = is_below(plan.data, "/usr") || is_below(plan.data, "/opt");
  for (const auto* list : {&plan.read_only, &plan.programs}) {
    for (const auto& one : *list) {
      add({"--ro-bind-try", one.native(), one.native()});
      is_data_in_sight = is_data_in_sight || is_below(plan.data, one);
    }
  }
  // Hidden again, then what is the task's own comes back below it.
  if (is_data_in_sight) add({"--size", run_bytes, "--tmpfs", plan.data.native()});
  for (const auto& one : plan.inputs) add({"--ro-bind", one.native(), one.native()});
  for (const auto& one : plan.work) add({"--bind", one.native(), one.native()});
  if (is_data_in_sight) add({"--remount-ro", plan.data.native()});
  add({"--ro-bind", plan.warden.native(), plan.warden.native()});
  add({"--remount-ro", "/", "--chdir", "/tmp", "--", plan.warden.native(),
       std::to_string(plan.bounds.processes), std::to_string(plan.bounds.memory_mib),
       std::to_string(plan.bounds.scratch_mib)});
  for (const auto& one : plan.work) out.push_back(one.native());
  return out;
}

bool passes_on(std::string_view variable) {
  static constexpr std::array<std::string_view, 7> names = {
      "PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "OCIO", "OMP_NUM_THREADS"};
  static constexpr std::array<std::string_view, 12> beginnings = {"LC_",     "BLENDER_", "CYCLES_", "CUDA_",
                                                                  "NVIDIA_", "OPTIX_",   "HIP_",    "HSA_",
                                                                  "ROCR_",   "ZE_",      "ONEAPI_", "SYCL_"};
  return std::find(names.begin(), names.end(), variable) != names.end() ||
         std::any_of(beginnings.begin(), beginnings.end(),
                     [&](auto one) { return variable.starts_with(one); });
}

std::vector<fs::path> device_nodes(const Gpu& gpu) {
  std::vector<fs::path> out;
  if (gpu.vendor == "nvidia") {
    for (const auto* one : {"nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset", "nvidia-caps"})
      out.emplace_back(fs::path("/dev") / one);
    if (!gpu.minor.empty()) out.emplace_back("/dev/nvidia" + gpu.minor);
  }
  if (gpu.vendor == "amd") out.emplace_back("/dev/kfd");
  for (const auto* one : {&gpu.render, &gpu.card}) {
    if (!one->empty()) out.emplace_back("/dev/dri/" + *one);
  }
  return out;
}

}  // namespace kiln::cage
