#include "store/backup.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include "check.h"
#include "controller/store/scratch.h"
#include "store/database.h"
#include "store/reader.h"
#include "store/store.h"

namespace fs = std::filesystem;
using namespace kiln;             // NOLINT(google-build-using-namespace)
using namespace kiln::scheduler;  // NOLINT(google-build-using-namespace)
using store::Access;
using store::Database;
using store::Reader;
using store::Store;
using test::Scratch;

namespace {

const store::FileIsThere everything = [](const ResultRow&) { return true; };

Store open(const fs::path& path, const std::string& farm = "farm-1") {
  auto store = Store::open(path, farm);
  check_ok(store);
  return std::move(*store);
}

// A farm of one job: task 0 done, 1 assigned, 2 running, the rest untouched; started `starts` times.
void make_farm(const fs::path& path, int starts = 1, const std::string& farm = "farm-1") {
  auto store = open(path, farm);
  for (int i = 0; i < starts; ++i) check_ok(store.raise_epoch());
  auto job = test::some_job(1, 10);
  job.counts = {7, 2, 1, 0, 0};
  auto effects = test::finish_task(1, 0);
  effects.insert(effects.begin(), SaveJob{job});
  effects.emplace_back(SaveTask{test::some_task(1, 1, TaskState::assigned)});
  effects.emplace_back(SaveAttempt{test::some_attempt(1, 1, 1, AttemptState::assigned)});
  effects.emplace_back(SaveTask{test::some_task(1, 2, TaskState::running)});
  effects.emplace_back(SaveAttempt{test::some_attempt(1, 2, 1, AttemptState::running)});
  check_ok(store.apply(effects));
}

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void a_backup_of_a_store_at_work_is_whole() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  make_farm(path);
  auto store = open(path);
  std::thread writer([&] {
    for (std::uint32_t i = 3; i < 300; ++i) check_ok(store.apply(test::finish_task(1, i)));
  });
  for (int i = 0; i < 10; ++i) {
    const auto made = store::backup(path, scratch / "copy.db");  // the one before is replaced
    check_ok(made);
    check_equal(made->farm_id, "farm-1");
    check_equal(made->jobs, 1);
    check_equal(made->bytes, fs::file_size(scratch / "copy.db"));
    auto copy = Database::open(scratch / "copy.db", Access::read);
    const auto results = copy->integer("SELECT count(*) FROM result");
    check_ok(results);
    check_equal(*results, *copy->integer("SELECT count(*) FROM task WHERE state = 'done'"));
  }
  writer.join();
  for (const char* rest : {"copy.db.part", "copy.db-wal", "copy.db-shm"}) check(!fs::exists(scratch / rest));
}

void a_backup_never_takes_another_files_place() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  make_farm(path);
  std::ofstream(scratch / "scene.blend") << "a year's work";
  const struct {
    fs::path target;
    const char* says;
  } cases[] = {{scratch / "scene.blend", "no backup of Kiln's"},
               {path, "the database itself"},
               {"/nowhere/kiln.db", "/nowhere/kiln.db"}};
  for (const auto& one : cases) {
    const auto made = store::backup(path, one.target);
    check(!made.has_value());
    check_contains(made.error().message, one.says);
  }
  check_equal(bytes_of(scratch / "scene.blend"), "a year's work");
  const auto none = store::backup(scratch / "other.db", scratch / "copy.db");
  check(!none.has_value() && none.error().code == Code::not_found);
  check(!fs::exists(scratch / "copy.db"));
}

void a_full_disk_leaves_the_backup_before() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  make_farm(path);
  const auto small = scratch / "small";
  const test::SmallDisk disk(small, "256k");
  if (!disk) {
    print_message("no right to mount a small file system here: not checked\n");
    return;
  }
  check_ok(store::backup(path, small / "copy.db"));
  const auto before = bytes_of(small / "copy.db");
  {
    auto store = open(path);
    auto big = test::some_job(2, 10);
    big.message = std::string(300'000, 'x');
    check_ok(store.apply({SaveJob{big}}));
  }
  const auto made = store::backup(path, small / "copy.db");
  check(!made.has_value());
  check_equal(to_string(made.error().code), to_string(Code::full));
  check(bytes_of(small / "copy.db") == before);
  check(!fs::exists(small / "copy.db.part"));
}

