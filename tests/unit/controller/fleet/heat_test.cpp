#include "fleet/heat.h"

#include "check.h"

using kiln::Instant;
using kiln::NodeId;
using kiln::fleet::GpuSeen;
using kiln::fleet::Heat;

namespace {

GpuSeen gpu(const char* node, std::uint32_t index, std::optional<double> temp_c) {
  GpuSeen seen;
  seen.node = *NodeId::parse(node);
  seen.gpu = index;
  seen.telemetry.temp_c = temp_c;
  return seen;
}

void a_temperature_is_told_when_it_moved_by_a_degree() {
  Heat heat;
  const struct {
    std::int64_t ms;
    double temp_c;
    bool is_told;
  } steps[] = {
      {0, 60, true},         {2'000, 60.9, false},  // not yet a degree from 60
      {4'000, 61, true},     {6'000, 60.1, false},  // …nor from 61
      {8'000, 60, true},     {10'000, 95, true},   {12'000, 95, false},
      {39'000, 95, false},   {40'000, 95, true},  // half a minute: said again
      {42'000, 94.5, false},
  };
  for (const auto& step : steps) {
    const auto told = heat.seen(gpu("a", 0, step.temp_c), {step.ms, 0});
    if (told.has_value() != step.is_told) print_error("at %d ms\n", static_cast<int>(step.ms));
    check_equal(told.has_value(), step.is_told);
    if (!told) continue;
    check_equal(told->temp_c, step.temp_c);
    check_equal(told->node.str(), "a");
    check_equal(told->gpu, 0U);
  }
}

void each_gpu_of_each_node_has_its_own() {
  Heat heat;
  check(heat.seen(gpu("a", 0, 60), {}).has_value());
  check(heat.seen(gpu("a", 1, 60), {}).has_value());
  check(heat.seen(gpu("b", 0, 60), {}).has_value());
  check(!heat.seen(gpu("a", 1, 60.5), {}).has_value());
}

void a_gpu_without_a_sensor_tells_nothing() {
  Heat heat;
  check(!heat.seen(gpu("a", 0, std::nullopt), {}).has_value());
}

}  // namespace

int main() {
  return kiln::test::run(
      "heat",
      {{"a temperature is told when it moved by a degree", a_temperature_is_told_when_it_moved_by_a_degree},
       {"each GPU of each node has its own", each_gpu_of_each_node_has_its_own},
       {"a GPU without a sensor tells nothing", a_gpu_without_a_sensor_tells_nothing}});
}
