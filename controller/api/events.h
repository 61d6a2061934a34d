// What happens on the farm, in order, for everybody who watches: one bounded ring.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace kiln::api {

class EventRing {
 public:
  // `run`: a text that no other run of the controller has, so that an id of an earlier run is recognised.
  explicit EventRing(std::string run, std::size_t capacity = 4096, std::size_t max_watchers = 64);

  // From any thread; never waits for a reader.
  void publish(std::string_view type, const Json& data);
  // Wakes every reader and lets none wait again.
  void close();

  // The number of the newest event; 0 before the first.
  [[nodiscard]] std::uint64_t last() const;
  // The `id:` of an event, and back. nullopt: of another run, or no id of ours.
  [[nodiscard]] std::string id(std::uint64_t number) const;
  [[nodiscard]] std::optional<std::uint64_t> number(std::string_view id) const;
  // True when every event behind `number` is still held.
  [[nodiscard]] bool reaches_back_to(std::uint64_t number) const;

  struct Batch {
    enum class End : std::uint8_t {
      events,  // at least one
      quiet,   // none within the patience
      behind,  // the ring does not hold the next one any more: start anew
      closed,
    };
    End end = End::quiet;
    std::vector<std::shared_ptr<const std::string>> texts;  // as they go on the wire
    std::uint64_t last = 0;                                 // the number to go on from
  };
  // The events behind `after`, at most 256 at a time; waits for the first one.
  Batch read(std::uint64_t after, std::chrono::milliseconds patience);

  // A place among the watchers, given back at its end. Null: all are taken.
  std::shared_ptr<const void> enter();

 private:
  const std::string run_;
  const std::size_t capacity_;
  const std::size_t max_watchers_;
  std::atomic<std::size_t> watchers_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable grown_;
  std::deque<std::shared_ptr<const std::string>> texts_;
  std::uint64_t last_ = 0;
  bool is_closed_ = false;
};

}  // namespace kiln::api
