#include "store/store.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>

#include "check.h"
#include "controller/store/scratch.h"
#include "store/database.h"
#include "store/migrations.h"
#include "store/reader.h"

namespace fs = std::filesystem;
using namespace kiln;             // NOLINT(google-build-using-namespace)
using namespace kiln::scheduler;  // NOLINT(google-build-using-namespace)
using kiln::store::Access;
using kiln::store::Database;
using kiln::store::Reader;
using kiln::store::Store;
using test::Scratch;

namespace {

Store open(const fs::path& path) {
  auto store = Store::open(path, "farm-1");
  check_ok(store);
  return std::move(*store);
}

// One of everything, each field away from its default.
struct Sample {
  JobRow job = test::some_job(7, 10);
  TaskRow task = test::some_task(7, 3, TaskState::failed);
  AttemptRow attempt = test::some_attempt(7, 3, 2, AttemptState::running);
  ResultRow result = test::some_result(7, 4, "beauty/frame ü 0005.png");
  NodeRow node;
  RendererRow renderer{{"blender-4.2.1", "4.2.1", "sha256:" + std::string(64, 'b'), 1ULL << 29U, 1ULL << 30U,
                        "blender-4.2.1-linux-x64/blender"},
                       "blender-4.2.1-linux-x64.tar.xz",
                       "ada",
                       1'700'000'000'000};
  FarmSettings farm;
  UsageRow usage;

