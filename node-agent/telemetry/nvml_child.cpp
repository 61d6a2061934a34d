// The child's side: the only code that runs inside NVIDIA's library.
#include <dlfcn.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "telemetry/nvml.h"
#include "telemetry/parse.h"

namespace kiln::telemetry {

namespace {

constexpr std::string_view probe_flag = "--nvml-probe";
constexpr double mib = 1024.0 * 1024.0;

// The part of NVML's C ABI that is used, as the NVML API reference (docs.nvidia.com/deploy/nvml-api) and
// nvml.h give it; unchanged since driver 390.
using Device = struct NvmlDevice*;
using Return = int;
constexpr Return success = 0;
constexpr unsigned temperature_gpu = 0;  // NVML_TEMPERATURE_GPU

struct PciInfo {  // nvmlPciInfo_t of the _v3 functions
  char bus_id_legacy[16];
  unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
  char bus_id[32];
};
static_assert(sizeof(PciInfo) == 68);
struct Utilization {  // nvmlUtilization_t
  unsigned gpu, memory;
};
struct MemoryInfo {  // nvmlMemory_t
  unsigned long long total, free, used;
};

struct Nvml {
  Return (*init)() = nullptr;
  const char* (*error_string)(Return) = nullptr;
  Return (*driver_version)(char*, unsigned) = nullptr;
  Return (*device_count)(unsigned*) = nullptr;
  Return (*device)(unsigned, Device*) = nullptr;
  Return (*pci_info)(Device, PciInfo*) = nullptr;
  Return (*name)(Device, char*, unsigned) = nullptr;
  Return (*uuid)(Device, char*, unsigned) = nullptr;
  Return (*memory)(Device, MemoryInfo*) = nullptr;
  Return (*temperature)(Device, unsigned, unsigned*) = nullptr;
  Return (*utilization)(Device, Utilization*) = nullptr;
  Return (*power)(Device, unsigned*) = nullptr;      // milliwatts
  Return (*fan_speed)(Device, unsigned*) = nullptr;  // percent of the intended maximum

