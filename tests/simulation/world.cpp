#include "world.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace kiln::sim {

namespace {

// Jobs are called "<number>-<letters>".
std::uint64_t number_of(const JobId& job) {
  std::uint64_t number = 0;
  const auto& text = job.str();
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

void Log::note(std::int64_t ms, What what, int node, const TaskId& task, std::uint32_t attempt,
               std::uint64_t extra) {
  const Line line{ms,         what.text, node, task.job.empty() ? 0 : number_of(task.job),
                  task.index, attempt,   extra};
  const auto add = [this](std::uint64_t value) {
    hash_ = (hash_ ^ value) * 0x9e3779b97f4a7c15ULL;
    hash_ ^= hash_ >> 29U;
  };
  add(static_cast<std::uint64_t>(ms));
  add(what.hash);
  add(static_cast<std::uint64_t>(node));
  add(line.job << 32U | line.index);
  add(attempt);
  add(extra);
  if (verbose_) fmt::print("{}\n", text(line));
  if (lines_.size() < kept) {
    lines_.push_back(line);
  } else {
    lines_[count_ % kept] = line;
  }
  ++count_;
}

std::string Log::text(const Line& line) {
  std::string text = fmt::format("{:>9.3f} s  {}", static_cast<double>(line.ms) / 1000, line.what);
  if (line.node != nobody) text += fmt::format("  box {}", line.node);
  if (line.job != 0) text += fmt::format("  task {}/{}", line.job, line.index);
  if (line.attempt != 0) text += fmt::format("  attempt {}", line.attempt);
  if (line.extra != 0) text += fmt::format("  ({})", line.extra);
  return text;
}

std::string Log::timeline(int node, const TaskId& task) const {
  const auto job = task.job.empty() ? 0 : number_of(task.job);
  std::vector<const Line*> found;
  for (std::uint64_t back = 1; back <= lines_.size() && found.size() < shown; ++back) {
    const auto& line = lines_[(count_ - back) % kept];
    const bool is_of_all = line.node == nobody && line.job == 0;
    const bool is_of_task = job != 0 && line.job == job && line.index == task.index;
    const bool is_of_node = node != nobody && line.node == node && line.job == 0;
    if (is_of_all || is_of_task || is_of_node || (job == 0 && node == nobody)) found.push_back(&line);
  }
  std::string text;
  for (auto line = found.rbegin(); line != found.rend(); ++line) text += "  " + Log::text(**line) + "\n";
  return text;
}

void World::at(std::int64_t ms, std::function<void()> call) {
  heap_.push_back({std::max(ms, now_ms_), ++last_order_, std::move(call)});
  std::push_heap(heap_.begin(), heap_.end(), later);
}

void World::run_until(std::int64_t ms) {
  while (!heap_.empty() && heap_.front().ms <= ms) {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    auto due = std::move(heap_.back());
    heap_.pop_back();
    now_ms_ = due.ms;
    due.call();
  }
  now_ms_ = ms;
}

}  // namespace kiln::sim