  Sample() {
    job.state = JobState::paused;
    job.counts = {5, 1, 2, 1, 1};
    job.render_s = 12.25;
    job.message = "it's \"paused\"";
    job.warnings = {"missing texture //tex/a.png", "ünïcode"};
    job.started_ms = 1;
    job.finished_ms = 2;
    job.spec.chunk = 2;
    task.attempt = 2;
    task.failures = 1;
    task.error_code = "renderer-crashed";
    task.error_message = "Blender ended by signal 11";
    task.seconds = 0.5;
    task.started_ms = 3;
    task.finished_ms = 4;
    attempt.error_code = "e";
    attempt.error_message = "m";
    attempt.started_ms = 5;
    attempt.finished_ms = 6;
    result.file.frame = -5;
    result.file.size = 1ULL << 40U;
    node.id = test::node_id("box-1");
    node.info.sid = 17;
    node.info.name = "Box one";
    node.info.os = "Debian 12";
    node.info.cores = 8;
    node.info.slots = 2;
    node.info.renderers = {{"blender", "3.4.1"}};
    node.info.gpus = {{0, "A4000", "nvidia", "GPU-1", 16'000, "535"}};
    node.drained = true;
    node.presence = NodePresence::draining;
    node.sid = 17;
    node.tasks_done = 100;
    node.tasks_failed = 2;
    job.spec.options.device = payloads::Device::gpu;
    job.spec.options.max_run_s = 60;
    job.spec.options.stall_s = 30;
    job.spec.retries = 0;
    job.spec.fail_pct = 10;
    job.held = 1;
    task.blank = payloads::Blank::transparent;
    task.review = Review::held;
    task.void_up_to = 1;
    result.file.blank = payloads::Blank::transparent;
    node.quarantine = "tasks of 3 jobs failed here";
    node.quarantine_until_ms = 9;
    node.first_seen_ms = 7;
    node.last_seen_ms = 8;
    job.spec.type = "blender-animation";
    job.spec.document = "sha256:" + std::string(64, 'd');
    job.spec.production = {"film", "sq010", "sh010"};
    StepSpec bake = test::some_step("bake", 8, 2);
    bake.frames = *payloads::FrameSet::parse("1-8");
    bake.needs.device = payloads::Device::cpu;
    StepSpec render = test::some_step("render \"it\"", 100, 3, 60);
    render.after = {0};
    render.pairs_with = {0};
    render.needs.device = payloads::Device::gpu;
    render.needs.attributes = {{"kiln:attr.tag", {"rtx", "basement"}, {"fast"}},
                               {"attr.worker.os.family", {}, {}}};
    render.needs.amounts = {{"amount.worker.memory", 2048.5, 1e6}, {"amount.worker.gpu", 1, std::nullopt}};
    render.needs.limits = {{"nuke", 2}, {"arnold", 1}};
    job.spec.steps = {bake, render};
    job.steps = {{1, 1, 1, 1, 0}, {100, 0, 0, 0, 7}};
    job.wishes = {4, 2, {"rtx", "fast"}, {3, 5}, 1'700'000'000'000};
    job.waste = {1.5, 2.5, 3.5};
    job.spec.limits = {{"houdini", 3}};
    job.spec.bundle = renderer.bundle;
    job.spec.steps[1].needs.bundle = renderer.bundle;
    task.first_unit = 9;
    task.unit_count = 3;
    node.info.tags = {"basement"};
    node.info.mac = "aa:bb:cc:dd:ee:ff";
    node.settings = {false, {"rtx"}, {{0x1F, 1200, 420}, {0x60, 0, 1440}}, 80.5, 90, 900, true};
    node.use = {100.5, 50.25, 40.5, {1.25, 2.5, 3.75}};
    node.asleep = true;
    farm.fair_share = true;
    farm.limits = {{"nuke", 10}, {"arnold", 3}};
    usage = {node.id, 1'700'000'000'000 / 3'600'000 * 3'600'000, {3600, 1800, 1700, {10, 20, 30}}};
  }
  [[nodiscard]] std::vector<Effect> effects() const {
    return {SaveJob{job},   SaveTask{task},   SaveAttempt{attempt},   SaveResult{result}, SaveNode{node},
            SaveFarm{farm}, SaveUsage{usage}, SaveRenderer{renderer}, Remark{"x"}};
  }
};

void check_holds(const fs::path& path, const Sample& sample) {
  const auto reader = Reader::open(path);
  check_ok(reader);
  const auto job = reader->job("7");
  check_ok(job);
  check(*job == sample.job);
  const auto tasks = reader->tasks(sample.job, {.state = TaskState::failed});
  check_ok(tasks);
  check(*tasks == std::vector{sample.task});
  const auto attempts = reader->attempts(sample.task.id);
  check_ok(attempts);
  check(*attempts == std::vector{sample.attempt});
  const auto results = reader->results({});
  check_ok(results);
  check(*results == std::vector{sample.result});
  const auto node = reader->node(sample.node.id);
  check_ok(node);
  check(*node == sample.node);
  const auto farm = reader->settings();
  check_ok(farm);
  check(*farm == sample.farm);
  const auto renderers = reader->renderers();
  check_ok(renderers);
  check(*renderers == std::vector{sample.renderer});
  const auto usage = reader->usage({.node = sample.node.id, .to_ms = 2'000'000'000'000});
  check_ok(usage);
  check(*usage == std::vector{sample.usage});
}

void every_row_comes_back_as_it_was() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  const Sample sample;
  {
    auto store = open(path);
    check_ok(store.apply(sample.effects()));
    check_holds(path, sample);
  }
  auto again = open(path);
  check_holds(path, sample);
  const auto rows = again.load();
  check_ok(rows);
  check(rows->jobs == std::vector{sample.job});
  check(rows->tasks == std::vector{sample.task});
  check(rows->attempts == std::vector{sample.attempt});
  check(rows->nodes == std::vector{sample.node});
  check(rows->settings == sample.farm);
  check(rows->usage == std::vector{sample.usage});
  check_equal(rows->last_job_number, 7U);
}

// What EditJob, the agent's counts and an administrator change; the spec stays.
void what_a_person_changes_is_changed_in_the_row() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  auto store = open(path);
  Sample sample;
  check_ok(store.apply(sample.effects()));
  sample.job.wishes = {};
  sample.job.waste = {9, 8, 7};
  sample.job.steps[1].done = 5;
  sample.task.first_unit = 12;
  sample.task.unit_count = 1;
  sample.node.settings = {};
  sample.node.use = {};
  sample.node.asleep = false;
  sample.farm = {false, {{"houdini", 1}}};
  sample.usage.use = {1, 2, 3, {4, 5, 6}};
  check_ok(store.apply(sample.effects()));
  check_holds(path, sample);
  sample.job.wishes.after = {1};  // EditJob
  sample.farm.limits.clear();
  check_ok(store.apply(sample.effects()));
  check_holds(path, sample);
}

void a_node_that_is_erased_leaves_its_hours() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  auto store = open(path);
  const Sample sample;
  auto spoke_again = sample.node;
  spoke_again.tasks_done = 0;
  const struct {
    std::vector<Effect> effects;
    std::vector<NodeRow> left;
  } cases[] = {
      {{SaveNode{sample.node}, EraseNode{sample.node.id}}, {}},
      {{EraseNode{sample.node.id}, SaveNode{spoke_again}}, {spoke_again}},
      {{SaveNode{sample.node}, EraseNode{sample.node.id}, SaveNode{spoke_again}}, {spoke_again}},
      {{EraseNode{sample.node.id}}, {}},
      {{EraseNode{test::node_id("stranger")}}, {}},
  };
  check_ok(store.apply({SaveUsage{sample.usage}}));
  for (const auto& one : cases) {
    check_ok(store.apply(one.effects));
    const auto rows = store.load();
    check_ok(rows);
    check(rows->nodes == one.left);
    check(rows->usage == std::vector{sample.usage});
  }
}

