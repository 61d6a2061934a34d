// kiln-sim: README.md says how to run it and how to read what it prints.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "simulation.h"
#include "world.h"

// A bug found by an assertion of the cores is a failure of its seed, not the end of the run: the linker sends
// kiln::bug here (CMakeLists.txt).
extern "C" [[noreturn]] void __wrap__ZN4kiln3bugEPKciS1_(const char* file, int line, const char* expression) {
  throw kiln::sim::Violation(fmt::format("assertion at {}:{}: {}", file, line, expression));
}

namespace kiln::sim {
namespace {

struct Options {
  std::uint64_t seeds = 1'000;
  std::uint64_t from = 1;
  double minutes = 0;  // 0: no limit
  std::string mutant;
  std::optional<std::uint64_t> seed;
  unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
  bool until_failure = false;
};

struct Sum {
  std::uint64_t seeds = 0, failed = 0, nodes_max = 0, tasks = 0, faults = 0;
  std::optional<std::uint64_t> first_failed;
  std::int64_t virtual_ms = 0;

  void add(std::uint64_t seed, const Outcome& outcome) {
    ++seeds;
    nodes_max = std::max(nodes_max, outcome.nodes);
    tasks += outcome.tasks;
    faults += outcome.faults;
    virtual_ms += outcome.virtual_ms;
    if (!outcome.failed) return;
    ++failed;
    first_failed = std::min(seed, first_failed.value_or(seed));
  }
};

void print_failure(std::uint64_t seed, const Outcome& outcome) {
  fmt::print("seed {}: {}\n{}", seed, outcome.sentence, outcome.timeline);
}

int replay(std::uint64_t seed, Mutant mutant, bool verbose) {
  const auto outcome = simulate(seed, mutant, verbose);
  if (outcome.failed) print_failure(seed, outcome);
  fmt::print("seed {}: {}, log hash {:016x}\n", seed, outcome.failed ? "failed" : "passed", outcome.hash);
  return outcome.failed ? 1 : 0;
}

int run_many(const Options& options, Mutant mutant) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(60 * options.minutes);
  std::atomic<std::uint64_t> next = options.from;
  std::atomic<bool> is_over = false;
  std::mutex mutex;
  Sum sum;
  constexpr std::uint64_t failures_shown = 3;  // with their timelines
  constexpr std::uint64_t sentences_shown = 40;
  const auto work = [&] {
    for (;;) {
      const auto seed = next++;
      const bool is_late = options.minutes > 0 && std::chrono::steady_clock::now() >= until;
      if (seed - options.from >= options.seeds || is_late || is_over) return;
      const auto outcome = simulate(seed, mutant, false);
      const std::lock_guard lock(mutex);
      sum.add(seed, outcome);
      if (!outcome.failed) continue;
      if (options.until_failure) is_over = true;
      if (sum.failed <= failures_shown && mutant == Mutant::none) {
        print_failure(seed, outcome);
      } else if (sum.failed <= sentences_shown) {
        fmt::print("seed {}: {}\n", seed, outcome.sentence);
      }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < options.jobs; ++i) threads.emplace_back(work);
  for (auto& thread : threads) thread.join();
  fmt::print(
      "{{\"seeds\":{},\"failed\":{},\"first_failed\":{},\"nodes_max\":{},\"tasks\":{},\"faults\":{},"
      "\"virtual_hours\":{:.1f}{}}}\n",
      sum.seeds, sum.failed, sum.first_failed ? fmt::format("{}", *sum.first_failed) : "null", sum.nodes_max,
      sum.tasks, sum.faults, static_cast<double>(sum.virtual_ms) / 3.6e6,
      options.mutant.empty() ? "" : fmt::format(",\"mutant\":\"{}\"", options.mutant));
  return sum.failed > 0 ? 1 : 0;
}

// Calls work(i) for 0 <= i < count, on so many threads.
void in_parallel(std::size_t count, unsigned jobs, const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < jobs; ++i) {
    threads.emplace_back([&] {
      for (auto one = next++; one < count; one = next++) work(one);
    });
  }
  for (auto& thread : threads) thread.join();
}

// Every seed of the file: a number, then why it is there.
int replay_file(const std::string& path, unsigned jobs) {
  std::ifstream file(path);
  std::vector<std::uint64_t> seeds;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line[0] != '#') seeds.push_back(std::stoull(line));
  }
  if (seeds.empty()) {
    fmt::print(stderr, "kiln-sim: {} holds no seed\n", path);
    return 2;
  }
  std::mutex mutex;
  Sum sum;
  in_parallel(seeds.size(), jobs, [&](std::size_t i) {
    const auto outcome = simulate(seeds[i], Mutant::none, false);
    const std::lock_guard lock(mutex);
    sum.add(seeds[i], outcome);
    if (outcome.failed) print_failure(seeds[i], outcome);
  });
  fmt::print("{} seeds that failed once, {} fail now\n", sum.seeds, sum.failed);
  return sum.failed > 0 ? 1 : 0;
}

