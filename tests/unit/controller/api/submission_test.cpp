#include "controller/api/fakes.h"
#include "payloads/http_bodies.h"

#include "check.h"

using namespace kiln::test;
using kiln::payloads::JobSubmission;

namespace {

// The smallest scene that is whole.
std::string scene_of(std::string_view version) {
  return "BLENDER-v" + std::string(version) + "ENDB";
}

// A world that holds a scene of Blender 3.4, and the submission that names it.
struct Shot : World {
  JobSubmission submission;
  Shot() {
    hold('b', scene_of("304"));
    submission.frames = "1-24";
    submission.options.scene_file = "set/shot.blend";
    submission.manifest.files = {{"set/shot.blend", digest_of_letter('b'), scene_of("304").size()}};
  }
  void hold(char letter, const std::string& bytes) { storage.blobs[digest_of_letter(letter)] = bytes; }
  Answer submit(const std::string& fields = "") {
    return ask("POST", "/api/v1/jobs", encode(submission), fields);
  }
};

void a_good_submission_becomes_a_job() {
  Shot shot;
  shot.submission.chunk = 5;
  shot.submission.priority = 70;
  const Answer answer = shot.submit("X-Kiln-User: ada\r\nIdempotency-Key: k1\r\n");
  check_equal(answer.status, 201);
  check_equal(answer.fields.at("location"), "/api/v1/jobs/" + kiln::make_job_id(3, 7).str());
  for (const char* part : {R"("name":"shot)", R"("user":"ada")", R"("priority":70)", R"("queued":5)",
                           R"("scene_file":"set/shot.blend")", R"("type":"blender")"}) {
    check_contains(answer.body, part);
  }
  check_contains(answer.body, R"("manifest":")" + digest_of_letter('e'));
  check_equal(shot.storage.blobs[digest_of_letter('e')], encode(shot.submission.manifest));
  const auto* event = std::get_if<sch::SubmitJob>(&shot.farm.asked.at(0));
  check(event != nullptr && event->user == "ada" && event->cid == "k1" && event->request != 0);
}

void the_same_key_gives_the_same_job() {
  Shot shot;
  const Answer first = shot.submit("Idempotency-Key: k1\r\n");
  const Answer second = shot.submit("Idempotency-Key: k1\r\n");
  check_equal(first.status, 201);
  check_equal(second.status, 200);
  check_equal(first.body, second.body);
  check_equal(shot.submit("Idempotency-Key: k2\r\n").status, 201);
}

void a_noop_job_needs_no_files() {
  World world;
  world.reader.node_rows = {node_row("render-1", "")};
  const Answer answer = world.ask("POST", "/api/v1/jobs", R"({"type":"noop","frames":"1-3","name":"proof"})");
  check_equal(answer.status, 201);
  check_contains(answer.body, R"("manifest":"")");
}

void a_bad_submission_is_told_what_to_do() {
  const struct {
    void (*spoil)(Shot&);
    int status;
    const char* part;
  } cases[] = {
      {[](Shot& s) { s.submission.frames = "10-1"; }, 400, "frames: "},
      {[](Shot& s) { s.submission.frames = "a-b"; }, 400, "frames: "},
      {[](Shot& s) { s.submission.frames = ""; }, 400, "frames"},
      {[](Shot& s) { s.submission.options.scene_file = "none.blend"; }, 400, "none.blend"},
      {[](Shot& s) { s.storage.blobs.clear(); }, 400, "upload these first: sha256:bbbb"},
      {[](Shot& s) { s.submission.manifest.files[0].size = 99; }, 400,
       "set/shot.blend has 16 bytes here, not 99"},
      {[](Shot& s) {
         s.hold('b', "");
         s.submission.manifest.files[0].size = 0;
       },
       400, "shot.blend: no Blender scene: the file is empty"},
      {[](Shot& s) { s.hold('b', "BLENDER-v304DATA"); }, 400, "shot.blend: "},
      {[](Shot& s) { s.hold('b', "\x89PNG567890123456"); }, 400, "a PNG picture"},
      {[](Shot& s) { s.hold('b', scene_of("402")); }, 400,
       "shot.blend was saved by Blender 4.2; the newest on this farm is 3.4.1 on render-1: install 4.2 there "
       "or save the "
       "scene as 3.4"},
      {[](Shot& s) { s.reader.node_rows = {node_row("render-1", "")}; }, 400,
       "no node has blender: install blender"},
      {[](Shot& s) {
         s.submission.options.device = kiln::payloads::Device::gpu;
         for (auto& node : s.reader.node_rows) node.info.gpu_slots = 0;
       },
       400, "options.device: the job asks for a GPU, and none of the farm's nodes with blender has one"},
      {[](Shot& s) { s.submission.retries = 100; }, 400, "retries"},
      {[](Shot& s) { s.submission.fail_pct = 101; }, 400, "fail_pct"},
      {[](Shot& s) { s.reader.is_broken = true; }, 500, "the database cannot be read"},
      {[](Shot& s) {
         s.farm.refusal = kiln::Error{kiln::Code::full, "the controller's disk is full"};
       },
       507, "disk is full"},
  };
  for (const auto& one : cases) {
    Shot shot;
    one.spoil(shot);
    const Answer answer = shot.submit();
    if (answer.status != one.status) print_error("%s\n", answer.text.c_str());
    check_equal(answer.status, one.status);
    check_contains(answer.body, one.part);
  }
}

