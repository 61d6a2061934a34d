#include "api/api.h"

#include "controller/api/fakes.h"

#include "check.h"

using namespace kiln::test;
using kiln::Code;
using kiln::TaskId;

namespace {

// "sha-256=:…:" of sixty-four times that letter, for FakeStorage.
std::string content_digest(char letter) {
  const std::map<char, std::string> known{{'b', "u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7s="},
                                          {'c', "zMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMw="}};
  return "Content-Digest: sha-256=:" + known.at(letter) + ":\r\n";
}

// Task 0 of job 1 has had two attempts, the newest runs on render-1.
void start_task(World& world) {
  sch::TaskRow task;
  task.id = {job_id("1-aaaaa"), 0};
  task.state = sch::TaskState::running;
  task.attempt = 2;
  task.failures = 1;
  task.node = node_id("render-1");
  task.error_code = "renderer-crashed";
  task.error_message = "Blender ended with signal 11";
  world.reader.task_rows[task.id] = task;
  sch::AttemptRow attempt;
  attempt.task = task.id;
  attempt.attempt = 1;
  attempt.node = task.node;
  attempt.state = sch::AttemptState::failed;
  attempt.error_code = task.error_code;
  attempt.error_message = task.error_message;
  world.reader.attempt_rows.push_back(attempt);
  kiln::payloads::HeldTask held;
  held.task = task.id;
  held.attempt = 2;
  held.phase = kiln::payloads::TaskPhase::rendering;
  held.percent = 42;
  world.live.nodes[task.node].tasks.run = {held};
  world.live.nodes[task.node].gpus[0].temp_c = 61;
}

struct Exchange {
  const char* method;
  std::string path;
  std::string body;
  std::string fields;
  int status;
  std::vector<std::string> parts;  // of the answer's body
};

void check_all(World& world, const std::vector<Exchange>& exchanges) {
  for (const auto& one : exchanges) {
    const Answer answer = world.ask(one.method, one.path, one.body, one.fields);
    if (answer.status != one.status)
      print_error("%s %s\n%s\n", one.method, one.path.c_str(), answer.text.c_str());
    check_equal(answer.status, one.status);
    for (const auto& part : one.parts) check_contains(answer.body, part);
    if (one.status >= 400 && answer.body.find("verdict") == std::string::npos &&
        std::string(one.method) != "HEAD") {
      check_equal(answer.fields.at("content-type"), "application/problem+json");
      check(kiln::Json::parse(answer.body).has_value());
    }
  }
}

void the_farm_introduces_itself() {
  World world;
  world.live.numbers.nodes_online = 3;
  world.broadcaster.set_alarm("store", "the disk is full");
  check_all(world, {
                       {"GET",
                        "/api/v1/farm",
                        "",
                        "",
                        200,
                        {R"("farm":"attic")", R"("mqtt":{"host":"","port":8783,"tls":false})",
                         R"("data_dir":"/data")", R"("nodes_online":3)", R"("alarms":["the disk is full"])",
                         R"("version":")"}},
                       {"GET", "/healthz", "", "", 200, {"ok\n"}},
                       {"GET", "/api/v1/openapi.yaml", "", "", 200, {"openapi: 3.1.0"}},
                       {"POST", "/api/v1/farm", "", "", 405, {"GET, HEAD", "PATCH"}},
                       {"GET", "/api/v1/nothing", "", "", 404, {"openapi.yaml"}},
                       {"GET", "/api/v2/jobs", "", "", 404, {}},
                   });
}

void the_farms_settings_are_shown_and_changed() {
  World world;
  const std::string path = "/api/v1/farm";
  check_all(
      world,
      {
          {"GET", path, "", "", 200, {R"("settings":{"fair_share":false,"limits":{}})", R"("soft_c":84)"}},
          {"PATCH", path, R"({"fair_share":true})", "", 200, {R"("fair_share":true,"limits":{})"}},
          {"PATCH",
           path,
           R"({"limits":{"nuke":4,"houdini":2}})",
           "",
           200,
           {R"("fair_share":true,"limits":{"houdini":2,"nuke":4})"}},
          {"PATCH", path, R"({"limits":{"houdini":0}})", "", 200, {R"("limits":{"nuke":4})"}},
          {"PATCH", path, R"({"limits":{"A B":1}})", "", 400, {"farm.limits"}},
          {"PATCH", path, R"({"limits":{"nuke":-1}})", "", 400, {"farm.limits"}},
          {"PATCH", path, R"({"limits":[4]})", "", 400, {"farm.limits"}},
          {"PATCH", path, R"({"fair_share":1})", "", 400, {"farm.fair_share"}},
          {"PATCH", path, "{}", "", 400, {"nothing to change"}},
      });
}

void jobs_and_totals_are_found_by_their_production() {
  World world;
  world.reader.job_rows[0].spec.production = {"moon", "010", "010_020"};
  sch::ProductionRow project;
  project.production.project = "moon";
  project.jobs = 1;
  project.counts.done = 3;
  project.waste.failed_s = 2;
  sch::ProductionRow sequence = project;
  sequence.production.sequence = "010";
  world.reader.production_rows = {project, sequence};
  check_all(
      world,
      {
          {"GET", "/api/v1/jobs?project=moon", "", "", 200, {R"({"jobs":[{"id":"1-aaaaa")"}},
          {"GET", "/api/v1/jobs?project=moon&sequence=010&shot=010_030", "", "", 200, {R"({"jobs":[]})"}},
          {"GET", "/api/v1/jobs?project=", "", "", 200, {R"({"jobs":[{"id":"2-bbbbb")"}},
          {"GET",
           "/api/v1/productions",
           "",
           "",
           200,
           {R"({"productions":[{"project":"moon","jobs":1,"jobs_open":0,"tasks":{"queued":0)",
            R"("waste":{"failed_s":2)"}},
          {"GET",
           "/api/v1/productions?project=moon",
           "",
           "",
           200,
           {R"({"productions":[{"project":"moon","sequence":"010","jobs":1)"}},
          {"GET", "/api/v1/productions?sequence=010", "", "", 400, {"goes with ?project="}},
          {"GET", "/api/v1/productions?limit=1001", "", "", 400, {"?limit=1001"}},
      });
}

void times_and_usage_are_told() {
  World world;
  auto& times = world.reader.times;
  times.all = {{}, 4, 8, 40, 9, 16};
  times.by_node = {{node_id("render-1"), 4, 8, 40, 9, 16}};
  times.histogram = {{10, 3}, {20, 1}};
  world.reader.usage_rows = {{{}, 0, {100, 50, 40, {1, 2, 3}}}, {{}, -90'000'000, {7, 7, 7, {}}}};
  const std::string path = "/api/v1/jobs/1/statistics";
  check_all(
      world,
      {
          {"GET",
           path,
           "",
           "",
           200,
           {R"({"all":{"tasks":4,"units":8,"total_s":40,"mean_s":10,"median_s":9,"p95_s":16,"unit_s":5})",
            R"("nodes":[{"node":"render-1","tasks":4)",
            R"("histogram":[{"up_to_s":10,"tasks":3},{"up_to_s":20,"tasks":1}])", R"("waste":)"}},
          {"GET", path + "?step=comp", "", "", 404, {"no step 'comp'", "not made from a template"}},
          {"GET", "/api/v1/jobs/1/tasks?step=comp", "", "", 404, {"no step 'comp'"}},
          {"GET", "/api/v1/jobs/9/statistics", "", "", 404, {}},
          {"GET",
           "/api/v1/usage",
           "",
           "",
           200,
           {R"({"usage":[{"hour_ms":0,"use":{"online_s":100)",
            R"("total":{"online_s":100,"busy_s":50,"done_s":40,"waste":{"failed_s":1)"}},
          {"GET", "/api/v1/usage?hours=48", "", "", 200, {R"("total":{"online_s":107)"}},
          {"GET", "/api/v1/usage?node=render-1", "", "", 200, {R"({"usage":[])"}},
          {"GET", "/api/v1/usage?node=none", "", "", 404, {}},
          {"GET", "/api/v1/usage?hours=1001", "", "", 400, {}},
      });
}

void jobs_are_listed_shown_and_changed() {
  World world;
  const std::string path = "/api/v1/jobs";
  check_all(
      world,
      {
          {"GET", path, "", "", 200, {R"({"jobs":[{"id":"2-bbbbb")", R"("id":"1-aaaaa")"}},
          {"GET", path + "?limit=1&before=2", "", "", 200, {R"({"jobs":[{"id":"1-aaaaa")"}},
          {"GET", path + "?state=done", "", "", 200, {R"({"jobs":[]})"}},
          {"GET", path + "?state=nice", "", "", 400, {"?state=nice: queued, running"}},
          {"GET", path + "?limit=1001", "", "", 400, {"?limit=1001: a whole number from 0 to 1000"}},
          {"GET", path + "?limit=-1", "", "", 400, {}},
          {"GET", path + "?before=x", "", "", 400, {}},
          {"GET",
           path + "/1",
           "",
           "",
           200,
           {R"("name":"shot")", R"("state":"queued")", R"("frames":"1-24")", R"("queued":24)",
            R"("percent":0)", R"("scene_file":"shot.blend")", R"("output_dir":"/data/jobs/1-aaaaa/output")",
            R"("created_ms":1000)"}},
          {"GET", path + "/1-aaaaa", "", "", 200, {R"("number":1)"}},
          {"HEAD", path + "/1-aaaaa", "", "", 200, {}},
          {"GET", path + "/99", "", "", 404, {"no job 99", R"("code":"not-found")"}},
          {"PATCH", path + "/1", R"({"priority":70})", "", 200, {R"("priority":70)", R"("state":"queued")"}},
          {"PATCH", path + "/1", R"({"paused":true})", "", 200, {R"("priority":70)", R"("state":"paused")"}},
          {"PATCH", path + "/1", R"({"paused":false,"priority":1})", "", 200, {R"("state":"queued")"}},
          {"PATCH", path + "/1", R"({"priority":101})", "", 400, {"job.priority"}},
          {"PATCH", path + "/1", R"({"paused":"yes"})", "", 400, {"job.paused"}},
          {"PATCH", path + "/1", "{}", "", 400, {"nothing to change"}},
          {"PATCH", path + "/1", "[1]", "", 400, {}},
          {"PATCH", path + "/1", "{", "", 400, {}},
          {"PATCH", path + "/1", std::string(9000, ' '), "", 413, {}},
          {"PATCH", path + "/99", R"({"paused":true})", "", 404, {}},
          {"POST", path + "/1/cancel", "", "", 200, {R"("state":"cancelled")"}},
          {"POST", path + "/1/retry", "", "", 200, {R"("state":"queued")"}},
          {"POST", path + "/99/cancel", "", "", 404, {}},
          {"POST", path + "/99/retry", "", "", 404, {}},
          {"DELETE", path + "/2", "", "", 204, {}},
          {"DELETE", path + "/2", "", "", 404, {}},
      });
  world.farm.refusal = kiln::Error{Code::conflict, "job 1-aaaaa is still running: cancel it first"};
  check_all(world, {{"DELETE", path + "/1", "", "", 409, {"cancel it first"}},
                    {"POST", path + "/1/cancel", "", "", 409, {}},
                    {"PATCH", path + "/1", R"({"paused":true})", "", 409, {}}});
  world.farm.refusal = kiln::Error{Code::unavailable, "the controller is stopping"};
  const Answer busy = world.ask("DELETE", path + "/1");
  check_equal(busy.status, 503);
  check(busy.fields.contains("retry-after"));
  world.reader.is_broken = true;
  check_all(world, {{"GET", path, "", "", 500, {"the database cannot be read"}}});
}

void a_jobs_wishes_are_changed_while_it_lives() {
  World world;
  const std::string path = "/api/v1/jobs/1";
  check_all(
      world,
      {
          {"PATCH",
           path,
           R"({"slot_limit":4,"node_limit":2})",
           "",
           200,
           {R"("slot_limit":4)", R"("node_limit":2)", R"("priority":50)"}},
          {"PATCH", path, R"({"tags":["rtx","basement","rtx"]})", "", 200, {R"("tags":["rtx","basement"])"}},
          {"PATCH", path, R"({"after":[2,"2-bbbbb"]})", "", 200, {R"("after":[2])", R"("slot_limit":4)"}},
          {"PATCH", path, R"({"start_ms":1795374000000})", "", 200, {R"("start_ms":1795374000000)"}},
          {"PATCH",
           path,
           R"({"tags":[],"after":[],"start_ms":0,"slot_limit":0})",
           "",
           200,
           {R"("node_limit":2)"}},
          {"PATCH", path, R"({"tags":["A B"]})", "", 400, {"job.tags"}},
          {"PATCH", path, R"({"tags":"rtx"})", "", 400, {"job.tags"}},
          {"PATCH", path, R"({"after":["9"]})", "", 404, {"job.after", "no job 9"}},
          {"PATCH", path, R"({"after":[true]})", "", 400, {"job.after"}},
          {"PATCH", path, R"({"start_ms":-1})", "", 400, {"job.start_ms"}},
          {"PATCH", path, R"({"slot_limit":-1})", "", 400, {"job.slot_limit"}},
          {"PATCH", path, R"({"colour":1})", "", 400, {"nothing to change", "slot_limit"}},
      });
  check(world.reader.job_rows[0].wishes.after.empty());
}

void tasks_are_queued_again_by_kind_step_and_frames() {
  World world;
  const std::string path = "/api/v1/jobs/1/requeue";
  check_all(
      world,
      {
          {"POST", path, R"({"which":"failed"})", "", 200, {R"({"tasks":3})"}},
          {"POST", path, R"({"which":"all","step":"render","frames":"1-4"})", "", 200, {R"({"tasks":3})"}},
          {"POST", path, R"({"which":"some"})", "", 400, {"requeue.which: failed or all"}},
          {"POST", path, "{}", "", 400, {"requeue.which"}},
          {"POST", path, R"({"which":"all","frames":"4-1"})", "", 400, {"requeue.frames", "write 1-4"}},
          {"POST", "/api/v1/jobs/9/requeue", R"({"which":"all"})", "", 404, {"no job 9"}},
      });
  const auto& first = std::get<sch::RequeueTasks>(world.farm.asked[0]);
  check(first.only_failed);
  check(!first.frames.has_value());
  const auto& second = std::get<sch::RequeueTasks>(world.farm.asked[1]);
  check(!second.only_failed);
  check_equal(second.step, "render");
  check_equal(second.frames->str(), "1-4");
}

void a_job_says_why_it_waits() {
  World world;
  world.farm.reasons = {{"", "", 24, "the job waits for job 2"},
                        {"render-1", "comp", 0, "it has no tag 'rtx'"}};
  check_all(world, {{"GET",
                     "/api/v1/jobs/1/why",
                     "",
                     "",
                     200,
                     {R"({"reasons":[{"tasks":24,"what":"the job waits for job 2"},)"
                      R"({"step":"comp","node":"render-1","what":"it has no tag 'rtx'"}]})"}},
                    {"GET", "/api/v1/jobs/9/why", "", "", 404, {}}});
  world.farm.refusal = kiln::Error{Code::unsupported, "not by this one"};
  check_equal(world.ask("GET", "/api/v1/jobs/1/why").status, 501);
}

void a_job_from_a_template_shows_its_steps_production_and_waste() {
  World world;
  auto& row = world.reader.job_rows[0];
  row.spec.renderer = "openjd";
  row.spec.type = "blender-animation";
  row.spec.frames = {};
  sch::StepSpec render;
  render.name = "render";
  render.frames = *kiln::payloads::FrameSet::parse("1-24");
  render.units = 24;
  render.chunk = 5;
  sch::StepSpec film;
  film.name = "film";
  film.units = 1;
  film.after = {0};
  row.spec.steps = {render, film};
  row.spec.production = {"moon", "010", "010_020"};
  row.steps.resize(2);
  row.steps[0].done = 2;
  row.steps[0].queued = 3;
  row.steps[1].queued = 1;
  row.waste.lost_s = 12.5;
  check_all(
      world,
      {{"GET",
        "/api/v1/jobs/1",
        "",
        "",
        200,
        {R"("type":"blender-animation")", R"("project":"moon","sequence":"010","shot":"010_020")",
         R"("steps":[{"name":"render","units":24,"chunk":5,"frames":"1-24","after":[],"tasks":{"queued":3,)",
         R"({"name":"film","units":1,"chunk":1,"after":["render"],"tasks":{)",
         R"("waste":{"failed_s":0,"lost_s":12.5,"superseded_s":0})"}},
       {"GET", "/api/v1/tasks/1-aaaaa-4", "", "", 200, {R"("frames":"21-24","step":"render")"}},
       {"GET",
        "/api/v1/tasks/1-aaaaa-5",
        "",
        "",
        200,
        {R"("frames":"","step":"film","units":{"first":0,"count":1})"}}});
  // Chunks that are cut as they are handed out.
  row.spec.steps[0].target_s = 60;
  sch::TaskRow cut;
  cut.id = {row.id, 1};
  cut.state = sch::TaskState::done;
  cut.first_unit = 5;
  cut.unit_count = 9;
  world.reader.task_rows[cut.id] = cut;
  check_all(world, {{"GET", "/api/v1/tasks/1-aaaaa-1", "", "", 200, {R"("frames":"6-14")"}},
                    {"GET", "/api/v1/tasks/1-aaaaa-2", "", "", 200, {R"("frames":"","step":"render")"}}});
}

void what_no_database_holds_is_shown_as_the_farm_last_said_it() {
  World world;
  auto job = world.reader.job_rows[0];
  job.eta_unix_ms = 1'000'000 + 90'000;
  auto node = world.reader.node_rows[0];
  node.hot = "GPU 0 has 88 °C";
  world.broadcaster.publish(sch::JobChanged{job}, {61'000, 1'000'000});
  world.broadcaster.publish(sch::NodeChanged{node}, {61'000, 1'000'000});
  check_all(world, {{"GET", "/api/v1/jobs/1", "", "", 200, {R"("eta_s":90,)"}},
                    {"GET", "/api/v1/nodes/render-1", "", "", 200, {R"("hot":"GPU 0 has 88 °C")"}}});
  world.broadcaster.publish(sch::NodeErased{node.id}, {61'000, 1'000'000});
  check(world.ask("GET", "/api/v1/nodes/render-1").body.find("hot") == std::string::npos);
}

void nodes_are_set_up_woken_sent_to_sleep_and_forgotten() {
  World world;
  world.reader.node_rows[0].use = {200, 50, 40, {}};
  const std::string path = "/api/v1/nodes/render-1";
  check_all(
      world,
      {
          {"GET",
           path,
           "",
           "",
           200,
           {R"("enabled":true)", R"("tags":[])", R"("schedule":[])", R"("utilisation_pct":25)",
            R"("use":{"online_s":200,"busy_s":50,"done_s":40)"}},
          {"PATCH",
           path,
           R"({"enabled":false,"drained":true})",
           "",
           200,
           {R"("enabled":false)", R"("drained":true)"}},
          {"PATCH", path, R"({"drained":false})", "", 200, {R"("enabled":false)", R"("drained":false)"}},
          {"PATCH",
           path,
           R"({"tags":["rtx"],"sleep_after_s":900,"reboot":true})",
           "",
           200,
           {R"("tags":["rtx"])", R"("sleep_after_s":900)", R"("reboot":true)"}},
          {"PATCH", path, R"({"soft_c":70,"hard_c":80})", "", 200, {R"("soft_c":70,"hard_c":80)"}},
          {"PATCH", path, R"({"soft_c":null})", "", 200, {R"("hard_c":80)"}},
          {"PATCH",
           path,
           R"({"schedule":[{"days":"mon-fri","from":"20:00","to":"07:00"},{"days":"sat,sun"}]})",
           "",
           200,
           {R"("schedule":[{"days":"mon-fri","from":"20:00","to":"07:00"},{"days":"sat,sun","from":"00:00","to":"24:00"}])"}},
          {"PATCH", path, R"({"schedule":[]})", "", 200, {R"("schedule":[])"}},
          {"PATCH", path, R"({"schedule":[{"days":"mo-fr"}]})", "", 400, {"node.schedule", "'mo-fr'"}},
          {"PATCH", path, R"({"schedule":[{"from":"8:00"}]})", "", 400, {"node.schedule", "'8:00'"}},
          {"PATCH", path, R"({"schedule":"always"})", "", 400, {"node.schedule", "mon-fri"}},
          {"PATCH", path, R"({"soft_c":90,"hard_c":80})", "", 400, {"node.soft_c", "below hard_c"}},
          {"PATCH", path, R"({"hard_c":5})", "", 400, {"node.hard_c", "30 to 120"}},
          {"PATCH", path, R"({"sleep_after_s":-1})", "", 400, {"node.sleep_after_s"}},
          {"PATCH", path, R"({"tags":[1]})", "", 400, {"node.tags"}},
          {"PATCH", path, "{}", "", 400, {"nothing to change", "sleep_after_s"}},
          {"PATCH", "/api/v1/nodes/none", R"({"enabled":true})", "", 404, {}},
          {"POST", path + "/sleep", "", "", 200, {R"("asleep":true)"}},
          {"POST", path + "/wake", "", "", 200, {R"("id":"render-1")"}},
          {"POST", "/api/v1/nodes/none/wake", "", "", 404, {}},
          {"DELETE", path, "", "", 204, {}},
          {"DELETE", path, "", "", 404, {}},
      });
}

void tasks_show_what_their_node_says() {
  World world;
  start_task(world);
  check_all(
      world,
      {
          {"GET",
           "/api/v1/jobs/1/tasks",
           "",
           "",
           200,
           {R"({"tasks":[{"id":"1-aaaaa-0","index":0,"frames":"1","state":"running","attempt":2,"failures":1)",
            R"("percent":42)", R"("phase":"rendering")", R"("id":"1-aaaaa-23")"}},
          {"GET", "/api/v1/jobs/1/tasks?from=22", "", "", 200, {R"({"tasks":[{"id":"1-aaaaa-22")"}},
          {"GET", "/api/v1/jobs/1/tasks?state=running&limit=5", "", "", 200, {"1-aaaaa-0"}},
          {"GET", "/api/v1/jobs/1/tasks?state=lazy", "", "", 400, {"?state=lazy"}},
          {"GET", "/api/v1/jobs/1/tasks?from=x", "", "", 400, {}},
          {"GET", "/api/v1/jobs/1/tasks?limit=x", "", "", 400, {}},
          {"GET", "/api/v1/jobs/9/tasks", "", "", 404, {}},
          {"GET",
           "/api/v1/tasks/1-aaaaa-0",
           "",
           "",
           200,
           {R"("job":"1-aaaaa")", R"("error":{"code":"renderer-crashed","message":"Blender ended)",
            R"("attempts":[{"attempt":1,"node":"render-1","state":"failed")",
            R"("log":"/api/v1/tasks/1-aaaaa-0/attempts/1/log")"}},
          {"GET", "/api/v1/tasks/1-aaaaa-23", "", "", 200, {R"("state":"queued")", R"("attempts":[])"}},
          {"GET", "/api/v1/tasks/1-aaaaa-24", "", "", 404, {"has the tasks 0 to 23, not 24"}},
          {"GET", "/api/v1/tasks/9-zzzzz-0", "", "", 404, {}},
          {"GET", "/api/v1/tasks/one", "", "", 400, {}},
      });
}

void an_attempt_delivers_files_log_and_result() {
  World world;
  start_task(world);
  const std::string path = "/api/v1/tasks/1-aaaaa-0/attempts/2";
  const std::string report =
      R"({"node":"render-1","ok":true,"seconds":2,"files":[{"frame":1,"path":"a/0001.png","digest":")" +
      digest_of_letter('b') + R"(","size":4,"width":8,"height":8,"seconds":2}]})";
  check_all(
      world,
      {
          {"POST", path + "/result", report, "", 422, {"'a/0001.png' was not uploaded for this attempt"}},
          {"PUT", path + "/files/a/0001.png", "bbbb", "", 400, {"Content-Digest is missing"}},
          {"PUT", path + "/files/a/0001.png", "bbbb", "Content-Digest: md5=:x:\r\n", 400, {"sha-256=:"}},
          {"PUT", path + "/files/a/0001.png", "cccc", content_digest('b'), 422, {"is not what"}},
          {"PUT", path + "/files/a/0001.png", "", content_digest('b'), 400, {"the file is empty"}},
          {"PUT", path + "/files/a//0001.png", "bbbb", content_digest('b'), 400, {"no relative path"}},
          {"PUT", path + "/files/a/%2e%2e/0001.png", "bbbb", content_digest('b'), 400, {}},
          {"PUT",
           path + "/files/a/0001.png",
           std::string((1 << 20) + 1, 'b'),
           content_digest('b'),
           413,
           {"may have 1048576"}},
          {"PUT",
           "/api/v1/tasks/1-aaaaa-0/attempts/3/files/x",
           "b",
           content_digest('b'),
           404,
           {"has had 2 attempts, not 3"}},
          {"PUT",
           "/api/v1/tasks/1-aaaaa-0/attempts/0/files/x",
           "b",
           content_digest('b'),
           400,
           {"count from 1"}},
          {"PUT", "/api/v1/tasks/1-aaaaa-0/attempts/1x/files/x", "b", content_digest('b'), 400, {}},
          {"PUT", "/api/v1/tasks/9-zzzzz-0/attempts/1/files/x", "b", content_digest('b'), 404, {}},
          {"PUT",
           path + "/files/a/0001.png",
           "bbbb",
           content_digest('b'),
           201,
           {R"("path":"a/0001.png")", R"("size":4)"}},
          {"PUT", path + "/files/a/0001.png", "bbbb", content_digest('b'), 200, {}},
          {"GET", path + "/log", "", "", 404, {}},
          {"PUT", path + "/log", "Fra:1 Mem:8M", "", 204, {}},
          {"GET", path + "/log", "", "", 200, {"Fra:1 Mem:8M"}},
          {"GET", "/api/v1/tasks/1-aaaaa-0/attempts/7/log", "", "", 404, {}},
          {"POST", path + "/result", "{}", "", 400, {}},
          {"POST", path + "/result", report, content_digest('b'), 422, {"damaged on its way"}},
          {"POST", path + "/result", report, "", 200, {R"({"verdict":"accepted"})"}},
          {"POST",
           path + "/result",
           R"({"node":"render-1","ok":false,"seconds":1,"failure":{"code":"no-camera","message":"add a camera","scope":"job"}})",
           "",
           200,
           {}},
          {"POST", "/api/v1/tasks/1-aaaaa-0/attempts/3/result", report, "", 404, {}},
      });
  const auto* finish = std::get_if<sch::FinishAttempt>(&world.farm.asked.front());
  check(finish != nullptr && finish->attempt == 2 && finish->report.files.size() == 1 &&
        finish->request != 0);

  // The frames of a done task lie in the output already: the farm alone decides.
  world.storage.incoming.clear();
  world.reader.task_rows[TaskId{job_id("1-aaaaa"), 0}].state = sch::TaskState::done;
  world.farm.verdict = kiln::payloads::Verdict::duplicate;
  check_all(world, {{"POST", path + "/result", report, "", 200, {R"({"verdict":"duplicate"})"}}});
  world.farm.verdict = kiln::payloads::Verdict::superseded;
  check_all(world, {{"POST", path + "/result", report, "", 409, {R"({"verdict":"superseded"})"}}});
  world.storage.refusal = kiln::Error{Code::full, "the disk is full: free 3 MiB"};
  check_all(world, {{"PUT", path + "/files/x", "c", content_digest('c'), 507, {"free 3 MiB"}},
                    {"PUT", path + "/log", "x", "", 507, {}}});
  world.farm.refusal = kiln::Error{Code::timeout, "no decision within 30 s"};
  check_all(world, {{"POST", path + "/result", report, "", 504, {}}});
}

void an_attempt_of_another_farm_is_not_judged() {
  World world;
  start_task(world);
  const std::string at = "/api/v1/tasks/1-aaaaa-0/attempts/1/";
  const struct {
    const char* method;
    std::string path;
    const char* body;
  } cases[] = {{"PUT", at + "files/f.png", "a"}, {"PUT", at + "log", "a log"}, {"POST", at + "result", "{}"}};
  for (const auto& one : cases) {
    const auto refused = world.ask(one.method, one.path, one.body, "Kiln-Farm: cellar\r\n");
    check_equal(refused.status, 421);
    check_equal(refused.fields.at("kiln-farm"), "attic");
    check_contains(refused.body, "this is farm attic; the attempt was made for farm cellar: keep it");
    // Its own, and one that names none, are judged; every answer says by whom.
    for (const char* fields : {"Kiln-Farm: attic\r\n", ""}) {
      const auto judged = world.ask(one.method, one.path, one.body, fields);
      check(judged.status != 421);
      check_equal(judged.fields.at("kiln-farm"), "attic");
    }
  }
  check(world.storage.incoming.empty() && world.farm.asked.empty());
}

void finished_frames_are_listed_and_served() {
  World world;
  sch::ResultRow result;
  result.task = {job_id("1-aaaaa"), 0};
  result.attempt = 1;
  result.node = node_id("render-1");
  result.file = {1, "a b/0001.png", digest_of_letter('b'), 10, 64, 32, 1.5};
  world.reader.result_rows = {result};
  world.storage.outputs["a b/0001.png"] = "0123456789";
  world.storage.thumbnails["a b/0001.png"] = "jpeg";
  const std::string job = "/api/v1/jobs/1";
  check_all(world, {
                       {"GET",
                        "/api/v1/results",
                        "",
                        "",
                        200,
                        {R"("frame":1)", R"("url":"/api/v1/jobs/1-aaaaa/files/a%20b/0001.png")",
                         R"("thumbnail":"/api/v1/jobs/1-aaaaa/thumbnails/a%20b/0001.png")"}},
                       {"GET", job + "/results", "", "", 200, {R"("task":"1-aaaaa-0")"}},
                       {"GET", "/api/v1/jobs/2/results", "", "", 200, {R"({"results":[]})"}},
                       {"GET", "/api/v1/jobs/9/results", "", "", 404, {}},
                       {"GET", job + "/results?limit=x", "", "", 400, {}},
                       {"GET", "/api/v1/results?from=x", "", "", 400, {}},
                       {"GET", job + "/files/a%20b/0001.png", "", "", 200, {"0123456789"}},
                       {"GET", job + "/files/a%20b%2F0001.png", "", "", 200, {"0123456789"}},
                       {"GET", job + "/files/a%20b/0001.png", "", "Range: bytes=2-3\r\n", 206, {"23"}},
                       {"GET", job + "/files/a%20b/0001.png", "", "If-None-Match: \"v1\"\r\n", 304, {}},
                       {"GET", job + "/files/a%20b/0001.png", "", "Range: bytes=99-\r\n", 416, {}},
                       {"GET", job + "/files/none.png", "", "", 404, {}},
                       {"GET", job + "/files//etc/passwd", "", "", 400, {}},
                       {"GET", "/api/v1/jobs/9/files/x", "", "", 404, {}},
                       {"GET", job + "/thumbnails/a%20b/0001.png", "", "", 200, {"jpeg"}},
                       {"GET", job + "/thumbnails/none.png", "", "", 404, {}},
                       {"GET",
                        job + "/thumbnails/film.mp4",
                        "",
                        "",
                        404,
                        {"a film has no thumbnail", R"("code":"unsupported")"}},
                       {"GET", job + "/archive", "", "", 200, {"PK-zip"}},
                       {"GET", "/api/v1/jobs/9/archive", "", "", 404, {}},
                   });
  check_equal(world.ask("GET", job + "/files/a%20b/0001.png").fields.at("content-type"), "image/png");
  world.reader.job_rows[0].spec.name = "Ö/\"x\"";
  const Answer zip = world.ask("HEAD", job + "/archive");
  check_equal(zip.fields.at("content-length"), "6");
  check_equal(zip.fields.at("content-disposition"),
              "attachment; filename=\"____x_-1.zip\"; filename*=UTF-8''%C3%96_%22x%22-1.zip");
  world.storage.outputs.clear();
  check_all(world, {{"GET", job + "/archive", "", "", 404, {"no frame is finished yet"}}});
}

void blobs_are_uploaded_once_and_resumed() {
  World world;
  const std::string b = "/api/v1/blobs/" + digest_of_letter('b');
  const std::string c = "/api/v1/blobs/" + digest_of_letter('c');
  check_all(
      world,
      {
          {"GET", b, "", "", 404, {}},
          {"PUT", b, "cccc", "", 422, {"is not what"}},
          {"PUT", b, "bbbb", "", 201, {R"("size":4)"}},
          {"PUT", b, "bbbb", "", 200, {}},
          {"GET", b, "", "", 200, {"bbbb"}},
          {"HEAD", b, "", "", 200, {}},
          {"GET", b, "", "Range: bytes=1-\r\n", 206, {"bbb"}},
          {"PUT", c, "ccc", "Content-Range: bytes 0-2/5\r\n", 202, {R"("size":3)"}},
          {"PUT", c, "c", "Content-Range: bytes 4-4/5\r\n", 409, {}},
          {"PUT", c, "cc", "Content-Range: bytes 3-5/6\r\n", 400, {"speaks of 3 bytes, Content-Length of 2"}},
          {"PUT", c, "cc", "Content-Range: bytes x\r\n", 400, {}},
          {"PUT", c, "cc", "Content-Range: bytes 3-4/5\r\n", 201, {R"("size":5)"}},
          {"GET", c, "", "", 200, {"ccccc"}},
          {"PUT", "/api/v1/blobs/sha256:abc", "x", "", 400, {"64 lower-case hex digits"}},
          {"GET", "/api/v1/blobs/md5:abc", "", "", 400, {}},
          {"PUT",
           "/api/v1/blobs/" + digest_of_letter('d'),
           "d",
           "Content-Range: bytes 0-0/99999999\r\n",
           413,
           {}},
          {"POST",
           "/api/v1/blobs/missing",
           R"({"digests":[")" + digest_of_letter('b') + R"(",")" + digest_of_letter('d') + R"("]})",
           "",
           200,
           {R"({"missing":[")" + digest_of_letter('d') + R"("]})"}},
          {"POST", "/api/v1/blobs/missing", R"({"digests":["x"]})", "", 400, {}},
          {"POST", "/api/v1/blobs/missing", R"({"digests":[1]})", "", 400, {}},
          {"POST", "/api/v1/blobs/missing", "{}", "", 400, {"digests"}},
          {"POST", "/api/v1/blobs/missing", "x", "", 400, {}},
      });
  check_contains(world.ask("GET", b).fields.at("cache-control"), "immutable");
  world.storage.partials[digest_of_letter('d')] = "ddd";
  check_equal(world.ask("HEAD", "/api/v1/blobs/" + digest_of_letter('d')).fields.at("upload-offset"), "3");
  world.storage.refusal = kiln::Error{Code::full, "the disk is full"};
  // Refused before a byte of the body was asked for.
  Wire wire(world.server->port());
  check(wire.send("PUT /api/v1/blobs/" + digest_of_letter('f') +
                  " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"));
  check_equal(wire.answer().status, 507);
}

void an_upload_that_breaks_off_is_kept_for_the_next() {
  World world;
  const std::string digest = digest_of_letter('c');
  {
    Wire wire(world.server->port());
    check(wire.send("PUT /api/v1/blobs/" + digest +
                    " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"));
    check_equal(wire.answer().status, 100);
    check(wire.send("ccc"));
  }
  world.server->stop();  // joins the connection's thread
  check_equal(world.storage.partial_size(digest), 3U);
}

void a_held_frame_is_shown_and_judged() {
  World world;
  sch::TaskRow task;
  task.id = {job_id("1-aaaaa"), 3};
  task.state = sch::TaskState::done;
  task.attempt = 1;
  task.blank = kiln::payloads::Blank::black;
  task.review = sch::Review::held;
  world.reader.task_rows[task.id] = task;
  world.reader.job_rows[0].held = 1;
  const std::string path = "/api/v1/tasks/1-aaaaa-3";
  check_all(world, {
                       {"GET", "/api/v1/jobs/1", "", "", 200, {R"("held":1)"}},
                       {"GET",
                        "/api/v1/jobs/1/tasks?state=held",
                        "",
                        "",
                        200,
                        {R"({"tasks":[{"id":"1-aaaaa-3")", R"("held":"all black, while)"}},
                       {"POST", path + "/accept", "", "", 200, {R"("state":"done")"}},
                       {"GET", "/api/v1/jobs/1/tasks?state=held", "", "", 200, {R"({"tasks":[]})"}},
                       {"POST", path + "/requeue", "", "", 200, {R"("state":"queued")"}},
                       {"POST", "/api/v1/tasks/1-aaaaa-99/accept", "", "", 404, {}},
                       {"POST", "/api/v1/tasks/no task/requeue", "", "", 400, {}},
                   });
  world.farm.refusal = kiln::Error{kiln::Code::conflict, "it is not held"};
  check_all(world, {{"POST", path + "/accept", "", "", 409, {"it is not held"}}});
}

void a_quarantine_is_shown_and_forgiven() {
  World world;
  world.reader.node_rows[0].quarantine = "tasks of 3 jobs failed here";
  world.reader.node_rows[0].quarantine_until_ms = 99;
  const std::string node = "/api/v1/nodes/render-1";
  check_all(
      world,
      {{"GET", node, "", "", 200, {R"("quarantine":{"reason":"tasks of 3 jobs failed here","until_ms":99})"}},
       {"GET", "/metrics", "", "", 200, {"kiln_nodes_quarantined 1"}},
       {"POST", node + "/forgive", "", "", 200, {R"("id":"render-1")"}},
       {"GET", "/metrics", "", "", 200, {"kiln_nodes_quarantined 0"}},
       {"POST", "/api/v1/nodes/none/forgive", "", "", 404, {}}});
}

void nodes_are_shown_and_drained() {
  World world;
  start_task(world);
  world.live.points = {{100, 50.5, 12.0}, {102, std::nullopt, 13.0}};
  const std::string node = "/api/v1/nodes/render-1";
  check_all(world,
            {
                {"GET", "/api/v1/nodes", "", "", 200, {R"({"nodes":[{"id":"render-1")"}},
                {"GET",
                 node,
                 "",
                 "",
                 200,
                 {R"("presence":"online")", R"("drained":false)", R"("renderers":[{"name":"blender")",
                  R"("gpus":[{"index":0,"temp_c":61)", R"("task":"1-aaaaa-0")"}},
                {"GET", "/api/v1/nodes/none", "", "", 404, {}},
                {"GET", "/api/v1/nodes/Not_An_Id", "", "", 400, {}},
                {"POST", node + "/drain", "", "", 200, {R"("drained":true)"}},
                {"POST", node + "/resume", "", "", 200, {R"("drained":false)"}},
                {"POST", "/api/v1/nodes/none/drain", "", "", 404, {}},
                {"POST", "/api/v1/nodes/none/resume", "", "", 404, {}},
                {"GET", node + "/telemetry", "", "", 200, {R"({"points":[[100,50.5,12],[102,null,13]]})"}},
                {"GET", node + "/telemetry?gpu=1&limit=1", "", "", 200, {R"({"points":[[1,70,null]]})"}},
                {"GET", node + "/telemetry?gpu=99", "", "", 400, {}},
                {"GET", node + "/telemetry?limit=x", "", "", 400, {}},
                {"GET", "/api/v1/nodes/none/telemetry", "", "", 404, {}},
            });
}

void metrics_are_numbers_with_names() {
  World world;
  start_task(world);
  world.live.numbers.slots = 4;
  world.live.numbers.slots_busy = 1;
  world.ask("GET", "/healthz");
  check_all(
      world,
      {{"GET",
        "/metrics",
        "",
        "",
        200,
        {"# TYPE kiln_nodes gauge\nkiln_nodes{presence=\"unknown\"} 0\nkiln_nodes{presence=\"online\"} 1\n",
         "kiln_slots{state=\"busy\"} 1\nkiln_slots{state=\"idle\"} 3\n",
         "kiln_node_gpu_temperature_celsius{node=\"render-1\",gpu=\"0\"} 61\n", "kiln_uptime_seconds 60\n",
         "kiln_http_requests_total{class=\"2xx\"} ", "kiln_build_info{version=\""}}});
  world.reader.is_broken = true;
  check_all(world, {{"GET", "/metrics", "", "", 500, {}}});
}

void the_page_finds_its_own_places() {
  World world;
  const std::string gzip = "Accept-Encoding: br, gzip\r\n";
  check_all(world, {
                       {"GET", "/", "", gzip, 200, {"<page>"}},
                       {"GET", "/jobs/7-abc", "", gzip, 200, {"<page>"}},
                       {"GET", "/app.js", "", gzip, 200, {"js"}},
                       {"GET", "/none.js", "", gzip, 404, {}},
                       {"GET", "/", "", "", 406, {"curl --compressed"}},
                       {"POST", "/", "", "", 404, {}},
                       {"GET", "/", "", gzip + "If-None-Match: \"i\"\r\n", 304, {}},
                   });
  const Answer page = world.ask("GET", "/", "", gzip);
  check_equal(page.fields.at("content-encoding"), "gzip");
  check_contains(page.fields.at("content-security-policy"), "default-src 'self'");
}

std::string subscribe(const std::string& fields = "") {
  return "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n";
}

void a_watcher_gets_a_snapshot_then_changes() {
  World world;
  Wire wire(world.server->port());
  check(wire.send(subscribe()));
  const Answer answer = wire.answer();
  check_equal(answer.status, 200);
  check_equal(answer.fields.at("content-type"), "text/event-stream");
  check_equal(wire.read_until("\n\n"), "retry: 2000\n\n");
  const std::string snapshot = wire.read_until("\n\n");
  check_contains(snapshot, "id: run1.0\nevent: snapshot\ndata: {\"farm\":{");
  check_contains(snapshot, R"("jobs":[{"id":"2-bbbbb")");
  check_contains(snapshot, R"("nodes":[{"id":"render-1")");
  world.broadcaster.set_alarm("x", "look");
  check_equal(wire.read_until("\n\n"), "id: run1.1\nevent: alarm\ndata: {\"alarms\":[\"look\"]}\n\n");
  world.events.close();
  check(wire.ends());
}

void a_watcher_resumes_where_it_was() {
  World world;
  for (int i = 0; i < 10; ++i) world.events.publish("job", kiln::Json(i));
  {
    Wire wire(world.server->port());
    check(wire.send(subscribe("Last-Event-ID: run1.8\r\n")));
    check_equal(wire.answer().status, 200);
    wire.read_until("\n\n");
    check_equal(wire.read_until("\n\n"), "id: run1.9\nevent: job\ndata: 8\n\n");
  }
  for (const char* id :
       {"run1.1", "run0.9", "run1.11", "junk"}) {  // gone, of another run, of the future, none of ours
    World other;
    for (int i = 0; i < 10; ++i) other.events.publish("job", kiln::Json(i));
    Wire wire(other.server->port());
    check(wire.send(subscribe("Last-Event-ID: " + std::string(id) + "\r\n")));
    check_equal(wire.answer().status, 200);
    wire.read_until("\n\n");
    check_contains(wire.read_until("\n\n"), "id: run1.10\nevent: snapshot\n");
  }
}

void watchers_over_the_cap_are_told_so() {
  World world;
  Wire first(world.server->port());
  Wire second(world.server->port());
  Wire third(world.server->port());
  check(first.send(subscribe()) && second.send(subscribe()));
  check(first.answer().status == 200 && second.answer().status == 200);
  check(third.send(subscribe()));
  check_equal(third.answer().status, 503);
}

}  // namespace

int main() {
  return kiln::test::run(
      "api",
      {{"the farm introduces itself", the_farm_introduces_itself},
       {"the farm's settings are shown and changed", the_farms_settings_are_shown_and_changed},
       {"jobs and totals are found by their production", jobs_and_totals_are_found_by_their_production},
       {"times and usage are told", times_and_usage_are_told},
       {"jobs are listed, shown and changed", jobs_are_listed_shown_and_changed},
       {"a job's wishes are changed while it lives", a_jobs_wishes_are_changed_while_it_lives},
       {"tasks are queued again by kind, step and frames", tasks_are_queued_again_by_kind_step_and_frames},
       {"a job says why it waits", a_job_says_why_it_waits},
       {"a job from a template shows its steps, production and waste",
        a_job_from_a_template_shows_its_steps_production_and_waste},
       {"what no database holds is shown as the farm last said it",
        what_no_database_holds_is_shown_as_the_farm_last_said_it},
       {"nodes are set up, woken, sent to sleep and forgotten",
        nodes_are_set_up_woken_sent_to_sleep_and_forgotten},
       {"tasks show what their node says", tasks_show_what_their_node_says},
       {"an attempt of another farm is not judged", an_attempt_of_another_farm_is_not_judged},
       {"an attempt delivers files, log and result", an_attempt_delivers_files_log_and_result},
       {"finished frames are listed and served", finished_frames_are_listed_and_served},
       {"blobs are uploaded once and resumed", blobs_are_uploaded_once_and_resumed},
       {"an upload that breaks off is kept for the next", an_upload_that_breaks_off_is_kept_for_the_next},
       {"a held frame is shown and judged", a_held_frame_is_shown_and_judged},
       {"a quarantine is shown and forgiven", a_quarantine_is_shown_and_forgiven},
       {"nodes are shown and drained", nodes_are_shown_and_drained},
       {"metrics are numbers with names", metrics_are_numbers_with_names},
       {"the page finds its own places", the_page_finds_its_own_places},
       {"a watcher gets a snapshot, then changes", a_watcher_gets_a_snapshot_then_changes},
       {"a watcher resumes where it was", a_watcher_resumes_where_it_was},
       {"watchers over the cap are told so", watchers_over_the_cap_are_told_so}});
}
