// What was committed is there after a kill -9, and what is there hangs together.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "check.h"
#include "controller/store/scratch.h"
#include "store/database.h"
#include "store/reader.h"
#include "store/store.h"

using namespace kiln;             // NOLINT(google-build-using-namespace)
using namespace kiln::scheduler;  // NOLINT(google-build-using-namespace)
using store::Store;
using test::Scratch;

namespace {

constexpr std::uint32_t tasks_a_batch = 5;
constexpr std::uint32_t marked_a_batch = 3;  // the files of the others are never said to be moved

// Applies batch after batch from task `first` on, and says each one's end on `pipe` after its commit.
[[noreturn]] void write_until_killed(const std::filesystem::path& path, std::uint32_t first, int pipe) {
  auto opened = Store::open(path, "farm-1");
  if (!opened) ::_exit(1);
  auto job = test::some_job(1, 1'000'000);
  for (std::uint32_t next = first;;) {
    std::vector<Effect> effects;
    for (std::uint32_t i = 0; i < tasks_a_batch; ++i, ++next) {
      for (auto& effect : test::finish_task(1, next)) effects.push_back(std::move(effect));
      job.counts.done = next + 1;
      effects.emplace_back(SaveJob{job});
    }
    if (!opened->apply(effects)) ::_exit(2);
    for (std::uint32_t i = 0; i < marked_a_batch; ++i) opened->mark_moved(test::task_id(1, next - 1 - i), 1);
    if (::write(pipe, &next, sizeof next) != sizeof next) ::_exit(3);
  }
}

// The last number that the child said, once it said `batches` of them and was killed `later_us` after that:
// at whichever instruction it is then.
std::uint32_t kill_after(pid_t child, int pipe, int batches, unsigned later_us) {
  std::uint32_t confirmed = 0;
  for (int i = 0; i < batches; ++i) {
    pollfd waiting{pipe, POLLIN, 0};
    check_equal(::poll(&waiting, 1, 60'000), 1);
    if (::read(pipe, &confirmed, sizeof confirmed) != sizeof confirmed) break;
  }
  ::usleep(later_us);
  ::kill(child, SIGKILL);
  int status = 0;
  check_equal(::waitpid(child, &status, 0), child);
  check(WIFSIGNALED(status));
  for (std::uint32_t said = 0; ::read(pipe, &said, sizeof said) == sizeof said;) confirmed = said;
  return confirmed;
}

void a_killed_controller_loses_nothing_that_it_confirmed() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  {
    auto store = Store::open(path, "farm-1");
    check_ok(store);
    check_ok(store->apply({SaveJob{test::some_job(1, 1'000'000)}}));
  }
  std::uint32_t next = 0;
  std::size_t lost_marks = 0;
  // Where in a batch it dies is drawn; a batch takes some hundred microseconds, its sync most of them.
  std::minstd_rand random(20261122);
  constexpr unsigned batch_us = 2'000;
  constexpr int kills = 40;
  for (int kill = 0; kill < kills; ++kill) {
    const int batches = 1 + static_cast<int>(random() % 8);
    int ends[2];
    check_equal(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(ends[0]);
      write_until_killed(path, next, ends[1]);
    }
    ::close(ends[1]);
    const auto confirmed = kill_after(child, ends[0], batches, static_cast<unsigned>(random() % batch_us));
    ::close(ends[0]);

    auto store = Store::open(path, "farm-1");
    check_ok(store);
    const auto rows = store->load();
    check_ok(rows);
    // All that was confirmed, whole batches only, and every part of each.
    const auto done = rows->jobs.at(0).counts.done;
    check(done >= confirmed);
    check_equal(done % tasks_a_batch, 0U);
    check_equal(rows->tasks.size(), done);
    auto database = store::Database::open(path, store::Access::read);
    check_equal(*database->text("PRAGMA integrity_check"), "ok");
    check_equal(*database->integer("SELECT count(*) FROM result"), static_cast<std::int64_t>(done));
    check_equal(*database->integer("SELECT count(*) FROM attempt"), static_cast<std::int64_t>(done));
    // A mark is lost with the batch that would have written it, and no other: a handful is moved again.
    lost_marks += marked_a_batch;
    const std::size_t never_marked = std::size_t{done} / tasks_a_batch * (tasks_a_batch - marked_a_batch);
    const auto unmoved = store->unmoved();
    check_ok(unmoved);
    check(unmoved->size() >= never_marked);
    check(unmoved->size() <= never_marked + lost_marks);
    next = done;
  }
}

}  // namespace

int main() {
  return test::run("crash", {{"a killed controller loses nothing that it confirmed",
                              a_killed_controller_loses_nothing_that_it_confirmed}});
}