// A job of two steps, submitted as text of JSON.
std::string template_body(const std::string& more) {
  return R"({"type":"openjd","template":{"text":"specificationVersion: jobtemplate-2023-09\nname: two\nsteps:\n)"
         R"(- name: A\n  parameterSpace: {taskParameterDefinitions: [{name: F, type: INT, range: 1-3}]}\n)"
         R"(  script: {actions: {onRun: {command: sync}}}\n)"
         R"(- name: B\n  dependencies: [{dependsOn: A}]\n  script: {actions: {onRun: {command: sync}}}\n"})" +
         more + "}";
}

void a_template_is_submitted_with_what_a_job_may_ask() {
  World world;
  const Answer answer = world.ask(
      "POST", "/api/v1/jobs",
      template_body(R"(,"after":["1","2-bbbbb","1-aaaaa"],"slot_limit":2,"start_ms":5000,"project":"film")"));
  check_equal(answer.status, 201);
  for (const auto* part : {R"("type":"openjd")", R"("document":"sha256:eeee)",
                           R"("name":"A","units":3,"chunk":1,"frames":"1-3")", R"("after":["A"])",
                           R"("project":"film")", R"("manifest":"")"})
    check_contains(answer.body, part);
  const auto& submit = std::get<sch::SubmitJob>(world.farm.asked.back());
  check((submit.wishes == sch::JobWishes{2, 0, {}, {1, 2}, 5000}));
  check_contains(world.storage.blobs.at(digest_of_letter('e')), "jobtemplate-2023-09");
}

void everything_wrong_comes_as_a_list() {
  World world;
  const Answer answer = world.ask(
      "POST", "/api/v1/jobs",
      R"({"type":"openjd","template":{"text":"specificationVersion: jobtemplate-2023-09\nname: a\nsteps: [{name: A}, {name: B}]\n"}})");
  check_equal(answer.status, 400);
  check_contains(answer.body, "\"detail\":\"steps[0]");
  check_contains(answer.body, "(and 1 more)");
  check_contains(answer.body, R"("problems":[{"path":"steps[0])");
  check_contains(answer.body, R"({"path":"steps[1])");
}

void jobs_to_wait_for_must_be_known() {
  World world;
  const Answer answer = world.ask("POST", "/api/v1/jobs", template_body(R"(,"after":["1","77"])"));
  check_equal(answer.status, 400);
  check_contains(answer.body, "after[1]: no job 77");
}

void a_task_s_inputs_are_what_the_steps_before_made() {
  World world;
  check_equal(world.ask("POST", "/api/v1/jobs", template_body("")).status, 201);
  const auto job = world.reader.job_rows.back().id;
  const auto add = [&](std::uint32_t task, const char* path, char letter) {
    sch::ResultRow row;
    row.task = {job, task};
    row.attempt = 1;
    row.file.path = path;
    row.file.digest = digest_of_letter(letter);
    row.file.size = 4;
    world.reader.result_rows.push_back(row);
  };
  const std::string url = "/api/v1/tasks/" + job.str() + "-3/inputs";
  check_equal(world.ask("GET", url).body, R"({"files":[],"mappings":[]})");
  add(0, "a/1.png", '1');
  add(1, "a/1.png", '2');  // the same name…
  add(2, "log.txt", '3');
  add(1, "log.txt", '3');   // …and the same file
  add(3, "film.mp4", '4');  // its own
  check_equal(world.ask("GET", url).status, 503);
  world.storage.renames[FakeStorage::key_of({job, 1}, 1, "a/1.png")] = "a/1~x.png";
  const Answer answer = world.ask("GET", url);
  check_equal(answer.status, 200);
  const auto manifest = kiln::payloads::decode_manifest(answer.body);
  check_ok(manifest);
  check_equal(manifest->files.size(), 3U);
  check_equal(manifest->files[0].path, "a/1.png");
  check_equal(manifest->files[1].path, "a/1~x.png");
  check_equal(manifest->files[1].digest, digest_of_letter('2'));
  check_equal(world.ask("GET", "/api/v1/tasks/" + job.str() + "-0/inputs").body,
              R"({"files":[],"mappings":[]})");
}

