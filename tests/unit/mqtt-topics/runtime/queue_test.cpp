#include "runtime/queue.h"

#include <memory>
#include <thread>

#include "check.h"

using kiln::runtime::EventFd;
using kiln::runtime::Queue;
using namespace std::chrono_literals;

namespace {

void values_come_out_in_order_and_in_one_batch() {
  Queue<int> queue(10);
  for (int i = 0; i < 3; ++i) check(queue.push(i));
  check_equal(queue.size(), 3U);
  check(queue.pop_all(0ms) == std::vector<int>({0, 1, 2}));
  check(queue.pop_all(0ms).empty());
  check(queue.push(7));
  check(queue.pop_all(-1ms) == std::vector<int>({7}));
}

void a_full_queue_refuses_and_takes_again_once_drained() {
  Queue<std::unique_ptr<int>> queue(2);
  check(queue.push(std::make_unique<int>(1)));
  check(queue.push(std::make_unique<int>(2)));
  check(!queue.push(std::make_unique<int>(3)));
  check_equal(queue.pop_all(0ms).size(), 2U);
  check(queue.push(std::make_unique<int>(4)));
}

void a_closed_queue_gives_what_it_holds_and_then_nothing_at_once() {
  Queue<int> queue(10);
  check(queue.push(1));
  queue.close();
  check(queue.is_closed());
  check(!queue.push(2));
  check(queue.pop_all(-1ms) == std::vector<int>({1}));
  check(queue.pop_all(-1ms).empty());
  check(queue.pop_all(-1ms).empty());
}

void the_descriptor_is_readable_while_there_is_something() {
  Queue<int> queue(10);
  check(!kiln::runtime::wait_readable(queue.fd(), 0ms));
  check(queue.push(1));
  check(queue.push(2));
  check(kiln::runtime::wait_readable(queue.fd(), 0ms));
  check_equal(queue.pop_all(0ms).size(), 2U);
  check(!kiln::runtime::wait_readable(queue.fd(), 0ms));
  queue.close();
  check(kiln::runtime::wait_readable(queue.fd(), 0ms));
}

void a_waiting_owner_wakes_for_values_of_many_threads() {
  constexpr int threads = 4;
  constexpr int each = 2'000;
  Queue<int> queue(threads * each);
  std::vector<std::thread> producers;
  for (int t = 0; t < threads; ++t) {
    producers.emplace_back([&queue, t] {
      for (int i = 0; i < each; ++i) {
        if (!queue.push(t * each + i)) return;
      }
    });
  }
  std::vector<int> last(threads, -1);
  int seen = 0;
  while (seen < threads * each) {
    const auto batch = queue.pop_all(30s);
    check(!batch.empty());
    for (const int value : batch) {
      auto& before = last[static_cast<std::size_t>(value / each)];
      check(value % each == before + 1);  // each thread's values in its order
      before = value % each;
      ++seen;
    }
  }
  for (auto& producer : producers) producer.join();
}

void closing_wakes_the_owner() {
  Queue<int> queue(1);
  std::thread closer([&] { queue.close(); });
  check(queue.pop_all(-1ms).empty());
  closer.join();
}

void an_event_stays_set_until_it_is_cleared() {
  EventFd event;
  check(!event.is_set());
  event.set();
  event.set();
  check(event.wait(-1ms));
  check(event.is_set());
  event.clear();
  check(!event.is_set());
  event.clear();  // harmless
  std::thread setter([&] { event.set(); });
  check(event.wait(30s));
  setter.join();
}

}  // namespace

int main() {
  return kiln::test::run(
      "queue",
      {{"values come out in order and in one batch", values_come_out_in_order_and_in_one_batch},
       {"a full queue refuses and takes again once drained",
        a_full_queue_refuses_and_takes_again_once_drained},
       {"a closed queue gives what it holds, then nothing",
        a_closed_queue_gives_what_it_holds_and_then_nothing_at_once},
       {"the descriptor is readable while there is something",
        the_descriptor_is_readable_while_there_is_something},
       {"a waiting owner wakes for values of many threads", a_waiting_owner_wakes_for_values_of_many_threads},
       {"closing wakes the owner", closing_wakes_the_owner},
       {"an event stays set until it is cleared", an_event_stays_set_until_it_is_cleared}});
}