void a_restored_farm_is_above_all_that_nodes_may_know() {
  const struct {
    const char* what;
    int starts_before, starts_after;  // of the farm before and after the backup; -1: it is gone
    const char* farm;                 // that is there now
    std::uint64_t epoch;
    bool was_other;
  } cases[] = {
      {"the farm lived on", 3, 20, "farm-1", 1'000'000, false},
      {"nothing is there", 3, -1, "", 10'000'000, false},
      {"a new farm was begun", 3, 1, "farm-2", 10'000'000, true},
  };
  for (const auto& one : cases) {
    const Scratch scratch;
    const auto path = scratch / "kiln.db";
    make_farm(path, one.starts_before);
    check_ok(store::backup(path, scratch / "copy.db"));
    if (one.starts_after < 0 || std::string(one.farm) != "farm-1") {
      for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(path.string() + suffix);
    }
    if (one.starts_after > 0) {
      auto store = open(path, one.farm);
      for (int i = 0; i < one.starts_after; ++i) check_ok(store.raise_epoch());
      check_ok(store.apply({SaveJob{test::some_job(9, 1)}}));
    }
    const auto restored = store::restore(scratch / "copy.db", path, everything);
    check_ok(restored);
    if (restored->epoch != one.epoch) print_error("%s\n", one.what);
    check_equal(restored->epoch, one.epoch);
    check_equal(restored->was_other_farm, one.was_other);
    check_equal(restored->put_aside.empty(), one.starts_after < 0);
    check(!fs::exists(path.string() + ".restoring") && !fs::exists(path.string() + "-wal"));

    auto store = open(path);
    check_equal(store.farm_id(), "farm-1");
    check_equal(*store.raise_epoch(), one.epoch + 1);
    const auto rows = store.load();
    check_ok(rows);
    check_equal(rows->attempt_floor, one.epoch / 1'000);
    check_equal(rows->last_job_number, one.starts_after > 0 && !one.was_other ? 9U : 1U);
    if (one.starts_after > 0) {
      auto aside = Database::open(restored->put_aside, Access::read);
      check_equal(*aside->text("SELECT id FROM farm"), one.farm);
      check_equal(*aside->integer("SELECT max(number) FROM job"), 9);
    }
  }
}

void what_was_out_is_queued_again() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  make_farm(path);
  check_ok(store::backup(path, scratch / "copy.db"));
  const auto restored = store::restore(scratch / "copy.db", path, everything);
  check_ok(restored);
  check_equal(restored->tasks_requeued + restored->files_missing, 0U);
  auto store = open(path);
  const auto rows = store.load();
  check_ok(rows);
  check(rows->attempts.empty());
  check_equal(rows->tasks.size(), 3U);
  check(rows->tasks[0].state == TaskState::done);
  for (const int i : {1, 2}) {
    check(rows->tasks[i].state == TaskState::queued);
    check_equal(rows->tasks[i].attempt, 1U);
    check_equal(rows->tasks[i].failures, 0U);
  }
  check(rows->jobs[0].counts == payloads::TaskCounts({9, 0, 1, 0, 0}));
  const auto reader = Reader::open(path);
  check(reader->attempts(test::task_id(1, 2))->at(0).state == AttemptState::lost);
}

void frames_without_files_are_rendered_again_while_their_job_goes_on() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  make_farm(path);
  {
    auto store = open(path);
    auto ended = test::some_job(2, 1);
    ended.state = JobState::done;
    ended.counts = {0, 0, 1, 0, 0};
    auto effects = test::finish_task(2, 0);
    effects.insert(effects.begin(), SaveJob{ended});
    check_ok(store.apply(effects));
  }
  check_ok(store::backup(path, scratch / "copy.db"));
  const auto restored = store::restore(scratch / "copy.db", path, [](const ResultRow&) { return false; });
  check_ok(restored);
  check_equal(restored->tasks_requeued, 1U);
  check_equal(restored->files_missing, 1U);
  auto store = open(path);
  const auto rows = store.load();
  check_ok(rows);
  check(rows->tasks[0].state == TaskState::queued);
  check(rows->jobs[0].counts == payloads::TaskCounts({10, 0, 0, 0, 0}));
  check(rows->jobs[1].counts == payloads::TaskCounts({0, 0, 1, 0, 0}));  // people take finished frames away
  check(store.unmoved()->empty());
  const auto reader = Reader::open(path);
  check_equal(reader->results({})->size(), 1U);
}

