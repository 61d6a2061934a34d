// NVIDIA's management library, asked from a process of its own: the library and the driver below it hang and
// crash, and then the child is killed and started again later, while the agent goes on.
//
//   agent                         child (this same program, started with `--nvml-probe LIBRARY`)
//     "read\n"              ->
//                           <-    {"driver":"535.183.01","gpus":[{"pci":…,"name":…,"temp_c":…},…]}\n
//                            or   {"error":"…","missing":true}\n, and it exits
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "payloads/messages.h"

namespace kiln::telemetry {

// ---- the child ----------------------------------------------------------------------------------------

// True when this process was started to be the probe: main() then does nothing but
// `return nvml_probe_main(argc, argv)`.
bool is_nvml_probe(int argc, const char* const* argv);
// Answers requests on stdin until it closes. 0 at the end of requests, 1 when NVML does not work.
int nvml_probe_main(int argc, const char* const* argv);

// ---- the answer ---------------------------------------------------------------------------------------

struct NvmlGpu {
  std::string pci;  // normalised
  std::string name;
  std::string uuid;
  std::uint64_t memory_mib = 0;
  payloads::GpuTelemetry now;  // ts is left to the caller
};
struct NvmlReading {
  std::string driver;
  std::vector<NvmlGpu> gpus;
};
struct NvmlTrouble {
  std::string message;
  bool is_missing = false;  // the library is not installed: no use in trying often
};

std::string encode(const NvmlReading& reading);
std::string encode(const NvmlTrouble& trouble);
// The reading; unavailable with the child's own words when it reports trouble (`*is_missing` is set then);
// invalid for anything else. Implausible numbers are absent values.
Result<NvmlReading> decode_nvml_answer(std::string_view line, bool* is_missing);

// ---- the parent ---------------------------------------------------------------------------------------

struct NvmlOptions {
  std::string library = "libnvidia-ml.so.1";
  std::int64_t first_answer_ms = 30'000;  // nvmlInit takes seconds a GPU without the persistence daemon
  std::int64_t answer_ms = 5'000;         // 100 times what a healthy driver takes
  std::int64_t backoff_min_ms = 1'000;
  std::int64_t backoff_max_ms = 300'000;  // also the wait when the library is not installed
};

// Starts, asks, watches and kills the child. One thread at a time.
class NvmlProbe {
 public:
  explicit NvmlProbe(NvmlOptions options);
  ~NvmlProbe();
  NvmlProbe(const NvmlProbe&) = delete;
  NvmlProbe& operator=(const NvmlProbe&) = delete;

  // Asks for a reading and waits at most wait_ms for it. The latest reading; absent while the child is down,
  // and once it is late by more than answer_ms. mono_ms: now.
  const std::optional<NvmlReading>& ask(std::int64_t mono_ms, int wait_ms);
  // Why there is no reading; "" while there is one or none was asked for yet.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  [[nodiscard]] bool is_missing() const { return is_missing_; }
  // The process id of the child, -1 while there is none.
  [[nodiscard]] int child() const { return child_; }

 private:
  void start(std::int64_t mono_ms);
  void stop();
  void give_up(std::int64_t mono_ms, std::string why, bool is_missing = false);
  void take(std::int64_t mono_ms, std::string_view line);
  void reap();

  NvmlOptions options_;
  int child_ = -1;
  int socket_ = -1;
  unsigned answers_ = 0;  // of this child
  std::optional<std::int64_t> asked_ms_;
  std::string received_;
  std::optional<NvmlReading> reading_;
  std::string trouble_;
  bool is_missing_ = false;
  unsigned failures_ = 0;
  std::int64_t next_start_ms_ = 0;
  std::vector<int> killed_;  // not yet gone: a process inside a hung driver call cannot die
};

}  // namespace kiln::telemetry
