#include "session/progress.h"

#include <cmath>

#include "check.h"

using kiln::session::Estimate;
using kiln::session::is_status_line;
using kiln::session::parse_share;

namespace {

bool near(double a, double b) {
  return std::abs(a - b) < 1e-9;
}

void blenders_lines_of_every_age_tell_the_share() {
  const struct {
    const char* line;
    double share;  // below 0: none
  } cases[] = {
      {"Fra:7 Mem:9.05M (Peak 10.83M) | Time:00:00.37 | Mem:8.26M, Peak:8.26M | Scene, ViewLayer | Sample "
       "0/3000",
       0},
      {"Fra:7 Mem:9M (Peak 9M) | Time:00:05.6 | Remaining:03:11.6 | Mem:8M, Peak:8M | Scene, ViewLayer | "
       "Sample 750/3000",
       0.25},
      {"Fra:1 Mem:8M | Time:00:01.2 | Scene, ViewLayer | Rendered 1/4 Tiles, Sample 200/400", 0.375},
      {"Fra:1 Mem:8M | Time:00:01.2 | Scene, ViewLayer | Rendered 4/4 Tiles, Sample 400/400", 1},
      {"Fra:1 Mem:8M | Time:00:01.2 | Scene, ViewLayer | Rendered 3/12 Tiles", 0.25},
      {"Fra:2 Mem:11.04M (Peak 12.65M) | Time:00:00.01 | Rendering 16 / 64 samples", 0.25},
      {"00:04.511  render           | Fra: 1 | Remaining: 00:03.51 | Mem: 33M | Sample 16/128", 0.125},
      {"Sample 500/400", 1},
      {"Sample 5/0", -1},
      {"Sample /", -1},
      {"Sample 17", -1},
      {"Sample x/y", -1},
      {"Saved: '/tmp/shot_0001.png'", -1},
      {"", -1},
      {"Sample 99999999999999999999999999/3", -1},
  };
  for (const auto& one : cases) {
    const auto share = parse_share(one.line);
    if (one.share < 0) {
      check(!share.has_value());
    } else {
      check(share.has_value());
      check(near(*share, one.share));
    }
  }
}

void repeated_lines_are_told_from_the_rest() {
  check(is_status_line("Fra:1 Mem:9.05M (Peak 10.83M) | Time:00:00.00 | Synchronizing object | Cube"));
  check(is_status_line("00:04.511  render           | Fra: 1 | Sample 16/128"));
  check(!is_status_line("Saved: '/tmp/Fra:1.png'"));
  check(!is_status_line("Warning: something"));
}

void the_first_frame_goes_by_its_samples() {
  Estimate estimate(4, std::nullopt);
  estimate.begin_frame();
  auto now = estimate.at(10);
  check(near(now.percent, 0));
  check(!now.eta_s.has_value());
  estimate.set_share(0.01);  // too little to tell the time from
  check(!estimate.at(11).eta_s.has_value());
  estimate.set_share(0.5);
  now = estimate.at(20);
  check(near(now.percent, 12.5));
  check(near(*now.eta_s, 20 + 3 * 40));
}

void later_frames_go_by_what_frames_took() {
  Estimate estimate(4, std::nullopt);
  estimate.begin_frame();
  estimate.end_frame(40);
  estimate.begin_frame();
  const auto now = estimate.at(10);
  check(near(now.percent, 25 + 25 * 0.25));
  check(near(*now.eta_s, 30 + 2 * 40));
  estimate.end_frame(20);
  check(near(*estimate.typical_s(), 30));
  // One that takes longer than usual does not pass for done.
  estimate.begin_frame();
  check(near(estimate.at(300).percent, 50 + 25 * 0.98));
  estimate.set_share(0.5);
  check(near(*estimate.at(300).eta_s, 300 + 600));
}

void a_single_frame_knows_the_scenes_earlier_tasks() {
  Estimate estimate(1, 8.0);
  estimate.begin_frame();
  const auto now = estimate.at(2);
  check(near(now.percent, 25));
  check(near(*now.eta_s, 6));
}

void percent_never_falls_and_ends_at_100() {
  Estimate estimate(2, std::nullopt);
  estimate.begin_frame();
  estimate.set_share(0.9);
  check(near(estimate.at(1).percent, 45));
  estimate.set_share(0.1);  // the next view layer
  check(near(estimate.at(2).percent, 45));
  estimate.end_frame(3);
  estimate.begin_frame();
  estimate.end_frame(3);
  check(near(estimate.at(0).percent, 100));
  check(near(*estimate.at(0).eta_s, 0));
}

}  // namespace

int main() {
  return kiln::test::run(
      "progress",
      {{"Blender's lines of every age tell the share", blenders_lines_of_every_age_tell_the_share},
       {"repeated lines are told from the rest", repeated_lines_are_told_from_the_rest},
       {"the first frame goes by its samples", the_first_frame_goes_by_its_samples},
       {"later frames go by what frames took", later_frames_go_by_what_frames_took},
       {"a single frame knows the scene's earlier tasks", a_single_frame_knows_the_scenes_earlier_tasks},
       {"percent never falls and ends at 100", percent_never_falls_and_ends_at_100}});
}