// Steps of 3 and 5 tasks: of each one done without its file, one running.
void the_counts_of_steps_are_restored_as_well() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  {
    auto store = open(path);
    auto job = test::some_job(1, 1);
    job.spec.steps = {test::some_step("bake", 3, 1), test::some_step("render", 5, 1, 60)};
    job.counts = {4, 2, 2, 0, 0};
    job.steps = {{1, 1, 1, 0, 0}, {3, 1, 1, 0, 0}};
    std::vector<Effect> effects = {SaveJob{job}};
    for (const std::uint32_t first : {0U, 3U}) {
      for (auto& effect : test::finish_task(1, first)) effects.push_back(std::move(effect));
      auto running = test::some_task(1, first + 1, TaskState::running);
      running.first_unit = 1;
      running.unit_count = 2;
      effects.emplace_back(SaveTask{running});
    }
    check_ok(store.apply(effects));
  }
  check_ok(store::backup(path, scratch / "copy.db"));
  const auto restored = store::restore(scratch / "copy.db", path,
                                       [](const ResultRow& result) { return result.task.index == 0; });
  check_ok(restored);
  check_equal(restored->tasks_requeued, 1U);
  auto store = open(path);
  const auto rows = store.load();
  check_ok(rows);
  check(rows->jobs[0].counts == payloads::TaskCounts({7, 0, 1, 0, 0}));
  check(rows->jobs[0].steps == (std::vector<payloads::TaskCounts>{{2, 0, 1, 0, 0}, {5, 0, 0, 0, 0}}));
  check(rows->tasks[3].state == TaskState::queued);
  check_equal(rows->tasks[3].unit_count, 2U);  // what it was cut from stays
}

void nodes_that_may_sleep_are_taken_for_asleep_and_reboots_are_over() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  std::vector<NodeRow> nodes(3);
  for (std::size_t i = 0; i < nodes.size(); ++i) nodes[i].id = test::node_id("box-" + std::to_string(i));
  nodes[0].settings.sleep_after_s = 600;
  nodes[0].settings.reboot = true;
  nodes[0].settings.tags = {"rtx"};
  nodes[1].settings.reboot = true;
  nodes[1].asleep = true;  // a person sent it
  const UsageRow usage{nodes[0].id, 3'600'000, {1, 2, 3, {4, 5, 6}}};
  const FarmSettings settings{true, {{"nuke", 5}}};
  check_ok(open(path).apply(
      {SaveNode{nodes[0]}, SaveNode{nodes[1]}, SaveNode{nodes[2]}, SaveUsage{usage}, SaveFarm{settings}}));
  check_ok(store::backup(path, scratch / "copy.db"));
  check_ok(store::restore(scratch / "copy.db", path, everything));
  nodes[0].asleep = true;
  for (auto& node : nodes) node.settings.reboot = false;
  const auto rows = open(path).load();
  check_ok(rows);
  check(rows->nodes == nodes);
  check(rows->usage == std::vector{usage});
  check(rows->settings == settings);
}

