#include "api/events.h"

#include <fmt/format.h>

#include <charconv>

namespace kiln::api {

namespace {
constexpr std::size_t max_batch = 256;
}

EventRing::EventRing(std::string run, std::size_t capacity, std::size_t max_watchers)
    : run_(std::move(run)), capacity_(capacity), max_watchers_(max_watchers) {}

void EventRing::publish(std::string_view type, const Json& data) {
  const std::string payload = data.dump();  // one line: JSON escapes what would end it
  {
    const std::lock_guard lock(mutex_);
    ++last_;
    texts_.push_back(std::make_shared<const std::string>(
        fmt::format("id: {}\nevent: {}\ndata: {}\n\n", id(last_), type, payload)));
    if (texts_.size() > capacity_) texts_.pop_front();
  }
  grown_.notify_all();
}

void EventRing::close() {
  {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
  }
  grown_.notify_all();
}

std::uint64_t EventRing::last() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

std::string EventRing::id(std::uint64_t number) const {
  return fmt::format("{}.{}", run_, number);
}

std::optional<std::uint64_t> EventRing::number(std::string_view id) const {
  if (!id.starts_with(run_) || id.size() < run_.size() + 2 || id[run_.size()] != '.') return std::nullopt;
  id.remove_prefix(run_.size() + 1);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
  if (error != std::errc{} || end != id.data() + id.size()) return std::nullopt;
  return number;
}

bool EventRing::reaches_back_to(std::uint64_t number) const {
  const std::lock_guard lock(mutex_);
  return number <= last_ && last_ - number <= texts_.size();
}

EventRing::Batch EventRing::read(std::uint64_t after, std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  grown_.wait_for(lock, patience, [&] { return is_closed_ || last_ > after; });
  Batch batch;
  batch.last = after;
  if (is_closed_) {
    batch.end = Batch::End::closed;
  } else if (last_ > after) {
    const std::uint64_t due = last_ - after;
    if (due > texts_.size()) {
      batch.end = Batch::End::behind;
      return batch;
    }
    batch.end = Batch::End::events;
    const std::size_t count = std::min<std::size_t>(due, max_batch);
    const auto first = texts_.end() - static_cast<std::ptrdiff_t>(due);
    batch.texts.assign(first, first + static_cast<std::ptrdiff_t>(count));
    batch.last = after + count;
  }
  return batch;
}

std::shared_ptr<const void> EventRing::enter() {
  if (++watchers_ > max_watchers_) {
    --watchers_;
    return nullptr;
  }
  return {this, [this](const void*) { --watchers_; }};
}

}  // namespace kiln::api