void a_start_loads_the_newest_hour_and_old_ones_go() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  auto store = open(path);
  constexpr std::int64_t hour_ms = 3'600'000;
  const auto hour = [](const char* node, std::int64_t number, double busy_s) {
    return UsageRow{test::node_id(node), number * hour_ms, {3600, busy_s, 0, {}}};
  };
  // Often in one batch: the last content counts.
  check_ok(store.apply({SaveUsage{hour("a", 10, 1)}, SaveUsage{hour("b", 10, 1)}, SaveUsage{hour("b", 11, 1)},
                        SaveUsage{hour("a", 11, 2)}, SaveUsage{hour("a", 11, 3)}}));
  const auto rows = store.load();
  check_ok(rows);
  check(rows->usage == (std::vector{hour("a", 11, 3), hour("b", 11, 1)}));
  const auto reader = Reader::open(path);
  check_ok(reader);
  const auto hours = [&reader] { return reader->usage({.to_ms = 1LL << 50U})->size(); };
  check_equal(hours(), 2U);
  // A year later and more; then one oldest hour goes with each row that is written.
  constexpr std::int64_t kept = 400LL * 24;
  check_ok(store.apply({SaveUsage{hour("a", 11 + kept, 1)}}));
  check_equal(hours(), 2U);
  check_ok(store.apply({SaveUsage{hour("a", 12 + kept, 1)}}));
  check_equal(hours(), 2U);
  check(reader->usage({.to_ms = 1LL << 50U})->front().hour_ms == (11 + kept) * hour_ms);
}

