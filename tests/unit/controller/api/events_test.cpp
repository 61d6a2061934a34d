#include "api/events.h"

#include <thread>

#include "check.h"

using kiln::Json;
using kiln::api::EventRing;
using End = EventRing::Batch::End;
using namespace std::chrono_literals;

namespace {

void a_reader_gets_what_it_missed_in_order() {
  EventRing ring("run", 8);
  for (int i = 1; i <= 3; ++i) ring.publish("job", Json(i));
  const auto batch = ring.read(1, 0ms);
  check(batch.end == End::events);
  check_equal(batch.texts.size(), 2U);
  check_equal(*batch.texts[0], "id: run.2\nevent: job\ndata: 2\n\n");
  check_equal(*batch.texts[1], "id: run.3\nevent: job\ndata: 3\n\n");
  check_equal(batch.last, 3U);
  check(ring.read(3, 0ms).end == End::quiet);
}

void a_reader_that_fell_behind_is_told_so() {
  EventRing ring("run", 4);
  for (int i = 1; i <= 10; ++i) ring.publish("job", Json(i));
  check(ring.read(5, 0ms).end == End::behind);
  check(ring.read(6, 0ms).end == End::events);
  check(ring.reaches_back_to(6) && !ring.reaches_back_to(5) && !ring.reaches_back_to(11));
}

void a_waiting_reader_is_woken() {
  EventRing ring("run");
  std::thread writer([&] { ring.publish("job", Json("x\ny")); });
  const auto batch = ring.read(0, 20s);
  writer.join();
  check(batch.end == End::events);
  check_equal(*batch.texts[0], "id: run.1\nevent: job\ndata: \"x\\ny\"\n\n");
  std::thread closer([&] { ring.close(); });
  check(ring.read(1, 20s).end == End::closed);
  closer.join();
  check(ring.read(0, 20s).end == End::closed);
}

void ids_of_another_run_are_not_ours() {
  EventRing ring("run");
  check_equal(ring.number("run.12").value_or(0), 12U);
  check_equal(ring.number(ring.id(3)).value_or(0), 3U);
  for (const char* id : {"", "12", "run", "run.", "run.x", "run.1x", "run.-1", "nur.1", "run2.1"})
    check(!ring.number(id));
}

void places_are_given_back() {
  EventRing ring("run", 8, 2);
  auto first = ring.enter();
  auto second = ring.enter();
  check(first != nullptr && second != nullptr && ring.enter() == nullptr);
  second.reset();
  check(ring.enter() != nullptr);
}

}  // namespace

int main() {
  return kiln::test::run("events",
                         {{"a reader gets what it missed in order", a_reader_gets_what_it_missed_in_order},
                          {"a reader that fell behind is told so", a_reader_that_fell_behind_is_told_so},
                          {"a waiting reader is woken", a_waiting_reader_is_woken},
                          {"ids of another run are not ours", ids_of_another_run_are_not_ours},
                          {"places are given back", places_are_given_back}});
}
