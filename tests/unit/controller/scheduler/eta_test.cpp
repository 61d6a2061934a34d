// How far off the estimated end of a job is: in virtual time, so the same on every machine.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "controller/scheduler/virtual_farm.h"
// check.h last
#include "check.h"

using namespace kiln;
using namespace kiln::test;
using namespace kiln::scheduler;

namespace {

// Hash of one number (splitmix64), as chance from 0 to 1.
double chance(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
  return static_cast<double>((x ^ (x >> 31U)) >> 11U) * 0x1.0p-53;
}

StepSpec step_of(const std::string& name, std::uint32_t units, std::vector<std::uint32_t> after = {}) {
  StepSpec step;
  step.name = name;
  step.units = units;
  step.after = std::move(after);
  step.needs.renderer = "blender";
  return step;
}

SubmitJob job_of(std::vector<StepSpec> steps) {
  SubmitJob job;
  job.spec.name = "job";
  job.spec.renderer = "openjd";
  job.spec.document = "sha256:" + std::string(64, 'd');
  job.spec.steps = std::move(steps);
  return job;
}

SubmitJob frames_of(std::uint32_t frames) {
  SubmitJob job;
  job.spec.name = "frames";
  job.spec.renderer = "blender";
  job.spec.frames = *payloads::FrameSet::parse(fmt::format("1-{}", frames));
  job.spec.manifest = "sha256:" + std::string(64, 'a');
  return job;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.at(values.size() / 2);
}

constexpr std::array quarters = {25, 50, 75};

// |estimated end - real end| / (real end - now), at 25, 50 and 75 % of the tasks; medians over the seeds.
std::vector<double> errors_of(const char* what, const SubmitJob& job, const std::vector<double>& step_s) {
  constexpr std::uint64_t seeds = 15;
  std::vector<std::vector<double>> errors(quarters.size());
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    VirtualFarm farm;
    for (std::uint64_t i = 0; i < 8; ++i) {
      farm.join(fmt::format("n{}", i), i % 4 == 0 ? 2 : 1, 0.7 + 0.7 * chance(1000 * seed + i));
    }
    // Frames differ from one another by a factor of up to three, and a shot has heavier and lighter parts.
    const double slope = 0.4 * (chance(seed) - 0.5);
    farm.unit_s = [&](const payloads::RunTask& run, std::uint64_t unit) {
      const auto step = run.of_template.step;
      const auto noise = 0.5 + chance((seed * 100 + step) * 100'000 + unit);
      return step_s.at(step) * noise * (1 + slope * std::sin(static_cast<double>(unit) / 15));
    };
    std::vector<std::pair<std::int64_t, double>> guesses;
    JobId id;
    farm.on_done = [&] {
      const auto* row = farm.state.job(id);
      if (guesses.size() == quarters.size() || percent(*row) < quarters.at(guesses.size())) return;
      const auto left_s = eta_s(*row);
      check(left_s.has_value());
      check(row->eta_unix_ms == farm.now.unix_ms + static_cast<std::int64_t>(1000 * *left_s));
      guesses.emplace_back(farm.now.unix_ms, *left_s);
    };
    id = farm.submit(job);
    farm.run(id);
    check(farm.state.job(id)->state == JobState::done);
    check_equal(guesses.size(), quarters.size());
    for (std::size_t i = 0; i < guesses.size(); ++i) {
      const auto real_s = static_cast<double>(farm.now.unix_ms - guesses[i].first) / 1000;
      errors[i].push_back(std::abs(guesses[i].second - real_s) / real_s);
    }
  }
  std::vector<double> medians;
  for (const auto& of_quarter : errors) medians.push_back(median(of_quarter));
  fmt::print(
      "# eta of {}: off by {:.0f} %, {:.0f} %, {:.0f} % of what is left, at 25, 50, 75 % (medians of {})\n",
      what, 100 * medians[0], 100 * medians[1], 100 * medians[2], seeds);
  return medians;
}

void the_end_of_a_job_of_frames_is_known_within_an_eighth() {
  for (const auto error : errors_of("frames", frames_of(200), {20})) check(error < 0.125);
}

// While no task of a step is done, nobody knows how long one takes: the first quarter of these says little.
void the_end_of_a_job_of_steps_is_known_by_its_steps() {
  const auto light_first = job_of({step_of("sim", 60), step_of("render", 120, {0})});
  const auto steps = errors_of("steps one after another", light_first, {4, 30});
  check(steps[1] < 0.125);
  check(steps[2] < 0.125);
  auto pairs = job_of({step_of("render", 100), step_of("denoise", 100)});
  pairs.spec.steps[1].pairs_with = {0};
  const auto paired = errors_of("pairs", pairs, {20, 5});
  check(paired[1] < 0.2);
  check(paired[2] < 0.2);
}

void the_end_of_a_job_that_is_cut_is_known_by_its_units() {
  auto cut = job_of({step_of("render", 2'000)});
  cut.spec.steps[0].target_s = 60;
  for (const auto error : errors_of("tasks cut to a minute", cut, {2})) check(error < 0.125);
}

}  // namespace

int main() {
  return run("eta", {{"the end of a job of frames is known within an eighth",
                      the_end_of_a_job_of_frames_is_known_within_an_eighth},
                     {"the end of a job of steps is known by its steps",
                      the_end_of_a_job_of_steps_is_known_by_its_steps},
                     {"the end of a job that is cut is known by its units",
                      the_end_of_a_job_that_is_cut_is_known_by_its_units}});
}