// A farm as version 2 left it: what was not there yet is as by default.
void a_farm_of_an_older_version_goes_on() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  {
    auto old = Database::open(path, Access::create);
    check_ok(old);
    check_ok(store::migrate(*old, store::migrations().first(2)));
    check_ok(old->execute(fmt::format("PRAGMA application_id = {}", store::application_id)));
    check_ok(old->execute(R"(
      INSERT INTO farm VALUES (1, 'farm-2', 7, 7);
      INSERT INTO job VALUES (7, '7-aaaaa', 'shot', 'blender', '1-10', 2, '', '{}', 'ada', '', 1, 50, 'active', 'running',
        4, 0, 1, 0, 0, 2.5, '', '[]', 2, 0, -1, -1, 0);
      INSERT INTO task VALUES (7, 3, 'done', 1, 0, 'box-1', '', '', 2.5, 1, 2, '', '', 0);
      INSERT INTO node VALUES ('box-1', '', 0, 'offline', 3, 1, 0, 1, 2, '', 0);
    )"));
  }
  auto store = open(path);
  check_equal(store.farm_id(), "farm-2");
  const auto rows = store.load();
  check_ok(rows);
  JobRow job;
  job.id = test::job_id(7);
  job.number = 7;
  job.spec.name = "shot";
  job.spec.renderer = "blender";
  job.spec.frames = *payloads::FrameSet::parse("1-10");
  job.spec.chunk = 2;
  job.user = "ada";
  job.counts = {4, 0, 1, 0, 0};
  job.render_s = 2.5;
  job.created_ms = 1;
  job.started_ms = 2;
  check(rows->jobs == std::vector{job});
  auto task = test::some_task(7, 3, TaskState::done);
  task.seconds = 2.5;
  task.started_ms = 1;
  task.finished_ms = 2;
  check(rows->tasks == std::vector{task});
  NodeRow node;
  node.id = test::node_id("box-1");
  node.presence = NodePresence::offline;
  node.sid = 3;
  node.tasks_done = 1;
  node.first_seen_ms = 1;
  node.last_seen_ms = 2;
  check(rows->nodes == std::vector{node});
  check(rows->settings == FarmSettings());
  check(rows->usage.empty());
  const Sample sample;
  check_ok(store.apply(sample.effects()));
}

void a_task_done_again_leaves_its_newer_results_only() {
  const Scratch scratch;
  auto store = open(scratch / "kiln.db");
  const auto job = test::some_job(1, 8);
  check_ok(store.apply({SaveJob{job}}));
  check_ok(store.apply(test::finish_task(1, 2)));
  check_ok(store.apply(test::finish_task(1, 3)));
  auto task = test::some_task(1, 2, TaskState::queued);
  task.void_up_to = 1;
  check_ok(store.apply({SaveTask{task}}));  // asked for again: what it has stays until then
  const auto reader = Reader::open(scratch / "kiln.db");
  check_ok(reader);
  check_equal(reader->results({})->size(), 2U);
  task.state = TaskState::done;
  task.attempt = 2;
  auto result = test::some_result(1, 2, "other.png");
  result.attempt = 2;
  check_ok(
      store.apply({SaveTask{task}, SaveResult{result}, AcceptFiles{result.task, 2, {result.file}, true}}));
  const auto results = reader->results({.job = job.id});
  check_ok(results);
  check_equal(results->size(), 2U);
  check_equal(results->at(0).file.path, "other.png");
  check(!*store.is_of_another_task(result.task, "other.png"));
  check(*store.is_of_another_task(result.task, "frame_3.png"));
  const auto unmoved = store.unmoved();
  check_ok(unmoved);
  for (const auto& accept : *unmoved) check_equal(accept.replaces, accept.attempt == 2);
}

