#include "store/reader.h"

#include <fmt/format.h>

#include <thread>

#include "check.h"
#include "controller/store/scratch.h"
#include "store/database.h"
#include "store/queries.h"
#include "store/store.h"

using namespace kiln;             // NOLINT(google-build-using-namespace)
using namespace kiln::scheduler;  // NOLINT(google-build-using-namespace)
using kiln::store::Reader;
using kiln::store::Store;
using test::Scratch;

namespace {

struct Farm {
  Scratch scratch;
  Store store;
  Reader reader;
  Farm() : store(*Store::open(scratch / "kiln.db", "farm-1")), reader(*Reader::open(scratch / "kiln.db")) {}
  void apply(const std::vector<Effect>& effects) { check_ok(store.apply(effects)); }
};

std::string numbers(const Result<std::vector<JobRow>>& jobs) {
  check_ok(jobs);
  std::string text;
  for (const auto& job : *jobs) text += std::to_string(job.number) + " ";
  return text;
}

// "0q 1d 2q": index and first letter of the state.
std::string shape(const Result<std::vector<TaskRow>>& tasks) {
  check_ok(tasks);
  std::string text;
  for (const auto& task : *tasks)
    text += std::to_string(task.id.index) + std::string(1, to_string(task.state)[0]) + " ";
  return text;
}

void jobs_are_listed_newest_first_and_filtered() {
  Farm farm;
  std::vector<Effect> effects;
  for (std::uint64_t i = 1; i <= 6; ++i) {
    auto job = test::some_job(i, 10);
    job.user = i % 2 == 0 ? "bob" : "ada";
    if (i >= 5) job.state = JobState::done;
    if (i == 4) job.started_ms = 1, job.counts.running = 1;
    effects.emplace_back(SaveJob{job});
  }
  farm.apply(effects);
  const auto shown = std::string(shown_state(*farm.reader.job("4")));
  check_equal(shown, "running");
  const struct {
    store::JobQuery query;
    std::string want;
  } cases[] = {
      {{}, "6 5 4 3 2 1 "},
      {{.limit = 2}, "6 5 "},
      {{.limit = 2, .before = 5}, "4 3 "},
      {{.before = 1}, ""},
      {{.state = "done"}, "6 5 "},
      {{.state = "queued"}, "3 2 1 "},
      {{.state = "running"}, "4 "},
      {{.state = "nonsense"}, ""},
      {{.user = "ada"}, "5 3 1 "},
      {{.user = "ada", .before = 5}, "3 1 "},
      {{.state = "queued", .user = "ada"}, "3 1 "},
      {{.state = "queued", .user = "ada", .limit = 1}, "3 "},
      {{.limit = 0}, ""},
  };
  for (const auto& one : cases) check_equal(numbers(farm.reader.jobs(one.query)), one.want);
}

void jobs_are_filtered_by_where_they_stand_in_a_production() {
  Farm farm;
  const payloads::Production places[] = {{"film", "sq010", "sh010"}, {"film", "sq010", "sh020"},
                                         {"film", "sq020", "sh010"}, {"ad", "sq010", "sh010"},
                                         {"film", "", ""},           {}};
  std::vector<Effect> effects;
  for (std::uint64_t i = 1; i <= std::size(places); ++i) {
    auto job = test::some_job(i, 10);
    job.spec.production = places[i - 1];
    job.user = i % 2 == 0 ? "bob" : "ada";
    if (i >= 3) job.state = JobState::done;
    effects.emplace_back(SaveJob{job});
  }
  farm.apply(effects);
  const struct {
    store::JobQuery query;
    std::string want;
  } cases[] = {
      {{.project = "film"}, "5 3 2 1 "},
      {{.project = ""}, "6 "},
      {{.project = "opera"}, ""},
      {{.project = "film", .limit = 2, .before = 5}, "3 2 "},
      {{.project = "film", .sequence = "sq010"}, "2 1 "},
      {{.project = "film", .sequence = ""}, "5 "},
      {{.project = "film", .sequence = "sq010", .shot = "sh020"}, "2 "},
      {{.shot = "sh010"}, "4 3 1 "},
      {{.sequence = "sq010"}, "4 2 1 "},
      {{.user = "ada", .project = "film"}, "5 3 1 "},
      {{.state = "done", .user = "ada", .project = "film"}, "5 3 "},
      {{.state = "done", .user = "ada", .project = "film", .sequence = "sq020", .shot = "sh010"}, "3 "},
  };
  for (const auto& one : cases) check_equal(numbers(farm.reader.jobs(one.query)), one.want);
}

void productions_are_added_up_by_level() {
  Farm farm;
  std::vector<Effect> effects;
  const auto add = [&](std::uint64_t number, const payloads::Production& place, JobState state) {
    auto job = test::some_job(number, 10);
    job.spec.production = place;
    job.state = state;
    job.counts = {5, 1, 2, 1, 1};
    job.render_s = 10;
    job.waste = {1, 2, 4};
    job.created_ms = 100;
    job.started_ms = static_cast<std::int64_t>(number) * 1000;
    effects.emplace_back(SaveJob{job});
  };
  add(1, {"film", "sq010", "sh010"}, JobState::active);
  add(2, {"film", "sq010", "sh010"}, JobState::done);
  add(3, {"film", "sq010", "sh020"}, JobState::paused);
  add(4, {"film", "sq020", "sh010"}, JobState::failed);
  add(5, {"ad", "", ""}, JobState::done);
  add(6, {}, JobState::cancelled);
  farm.apply(effects);
  const auto text = [](const Result<std::vector<ProductionRow>>& rows) {
    check_ok(rows);
    std::string all;
    for (const auto& row : *rows) {
      const auto& of = row.production;
      all += fmt::format("{}/{}/{}: {} jobs, {} open\n", of.project, of.sequence, of.shot, row.jobs,
                         row.jobs_open);
      check(row.counts == (payloads::TaskCounts{5 * row.jobs, row.jobs, 2 * row.jobs, row.jobs, row.jobs}));
      check(row.render_s == 10.0 * row.jobs);
      check(row.waste == (Waste{1.0 * row.jobs, 2.0 * row.jobs, 4.0 * row.jobs}));
    }
    return all;
  };
  check_equal(text(farm.reader.productions({})),
              "//: 1 jobs, 0 open\nad//: 1 jobs, 0 open\nfilm//: 4 jobs, 2 open\n");
  check_equal(text(farm.reader.productions({.project = "film"})),
              "film/sq010/: 3 jobs, 2 open\nfilm/sq020/: 1 jobs, 0 open\n");
  check_equal(text(farm.reader.productions({.project = "film", .sequence = "sq010"})),
              "film/sq010/sh010: 2 jobs, 1 open\nfilm/sq010/sh020: 1 jobs, 1 open\n");
  check_equal(text(farm.reader.productions({.project = "opera"})), "");
  check_equal(text(farm.reader.productions({.from = 1, .limit = 1})), "ad//: 1 jobs, 0 open\n");
  check_equal(farm.reader.productions({})->back().newest_ms, 4000);
}

void a_job_is_found_by_id_and_by_number() {
  Farm farm;
  farm.apply({SaveJob{test::some_job(7, 10)}});
  for (const char* name : {"7", "7-aaaaa"}) {
    const auto job = farm.reader.job(name);
    check_ok(job);
    check_equal(job->id.str(), "7-aaaaa");
  }
  for (const char* name : {"8", "7-bbbbb", "", "7x", "-7", "99999999999999999999", "7-aaaaa' OR 1"}) {
    const auto job = farm.reader.job(name);
    check(!job.has_value());
    check(job.error().code == Code::not_found);
  }
}

void tasks_without_a_row_are_shown_in_order() {
  Farm farm;
  auto job = test::some_job(1, 8);
  farm.apply({SaveJob{job}, SaveTask{test::some_task(1, 1, TaskState::done)},
              SaveTask{test::some_task(1, 2, TaskState::failed)},
              SaveTask{test::some_task(1, 4, TaskState::queued)},
              SaveTask{test::some_task(1, 5, TaskState::running)}});
  const struct {
    JobState state;
    store::TaskQuery query;
    std::string want;
  } cases[] = {
      {JobState::active, {}, "0q 1d 2f 3q 4q 5r 6q 7q "},
      {JobState::active, {.limit = 4}, "0q 1d 2f 3q "},
      {JobState::active, {.from = 3, .limit = 4}, "3q 4q 5r 6q "},
      {JobState::active, {.from = 7}, "7q "},
      {JobState::active, {.from = 8}, ""},
      {JobState::active, {.from = 4'000'000'000}, ""},
      {JobState::active, {.limit = 0}, ""},
      {JobState::active, {.state = TaskState::queued}, "0q 3q 4q 6q 7q "},
      {JobState::active, {.state = TaskState::queued, .from = 1, .limit = 3}, "3q 4q 6q "},
      {JobState::active, {.state = TaskState::done}, "1d "},
      {JobState::active, {.state = TaskState::done, .from = 2}, ""},
      {JobState::active, {.state = TaskState::failed}, "2f "},
      {JobState::active, {.state = TaskState::cancelled}, ""},
      {JobState::paused, {.state = TaskState::queued}, "0q 3q 4q 6q 7q "},
      {JobState::cancelled, {}, "0c 1d 2f 3c 4c 5r 6c 7c "},
      {JobState::cancelled, {.state = TaskState::queued}, ""},
      {JobState::cancelled, {.state = TaskState::cancelled}, "0c 3c 4c 6c 7c "},
      {JobState::failed, {.state = TaskState::cancelled, .from = 4, .limit = 2}, "4c 6c "},
      {JobState::failed, {.state = TaskState::failed}, "2f "},
  };
  for (const auto& one : cases) {
    job.state = one.state;
    check_equal(shape(farm.reader.tasks(job, one.query)), one.want);
  }
}

void held_tasks_are_listed_and_mark_their_results() {
  Farm farm;
  const auto job = test::some_job(1, 8);
  auto held = test::some_task(1, 3, TaskState::done);
  held.blank = payloads::Blank::black;
  held.review = Review::held;
  auto accepted = held;
  accepted.id.index = 4;
  accepted.review = Review::accepted;
  farm.apply({SaveJob{job}, SaveTask{held}, SaveTask{accepted}, SaveResult{test::some_result(1, 3, "3.png")},
              SaveResult{test::some_result(1, 4, "4.png")}});
  const auto tasks = farm.reader.tasks(job, {.held = true});
  check_ok(tasks);
  check(*tasks == std::vector{held});
  const auto results = farm.reader.results({.job = job.id});
  check_ok(results);
  check_equal(results->size(), 2U);
  check(results->at(0).held && !results->at(1).held);
}

void a_chunked_job_has_as_many_tasks_as_chunks() {
  Farm farm;
  auto job = test::some_job(1, 10);
  job.spec.chunk = 4;
  farm.apply({SaveJob{job}, SaveTask{test::some_task(1, 2, TaskState::done)}});
  check_equal(shape(farm.reader.tasks(job, {})), "0q 1q 2d ");
}

// Three steps: 2 tasks of fixed chunks, 10 units cut for a target, 3 fixed ones. Numbers 0-1, 2-11, 12-14.
JobRow job_of_steps() {
  auto job = test::some_job(1, 1);
  job.spec.renderer = "openjd";
  job.spec.steps = {test::some_step("bake", 3, 2), test::some_step("render", 10, 4, 60),
                    test::some_step("film", 3, 1)};
  job.counts = {8, 0, 0, 0, 0};
  return job;
}

TaskRow cut_task(std::uint32_t index, TaskState state, std::uint32_t first, std::uint32_t count) {
  auto task = test::some_task(1, index, state);
  task.first_unit = first;
  task.unit_count = count;
  return task;
}

// "3q[6+4]": index, state, units.
std::string cut_shape(const Result<std::vector<TaskRow>>& tasks) {
  check_ok(tasks);
  std::string text;
  for (const auto& task : *tasks) {
    text += fmt::format("{}{}", task.id.index, to_string(task.state)[0]);
    if (task.unit_count != 0) text += fmt::format("[{}+{}]", task.first_unit, task.unit_count);
    text += " ";
  }
  return text;
}

void a_step_that_is_cut_as_it_goes_shows_what_is_left_in_chunks() {
  const struct {
    std::vector<TaskRow> rows;
    store::TaskQuery query;
    std::string want;
  } cases[] = {
      {{}, {}, "0q 1q 2q[0+4] 3q[4+4] 4q[8+2] 12q 13q 14q "},
      {{}, {.limit = 4}, "0q 1q 2q[0+4] 3q[4+4] "},
      {{}, {.from = 3}, "3q[4+4] 4q[8+2] 12q 13q 14q "},
      {{}, {.from = 5, .limit = 2}, "12q 13q "},
      {{}, {.step = 1}, "2q[0+4] 3q[4+4] 4q[8+2] "},
      {{}, {.step = 1, .from = 4}, "4q[8+2] "},
      {{}, {.step = 2}, "12q 13q 14q "},
      {{}, {.step = 3}, ""},
      {{}, {.step = 0, .state = TaskState::queued}, "0q 1q "},
      {{cut_task(2, TaskState::done, 0, 1), cut_task(3, TaskState::running, 1, 6)},
       {},
       "0q 1q 2d[0+1] 3r[1+6] 4q[7+3] 12q 13q 14q "},
      {{cut_task(2, TaskState::done, 0, 1), cut_task(3, TaskState::queued, 1, 6)},
       {.state = TaskState::queued},
       "0q 1q 3q[1+6] 4q[7+3] 12q 13q 14q "},
      {{cut_task(2, TaskState::done, 0, 9), cut_task(3, TaskState::done, 9, 1)},
       {},
       "0q 1q 2d[0+9] 3d[9+1] 12q 13q 14q "},
      {{cut_task(2, TaskState::done, 0, 1), test::some_task(1, 13, TaskState::done)},
       {.state = TaskState::done},
       "2d[0+1] 13d "},
      {{cut_task(2, TaskState::done, 0, 1), test::some_task(1, 13, TaskState::done)},
       {.step = 2, .state = TaskState::done},
       "13d "},
      {{cut_task(2, TaskState::failed, 0, 1), test::some_task(1, 13, TaskState::failed)},
       {.step = 1, .state = TaskState::failed},
       "2f[0+1] "},
      // Without units of its own: one of the step's chunks.
      {{test::some_task(1, 3, TaskState::queued)}, {.step = 1}, "3q 4q[8+2] "},
  };
  for (const auto& one : cases) {
    Farm farm;
    const auto job = job_of_steps();
    std::vector<Effect> effects = {SaveJob{job}};
    for (const auto& row : one.rows) effects.emplace_back(SaveTask{row});
    farm.apply(effects);
    check_equal(cut_shape(farm.reader.tasks(job, one.query)), one.want);
  }
  Farm farm;
  auto job = job_of_steps();
  job.state = JobState::cancelled;
  farm.apply({SaveJob{job}, SaveTask{cut_task(2, TaskState::done, 0, 8)}});
  check_equal(cut_shape(farm.reader.tasks(job, {})), "0c 1c 2d[0+8] 3c[8+2] 12c 13c 14c ");
}

void the_results_of_a_step_are_those_of_its_tasks() {
  Farm farm;
  const auto job = job_of_steps();
  farm.apply({SaveJob{job}, SaveResult{test::some_result(1, 1, "a")},
              SaveResult{test::some_result(1, 2, "b")}, SaveResult{test::some_result(1, 11, "c")},
              SaveResult{test::some_result(1, 12, "d")}});
  const auto paths = [&](store::ResultQuery query) {
    query.job = job.id;
    const auto results = farm.reader.results(query);
    check_ok(results);
    std::string text;
    for (const auto& result : *results) text += result.file.path;
    return text;
  };
  check_equal(paths({}), "abcd");
  check_equal(paths({.from_task = 2, .to_task = 12}), "bc");
  check_equal(paths({.from_task = 2, .to_task = 12, .from = 1}), "c");
  check_equal(paths({.from_task = 12}), "d");
  check_equal(paths({.from_task = 3, .to_task = 3}), "");
}

void frame_times_are_told_by_node() {
  Farm farm;
  const auto job = job_of_steps();
  std::vector<Effect> effects = {SaveJob{job}};
  const auto add = [&](TaskRow task, const char* node, double seconds) {
    task.node = test::node_id(node);
    task.seconds = seconds;
    effects.emplace_back(SaveTask{task});
  };
  add(test::some_task(1, 1, TaskState::done), "a", 3);  // the second chunk of 3 units by 2: one unit
  for (std::uint32_t i = 0; i < 4; ++i) add(cut_task(2 + i, TaskState::done, i * 2, 2), "b", 10.0 + i);
  add(cut_task(6, TaskState::running, 8, 2), "a", 99);
  farm.apply(effects);
  const auto all = farm.reader.frame_times(job);
  check_ok(all);
  check(all->all == (TaskTimes{NodeId(), 5, 9, 49, 11, 13}));
  check(all->by_node == (std::vector<TaskTimes>{{test::node_id("a"), 1, 1, 3, 3, 3},
                                                {test::node_id("b"), 4, 8, 46, 11, 13}}));
  check(all->by_node[1].mean_s() == 11.5);
  check(all->by_node[1].unit_s() == 5.75);
  check(all->histogram == (std::vector<TimeClass>{{5, 1}, {10, 1}, {20, 3}}));
  const auto baked = farm.reader.frame_times(job, 0);
  check_ok(baked);
  check(baked->all == (TaskTimes{NodeId(), 1, 1, 3, 3, 3}));
  const auto none = farm.reader.frame_times(job, 2);
  check_ok(none);
  check(*none == JobTimes());
  check(none->all.mean_s() == 0 && none->all.unit_s() == 0);
}

void usage_is_listed_by_the_hour_of_a_node_and_of_all() {
  Farm farm;
  constexpr std::int64_t hour_ms = 3'600'000;
  const auto hour = [](const char* node, std::int64_t number, double busy_s) {
    return UsageRow{node[0] == 0 ? NodeId() : test::node_id(node),
                    number * hour_ms,
                    {2 * busy_s, busy_s, busy_s / 2, {1, 2, 3}}};
  };
  farm.apply({SaveUsage{hour("b", 5, 8)}, SaveUsage{hour("a", 5, 4)}, SaveUsage{hour("a", 7, 16)},
              SaveUsage{hour("a", 8, 32)}});
  const auto of_a =
      farm.reader.usage({.node = test::node_id("a"), .from_ms = 5 * hour_ms, .to_ms = 8 * hour_ms});
  check_ok(of_a);
  check(*of_a == (std::vector{hour("a", 5, 4), hour("a", 7, 16)}));
  auto both = hour("", 5, 12);
  both.use.waste = {2, 4, 6};
  const auto of_all = farm.reader.usage({.from_ms = 0, .to_ms = 9 * hour_ms, .limit = 2});
  check_ok(of_all);
  check(*of_all == (std::vector{both, hour("", 7, 16)}));
  check(farm.reader.usage({.node = test::node_id("c"), .to_ms = 9 * hour_ms})->empty());
}

void results_are_paged() {
  Farm farm;
  farm.apply({SaveJob{test::some_job(1, 10)}, SaveJob{test::some_job(2, 10)}});
  // As they finish: out of order, two jobs at once, two files of one task.
  farm.apply({SaveResult{test::some_result(1, 3, "a3.png")}, SaveResult{test::some_result(2, 0, "b0.png")},
              SaveResult{test::some_result(1, 1, "a1-left.png")},
              SaveResult{test::some_result(1, 1, "a1-right.png")},
              SaveResult{test::some_result(1, 2, "a2.png")}});
  const struct {
    std::uint64_t job;  // 0: of every job
    std::uint32_t from;
    std::uint32_t limit;
    std::string want;
  } cases[] = {
      {0, 0, 200, "a2.png a1-right.png a1-left.png b0.png a3.png "},
      {0, 0, 2, "a2.png a1-right.png "},
      {0, 3, 1, "b0.png "},
      {1, 0, 200, "a1-left.png a1-right.png a2.png a3.png "},
      {1, 1, 2, "a1-right.png a2.png "},
      {1, 4, 200, ""},
      {9, 0, 200, ""},
  };
  for (const auto& one : cases) {
    store::ResultQuery query{.from = one.from, .limit = one.limit};
    if (one.job != 0) query.job = test::job_id(one.job);
    const auto results = farm.reader.results(query);
    check_ok(results);
    std::string text;
    for (const auto& result : *results) text += result.file.path + " ";
    check_equal(text, one.want);
  }
}

void an_answer_has_at_most_a_thousand_rows() {
  Farm farm;
  auto job = test::some_job(1, 5000);
  farm.apply({SaveJob{job}});
  check_equal(farm.reader.tasks(job, {.limit = 4'000'000'000})->size(), 1000U);
}

void nodes_are_listed_and_found() {
  Farm farm;
  NodeRow one;
  one.id = test::node_id("box-2");
  NodeRow two;
  two.id = test::node_id("box-1");
  farm.apply({SaveNode{one}, SaveNode{two}});
  const auto nodes = farm.reader.nodes();
  check_ok(nodes);
  check(*nodes == (std::vector{two, one}));
  check_ok(farm.reader.node(one.id));
  const auto none = farm.reader.node(test::node_id("box-3"));
  check(!none.has_value());
  check(none.error().code == Code::not_found);
  check_contains(none.error().message, "box-3");
}

void a_reader_sees_each_batch_once_it_is_committed() {
  Farm farm;
  check(!farm.reader.job("1").has_value());
  farm.apply({SaveJob{test::some_job(1, 10)}});
  check_ok(farm.reader.job("1"));
}

// More threads than connections, beside a writer: everyone gets whole answers.
void many_threads_read_while_one_writes() {
  Farm farm;
  farm.apply({SaveJob{test::some_job(1, 200)}});
  std::vector<int> bad(12, 0);
  std::vector<std::thread> threads;
  threads.reserve(bad.size());
  for (auto& mine : bad) {
    threads.emplace_back([&farm, &mine] {
      for (int i = 0; i < 30; ++i) {
        const auto job = farm.reader.job("1");
        const auto tasks = job ? farm.reader.tasks(*job, {}) : Result<std::vector<TaskRow>>();
        if (!job || !tasks || tasks->size() != 200) ++mine;
      }
    });
  }
  for (std::uint32_t i = 0; i < 60; ++i) farm.apply(test::finish_task(1, i));
  for (auto& thread : threads) thread.join();
  for (const int count : bad) check_equal(count, 0);
}

void no_list_scans_or_sorts() {
  Farm farm;
  auto database = store::Database::open(farm.scratch / "kiln.db", store::Access::read);
  check_ok(database);
  for (const auto& sql : store::all_queries()) {
    auto plan = database->prepare("EXPLAIN QUERY PLAN " + sql);
    check_ok(plan);
    std::string steps;
    const auto take = [&steps](const store::Row& row) -> Status {
      steps += row.text(3) + "\n";
      return {};
    };
    const auto parameters = static_cast<std::size_t>(std::count(sql.begin(), sql.end(), '?'));
    check_ok(plan->each(take, std::vector<std::string_view>(parameters, "1")));
    check(!steps.empty());
    // Reading a whole table in its own order is right for the lists that want just that.
    const auto& q = store::queries();
    const bool whole_table =
        sql == q.nodes || sql == q.results || sql == q.projects || sql == q.limits || sql == q.renderers;
    const bool scans = steps.find("SCAN") != std::string::npos && !whole_table;
    const bool sorts = steps.find("TEMP B-TREE") != std::string::npos;
    if (scans || sorts) print_error("%s\n%s", sql.c_str(), steps.c_str());
    check(!scans && !sorts);
  }
}

}  // namespace

int main() {
  return test::run(
      "reader",
      {{"jobs are listed newest first and filtered", jobs_are_listed_newest_first_and_filtered},
       {"jobs are filtered by where they stand in a production",
        jobs_are_filtered_by_where_they_stand_in_a_production},
       {"productions are added up by level", productions_are_added_up_by_level},
       {"a step that is cut as it goes shows what is left in chunks",
        a_step_that_is_cut_as_it_goes_shows_what_is_left_in_chunks},
       {"the results of a step are those of its tasks", the_results_of_a_step_are_those_of_its_tasks},
       {"frame times are told by node", frame_times_are_told_by_node},
       {"usage is listed by the hour of a node and of all", usage_is_listed_by_the_hour_of_a_node_and_of_all},
       {"a job is found by id and by number", a_job_is_found_by_id_and_by_number},
       {"tasks without a row are shown in order", tasks_without_a_row_are_shown_in_order},
       {"held tasks are listed and mark their results", held_tasks_are_listed_and_mark_their_results},
       {"a chunked job has as many tasks as chunks", a_chunked_job_has_as_many_tasks_as_chunks},
       {"results are paged", results_are_paged},
       {"an answer has at most a thousand rows", an_answer_has_at_most_a_thousand_rows},
       {"nodes are listed and found", nodes_are_listed_and_found},
       {"a reader sees each batch once it is committed", a_reader_sees_each_batch_once_it_is_committed},
       {"many threads read while one writes", many_threads_read_while_one_writes},
       {"no list scans or sorts", no_list_scans_or_sorts}});
}