void job_types_are_listed_and_read() {
  World world;
  world.api.own_types = [] { return std::vector<kiln::compiler::JobType>{{"mine", {"steps: 1"}}}; };
  const Answer list = world.ask("GET", "/api/v1/types");
  check_contains(list.body, R"({"name":"blender-tiles","built_in":true,"title":"Large still in tiles")");
  check_contains(list.body, R"({"name":"mine","built_in":false,"title":"mine","description":"","error":")");
  check_contains(world.ask("GET", "/api/v1/types/command").body, "specificationVersion: jobtemplate-2023-09");
  check_equal(world.ask("GET", "/api/v1/types/mine").body, "steps: 1");
  check_equal(world.ask("GET", "/api/v1/types/none").status, 404);
}

void a_long_list_of_missing_files_is_cut() {
  Shot shot;
  for (char letter = '1'; letter <= '9'; ++letter) {
    shot.submission.manifest.files.push_back(
        {std::string("tex/") + letter + ".png", digest_of_letter(letter), 1});
  }
  const Answer answer = shot.submit();
  check_contains(answer.body, "(tex/5.png) and 4 more");
}

void the_newest_blender_of_the_farm_decides() {
  Shot shot;
  shot.hold('b', scene_of("402"));
  shot.reader.node_rows = {node_row("render-1", "3.4.1"), node_row("render-10", "4.10.0"),
                           node_row("render-2", "4.2.3")};
  check_equal(shot.submit().status, 201);
  shot.hold('b', scene_of("502"));
  check_contains(shot.submit().body, "the newest on this farm is 4.10.0 on render-10");
}

void a_farm_without_nodes_takes_every_scene() {
  Shot shot;
  shot.reader.node_rows.clear();
  shot.hold('b', scene_of("402"));
  check_equal(shot.submit().status, 201);
}

void what_is_no_submission_is_refused() {
  World world;
  const struct {
    std::string body;
    std::string fields;
  } cases[] = {
      {"", ""},
      {"[]", ""},
      {"{\"frames\":7}", ""},
      {"{", ""},
      {R"({"type":"noop","frames":"1"})", "X-Kiln-User: \r\n"},
      {R"({"type":"noop","frames":"1"})", "X-Kiln-User: " + std::string(65, 'a') + "\r\n"},
      {R"({"type":"noop","frames":"1"})", "Idempotency-Key: " + std::string(129, 'a') + "\r\n"},
      {R"({"type":"noop","frames":"1"})", "X-Kiln-User: \xff\r\n"},
      {R"({"type":"povray","frames":"1"})", ""},
  };
  for (const auto& one : cases)
    check_equal(world.ask("POST", "/api/v1/jobs", one.body, one.fields).status, 400);
  check(world.farm.asked.empty());
}

}  // namespace

int main() {
  return kiln::test::run(
      "submission",
      {{"a good submission becomes a job", a_good_submission_becomes_a_job},
       {"the same key gives the same job", the_same_key_gives_the_same_job},
       {"a noop job needs no files", a_noop_job_needs_no_files},
       {"a bad submission is told what to do", a_bad_submission_is_told_what_to_do},
       {"a long list of missing files is cut", a_long_list_of_missing_files_is_cut},
       {"the newest Blender of the farm decides", the_newest_blender_of_the_farm_decides},
       {"a farm without nodes takes every scene", a_farm_without_nodes_takes_every_scene},
       {"a template is submitted with what a job may ask", a_template_is_submitted_with_what_a_job_may_ask},
       {"everything wrong comes as a list", everything_wrong_comes_as_a_list},
       {"jobs to wait for must be known", jobs_to_wait_for_must_be_known},
       {"a task's inputs are what the steps before made", a_task_s_inputs_are_what_the_steps_before_made},
       {"job types are listed and read", job_types_are_listed_and_read},
       {"what is no submission is refused", what_is_no_submission_is_refused}});
}