void every_state_has_its_word() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  auto store = open(path);
  std::vector<Effect> effects;
  for (std::uint8_t i = 0; i <= static_cast<std::uint8_t>(JobState::cancelled); ++i) {
    auto job = test::some_job(i + 1U, 10);
    job.state = static_cast<JobState>(i);
    effects.emplace_back(SaveJob{job});
  }
  for (std::uint8_t i = 0; i <= static_cast<std::uint8_t>(TaskState::cancelled); ++i) {
    effects.emplace_back(SaveTask{test::some_task(1, i, static_cast<TaskState>(i))});
  }
  for (std::uint8_t i = 0; i <= static_cast<std::uint8_t>(AttemptState::cancelled); ++i) {
    effects.emplace_back(SaveAttempt{test::some_attempt(1, 0, i, static_cast<AttemptState>(i))});
  }
  for (std::uint8_t i = 0; i <= static_cast<std::uint8_t>(NodePresence::offline); ++i) {
    NodeRow node;
    node.id = test::node_id("box-" + std::to_string(i));
    node.presence = static_cast<NodePresence>(i);
    effects.emplace_back(SaveNode{node});
  }
  check_ok(store.apply(effects));
  const auto rows = store.load();
  check_ok(rows);
  check_equal(rows->jobs.size(), 5U);
  for (std::size_t i = 0; i < rows->jobs.size(); ++i) check(rows->jobs[i].state == static_cast<JobState>(i));
  check_equal(rows->tasks.size(), 6U);
  for (std::size_t i = 0; i < rows->tasks.size(); ++i)
    check(rows->tasks[i].state == static_cast<TaskState>(i));
  check_equal(rows->nodes.size(), 4U);
  for (std::size_t i = 0; i < rows->nodes.size(); ++i)
    check(rows->nodes[i].presence == static_cast<NodePresence>(i));
  const auto reader = Reader::open(path);
  check_ok(reader);
  const auto attempts = reader->attempts(test::task_id(1, 0));
  check_ok(attempts);
  check_equal(attempts->size(), 7U);
  for (std::size_t i = 0; i < attempts->size(); ++i)
    check((*attempts)[i].state == static_cast<AttemptState>(i));
}

void applying_a_batch_twice_changes_nothing() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  auto store = open(path);
  const Sample sample;
  check_ok(store.apply(sample.effects()));
  check_ok(store.apply(sample.effects()));
  check_holds(path, sample);
}

void a_batch_ends_with_each_rows_last_content() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  auto store = open(path);
  auto job = test::some_job(1, 10);
  std::vector<Effect> effects = {SaveJob{job}};
  for (std::uint32_t i = 0; i < 10; ++i) {
    for (auto& effect : test::finish_task(1, i)) effects.push_back(std::move(effect));
    --job.counts.queued;
    ++job.counts.done;
    effects.emplace_back(SaveJob{job});
  }
  job.state = JobState::done;
  effects.emplace_back(SaveJob{job});
  check_ok(store.apply(effects));
  const auto rows = store.load();
  check_ok(rows);
  check(rows->jobs == std::vector{job});
  check(rows->tasks.empty());  // of a job that is done
  job.state = JobState::failed;
  check_ok(store.apply({SaveJob{job}}));
  check_equal(store.load()->tasks.size(), 10U);  // of one that can be retried
  const auto reader = Reader::open(path);
  const auto tasks = reader->tasks(job, {});
  check_ok(tasks);
  check_equal(tasks->size(), 10U);
}

void a_batch_is_all_or_nothing() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  auto store = open(path);
  check_ok(store.apply({SaveJob{test::some_job(1, 10)}}));
  // The last row belongs to no job.
  auto effects = test::finish_task(1, 0);
  effects.emplace_back(SaveTask{test::some_task(99, 0, TaskState::done)});
  const auto status = store.apply(effects);
  check(!status.has_value());
  check(status.error().code == Code::internal);
  check_contains(status.error().message, "99-aaaaa-0");
  const auto reader = Reader::open(path);
  check(reader->results({})->empty());
  check(reader->attempts(test::task_id(1, 0))->empty());
  check(store.unmoved()->empty());
  // And the store goes on.
  check_ok(store.apply(test::finish_task(1, 0)));
  check_equal(reader->results({})->size(), 1U);
}

void a_full_disk_undoes_the_batch_and_says_full() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  const std::string long_name(300'000, 'x');
  {
    auto store = open(path);
    check_ok(store.apply({SaveJob{test::some_job(1, 10)}}));
  }
  const auto small = scratch / "small";
  const test::SmallDisk disk(small, "400k");
  if (!disk) {
    print_message("no right to mount a small file system here: not checked\n");
    return;
  }
  fs::copy_file(path, small / "kiln.db");
  {
    auto store = open(small / "kiln.db");
    auto effects = test::finish_task(1, 0);
    auto big = test::some_job(2, 10);
    big.message = long_name;
    effects.emplace_back(SaveJob{big});
    const auto status = store.apply(effects);
    check(!status.has_value());
    check_equal(to_string(status.error().code), to_string(Code::full));
    check_contains(status.error().message, "no space left");
    const auto reader = Reader::open(small / "kiln.db");
    check_ok(reader);
    check(reader->results({})->empty());
    check(!reader->job("2").has_value());
    check_ok(store.apply(test::finish_task(1, 0)));
    check_equal(reader->results({})->size(), 1U);
  }
}

