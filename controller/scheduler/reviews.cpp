// Frames that are done and look wrong: all black or fully transparent, while those beside them are not. Such
// a frame is kept and counts as done; it is held for a look, until a person accepts it or asks for it again.
//
// Beside means two tasks on either side. Held is what stands alone (neither direct neighbour is blank), or is
// blank among mostly others. So a fade to black passes, a black job passes, and what a box with a broken
// driver strewed among the others' frames does not.
#include <array>

#include "scheduler/farm_data.h"

namespace kiln::scheduler {

namespace {
constexpr std::array<std::int64_t, 4> beside = {-2, -1, 1, 2};

bool is_in(const Step& step, std::int64_t index) {
  return index >= step.first && index < std::int64_t{step.first} + step.total;
}
}  // namespace

void Turn::review_around(Job& job, std::uint32_t index) {
  review(job, index);
  const auto& step = data_.step_of(job, index);
  for (const auto distance : beside) {
    const auto at = std::int64_t{index} + distance;
    if (is_in(step, at)) review(job, static_cast<std::uint32_t>(at));
  }
}

// Decides once all neighbours have ended. O(1).
void Turn::review(Job& job, std::uint32_t index) {
  const auto* task = data_.touched(job, index);
  if (task == nullptr || task->state != TaskState::done || task->blank == 0) return;
  if (task->review == static_cast<std::uint8_t>(Review::accepted)) return;
  std::uint32_t seen = 0, pictures = 0, near_seen = 0, near_pictures = 0;
  const auto& step = data_.step_of(job, index);
  for (const auto distance : beside) {
    const auto at = std::int64_t{index} + distance;
    if (!is_in(step, at)) continue;
    const auto* other = data_.touched(job, static_cast<std::uint32_t>(at));
    if (other == nullptr || other->state == TaskState::queued || other->state == TaskState::assigned ||
        other->state == TaskState::running) {
      return;
    }
    if (other->state != TaskState::done) continue;
    const bool is_near = distance == -1 || distance == 1;
    const bool is_picture = other->blank == 0;
    seen += 1;
    pictures += is_picture ? 1 : 0;
    near_seen += is_near ? 1 : 0;
    near_pictures += is_near && is_picture ? 1 : 0;
  }
  const bool stands_alone = near_seen > 0 && near_pictures == near_seen;
  const auto verdict = stands_alone || 2 * pictures > seen ? Review::held : Review::none;
  if (task->review != static_cast<std::uint8_t>(verdict)) set_review(job, index, verdict);
}

void Turn::set_review(Job& job, std::uint32_t index, Review review) {
  auto& task = *data_.touched(job, index);
  if (task.review == static_cast<std::uint8_t>(Review::held)) --job.row.held;
  if (review == Review::held) ++job.row.held;
  task.review = static_cast<std::uint8_t>(review) & 3U;
  touch(job);
  save_task(job, index);
  const auto row = data_.task_row(job, index);
  tell_task(job, index, review == Review::held ? to_string(review) : to_string(row.state), row.attempt,
            row.node, held_reason(row));
}

}  // namespace kiln::scheduler
