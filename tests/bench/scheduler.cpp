// What a decision of the scheduler costs, and what cutting tasks to a target brings: one line of JSON a
// figure.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "controller/scheduler/virtual_farm.h"

using namespace kiln;
using namespace kiln::scheduler;
using kiln::test::VirtualFarm;

namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.at(values.size() / 2);
}

void report(const std::string& name, const std::vector<double>& values, const char* unit, const char* vs,
            double than) {
  const auto value = median(values);
  fmt::print(
      "{{\"bench\": \"{}\", \"value\": {:.3f}, \"unit\": \"{}\", \"vs\": {}, \"ratio\": {}, \"runs\": {}}}\n",
      name, value, unit, vs == nullptr ? "null" : fmt::format("\"{}\"", vs),
      vs == nullptr ? "null" : fmt::format("{:.4f}", value / than), values.size());
}

// ---- a decision -------------------------------------------------------------------------------------------

struct Size {
  const char* name;
  std::uint32_t jobs;
  std::uint32_t tasks;  // of each
  std::uint32_t nodes;
};

// Mean microseconds from a task's end to the next one on its slot decided, of a farm with all slots taken.
double decision_us(const Size& size) {
  VirtualFarm farm;
  for (std::uint32_t i = 0; i < size.nodes; ++i) farm.join(fmt::format("n{}", i));
  for (std::uint32_t i = 0; i < size.jobs; ++i) {
    SubmitJob job;
    job.request = 1;
    job.spec.name = "job";
    job.spec.renderer = "blender";
    job.spec.frames = *payloads::FrameSet::parse(fmt::format("1-{}", size.tasks));
    job.spec.manifest = "sha256:" + std::string(64, 'a');
    farm.submit(std::move(job));
  }
  auto& data = farm.state.data();
  constexpr std::uint32_t decisions = 60;
  std::chrono::steady_clock::duration spent{};
  for (std::uint32_t i = 0; i < decisions; ++i) {
    const auto& node = data.nodes[i % size.nodes];
    const auto key = *node.held.begin();
    const auto& job = data.jobs.at(key.job);
    FinishAttempt event;
    event.task = {job.row.id, key.index};
    event.attempt = data.leases.at(key).attempt;
    event.report.ok = true;
    event.report.node = node.row.id;
    event.report.seconds = 10;
    payloads::ResultFile file;
    file.frame = static_cast<std::int32_t>(key.index) + 1;
    event.report.files.push_back(file);
    const auto leases = data.leases.size();
    const auto begin = std::chrono::steady_clock::now();
    const auto effects = step(farm.state, farm.now, event);
    spent += std::chrono::steady_clock::now() - begin;
    if (data.leases.size() != leases) throw std::runtime_error("nothing was handed out");
  }
  return std::chrono::duration<double, std::micro>(spent).count() / decisions;
}

void decisions() {
  constexpr Size base{"decision_us", 1, 100, 10};
  constexpr std::array sizes = {Size{"decision_us_100k_tasks", 1, 100'000, 10},
                                Size{"decision_us_1000_jobs", 1'000, 100, 10},
                                Size{"decision_us_1000_nodes", 1, 100'000, 1'000},
                                Size{"decision_us_1000_jobs_1000_nodes", 1'000, 100, 1'000}};
  constexpr int runs = 15;
  std::vector<double> small;
  std::array<std::vector<double>, sizes.size()> large;
  decision_us(base);  // the first one warms the allocator
  for (int run = 0; run < runs; ++run) {
    for (int again = 0; again < 3; ++again) small.push_back(decision_us(base));
    for (std::size_t i = 0; i < sizes.size(); ++i) large.at(i).push_back(decision_us(sizes.at(i)));
  }
  const auto than = median(small);
  report(base.name, small, "us", nullptr, 0);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    report(sizes.at(i).name, large.at(i), "us", "1 job of 100 tasks on 10 nodes", than);
  }
}

// ---- cutting ----------------------------------------------------------------------------------------------

// Light frames of a renderer that starts anew for each task, as POV-Ray does: virtual seconds of the whole
// job.
double makespan_s(std::uint32_t chunk, std::uint32_t target_s, std::uint64_t seed) {
  VirtualFarm farm;
  for (std::uint64_t i = 0; i < 8; ++i)
    farm.join(fmt::format("n{}", i), 1, 0.7 + 0.1 * static_cast<double>(i));
  farm.overhead_s = 1.5;
  farm.unit_s = [seed](const payloads::RunTask&, std::uint64_t unit) {
    const auto x = (unit + 1) * (2 * seed + 1) * 0x9e3779b97f4a7c15ULL;
    const auto noise = 0.5 + static_cast<double>((x ^ (x >> 29U)) >> 11U) * 0x1.0p-53;
    return noise * (unit % 400 < 100 ? 1.5 : 0.3);  // a quarter of the shot is heavy
  };
  SubmitJob job;
  job.spec.name = "povray";
  job.spec.renderer = "openjd";
  job.spec.document = "sha256:" + std::string(64, 'd');
  job.spec.steps.resize(1);
  auto& step = job.spec.steps[0];
  step.name = "frames";
  step.units = 1'000;
  step.chunk = chunk;
  step.target_s = target_s;
  step.needs.renderer = "blender";
  return farm.run(farm.submit(std::move(job)));
}

void cutting() {
  std::vector<double> ones;
  std::vector<double> fifties;
  std::vector<double> adaptive;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    ones.push_back(makespan_s(1, 0, seed));
    fifties.push_back(makespan_s(50, 0, seed));
    adaptive.push_back(makespan_s(1, 30, seed));
  }
  const auto than = median(ones);
  report("makespan_chunk_1", ones, "virtual s", nullptr, 0);
  report("makespan_chunk_50", fifties, "virtual s", "chunks of 1", than);
  report("makespan_adaptive", adaptive, "virtual s", "chunks of 1", than);
}

}  // namespace

int main() {
  decisions();
  cutting();
}