void the_epoch_and_the_farms_name_outlive_a_restart() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  {
    auto store = open(path);
    check_equal(store.farm_id(), "farm-1");
    check_equal(*store.raise_epoch(), 1U);
    check_equal(*store.raise_epoch(), 2U);
  }
  auto store = Store::open(path, "another");
  check_ok(store);
  check_equal(store->farm_id(), "farm-1");
  check_equal(*store->raise_epoch(), 3U);
}

void an_erased_job_leaves_nothing_and_its_number_is_not_given_again() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  auto store = open(path);
  const Sample sample;
  auto effects = sample.effects();
  effects.emplace_back(AcceptFiles{sample.result.task, 1, {sample.result.file}});
  effects.emplace_back(SaveJob{test::some_job(3, 5)});
  effects.emplace_back(SaveTask{test::some_task(3, 1, TaskState::running)});
  check_ok(store.apply(effects));
  check_ok(store.apply({SaveTask{test::some_task(7, 5, TaskState::done)}, EraseJob{sample.job.id}}));
  const auto rows = store.load();
  check_ok(rows);
  check_equal(rows->jobs.size(), 1U);
  check_equal(rows->tasks.size(), 1U);
  check(rows->attempts.empty());
  check(store.unmoved()->empty());
  check_equal(rows->last_job_number, 7U);
  auto database = Database::open(path, Access::read);
  for (const char* table : {"task", "attempt", "result", "unmoved"}) {
    check_equal(*database->integer("SELECT count(*) FROM " + std::string(table) + " WHERE job = 7"), 0);
  }
  check_ok(store.apply({EraseJob{sample.job.id}}));
}

void accepted_files_are_named_until_they_were_moved() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  {
    auto store = open(path);
    check_ok(store.apply({SaveJob{test::some_job(1, 10)}}));
    check_ok(store.apply(test::finish_task(1, 0)));
    check_ok(store.apply(test::finish_task(1, 1)));
    store.mark_moved(test::task_id(1, 0), 1);
    check_equal(store.unmoved()->size(), 2U);  // nothing is written for it alone
    check_ok(store.apply({}));
    check_equal(store.unmoved()->size(), 2U);
    check_ok(store.apply(test::finish_task(1, 2)));  // written with this
    const auto unmoved = store.unmoved();
    check_ok(unmoved);
    check_equal(unmoved->size(), 2U);
    check(unmoved->at(0).task == test::task_id(1, 1));
    check_equal(unmoved->at(0).attempt, 1U);
    check(unmoved->at(0).files == std::vector{test::some_result(1, 1, "frame_1.png").file});
    store.mark_moved(test::task_id(1, 1), 1, {{"frame_1.png", "frame_1~1-aaaaa-1-1.png"}});
  }
  auto store = open(path);  // closing wrote it
  check_equal(store.unmoved()->size(), 1U);
  const auto reader = Reader::open(path);
  check_equal(reader->results({})->at(1).file.path, "frame_1~1-aaaaa-1-1.png");
}

