// NVML as the probe finds it with dlopen, in the state that $FAKE_NVML names.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

bool is(const char* state) {
  const char* now = std::getenv("FAKE_NVML");
  return now != nullptr && std::strcmp(now, state) == 0;
}

[[noreturn]] void hang() {
  for (;;) ::pause();
}

struct Pci {
  char legacy[16];
  unsigned domain, bus, device, ids, subsystem;
  char bus_id[32];
};

constexpr int not_supported = 3;
constexpr int not_loaded = 9;
constexpr int gpu_lost = 15;

// Device handles are the numbers 1 and 2.
std::size_t number(void* device) {
  return reinterpret_cast<std::size_t>(device);
}

}  // namespace

extern "C" {

int nvmlInit_v2() {
  if (is("hang at start")) hang();
  return is("no driver") ? not_loaded : 0;
}
const char* nvmlErrorString(int code) {
  return code == not_loaded ? "Driver Not Loaded" : "Unknown Error";
}
int nvmlSystemGetDriverVersion(char* out, unsigned bytes) {
  std::snprintf(out, bytes, "535.183.01");
  return 0;
}
int nvmlDeviceGetCount_v2(unsigned* count) {
  if (is("hang")) hang();
  if (is("crash")) std::abort();
  if (is("lost all")) return gpu_lost;
  *count = 2;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  if (is("lost one") && index == 0) return gpu_lost;
  *device = reinterpret_cast<void*>(static_cast<std::size_t>(index) + 1);
  return 0;
}
int nvmlDeviceGetPciInfo_v3(void* device, Pci* pci) {
  std::memset(pci, 0, sizeof *pci);
  // NVML's own order is by speed: the second on the bus comes first.
  std::snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%s:00.0", number(device) == 1 ? "C1" : "01");
  return 0;
}
int nvmlDeviceGetName(void* device, char* out, unsigned bytes) {
  std::snprintf(out, bytes, "%s", number(device) == 1 ? "NVIDIA GeForce RTX 4090" : "Quadro P400");
  return 0;
}
int nvmlDeviceGetUUID(void* device, char* out, unsigned bytes) {
  std::snprintf(out, bytes, "GPU-%zu", number(device));
  return 0;
}
int nvmlDeviceGetMemoryInfo(void* device, unsigned long long* memory) {
  if (is("errors")) return 999;
  memory[0] = (number(device) == 1 ? 24ULL : 2ULL) << 30U;
  memory[2] = 1ULL << 30U;
  memory[1] = memory[0] - memory[2];
  return 0;
}
int nvmlDeviceGetTemperature(void* device, unsigned sensor, unsigned* degrees) {
  if (is("errors") || sensor != 0) return 999;
  *degrees = is("absurd") ? 4'000'000'000U : number(device) == 1 ? 61 : 40;
  return 0;
}
int nvmlDeviceGetUtilizationRates(void* device, unsigned* rates) {
  if (is("errors") || number(device) == 2) return not_supported;
  rates[0] = is("absurd") ? 101 : 98;
  rates[1] = 50;
  return 0;
}
int nvmlDeviceGetPowerUsage(void* device, unsigned* milliwatts) {
  if (is("errors") || number(device) == 2) return not_supported;
  *milliwatts = is("absurd") ? 4'000'000'000U : 212'500;
  return 0;
}
int nvmlDeviceGetFanSpeed(void* device, unsigned* percent) {
  if (is("errors") || number(device) == 2) return not_supported;
  *percent = is("absurd") ? 65'535 : 55;
  return 0;
}

}  // extern "C"
