// A big job costs no more per step than a small one: counted in what the containers allocate and in task
// records looked at, not timed.
#include <cstdlib>
#include <new>

#include "controller/scheduler/farm.h"

using namespace kiln;
using namespace kiln::test;

namespace {

std::uint64_t allocations = 0;

}  // namespace

// Not inlined: the compiler would take malloc and free for a mismatched pair.
__attribute__((noinline)) void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
__attribute__((noinline)) void operator delete(void* memory) noexcept {
  std::free(memory);
}
__attribute__((noinline)) void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}

namespace {

struct Cost {
  std::vector<std::uint64_t> steps;  // allocations, then task records looked at, of each step
  std::uint64_t to_submit = 0;
  friend bool operator==(const Cost&, const Cost&) = default;
};

Cost cost_of(const std::string& frames) {
  Farm farm;
  farm.join("a", 2);
  farm.on(DiskPressure{true});  // nothing is handed out yet
  Cost cost;
  auto before = allocations;
  const auto job = farm.submit(frames);
  cost.to_submit = allocations - before;
  farm.on(DiskPressure{false});
  farm.take("a", 2);
  const auto measured = [&](const Event& event) {
    before = allocations;
    const auto visits = farm.state.data().task_visits;
    const auto effects = step(farm.state, farm.now, event);
    cost.steps.push_back(allocations - before);
    cost.steps.push_back(farm.state.data().task_visits - visits);
    farm.last = effects;
  };
  for (std::uint32_t i = 0; i < 60; ++i) {
    const auto id = task(job, i);
    if (i % 7 == 3) {
      payloads::ResultReport failed;
      failed.node = node_id("a");
      failed.failure = {"renderer-crashed", "Blender crashed", payloads::FailureScope::attempt};
      measured(FinishAttempt{1, id, 1, failed});
    } else {
      measured(FinishAttempt{1, id, farm.state.task(id).attempt, farm.report(id, "a")});
    }
    farm.boxes.at("a").forget(id, 1);
    farm.take("a", 2);
    measured(Tick{});
  }
  measured(EditJob{1, job, 70, {}});
  measured(EditJob{1, job, {}, true});
  measured(CancelJob{1, job});
  return cost;
}

void a_job_of_100000_tasks_costs_no_more_per_step_than_one_of_100() {
  const auto small = cost_of("1-100");
  const auto big = cost_of("1-100000");
  check_equal(small.to_submit, big.to_submit);
  check_equal(small.steps.size(), big.steps.size());
  for (std::size_t i = 0; i < small.steps.size(); ++i) check_equal(small.steps[i], big.steps[i]);
  // …and none of them is much: a handful of records.
  for (std::size_t i = 1; i < big.steps.size(); i += 2) check(big.steps[i] < 40);
}

void an_untouched_task_costs_no_memory() {
  Farm farm;
  const auto job = farm.submit("1-1000000");
  check_equal(farm.state.data().find_job(job)->steps[0].tasks.capacity(), 0U);
  check_equal(farm.shown(task(job, 999'999)), "queued/0 on -");
}

}  // namespace

int main() {
  return run("cost", {{"a job of 100,000 tasks costs no more per step than one of 100",
                       a_job_of_100000_tasks_costs_no_more_per_step_than_one_of_100},
                      {"an untouched task costs no memory", an_untouched_task_costs_no_memory}});
}