void a_file_that_is_no_database_is_named_with_the_way_out() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  const auto write = [&path](const std::string& text) { std::ofstream(path, std::ios::binary) << text; };

  write("this is a shopping list, and quite a long one: milk, bread, " + std::string(2000, '!'));
  auto store = Store::open(path, "farm-1");
  check(!store.has_value());
  check_contains(store.error().message, path.string());
  check_contains(store.error().message, "not a database");
  check_contains(store.error().message, "put a backup in its place");

  // Kiln's own, with a page overwritten.
  fs::remove(path);
  {
    auto fresh = open(path);
    std::vector<Effect> effects;
    for (std::uint64_t i = 1; i < 300; ++i) effects.emplace_back(SaveJob{test::some_job(i, 10)});
    check_ok(fresh.apply(effects));
  }
  std::ifstream file(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  for (std::size_t i = 40'000; i < bytes.size() - 4096; ++i) bytes[i] = static_cast<char>(i * 31);
  write(bytes);
  store = Store::open(path, "farm-1");
  check(!store.has_value());
  check_contains(store.error().message, path.string());
  check_contains(store.error().message, "put a backup in its place");
}

void a_database_of_another_program_is_left_alone() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  {
    auto other = Database::open(path, Access::create);
    check_ok(other->execute("CREATE TABLE shopping (item TEXT)"));
  }
  const auto store = Store::open(path, "farm-1");
  check(!store.has_value());
  check_contains(store.error().message, "belongs to another program");
  auto other = Database::open(path, Access::read);
  check_equal(*other->integer("SELECT count(*) FROM sqlite_master"), 1);
}

void a_newer_database_is_refused_untouched() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  { const auto store = open(path); }
  {
    auto database = Database::open(path, Access::write);
    check_ok(database->execute("PRAGMA user_version = 9999"));
  }
  const auto store = Store::open(path, "farm-1");
  check(!store.has_value());
  check(store.error().code == Code::unsupported);
  check_contains(store.error().message, "newer kiln-controller");
}

void two_controllers_do_not_share_a_file() {
  const Scratch scratch;
  const auto path = scratch / "kiln.db";
  const auto store = open(path);
  const auto second = Store::open(path, "farm-2");
  check(!second.has_value());
  check(second.error().code == Code::conflict);
  check_contains(second.error().message, "kiln-controller");
}

void a_folder_that_is_not_there_is_named() {
  const auto store = Store::open("/nowhere/at/all/kiln.db", "farm-1");
  check(!store.has_value());
  check_contains(store.error().message, "/nowhere/at/all");
  check_contains(store.error().message, "No such file");
}

}  // namespace

int main() {
  return test::run(
      "store",
      {{"every row comes back as it was", every_row_comes_back_as_it_was},
       {"a farm of an older version goes on", a_farm_of_an_older_version_goes_on},
       {"what a person changes is changed in the row", what_a_person_changes_is_changed_in_the_row},
       {"a node that is erased leaves its hours", a_node_that_is_erased_leaves_its_hours},
       {"a start loads the newest hour and old ones go", a_start_loads_the_newest_hour_and_old_ones_go},
       {"a task done again leaves its newer results only", a_task_done_again_leaves_its_newer_results_only},
       {"every state has its word", every_state_has_its_word},
       {"applying a batch twice changes nothing", applying_a_batch_twice_changes_nothing},
       {"a batch ends with each row's last content", a_batch_ends_with_each_rows_last_content},
       {"a batch is all or nothing", a_batch_is_all_or_nothing},
       {"a full disk undoes the batch and says full", a_full_disk_undoes_the_batch_and_says_full},
       {"the epoch and the farm's name outlive a restart", the_epoch_and_the_farms_name_outlive_a_restart},
       {"an erased job leaves nothing and its number is not given again",
        an_erased_job_leaves_nothing_and_its_number_is_not_given_again},
       {"accepted files are named until they were moved", accepted_files_are_named_until_they_were_moved},
       {"a file that is no database is named with the way out",
        a_file_that_is_no_database_is_named_with_the_way_out},
       {"a database of another program is left alone", a_database_of_another_program_is_left_alone},
       {"a newer database is refused untouched", a_newer_database_is_refused_untouched},
       {"two controllers do not share a file", two_controllers_do_not_share_a_file},
       {"a folder that is not there is named", a_folder_that_is_not_there_is_named}});
}
