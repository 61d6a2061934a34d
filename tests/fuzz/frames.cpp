// Frame ranges as people type them, and the ids beside them.
#include "payloads/frames.h"

#include <algorithm>
#include <set>

#include "base/ids.h"
#include "fuzz.h"

using namespace kiln;  // NOLINT(google-build-using-namespace)
using payloads::FrameSet;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = fuzz::text_of(data, size);
  if (const auto task = TaskId::parse(input)) KILN_ASSERT(task->str() == input);
  if (const auto job = JobId::parse(input)) KILN_ASSERT(job->str() == input && is_id(input));

  const auto frames = FrameSet::parse(input);
  if (!frames) {
    fuzz::check_sentence(frames.error());
    return 0;
  }
  const auto text = frames->str();
  fuzz::notice(text);
  KILN_ASSERT(!frames->empty() && frames->size() <= FrameSet::max_frames &&
              text.size() <= FrameSet::max_text);
  const auto again = FrameSet::parse(text);
  KILN_ASSERT(again.has_value() && *again == *frames && again->str() == text);

  constexpr std::size_t looked_at = 500;
  std::set<std::int32_t> seen;
  for (std::size_t i = 0; i < std::min(frames->size(), looked_at); ++i) {
    const auto frame = frames->at(i);
    KILN_ASSERT(frame >= -FrameSet::max_frame && frame <= FrameSet::max_frame);
    KILN_ASSERT(seen.insert(frame).second);  // a frame named twice counts once
  }
  // Chunks make up the whole, in order.
  const auto chunk = 1 + size % 7;
  for (std::size_t from = 0; from < std::min(frames->size(), looked_at); from += chunk) {
    const auto count = std::min(chunk, frames->size() - from);
    const auto part = frames->slice(from, count);
    KILN_ASSERT(part.size() == count);
    for (std::size_t i = 0; i < count; ++i) KILN_ASSERT(part.at(i) == frames->at(from + i));
    const auto said = FrameSet::parse(part.str());
    KILN_ASSERT(said.has_value() && *said == part);
  }
  return 0;
}
