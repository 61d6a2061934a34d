#include "cli/farm_view.h"

#include <sstream>

#include "check.h"

namespace {

using kiln::Json;
using kiln::cli::FarmView;

Json parsed(const std::string& text) {
  auto json = Json::parse(text);
  check_ok(json);
  return *json;
}

Json job(int number, const std::string& state, int done, int queued) {
  return parsed(fmt::format(
      R"({{"id":"{0}-abcde","number":{0},"name":"vase","state":"{1}","priority":50,"frames":"1-{4}","chunk":1,)"
      R"("tasks":{{"queued":{3},"running":0,"done":{2},"failed":0,"cancelled":0}},"percent":{5},"message":""}})",
      number, state, done, queued, done + queued, 100 * done / (done + queued)));
}

Json node(const std::string& id, const std::string& presence, const std::string& tasks = "[]") {
  return parsed(
      fmt::format(R"({{"id":"{}","presence":"{}","tasks":{},"gpus":[{{"index":0,"temp_c":61}}],)"
                  R"("info":{{"cpu":"Xeon","renderers":[{{"name":"blender","version":"3.4.1"}}]}}}})",
                  id, presence, tasks));
}

FarmView farm() {
  FarmView view;
  Json snapshot = parsed(
      R"({"farm":{"farm":"studio","alarms":[]},"summary":{"slots":2,"slots_busy":1,"nodes_online":1}})");
  snapshot.set("jobs", Json(Json::Array{job(7, "running", 1, 3), job(6, "done", 4, 0)}));
  snapshot.set("nodes", Json(Json::Array{node("box-1", "online")}));
  check(view.apply("snapshot", snapshot).empty());
  return view;
}

void events_become_lines() {
  auto view = farm();
  const struct {
    const char *event, *data, *line;
  } cases[] = {
      {"task",
       R"({"task":"7-abcde-1","job":"7-abcde","frames":"2","state":"done","attempt":1,"node":"box-1","seconds":1.25})",
       "job 7 'vase': frame 2 done in 1.2 s on box-1"},
      {"task",
       R"({"task":"7-abcde-1","job":"7-abcde","frames":"2-3","state":"failed","attempt":3,"node":"box-1","message":"no camera"})",
       "job 7 'vase': frames 2-3 failed on box-1: no camera"},
      {"task", R"({"task":"7-abcde-1","job":"7-abcde","frames":"-3","state":"running","attempt":1})",
       "job 7 'vase': frame -3 running"},
      {"node", R"({"id":"box-1","presence":"offline"})", "node box-1: offline"},
      {"node", R"({"id":"box-2","presence":"online"})", "node box-2: online"},
      {"job", R"({"id":"7-abcde","number":7,"name":"vase","state":"failed","message":"no camera"})",
       "job 7 'vase': failed: no camera"},
      {"job", R"({"id":"8-abcde","number":8,"name":"a\u001bb","state":"queued"})",
       "job 8 'a\xEF\xBF\xBD"
       "b': queued"},
      {"alarm", R"({"alarms":["disk nearly full"]})", "alarm: disk nearly full"},
      {"job_erased", R"({"id":"8-abcde"})",
       "job 8 'a\xEF\xBF\xBD"
       "b': deleted"},
  };
  for (const auto& one : cases) {
    const auto lines = view.apply(one.event, parsed(one.data));
    check_equal(lines.size(), 1U);
    check_equal(lines.front(), one.line);
  }
  for (const auto& [event, data] :
       {std::pair{"node", R"({"id":"box-2","presence":"online"})"},
        std::pair{"alarm", R"({"alarms":["disk nearly full"]})"}, std::pair{"summary", "{}"},
        std::pair{"job_erased", R"({"id":"8-abcde"})"}, std::pair{"from-the-future", "[]"},
        std::pair{"task", "[]"}, std::pair{"node_live", R"({"id":"nobody","tasks":[]})"}}) {
    const bool is_task = std::string(event) == "task";
    check_equal(view.apply(event, parsed(data)).size(), is_task ? 1U : 0U);
  }
}

void the_snapshot_replaces_what_was_known() {
  auto view = farm();
  check(view.job("7-abcde") != nullptr);
  (void)view.apply("snapshot", parsed(R"({"jobs":[],"nodes":[]})"));
  check(view.job("7-abcde") == nullptr);
  check(view.nodes().empty());
}

void progress_counts_running_frames() {
  auto view = farm();
  (void)view.apply(
      "node_live",
      parsed(
          R"({"id":"box-1","tasks":[{"task":"7-abcde-1","attempt":1,"state":"rendering","frame":2,"percent":50}]})"));
  const Json& running = *view.job("7-abcde");
  check_equal(view.percent(running), 37.5);
  check_equal(view.nodes_on(running), 1);
  check_equal(view.progress(running).facts, "1/4 frames  1 node");
  check_equal(view.progress(*view.job("6-abcde")).facts, "4/4 frames");
  check_equal(view.percent(*view.job("6-abcde")), 100.0);
}

void a_chunk_shows_frames_not_tasks() {
  auto view = farm();
  Json chunked = parsed(
      R"({"id":"9-abcde","number":9,"name":"v","state":"running","frames":"1-10","chunk":4,"percent":66,
                            "tasks":{"queued":1,"running":0,"done":2,"failed":0,"cancelled":0}})");
  check_equal(view.progress(chunked).facts, "8/10 frames  waiting for a node");
}

void the_screen_fits() {
  auto view = farm();
  for (int i = 10; i < 60; ++i) (void)view.apply("job", job(i, "running", 1, 1));
  for (int i = 10; i < 30; ++i) (void)view.apply("node", node("box-" + std::to_string(i), "online"));
  for (const int height : {12, 24, 50}) {
    for (const int width : {60, 80, 140}) {
      const auto screen = view.screen(width, height, true, 0);
      int lines = 0;
      std::istringstream in(screen);
      for (std::string line; std::getline(in, line); ++lines) check(kiln::cli::columns_of(line) <= width);
      check(lines <= height);
      check_contains(screen, "studio");
    }
  }
  check_contains(FarmView().screen(80, 24, false, 0), "no jobs yet");
}

}  // namespace

int main() {
  return kiln::test::run("cli farm view",
                         {{"events become lines", events_become_lines},
                          {"a snapshot replaces what was known", the_snapshot_replaces_what_was_known},
                          {"progress counts running frames", progress_counts_running_frames},
                          {"a chunk shows frames, not tasks", a_chunk_shows_frames_not_tasks},
                          {"the screen fits", the_screen_fits}});
}
