#include "daemon/slots.h"

#include "check.h"

using namespace kiln;         // NOLINT
using namespace kiln::agent;  // NOLINT

namespace {

payloads::GpuInfo gpu(const char* vendor, const char* uuid = "") {
  payloads::GpuInfo info;
  info.vendor = vendor;
  info.uuid = uuid;
  return info;
}

std::string text(const Environment& environment) {
  std::string all;
  for (const auto& [name, value] : environment) {
    all += fmt::format("{}{}={}", all.empty() ? "" : " ", name.substr(0, name.find('_')), value);
  }
  return all;
}

void a_box_has_a_slot_for_each_gpu_or_one_for_the_cpu() {
  using Count = std::optional<std::uint32_t>;
  const struct {
    std::size_t gpus;
    Count slots, gpu_slots;
    std::uint32_t count, with_gpu;
  } cases[] = {
      {0, {}, {}, 1, 0},  {2, {}, {}, 2, 2},    {2, 3, {}, 5, 2},
      {2, {}, 1, 1, 1},   {2, {}, 0, 1, 0},  // there is always one
      {0, 0, {}, 1, 0},   {0, 4, 2, 4, 0},      {2, 1, 9, 3, 2},
      {2, 64, {}, 64, 2}, {20, {}, {}, 16, 16},
  };
  for (const auto& one : cases) {
    Config config;
    config.slots = one.slots;
    config.gpu_slots = one.gpu_slots;
    const auto slots = slots_of(config, std::vector<payloads::GpuInfo>(one.gpus));
    check_equal(slots.count, one.count);
    check_equal(slots.with_gpu, one.with_gpu);
  }
}

void a_slot_sees_its_gpu_alone() {
  const std::vector<payloads::GpuInfo> mixed = {
      gpu("intel"), gpu("nvidia", "GPU-1"), gpu("amd", "00aa"), gpu("nvidia"), gpu("amd"), gpu("intel")};
  const std::string none = "CUDA=-1 HIP=-1 ROCR= ONEAPI=*:cpu";
  const struct {
    const char* what;
    std::vector<payloads::GpuInfo> gpus;
    std::size_t gpu_slots;
    std::size_t slot;
    std::string environment;  // the first word of each variable
  } cases[] = {
      {"no GPU: nothing to hide", {}, 0, 0, ""},
      {"an NVIDIA card by its uuid", mixed, 6, 1, "CUDA=GPU-1 HIP=-1 ROCR= ONEAPI=*:cpu CUDA=PCI_BUS_ID"},
      {"one without: by its place among those", mixed, 6, 3,
       "CUDA=1 HIP=-1 ROCR= ONEAPI=*:cpu CUDA=PCI_BUS_ID"},
      // HIP counts what ROCR leaves.
      {"the first AMD card", mixed, 6, 2, "CUDA=-1 HIP=0 ROCR=0 ONEAPI=*:cpu"},
      {"the second", mixed, 6, 4, "CUDA=-1 HIP=0 ROCR=1 ONEAPI=*:cpu"},
      {"the first Intel card", mixed, 6, 0, "CUDA=-1 HIP=-1 ROCR= ONEAPI=level_zero:0 ZE=1"},
      {"the second", mixed, 6, 5, "CUDA=-1 HIP=-1 ROCR= ONEAPI=level_zero:1 ZE=1"},
      {"a slot for the CPU beside them", mixed, 6, 6, none},
      {"a card that has no slot is nobody's", mixed, 1, 1, none},
      {"no slot with a GPU", mixed, 0, 0, none},
  };
  for (const auto& one : cases) {
    print_message("  %s\n", one.what);
    check_equal(text(slot_environment(one.gpus, one.gpu_slots, one.slot)), one.environment);
  }
}

}  // namespace

int main() {
  return test::run("slots", {{"a box has a slot for each GPU, or one for the CPU",
                              a_box_has_a_slot_for_each_gpu_or_one_for_the_cpu},
                             {"a slot sees its GPU alone", a_slot_sees_its_gpu_alone}});
}