  [[nodiscard]] bool is_usable() const {
    return init != nullptr && device_count != nullptr && device != nullptr && pci_info != nullptr;
  }
};

template <class Function>
void bind(void* library, const char* symbol, Function& out) {
  out = reinterpret_cast<Function>(::dlsym(library, symbol));
}

Nvml bind_all(void* library) {
  Nvml nvml;
  bind(library, "nvmlInit_v2", nvml.init);
  bind(library, "nvmlErrorString", nvml.error_string);
  bind(library, "nvmlSystemGetDriverVersion", nvml.driver_version);
  bind(library, "nvmlDeviceGetCount_v2", nvml.device_count);
  bind(library, "nvmlDeviceGetHandleByIndex_v2", nvml.device);
  bind(library, "nvmlDeviceGetPciInfo_v3", nvml.pci_info);
  bind(library, "nvmlDeviceGetName", nvml.name);
  bind(library, "nvmlDeviceGetUUID", nvml.uuid);
  bind(library, "nvmlDeviceGetMemoryInfo", nvml.memory);
  bind(library, "nvmlDeviceGetTemperature", nvml.temperature);
  bind(library, "nvmlDeviceGetUtilizationRates", nvml.utilization);
  bind(library, "nvmlDeviceGetPowerUsage", nvml.power);
  bind(library, "nvmlDeviceGetFanSpeed", nvml.fan_speed);
  return nvml;
}

NvmlTrouble trouble(const Nvml& nvml, std::string_view what, Return code) {
  const char* text = nvml.error_string == nullptr ? nullptr : nvml.error_string(code);
  return {fmt::format("{}: {} (NVML {})", what, text == nullptr ? "failed" : text, code), false};
}

// One value of a device, absent where the card does not have it (NVML_ERROR_NOT_SUPPORTED) or fails to say.
template <class Out>
std::optional<Out> value(Return (*function)(Device, Out*), Device device) {
  Out out{};
  if (function == nullptr || function(device, &out) != success) return std::nullopt;
  return out;
}

template <std::size_t bytes>
std::string text(Return (*function)(Device, char*, unsigned), Device device) {
  std::array<char, bytes> out{};
  if (function == nullptr || function(device, out.data(), bytes) != success) return {};
  out.back() = '\0';
  return clean_text(out.data(), bytes);
}

std::optional<double> as_double(std::optional<unsigned> number, double divisor = 1) {
  if (!number) return std::nullopt;
  return static_cast<double>(*number) / divisor;
}

std::optional<NvmlGpu> read_gpu(const Nvml& nvml, Device device) {
  const auto pci = value(nvml.pci_info, device);
  if (!pci) return std::nullopt;
  const auto address = normal_pci_address({pci->bus_id, ::strnlen(pci->bus_id, sizeof pci->bus_id)});
  if (!address) return std::nullopt;
  NvmlGpu gpu;
  gpu.pci = *address;
  gpu.name = text<96>(nvml.name, device);  // NVML_DEVICE_NAME_V2_BUFFER_SIZE
  gpu.uuid = text<96>(nvml.uuid, device);  // NVML_DEVICE_UUID_V2_BUFFER_SIZE
  if (const auto memory = value(nvml.memory, device)) {
    gpu.memory_mib = memory->total / (1024ULL * 1024);
    gpu.now.mem_mib = static_cast<double>(memory->used) / mib;
  }
  if (unsigned degrees = 0;
      nvml.temperature != nullptr && nvml.temperature(device, temperature_gpu, &degrees) == success) {
    gpu.now.temp_c = degrees;
  }
  if (const auto utilization = value(nvml.utilization, device)) gpu.now.util_pct = utilization->gpu;
  gpu.now.power_w = as_double(value(nvml.power, device), 1000);
  gpu.now.fan_pct = as_double(value(nvml.fan_speed, device));
  return gpu;
}

std::string read_all(const Nvml& nvml, bool* has_failed) {
  unsigned count = 0;
  if (const auto code = nvml.device_count(&count); code != success) {
    *has_failed = true;
    return encode(trouble(nvml, "counting the NVIDIA GPUs", code));
  }
  NvmlReading reading;
  std::array<char, 80> driver{};  // NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE
  if (nvml.driver_version != nullptr && nvml.driver_version(driver.data(), driver.size()) == success) {
    driver.back() = '\0';
    reading.driver = clean_text(driver.data());
  }
  for (unsigned i = 0; i < count && reading.gpus.size() < payloads::max_gpus; ++i) {
    Device device = nullptr;
    if (nvml.device(i, &device) != success) continue;  // fell off the bus: the others still answer
    if (auto gpu = read_gpu(nvml, device)) reading.gpus.push_back(std::move(*gpu));
  }
  return encode(reading);
}

// False when the parent is gone.
bool write_line(std::string line) {
  line += '\n';
  for (std::string_view rest = line; !rest.empty();) {
    const auto put = ::write(STDOUT_FILENO, rest.data(), rest.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    rest.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

// Waits for a request; false at the end of them.
bool next_request() {
  for (;;) {
    char c = 0;
    const auto got = ::read(STDIN_FILENO, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    if (c == '\n') return true;
  }
}

}  // namespace

bool is_nvml_probe(int argc, const char* const* argv) {
  return argc == 3 && std::string_view(argv[1]) == probe_flag;
}

int nvml_probe_main(int argc, const char* const* argv) {
  // The parent's death ends it even inside a library call that never reads stdin again.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGPIPE, SIG_IGN);
  if (!is_nvml_probe(argc, argv)) return 1;
  void* library = ::dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = ::dlerror();
    write_line(encode(NvmlTrouble{why == nullptr ? "NVML cannot be loaded" : why, true}));
    return 1;
  }
  const auto nvml = bind_all(library);
  if (!nvml.is_usable()) {
    write_line(encode(NvmlTrouble{fmt::format("{} is no NVML of driver 390 or later", argv[2]), true}));
    return 1;
  }
  if (const auto code = nvml.init(); code != success) {
    write_line(encode(trouble(nvml, "starting NVML", code)));
    return 1;
  }
  while (next_request()) {
    bool has_failed = false;
    if (!write_line(read_all(nvml, &has_failed))) break;
    if (has_failed) return 1;
  }
  return 0;  // no nvmlShutdown: it can hang as well, and the kernel cleans up
}

}  // namespace kiln::telemetry
