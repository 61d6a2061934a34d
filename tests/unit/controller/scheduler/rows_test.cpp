#include "scheduler/rows.h"

// check.h last
#include "check.h"

using namespace kiln::scheduler;
using kiln::payloads::FrameSet;

namespace {

JobRow job(const char* frames, std::uint32_t chunk) {
  JobRow row;
  row.spec.frames = *FrameSet::parse(frames);
  row.spec.chunk = chunk;
  row.counts.queued = row.spec.task_count();
  return row;
}

void tasks_are_chunks_in_frame_order() {
  const struct {
    const char* frames;
    std::uint32_t chunk;
    std::vector<std::string> tasks;
  } cases[] = {
      {"1-3", 1, {"1", "2", "3"}}, {"1-10", 4, {"1-4", "5-8", "9-10"}}, {"1-9x4,2-3", 2, {"1,5", "9,2", "3"}},
      {"7", 1000, {"7"}},          {"-2-1", 2, {"-2--1", "0-1"}},
  };
  for (const auto& one : cases) {
    const auto spec = job(one.frames, one.chunk).spec;
    check_equal(spec.task_count(), one.tasks.size());
    for (std::uint32_t i = 0; i < one.tasks.size(); ++i) {
      check(spec.task_frames(i) == *FrameSet::parse(one.tasks[i]));
    }
    check(spec.task_frames(spec.task_count()).empty());
  }
}

void an_active_job_is_queued_until_it_started() {
  auto row = job("1-2", 1);
  check_equal(shown_state(row), "queued");
  row.started_ms = 5;
  check_equal(shown_state(row), "running");
  row.state = JobState::paused;
  check_equal(shown_state(row), "paused");
}

void percent_counts_what_is_done() {
  auto row = job("1-8", 1);
  check_equal(percent(row), 0.0);
  row.counts = {.queued = 3, .running = 2, .done = 2, .failed = 1, .cancelled = 0};
  check_equal(percent(row), 25.0);
  check_equal(percent(JobRow()), 0.0);
}

void the_eta_is_the_mean_over_the_slots() {
  auto row = job("1-100", 1);
  check(!eta_s(row));
  row.counts = {.queued = 80, .running = 0, .done = 20, .failed = 0, .cancelled = 0};
  row.render_s = 200;
  check(!eta_s(row));
  // Ten seconds a frame; 8 out are 4 that render and 4 queued behind them.
  row.counts = {.queued = 72, .running = 8, .done = 20, .failed = 0, .cancelled = 0};
  check_equal(*eta_s(row), 10.0 * (80 - 2) / 4);
  const auto status = job_status(row);
  check_equal(status.tasks.total(), 100U);
  check_equal(*status.eta_s, *eta_s(row));
}

}  // namespace

int main() {
  return kiln::test::run(
      "rows", {{"tasks are chunks in frame order", tasks_are_chunks_in_frame_order},
               {"an active job is queued until it started", an_active_job_is_queued_until_it_started},
               {"percent counts what is done", percent_counts_what_is_done},
               {"the eta is the mean over the slots", the_eta_is_the_mean_over_the_slots}});
}