void a_restore_is_refused_before_anything_changes() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  make_farm(path);
  check_ok(store::backup(path, scratch / "copy.db"));
  fs::copy_file(scratch / "copy.db", scratch / "newer.db");
  {
    auto newer = Database::open(scratch / "newer.db", Access::write);
    check_ok(newer->execute("PRAGMA user_version = 9999"));
  }
  auto bytes = bytes_of(scratch / "copy.db");
  for (std::size_t i = 20'000; i < bytes.size() - 4096; ++i) bytes[i] = static_cast<char>(i * 31);
  std::ofstream(scratch / "damaged.db", std::ios::binary) << bytes;
  std::ofstream(scratch / "text.db") << "a list of things to buy, and quite a long one at that"
                                     << std::string(2'000, '!');

  const auto before = bytes_of(path);
  const struct {
    fs::path from;
    const char* says;
  } cases[] = {{scratch / "none.db", "No such file"},
               {scratch / "newer.db", "of a newer kiln-controller"},
               {scratch / "damaged.db", "damaged"},
               {scratch / "text.db", "not a database"},
               {path, "the farm's own database"}};
  for (const auto& one : cases) {
    const auto restored = store::restore(one.from, path, everything);
    check(!restored.has_value());
    if (restored.error().message.find(one.says) == std::string::npos) {
      print_error("%s\n", restored.error().message.c_str());
    }
    check_contains(restored.error().message, one.from.string());
    check(restored.error().message.find(one.says) != std::string::npos || one.from == scratch / "damaged.db");
    check(bytes_of(path) == before);
  }
  const auto running = open(path);
  const auto restored = store::restore(scratch / "copy.db", path, everything);
  check(!restored.has_value() && restored.error().code == Code::conflict);
  check_contains(restored.error().message, "stop the controller first");
}

void a_damaged_database_makes_way() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  make_farm(path);
  check_ok(store::backup(path, scratch / "copy.db"));
  std::ofstream(path, std::ios::binary) << std::string(9'000, 'x');
  std::ofstream(path.string() + "-wal", std::ios::binary) << std::string(9'000, 'y');
  const auto restored = store::restore(scratch / "copy.db", path, everything);
  check_ok(restored);
  check(!restored->trouble_with_old.empty());
  check_equal(bytes_of(restored->put_aside), std::string(9'000, 'x'));
  check_equal(open(path).load()->jobs.size(), 1U);
  // The next one gets a name of its own.
  const auto again = store::restore(scratch / "copy.db", path, everything);
  check_ok(again);
  check(again->put_aside != restored->put_aside);
}

void a_restore_killed_at_any_moment_leaves_the_one_or_the_other() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  make_farm(path);
  check_ok(store::backup(path, scratch / "copy.db"));
  check_ok(open(path).apply({SaveJob{test::some_job(2, 1)}}));
  std::minstd_rand random(7);
  constexpr unsigned restore_us = 8'000;
  for (int i = 0; i < 25; ++i) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(store::restore(scratch / "copy.db", path, everything) ? 0 : 1);
    ::usleep(static_cast<unsigned>(random() % restore_us));
    ::kill(child, SIGKILL);
    int status = 0;
    check_equal(::waitpid(child, &status, 0), child);
    auto store = Store::open(path, "a new farm");
    check_ok(store);
    check_equal(store->farm_id(), "farm-1");
    const auto jobs = store->load()->jobs.size();
    check(jobs == 1 || jobs == 2);
  }
}

}  // namespace

int main() {
  return test::run(
      "backup",
      {{"a backup of a store at work is whole", a_backup_of_a_store_at_work_is_whole},
       {"a backup never takes another file's place", a_backup_never_takes_another_files_place},
       {"a full disk leaves the backup before", a_full_disk_leaves_the_backup_before},
       {"a restored farm is above all that nodes may know", a_restored_farm_is_above_all_that_nodes_may_know},
       {"what was out is queued again", what_was_out_is_queued_again},
       {"frames without files are rendered again while their job goes on",
        frames_without_files_are_rendered_again_while_their_job_goes_on},
       {"the counts of steps are restored as well", the_counts_of_steps_are_restored_as_well},
       {"nodes that may sleep are taken for asleep and reboots are over",
        nodes_that_may_sleep_are_taken_for_asleep_and_reboots_are_over},
       {"a restore is refused before anything changes", a_restore_is_refused_before_anything_changes},
       {"a damaged database makes way", a_damaged_database_makes_way},
       {"a restore killed at any moment leaves the one or the other",
        a_restore_killed_at_any_moment_leaves_the_one_or_the_other}});
}
