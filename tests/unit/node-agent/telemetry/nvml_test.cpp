// The probe as a process: this test is its own child program, as the agent is.
#include "telemetry/nvml.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "check.h"
#include "telemetry/sampler.h"
#include "tree.h"

using namespace kiln::telemetry;
using kiln::test::Tree;

namespace {

constexpr int long_wait_ms = 30'000;  // the limit of a loaded machine; a healthy one needs 20 ms

NvmlOptions options(const char* state) {
  ::setenv("FAKE_NVML", state, 1);
  NvmlOptions out;
  out.library = FAKE_NVML_LIBRARY;
  return out;
}

void a_healthy_driver_says_everything_it_has() {
  NvmlProbe probe(options("healthy"));
  const auto& reading = probe.ask(0, long_wait_ms);
  check_equal(probe.trouble(), "");
  check(reading.has_value());
  check_equal(reading->driver, "535.183.01");
  check_equal(reading->gpus.size(), 2U);
  const auto& fast = reading->gpus[0];
  check_equal(fast.pci, "0000:c1:00.0");
  check_equal(fast.name, "NVIDIA GeForce RTX 4090");
  check_equal(fast.uuid, "GPU-1");
  check_equal(fast.memory_mib, 24U * 1024);
  check(fast.now == (kiln::payloads::GpuTelemetry{61.0, 98.0, 212.5, 1024.0, 55.0, 0}));
  const auto& small = reading->gpus[1];
  check(small.now ==
        (kiln::payloads::GpuTelemetry{40.0, std::nullopt, std::nullopt, 1024.0, std::nullopt, 0}));
  // The same child answers again.
  const int child = probe.child();
  check(probe.ask(2'000, long_wait_ms).has_value());
  check_equal(probe.child(), child);
}

void values_that_fail_or_make_no_sense_are_absent() {
  for (const char* state : {"errors", "absurd"}) {
    NvmlProbe probe(options(state));
    const auto& reading = probe.ask(0, long_wait_ms);
    check(reading.has_value());
    check_equal(reading->gpus.size(), 2U);
    const auto& now = reading->gpus[0].now;
    check(!now.temp_c && !now.util_pct && !now.power_w && !now.fan_pct);
  }
}

void one_lost_card_does_not_silence_the_other() {
  NvmlProbe probe(options("lost one"));
  const auto& reading = probe.ask(0, long_wait_ms);
  check(reading.has_value());
  check_equal(reading->gpus.size(), 1U);
  check_equal(reading->gpus[0].pci, "0000:01:00.0");
}

void trouble_is_told_and_waited_out() {
  const struct {
    const char* state;
    const char* said;
  } cases[] = {{"no driver", "starting NVML: Driver Not Loaded (NVML 9)"},
               {"lost all", "counting the NVIDIA GPUs: Unknown Error (NVML 15)"},
               {"crash", "the NVML probe crashed"}};
  for (const auto& one : cases) {
    NvmlProbe probe(options(one.state));
    check(!probe.ask(0, long_wait_ms));
    check_equal(probe.trouble(), one.said);
    check(!probe.is_missing());
    check_equal(probe.child(), -1);
    // Backed off: 1 s, then 2 s.
    check(!probe.ask(999, long_wait_ms));
    check_equal(probe.child(), -1);
    check(!probe.ask(1'000, long_wait_ms));
    check(!probe.ask(2'999, long_wait_ms));
    ::setenv("FAKE_NVML", "healthy", 1);
    check(!probe.ask(2'999, long_wait_ms));
    check(probe.ask(3'000, long_wait_ms).has_value());
    check_equal(probe.trouble(), "");
  }
}

void a_missing_library_is_tried_rarely() {
  auto missing = options("healthy");
  missing.library = "libkiln-has-no-such-nvml.so.1";
  NvmlProbe probe(missing);
  check(!probe.ask(0, long_wait_ms));
  check(probe.is_missing());
  check_contains(probe.trouble(), "libkiln-has-no-such-nvml.so.1");
  check(!probe.ask(299'999, long_wait_ms));
  check_equal(probe.child(), -1);
  // A library that is something else is as good as none.
  missing.library = "libc.so.6";
  NvmlProbe other(missing);
  check(!other.ask(0, long_wait_ms));
  check_contains(other.trouble(), "libc.so.6 is no NVML");
}

// True once no process of that id is left.
bool is_gone(int pid) {
  return ::kill(pid, 0) != 0;
}

void a_driver_that_hangs_is_killed_and_started_again() {
  for (const char* state : {"hang", "hang at start"}) {
    int child = -1;
    {
      NvmlProbe probe(options(state));
      check(!probe.ask(0, 0));
      child = probe.child();
      check(child > 0);
      check(!probe.ask(29'999, 0));
      check_equal(probe.child(), child);  // the first answer may take half a minute
      check(!probe.ask(30'000, 0));
      check_equal(probe.trouble(), "NVML did not answer within 30000 ms");
      check_equal(probe.child(), -1);
      ::setenv("FAKE_NVML", "healthy", 1);
      check(!probe.ask(30'500, 0));
      check(probe.ask(31'000, long_wait_ms).has_value());
      check_equal(probe.trouble(), "");
    }
    check(is_gone(child));
  }
}

void a_driver_that_hangs_later_takes_its_values_along() {
  NvmlProbe probe(options("healthy"));
  check(probe.ask(0, long_wait_ms).has_value());
  ::kill(probe.child(), SIGSTOP);
  check(probe.ask(2'000, 0).has_value());  // the last values stand in
  check(probe.ask(6'999, 0).has_value());
  check(!probe.ask(7'000, 0).has_value());  // for 5 s
  check_equal(probe.trouble(), "NVML did not answer within 5000 ms");
}

void no_child_outlives_its_probe() {
  int child = -1;
  {
    NvmlProbe probe(options("hang"));
    check(!probe.ask(0, 0));
    child = probe.child();
  }
  check(is_gone(child));
}

void an_answer_that_is_none_is_refused() {
  bool is_missing = false;
  for (const char* bad :
       {"", "{", "[]", "{}", R"({"driver":1})", R"({"driver":"1","gpus":[{"name":"x"}]})",
        R"({"driver":"1","gpus":[{"pci":"zz"}]})", R"({"driver":"1","gpus":[7]})",
        R"({"driver":"1","gpus":[{"pci":"0000:01:00.0","temp_c":"hot"}]})", R"({"error":7})"}) {
    check(!decode_nvml_answer(bad, &is_missing));
  }
  NvmlReading reading;
  reading.driver = "1";
  reading.gpus.push_back({"0000:01:00.0", "x", "u", 5, {61.0, std::nullopt, 1.0, 2.0, 3.0, 0}});
  const auto again = decode_nvml_answer(encode(reading), &is_missing);
  check_ok(again);
  check(again->gpus[0].now == reading.gpus[0].now);
  check_equal(again->gpus[0].memory_mib, 5U);
}

void cards_keep_their_numbers_whatever_the_driver_says() {
  const Tree sys;
  sys.gpu("0000:01:00.0", "0x10de", "0x1cb3", "nvidia", 0);
  const auto amd = sys.gpu("0000:41:00.0", "0x1002", "0x744c", "amdgpu", 1);
  sys.write(amd + "/gpu_busy_percent", "12\n");
  sys.gpu("0000:c1:00.0", "0x10de", "0x2684", "nvidia", -1);
  Config config;
  config.sysfs = sys.root();
  config.data_dir = sys.root();
  config.nvml_options = options("healthy");
  config.nvml_wait_ms = long_wait_ms;
  {
    Sampler sampler(config);
    const auto hardware = sampler.hardware();
    check_equal(hardware.gpus.size(), 3U);
    check_equal(hardware.gpus[0].name, "NVIDIA Quadro P400");
    check_equal(hardware.gpus[1].vendor, "amd");
    check_equal(hardware.gpus[2].name, "NVIDIA GeForce RTX 4090");
    check_equal(hardware.gpus[2].driver, "nvidia 535.183.01");
    check_equal(hardware.gpus[2].uuid, "GPU-1");
    check_equal(hardware.gpus[2].index, 2U);
    const auto sample = sampler.sample(1'700'000'000);
    check_equal(sample.gpus.size(), 3U);
    check_equal(sample.gpus[1].second.util_pct.value(), 12.0);
    check_equal(sample.gpus[2].first, 2U);
    check_equal(sample.gpus[2].second.temp_c.value(), 61.0);
    check_equal(sample.gpus[2].second.ts, 1'700'000'000);
    check_equal(sample.trouble, "");
  }
  config.nvml_options.library = "libkiln-has-no-such-nvml.so.1";
  Sampler sampler(config);
  const auto hardware = sampler.hardware();
  check_equal(hardware.gpus[0].name, "NVIDIA GPU 10de:1cb3 (driver library missing)");
  const auto sample = sampler.sample(1);
  check_equal(sample.gpus.size(), 3U);
  check(!sample.gpus[0].second.temp_c && sample.gpus[1].second.util_pct);
  check_contains(sample.trouble, "libkiln-has-no-such-nvml.so.1");
}

}  // namespace

int main(int argc, char** argv) {
  if (is_nvml_probe(argc, argv)) return nvml_probe_main(argc, argv);
  return kiln::test::run(
      "nvml",
      {{"a healthy driver says everything it has", a_healthy_driver_says_everything_it_has},
       {"values that fail or make no sense are absent", values_that_fail_or_make_no_sense_are_absent},
       {"one lost card does not silence the other", one_lost_card_does_not_silence_the_other},
       {"trouble is told and waited out", trouble_is_told_and_waited_out},
       {"a missing library is tried rarely", a_missing_library_is_tried_rarely},
       {"a driver that hangs is killed and started again", a_driver_that_hangs_is_killed_and_started_again},
       {"a driver that hangs later takes its values along", a_driver_that_hangs_later_takes_its_values_along},
       {"no child outlives its probe", no_child_outlives_its_probe},
       {"an answer that is none is refused", an_answer_that_is_none_is_refused},
       {"cards keep their numbers whatever the driver says",
        cards_keep_their_numbers_whatever_the_driver_says}});
}
