#include "api/broadcaster.h"

#include <stdlib.h>

#include "controller/api/fakes.h"

#include "check.h"

using namespace kiln::test;
using kiln::Instant;
using namespace std::chrono_literals;

namespace {

struct Stage {
  EventRing ring{"r"};
  FakeLive live;
  Broadcaster broadcaster{ring, live, [](const kiln::JobId& job) { return "/out/" + job.str(); }};
  std::uint64_t seen = 0;

  // "event: data" of each new one.
  std::vector<std::string> news() {
    const auto batch = ring.read(seen, 0ms);
    seen = batch.last;
    std::vector<std::string> out;
    for (const auto& text : batch.texts) {
      const std::size_t at = text->find("event: ") + 7;
      out.push_back(text->substr(at, text->size() - at - 2));
    }
    return out;
  }
};
Instant at(std::int64_t ms) {
  return {ms, 1'000'000 + ms};
}

void a_job_that_changes_often_is_shown_now_and_then() {
  Stage stage;
  auto row = job_row("1-aaaaa", 1);
  for (int i = 0; i < 100; ++i) {
    row.counts.queued = 24 - static_cast<std::uint32_t>(i % 24);
    stage.broadcaster.publish(sch::JobChanged{row}, at(i));
  }
  auto news = stage.news();
  check_equal(news.size(), 1U);
  check_contains(news[0], "\"output_dir\":\"/out/1-aaaaa\"");
  stage.broadcaster.tick(at(1'000), {});  // what was held back comes, the newest of it
  news = stage.news();
  check_equal(news.size(), 2U);
  check_contains(news[0], fmt::format("\"queued\":{}", row.counts.queued));
  check_contains(news[1], "summary");
  stage.broadcaster.tick(at(2'000), {});
  check(stage.news().empty());
}

void a_jobs_change_of_state_is_never_held_back() {
  Stage stage;
  auto row = job_row("1-aaaaa", 1);
  stage.broadcaster.publish(sch::JobChanged{row}, at(0));
  row.state = sch::JobState::paused;
  stage.broadcaster.publish(sch::JobChanged{row}, at(1));
  row.priority = 7;
  stage.broadcaster.publish(sch::JobChanged{row}, at(2));
  row.state = sch::JobState::done;
  stage.broadcaster.publish(sch::JobChanged{row}, at(3));
  const auto news = stage.news();
  check_equal(news.size(), 3U);
  check_contains(news[1], "\"state\":\"paused\"");
  check_contains(news[2], "\"state\":\"done\"");
  stage.broadcaster.publish(sch::JobErased{row.id}, at(4));
  check_equal(stage.news().at(0), "job_erased\ndata: {\"id\":\"1-aaaaa\"}");
  stage.broadcaster.tick(at(2'000), {});  // nothing older comes after the end
  check_equal(stage.news().size(), 1U);
}

void a_done_task_brings_its_results() {
  Stage stage;
  sch::TaskChanged change;
  change.event.task = {job_id("1-aaaaa"), 4};
  change.event.frames = "5";
  change.event.state = "done";
  change.event.attempt = 2;
  change.event.node = "render-1";
  change.files = {{5, "a b/0005.png", digest_of_letter('c'), 10, 64, 32, 1.5}};
  stage.broadcaster.publish(change, at(0));
  const auto news = stage.news();
  check_equal(news.size(), 1U);
  check_contains(news[0], "task\ndata: ");
  check_contains(news[0], "\"job\":\"1-aaaaa\"");
  check_contains(news[0], "\"url\":\"/api/v1/jobs/1-aaaaa/files/a%20b/0005.png\"");
  check_contains(news[0], "\"finished_ms\":1000000");
}

void a_chatty_node_is_shown_once_a_second() {
  Stage stage;
  const auto node = node_id("render-1");
  stage.live.nodes[node].gpus[0].temp_c = 61;
  for (int ms = 0; ms < 1'000; ms += 100) stage.broadcaster.node_said(node, at(ms));
  check_equal(stage.news().size(), 1U);
  stage.live.nodes[node].gpus[0].temp_c = 62;
  stage.broadcaster.tick(at(1'000), {});
  const auto news = stage.news();
  check_equal(news.size(), 2U);  // the first summary, and what was held back
  check_contains(news[1], "node_live\ndata: {\"id\":\"render-1\"");
  check_contains(news[1], "62");
  stage.broadcaster.tick(at(3'000), {});
  check(stage.news().empty());
}

void nodes_and_what_nobody_watches() {
  Stage stage;
  stage.broadcaster.publish(sch::NodeChanged{node_row("render-1", "3.4.1")}, at(0));
  stage.broadcaster.publish(sch::SendRebirth{}, at(0));
  stage.broadcaster.publish(sch::SaveNode{node_row("render-1", "3.4.1")}, at(0));
  const auto news = stage.news();
  check_equal(news.size(), 1U);
  check_contains(news[0], "\"presence\":\"online\"");
}

void an_alarm_is_told_when_it_changes() {
  Stage stage;
  stage.broadcaster.set_alarm("store", "");
  stage.broadcaster.set_alarm("store", "disk full");
  stage.broadcaster.set_alarm("store", "disk full");
  stage.broadcaster.set_alarm("broker", "away");
  stage.broadcaster.set_alarm("store", "");
  const auto news = stage.news();
  check_equal(news.size(), 3U);
  check_equal(news[0], "alarm\ndata: {\"alarms\":[\"disk full\"]}");
  check_equal(news[1], "alarm\ndata: {\"alarms\":[\"away\",\"disk full\"]}");
  check_equal(news[2], "alarm\ndata: {\"alarms\":[\"away\"]}");
  check_equal(stage.broadcaster.alarms().size(), 1U);
}

void a_forgotten_node_and_the_farms_settings_are_told() {
  Stage stage;
  stage.broadcaster.publish(sch::NodeErased{node_id("render-1")}, at(0));
  sch::FarmSettings settings;
  settings.fair_share = true;
  settings.limits["nuke"] = 4;
  stage.broadcaster.publish(sch::FarmChanged{settings}, at(1));
  const auto news = stage.news();
  check_equal(news.size(), 2U);
  check_equal(news[0], "node_erased\ndata: {\"id\":\"render-1\"}");
  check_equal(news[1], "farm\ndata: {\"fair_share\":true,\"limits\":{\"nuke\":4}}");
}

void a_node_is_shown_again_when_its_hours_begin_and_end() {
  Stage stage;
  auto row = node_row("render-1", "3.4.1");
  constexpr std::int64_t minute_ms = 60'000;
  ::setenv("TZ", "UTC0", 1);
  row.settings.schedule = {{0x7F, 60, 120}};  // from one to two, daily
  stage.broadcaster.publish(sch::NodeChanged{row}, {0, 59 * minute_ms});
  stage.broadcaster.tick({1, 59 * minute_ms}, {});
  auto news = stage.news();
  check_equal(news.size(), 2U);  // and the first summary
  check_contains(news[0], "\"off_hours\":true");
  stage.broadcaster.tick({2, 60 * minute_ms}, {});
  stage.broadcaster.tick({3, 61 * minute_ms}, {});
  news = stage.news();
  check_equal(news.size(), 1U);
  check(news[0].find("off_hours") == std::string::npos);
  stage.broadcaster.tick({4, 120 * minute_ms}, {});
  check_contains(stage.news().at(0), "\"off_hours\":true");
}

}  // namespace

int main() {
  return kiln::test::run(
      "broadcaster",
      {{"a job that changes often is shown now and then", a_job_that_changes_often_is_shown_now_and_then},
       {"a job's change of state is never held back", a_jobs_change_of_state_is_never_held_back},
       {"a done task brings its results", a_done_task_brings_its_results},
       {"a chatty node is shown once a second", a_chatty_node_is_shown_once_a_second},
       {"a node's change is shown, what nobody watches is not", nodes_and_what_nobody_watches},
       {"a forgotten node and the farm's settings are told",
        a_forgotten_node_and_the_farms_settings_are_told},
       {"a node is shown again when its hours begin and end",
        a_node_is_shown_again_when_its_hours_begin_and_end},
       {"an alarm is told when it changes", an_alarm_is_told_when_it_changes}});
}
