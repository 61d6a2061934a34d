#include "store/reader.h"

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
    const auto parameters = std::count(sql.begin(), sql.end(), '?');
    Status status;
    if (parameters == 0) status = plan->each(take);
    if (parameters == 1) status = plan->each(take, 1);
    if (parameters == 2) status = plan->each(take, 1, 1);
    if (parameters == 3) status = plan->each(take, 1, 1, 1);
    if (parameters == 4) status = plan->each(take, 1, 1, 1, 1);
    if (parameters == 5) status = plan->each(take, 1, 1, 1, 1, 1);
    check_ok(status);
    check(!steps.empty());
    // Reading a whole table in its own order is right for the two lists that want just that.
    const bool whole_table = sql == store::queries().nodes || sql == store::queries().results;
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