// The same seed twice, on whatever threads: the same log.
int run_twice(const Options& options) {
  std::atomic<int> different = 0;
  in_parallel(options.seeds, options.jobs, [&](std::size_t i) {
    const auto seed = options.from + i;
    const auto first = simulate(seed, Mutant::none, false).hash;
    const auto second = simulate(seed, Mutant::none, false).hash;
    if (first == second) return;
    ++different;
    fmt::print("seed {}: log hash {:016x}, then {:016x}\n", seed, first, second);
  });
  fmt::print("{} seeds twice, {} differ\n", options.seeds, different.load());
  return different > 0 ? 1 : 0;
}

// Each mutant is found within the seeds that its row promises; the farm as it is passes as many.
int check_mutants(unsigned jobs) {
  const auto all = mutants();
  std::atomic<int> wrong = 0;
  std::mutex mutex;
  in_parallel(all.size() + 1, jobs, [&](std::size_t i) {
    const auto mutant = i == 0 ? Mutant::none : all[i - 1].mutant;
    constexpr std::uint32_t unbroken = 200;
    const auto seeds = i == 0 ? unbroken : all[i - 1].found_within;
    Outcome outcome;
    const auto from = i == 0 ? 1 : all[i - 1].from;
    auto seed = from;
    for (; seed < from + seeds; ++seed) {
      outcome = simulate(seed, mutant, false);
      if (outcome.failed) break;
    }
    const std::lock_guard lock(mutex);
    if (outcome.failed == (i == 0)) ++wrong;
    if (i == 0) {
      fmt::print("{:<28} {}\n", "unbroken", outcome.failed ? "FAILS" : "passes");
      if (outcome.failed) print_failure(seed, outcome);
    } else if (outcome.failed) {
      fmt::print("{:<28} seed {:>4}  {}\n", all[i - 1].name, seed, outcome.sentence);
    } else {
      fmt::print("{:<28} SURVIVES {} seeds: {}\n", all[i - 1].name, seeds, all[i - 1].rule);
    }
  });
  return wrong > 0 ? 1 : 0;
}

}  // namespace
}  // namespace kiln::sim

int main(int argc, char** argv) {
  using namespace kiln::sim;
  Options options;
  bool verbose = false;
  bool is_listing = false;
  bool is_twice = false;
  bool is_checking = false;
  std::string file;
  CLI::App app{"Runs the real scheduler and real agents on virtual time, with every fault that a seed draws"};
  app.add_option("--seeds", options.seeds, "How many seeds (1000)");
  app.add_option("--from", options.from, "The first seed (1)");
  app.add_option("--minutes", options.minutes, "Stop after so many minutes");
  app.add_option("--seed", options.seed, "Replay this one seed and print its log's hash");
  app.add_flag("--verbose", verbose, "With --seed: print everything that happens");
  app.add_option("--mutant", options.mutant, "Break this rule of the protocol");
  app.add_flag("--until-failure", options.until_failure, "Stop at the first seed that fails");
  app.add_option("--jobs", options.jobs, "Threads (all cores)")->check(CLI::Range(1, 1024));
  app.add_flag("--mutants", is_listing, "List the mutants and what each breaks");
  app.add_flag("--check-mutants", is_checking, "Run every mutant, and fail when one survives");
  app.add_flag("--twice", is_twice, "Run each seed twice, and fail when the logs differ");
  app.add_option("--replay", file, "Run the seeds that this file lists");
  CLI11_PARSE(app, argc, argv);
  if (is_listing) {
    for (const auto& one : mutants()) fmt::print("{:<28} {:>4}  {}\n", one.name, one.found_within, one.rule);
    return 0;
  }
  if (is_checking) return check_mutants(options.jobs);
  if (is_twice) return run_twice(options);
  if (!file.empty()) return replay_file(file, options.jobs);
  auto mutant = Mutant::none;
  if (!options.mutant.empty()) {
    const auto* info = find_mutant(options.mutant);
    if (info == nullptr) {
      fmt::print(stderr, "kiln-sim: there is no mutant '{}'; --mutants lists them\n", options.mutant);
      return 2;
    }
    mutant = info->mutant;
  }
  if (options.seed) return replay(*options.seed, mutant, verbose);
  return run_many(options, mutant);
}
