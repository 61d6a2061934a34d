// How far a frame and a task are. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace kiln::session {

// The share of the frame in work, 0 to 1, that a line of Blender's output (or of its render_stats handler)
// tells; nullopt when the line tells none. Known forms: Cycles `Sample 17/400`, with tiles `Rendered 2/4
// Tiles, Sample 17/400`, EEVEE `Rendering 3 / 64 samples`.
std::optional<double> parse_share(std::string_view line);

// True for the status lines that Blender repeats while it renders: `Fra:1 Mem:9.05M …` until 4.x,
// `00:01.203  render  | Fra: 1 | …` since. They would drown a log.
bool is_status_line(std::string_view line);

// Percent and remaining time of a task from what its frames took. Times are seconds.
class Estimate {
 public:
  // typical_s: what a frame of this scene took lately on this slot, if known.
  Estimate(std::size_t frames, std::optional<double> typical_s) : frames_(frames), typical_s_(typical_s) {}

  void begin_frame() { share_ = 0; }
  void set_share(double share);
  void end_frame(double seconds);
  [[nodiscard]] std::optional<double> typical_s() const { return typical_s_; }

  struct Now {
    double percent = 0;
    std::optional<double> eta_s;
  };
  // elapsed_s: since begin_frame(). The percentage never falls, and is 100 only when every frame has ended.
  Now at(double elapsed_s);

 private:
  std::size_t frames_;
  std::size_t done_ = 0;
  std::optional<double> typical_s_;
  double share_ = 0;
  double highest_ = 0;
};

}  // namespace kiln::session
