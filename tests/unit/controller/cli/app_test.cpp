#include "cli/app.h"

#include <stdlib.h>

#include <atomic>
#include <csignal>

#include "base/json.h"
#include "check.h"
#include "fake_controller.h"
#include "folder.h"
#include "payloads/http_bodies.h"
#include "runtime/sha256.h"

namespace {

using kiln::Json;
using kiln::test::FakeController;
using kiln::test::FakeReply;
using kiln::test::FakeRequest;
using kiln::test::Folder;

struct Ran {
  int code = 0;
  std::string out, err;
};

Ran kiln_runs(const std::vector<std::string>& args, const std::atomic<bool>& interrupted) {
  char* out_text = nullptr;
  char* err_text = nullptr;
  std::size_t out_size = 0, err_size = 0;
  std::FILE* out = open_memstream(&out_text, &out_size);
  std::FILE* err = open_memstream(&err_text, &err_size);
  Ran ran;
  ran.code = kiln::cli::run(args, out, err, interrupted);
  std::fclose(out);
  std::fclose(err);
  ran.out.assign(out_text, out_size);
  ran.err.assign(err_text, err_size);
  std::free(out_text);
  std::free(err_text);
  return ran;
}

Ran kiln_runs(const std::vector<std::string>& args) {
  static const std::atomic<bool> never{false};
  return kiln_runs(args, never);
}

Json job(const std::string& state, int done = 0) {
  return Json::object(
      {{"id", "7-abcde"},
       {"number", 7},
       {"name", "vase"},
       {"type", "blender"},
       {"state", state},
       {"priority", 50},
       {"user", "ana"},
       {"frames", "1-4"},
       {"chunk", 1},
       {"tasks",
        Json::object(
            {{"queued", 4 - done}, {"running", 0}, {"done", done}, {"failed", 0}, {"cancelled", 0}})},
       {"percent", done * 25},
       {"message", state == "failed" ? "no camera" : ""},
       {"created_ms", 1000},
       {"output_dir", "/data/jobs/7/output"}});
}

std::string event(int id, const std::string& name, const Json& data) {
  return "id: " + std::to_string(id) + "\nevent: " + name + "\ndata: " + data.dump() + "\n\n";
}

std::string snapshot(const Json& one) {
  return event(1, "snapshot",
               Json::object({{"farm", Json::object({{"farm", "f"}})},
                             {"summary", Json::object({})},
                             {"jobs", Json::Array{one}},
                             {"nodes", Json::Array{}},
                             {"results", Json::Array{}}}));
}

FakeReply problem(int status, const std::string& detail) {
  return {status, Json::object({{"title", "x"}, {"status", status}, {"detail", detail}}).dump(),
          "Content-Type: application/problem+json\r\n"};
}

// ---- exit codes
// -----------------------------------------------------------------------------------------------

void wrong_input_is_2_and_one_line() {
  const std::vector<std::vector<std::string>> cases = {
      {},
      {"frob"},
      {"--frob"},
      {"job"},
      {"job", "A_B"},
      {"jobs", "--state", "asleep"},
      {"jobs", "--limit", "0"},
      {"submit"},
      {"submit", "/nonexistent/s.blend"},
      {"submit", "/tmp"},
      {"submit", "--noop", "0"},
      {"submit", "s.blend", "--noop", "3"},
      {"submit", "s.blend", "--frames", "10-1"},
      {"submit", "s.blend", "--frames", "a-b"},
      {"submit", "s.blend", "--priority", "101"},
      {"submit", "s.blend", "--chunk", "0"},
      {"submit", "s.blend", "-p", "80"},
      {"submit", "s.blend", "other.blend"},
      {"submit", "s.blend", "--type", "command", "--film"},
      {"submit", "--type", "command", "--template", "a.yaml"},
      {"types", "show"},
      {"submit", "s.blend", "--format", "FFMPEG"},
      {"submit", "s.blend", "--device", "tpu"},
      {"submit", "s.blend", "--retries", "100"},
      {"submit", "s.blend", "--fail-pct", "0"},
      {"submit", "s.blend", "--max-run", "0"},
      {"accept"},
      {"priority", "7", "-1"},
      {"requeue", "7", "--failed", "--all"},
      {"requeue", "7-abcde-3", "--all"},
      {"set", "7"},
      {"set", "7", "--priority", "101"},
      {"set", "7", "--start", "soon"},
      {"node"},
      {"node", "dance", "n1"},
      {"node", "wake"},
      {"node", "schedule", "n1"},
      {"node", "schedule", "n1", "mon", "20:00"},
      {"node", "limits", "n1"},
      {"node", "limits", "n1", "--soft", "warm"},
      {"farm", "--limit", "nuke"},
      {"farm", "--fair-share", "maybe"},
      {"productions", "--sequence", "010"},
      {"stats", "--step", "render"},
      {"film", "7", "film.avi"},
      {"logs", "7", "--frame", "1", "--task", "2"},
      {"--server", "gopher://x", "jobs"},
  };
  for (const auto& args : cases) {
    const auto ran = kiln_runs(args);
    if (ran.code != 2)
      print_error("'%s': exit %d, %s\n", args.empty() ? "" : args.back().c_str(), ran.code, ran.err.c_str());
    check_equal(ran.code, 2);
    check_equal(ran.out, "");
    check(ran.err.starts_with("kiln: "));
    check_equal(ran.err.find('\n'), ran.err.size() - 1);
  }
}

void no_controller_is_3() {
  const auto ran = kiln_runs({"--server", "http://127.0.0.1:1", "jobs"});
  check_equal(ran.code, 3);
  check_contains(ran.err, "127.0.0.1:1");
  check_contains(ran.err, "KILN_SERVER");
  FakeController other([](const FakeRequest&) { return FakeReply{200, "<html>", ""}; });
  const auto web = kiln_runs({"--server", other.url(), "jobs"});
  check_equal(web.code, 3);
  check_contains(web.err, "no Kiln controller");
}

void what_the_controller_says_becomes_the_exit_code() {
  const struct {
    int status, code;
  } cases[] = {{400, 2}, {413, 2}, {422, 2}, {401, 5}, {403, 5}, {404, 4},
               {409, 5}, {429, 3}, {500, 3}, {503, 3}, {507, 5}};
  for (const auto& one : cases) {
    FakeController controller([&](const FakeRequest&) { return problem(one.status, "because of the rain"); });
    const auto ran = kiln_runs({"--server", controller.url(), "job", "7"});
    check_equal(ran.code, one.code);
    check_contains(ran.err, "because of the rain");
    check_equal(ran.out, "");
  }
}

void help_and_version_are_0() {
  check_equal(kiln_runs({"--help"}).code, 0);
  check_equal(kiln_runs({"--version"}).code, 0);
  const auto help = kiln_runs({"submit", "--help"});
  check_equal(help.code, 0);
  check_contains(help.out, "--frames");
}

void waiting_ends_as_the_job_ends() {
  const struct {
    const char* state;
    int code;
  } cases[] = {{"done", 0}, {"failed", 1}, {"cancelled", 1}};
  for (const auto& one : cases) {
    FakeController controller([&](const FakeRequest& request) {
      if (request.path != "/api/v1/events") return FakeReply{200, job("running").dump(), ""};
      return FakeReply{
          200,
          snapshot(job("running")) + event(2, "job", job("running", 2)) + event(3, "job", job(one.state, 4)),
          "Content-Type: text/event-stream\r\n"};
    });
    const auto ran = kiln_runs({"--server", controller.url(), "wait", "7"});
    check_equal(ran.code, one.code);
    check_contains(ran.out, one.state);
    check_contains(ran.err, "50% 2/4 frames");
  }
}

void a_broken_event_stream_is_taken_up_where_it_broke() {
  std::atomic<int> streams{0};
  FakeController controller([&](const FakeRequest& request) {
    if (request.path != "/api/v1/events") return FakeReply{200, job("running").dump(), ""};
    const bool is_first = streams++ == 0;
    return FakeReply{200, is_first ? snapshot(job("running")) : event(2, "job", job("done", 4)),
                     "Content-Type: text/event-stream\r\n"};
  });
  check_equal(kiln_runs({"--server", controller.url(), "wait", "7"}).code, 0);
  check_equal(controller.requests().back().headers["last-event-id"], "1");
}

void ctrl_c_is_130_and_says_that_the_job_goes_on() {
  std::atomic<bool> interrupted{false};
  FakeController controller([&](const FakeRequest& request) {
    if (request.path != "/api/v1/events") return FakeReply{200, job("running").dump(), ""};
    interrupted = true;
    return FakeReply{200, snapshot(job("running")), "Content-Type: text/event-stream\r\n"};
  });
  const auto ran = kiln_runs({"--server", controller.url(), "wait", "7"}, interrupted);
  check_equal(ran.code, 130);
  check_contains(ran.err, "goes on");
}

// ---- what is printed
// --------------------------------------------------------------------------------------------

void json_is_one_document() {
  FakeController controller([](const FakeRequest& request) {
    if (request.path.starts_with("/api/v1/nodes")) return FakeReply{200, R"({"nodes":[]})", ""};
    if (request.path.starts_with("/api/v1/jobs?"))
      return FakeReply{200, Json::object({{"jobs", Json::Array{job("done", 4)}}}).dump(), ""};
    if (request.method == "DELETE") return FakeReply{204, "", ""};
    return FakeReply{200, job("running", 1).dump(), ""};
  });
  const std::vector<std::vector<std::string>> cases = {{"jobs"},
                                                       {"job", "7"},
                                                       {"nodes"},
                                                       {"cancel", "7"},
                                                       {"pause", "7"},
                                                       {"retry", "7"},
                                                       {"delete", "7"},
                                                       {"priority", "7", "80"},
                                                       {"submit", "--noop", "4"}};
  for (auto args : cases) {
    args.insert(args.end(), {"--json", "--server", controller.url()});
    const auto ran = kiln_runs(args);
    check_equal(ran.code, 0);
    check_ok(Json::parse(ran.out));
    check_equal(ran.err, "");
  }
}

void a_table_of_jobs_tells_the_state() {
  FakeController controller([](const FakeRequest&) {
    return FakeReply{200, Json::object({{"jobs", Json::Array{job("running", 1)}}}).dump(), ""};
  });
  const auto ran = kiln_runs({"--server", controller.url(), "jobs", "--state", "running", "--limit", "5"});
  check_equal(ran.code, 0);
  check_contains(ran.out, "JOB  NAME");
  check_contains(ran.out, "  7  vase  running   25%    1/4");
  check_equal(controller.requests().front().path, "/api/v1/jobs?state=running&limit=5");
}

void frames_held_for_a_look_are_shown_and_judged() {
  auto done = job("done", 4);
  done.set("held", 2);
  Json tasks{Json::Array()};
  for (const int index : {1, 3}) {
    tasks.push(Json::object({{"id", "7-abcde-" + std::to_string(index)},
                             {"index", index},
                             {"frames", std::to_string(index + 1)},
                             {"node", "box-1"},
                             {"held", "all black, while the frames beside it are not"}}));
  }
  FakeController controller([&](const FakeRequest& request) {
    if (request.path.find("/tasks?state=held") != std::string::npos)
      return FakeReply{200, Json::object({{"tasks", tasks}}).dump(), ""};
    if (request.path.starts_with("/api/v1/tasks/"))
      return FakeReply{200, R"({"id":"7-abcde-1","frames":"2","state":"done"})", ""};
    return FakeReply{200, done.dump(), ""};
  });
  const auto shown = kiln_runs({"--server", controller.url(), "job", "7"});
  check_equal(shown.code, 0);
  check_contains(shown.out, "2 tasks, for a look");
  check_contains(shown.out, "held frames 4, on box-1, task 7-abcde-3: all black");
  check_contains(shown.out, "`kiln accept 7` takes them as they are");
  const struct {
    std::vector<std::string> args;
    std::vector<std::string> posts;
  } cases[] = {{{"accept", "7"}, {"/api/v1/tasks/7-abcde-1/accept", "/api/v1/tasks/7-abcde-3/accept"}},
               {{"requeue", "7-abcde-3"}, {"/api/v1/tasks/7-abcde-3/requeue"}}};
  for (const auto& one : cases) {
    const auto before = controller.requests().size();
    auto args = one.args;
    args.insert(args.end(), {"--server", controller.url()});
    check_equal(kiln_runs(args).code, 0);
    std::vector<std::string> posts;
    const auto requests = controller.requests();
    for (std::size_t i = before; i < requests.size(); ++i) {
      if (requests[i].method == "POST") posts.push_back(requests[i].path);
    }
    check(posts == one.posts);
  }
  tasks = Json(Json::Array());
  const auto none = kiln_runs({"--server", controller.url(), "accept", "7"});
  check_equal(none.code, 5);
  check_contains(none.err, "holds no frame for a look");
}

void a_quarantine_is_told_and_ended() {
  const auto node = Json::object(
      {{"id", "box-1"},
       {"presence", "online"},
       {"quarantine", Json::object({{"reason", "tasks of 3 jobs failed here"}, {"until_ms", 0}})}});
  FakeController controller([&](const FakeRequest& request) {
    return request.method == "POST" ? FakeReply{200, node.dump(), ""}
                                    : FakeReply{200, Json::object({{"nodes", Json::Array{node}}}).dump(), ""};
  });
  const auto shown = kiln_runs({"--server", controller.url(), "nodes"});
  check_equal(shown.code, 0);
  check_contains(shown.out, "quarantined");
  check_contains(shown.out, "tasks of 3 jobs failed here; `kiln forgive box-1` ends that");
  check_equal(kiln_runs({"--server", controller.url(), "forgive", "box-1"}).code, 0);
  check_equal(controller.requests().back().path, "/api/v1/nodes/box-1/forgive");
}

// ---- files
// ------------------------------------------------------------------------------------------------------

void a_download_resumes_checks_and_keeps_what_is_here() {
  const std::string frame = "twenty bytes of pixel", other = "another frame";
  const auto digest = kiln::runtime::digest_of(frame);
  std::atomic<int> sent{0};
  FakeController controller([&](const FakeRequest& request) {
    if (request.path == "/api/v1/jobs/7") return FakeReply{200, job("done", 4).dump(), ""};
    if (request.path.starts_with("/api/v1/jobs/7-abcde/results")) {
      const auto result = [](int number, const std::string& path, const std::string& bytes) {
        return Json::object({{"frame", number},
                             {"path", path},
                             {"digest", kiln::runtime::digest_of(bytes)},
                             {"size", bytes.size()}});
      };
      return FakeReply{200,
                       Json::object({{"results", Json::Array{result(2, "render/b 2.png", other),
                                                             result(1, "render/a1.png", frame)}}})
                           .dump(),
                       ""};
    }
    if (request.path == "/api/v1/jobs/7-abcde/files/render/b%202.png") return FakeReply{200, other, ""};
    check_equal(request.path, "/api/v1/jobs/7-abcde/files/render/a1.png");
    if (sent++ == 0) return FakeReply{200, frame, "", true};  // breaks off half way
    check_equal(request.headers.at("range"), "bytes=10-");
    return FakeReply{206, frame.substr(10), "Content-Range: bytes 10-20/21\r\n"};
  });
  Folder folder;
  const auto target = (folder.path() / "frames").string();
  auto ran = kiln_runs({"--server", controller.url(), "download", "7", target});
  check_equal(ran.err, "");
  check_equal(ran.code, 0);
  check_equal(kiln::test::read(folder.path() / "frames/render/a1.png"), frame);
  check_equal(kiln::test::read(folder.path() / "frames/render/b 2.png"), other);
  check_contains(ran.out, "2 new");
  ran = kiln_runs({"--server", controller.url(), "download", "7", target});
  check_contains(ran.out, "0 new");
  // A frame that was damaged since is fetched again, the other one is not asked for.
  folder.write("frames/render/b 2.png", "ANOTHER frame");
  ran = kiln_runs({"--server", controller.url(), "download", "7", target, "--frames", "2"});
  check_contains(ran.out, "1 file of job 7 'vase'");
  check_contains(ran.out, "1 new");
  check_equal(kiln::test::read(folder.path() / "frames/render/b 2.png"), other);
}

void a_file_name_from_the_controller_stays_in_the_folder() {
  FakeController controller([&](const FakeRequest& request) {
    if (!request.path.starts_with("/api/v1/jobs/7-abcde/results"))
      return FakeReply{200, job("done", 4).dump(), ""};
    const auto result = Json::object(
        {{"frame", 1}, {"path", "../../evil.png"}, {"digest", kiln::runtime::digest_of("x")}, {"size", 1}});
    return FakeReply{200, Json::object({{"results", Json::Array{result}}}).dump(), ""};
  });
  Folder folder;
  const auto ran =
      kiln_runs({"--server", controller.url(), "download", "7", (folder.path() / "a/b").string()});
  check(ran.code != 0);
  check(!std::filesystem::exists(folder.path() / "evil.png"));
}

void a_submission_goes_once_and_carries_a_key() {
  std::atomic<int> posts{0};
  FakeController controller([&](const FakeRequest&) {
    if (posts++ == 0) return problem(503, "starting");
    return FakeReply{201, job("queued").dump(), ""};
  });
  const auto ran = kiln_runs({"--server", controller.url(), "submit", "--noop", "4", "--name", "plumbing",
                              "--priority", "80", "--paused", "--retries", "0", "--fail-pct", "10"});
  check_equal(ran.code, 0);
  check_contains(ran.out, "kiln resume 7");
  const auto requests = controller.requests();
  check_equal(requests.size(), 2U);
  check_equal(requests[0].headers.at("idempotency-key"), requests[1].headers.at("idempotency-key"));
  check_equal(requests[0].body, requests[1].body);
  const auto body = kiln::payloads::decode_job_submission(requests[0].body);
  check_ok(body);
  check_equal(body->type, "noop");
  check_equal(body->frames, "1-4");
  check(body->retries == 0U && body->fail_pct == 10U);
  check_equal(body->name, "plumbing");
  check_equal(body->priority, 80);
  check(body->paused);
}

// A .blend of the uncompressed form that holds no data: the header and the end.
std::string tiny_blend() {
  return "BLENDER-v304ENDB" + std::string(20, '\0');
}

void a_scene_is_sent_and_sent_on_from_where_it_broke() {
  Folder folder;
  const auto scene = folder.write("s.blend", tiny_blend());
  const auto digest = kiln::runtime::digest_of(tiny_blend());
  std::atomic<int> puts{0};
  FakeController controller([&](const FakeRequest& request) {
    if (request.path == "/api/v1/blobs/missing")
      return FakeReply{200, Json::object({{"missing", Json::Array{digest}}}).dump(), ""};
    if (request.method == "HEAD") return FakeReply{404, "", puts == 0 ? "" : "Upload-Offset: 5\r\n"};
    if (request.method == "PUT") return puts++ == 0 ? problem(503, "restarting") : FakeReply{201, "{}", ""};
    return FakeReply{201, job("queued").dump(), ""};
  });
  const auto ran =
      kiln_runs({"--server", controller.url(), "submit", scene.string(), "--frames", "1-4", "--no-pack"});
  check_equal(ran.err, "");
  check_equal(ran.code, 0);
  std::vector<FakeRequest> put;
  for (const auto& request : controller.requests()) {
    if (request.method == "PUT") put.push_back(request);
  }
  check_equal(put.size(), 2U);
  check_equal(put[0].path, "/api/v1/blobs/" + digest);
  check_equal(put[0].body, tiny_blend());
  check_equal(put[1].headers.at("content-range"), "bytes 5-35/36");
  check_equal(put[1].body, tiny_blend().substr(5));
  const auto body = kiln::payloads::decode_job_submission(controller.requests().back().body);
  check_ok(body);
  check_equal(body->options.scene_file, "s.blend");
  check_equal(body->manifest.files.front().digest, digest);
}

// A type with a folder and a file that go along, and a number.
const char* const some_type =
    "specificationVersion: jobtemplate-2023-09\nname: a\nparameterDefinitions:\n"
    "- {name: Inputs, type: PATH, objectType: DIRECTORY, dataFlow: IN}\n"
    "- {name: Look, type: PATH, objectType: FILE, dataFlow: IN, default: ''}\n"
    "- {name: Shared, type: PATH, objectType: DIRECTORY, dataFlow: IN, default: ''}\n"
    "- {name: Frames, type: STRING, default: '1'}\n"
    "steps:\n- name: A\n  script: {actions: {onRun: {command: sync}}}\n";

void a_type_takes_files_of_this_machine_along() {
  Folder folder;
  folder.write("photos/a.png", "a");
  folder.write("photos/sub/b.png", "b");
  const auto look = folder.write("look.cube", "c");
  const auto notes = folder.write("notes.txt", "d");
  FakeController controller([&](const FakeRequest& request) {
    if (request.path == "/api/v1/types/mine") return FakeReply{200, some_type, ""};
    if (request.path == "/api/v1/blobs/missing") return FakeReply{200, R"({"missing":[]})", ""};
    return FakeReply{201, job("queued").dump(), ""};
  });
  const auto ran = kiln_runs({"--server",
                              controller.url(),
                              "submit",
                              "--type",
                              "mine",
                              "-p",
                              "Inputs=" + (folder.path() / "photos/").string(),
                              "-p",
                              "Look=" + look.string(),
                              "-p",
                              "Shared=node:/mnt/x",
                              "-f",
                              "1-100x10",
                              "--tag",
                              "rtx",
                              "--tag",
                              "quiet",
                              "--limit",
                              "nuke=2",
                              "--after",
                              "3",
                              "--project",
                              "film",
                              "--max-nodes",
                              "2",
                              "--frame-by-frame",
                              "B:A",
                              notes.string()});
  check_equal(ran.err, "");
  check_equal(ran.code, 0);
  const auto body = kiln::payloads::decode_job_submission(controller.requests().back().body);
  check_ok(body);
  check_equal(body->type, "mine");
  check_equal(body->parameters.at("Inputs"), "photos");
  check_equal(body->parameters.at("Look"), "look.cube");
  check_equal(body->parameters.at("Shared"), "/mnt/x");
  check_equal(body->parameters.at("Frames"), "1-100:10");
  std::string paths;
  for (const auto& file : body->manifest.files) paths += file.path + " ";
  check_equal(paths, "look.cube notes.txt photos/a.png photos/sub/b.png ");
  check((body->tags == std::vector<std::string>{"rtx", "quiet"}));
  check((body->limits == std::vector<kiln::payloads::LimitUse>{{"nuke", 2}}));
  check((body->after == std::vector<std::string>{"3"}));
  check((body->frame_by_frame == std::vector<kiln::payloads::FrameByFrame>{{"B", "A"}}));
  check_equal(body->production.project, "film");
  check_equal(body->node_limit, 2U);
}

void a_template_of_one_s_own_goes_with_the_job() {
  Folder folder;
  const auto file = folder.write("mine.yaml", some_type);
  const auto values = folder.write("values.json", R"({"Inputs": "node:/mnt/in", "Frames": 7})");
  FakeController controller([&](const FakeRequest&) { return FakeReply{201, job("queued").dump(), ""}; });
  const auto ran = kiln_runs({"--server", controller.url(), "submit", "--template", file.string(), "-p",
                              "file://" + values.string(), "-p", "Frames=8"});
  check_equal(ran.err, "");
  const auto body = kiln::payloads::decode_job_submission(controller.requests().back().body);
  check_ok(body);
  check_equal(body->type, "openjd");
  check_equal(body->job_template->text, some_type);
  check_equal(body->parameters.at("Inputs"), "/mnt/in");
  check_equal(body->parameters.at("Frames"), "8");
  check(body->manifest.files.empty());
}

void a_film_makes_a_job_of_a_type_of_a_scene() {
  Folder folder;
  const auto scene = folder.write("s.blend", tiny_blend());
  FakeController controller([&](const FakeRequest& request) {
    if (request.path == "/api/v1/blobs/missing") return FakeReply{200, R"({"missing":[]})", ""};
    return FakeReply{201, job("queued").dump(), ""};
  });
  const auto ran = kiln_runs({"--server", controller.url(), "submit", scene.string(), "--frames", "1-9x4",
                              "--no-pack", "--film", "--chunk", "2"});
  check_equal(ran.code, 0);
  const auto body = kiln::payloads::decode_job_submission(controller.requests().back().body);
  check_ok(body);
  check_equal(body->type, "blender-animation");
  check((body->parameters == std::map<std::string, std::string>{{"Scene", "s.blend"},
                                                                {"Frames", "1-9:4"},
                                                                {"ChunkSize", "2"},
                                                                {"Format", "SCENE"},
                                                                {"Device", "any"},
                                                                {"Film", "ffmpeg"}}));
}

void every_problem_of_a_job_is_a_line() {
  FakeController controller([&](const FakeRequest&) {
    return FakeReply{
        400,
        R"({"status":400,"detail":"steps[0]: a and 1 more","problems":[{"path":"steps[0]","message":"a"},)"
        R"({"path":"","message":"b"}],"problems_left_out":3})",
        ""};
  });
  const auto ran = kiln_runs({"--server", controller.url(), "submit", "--noop", "1"});
  check_equal(ran.code, 2);
  check_contains(ran.err, "\n  steps[0]: a\n  b\n  … and 3 more\n");
}

void job_types_are_listed_and_printed() {
  FakeController controller([&](const FakeRequest& request) {
    if (request.path == "/api/v1/types/command") return FakeReply{200, some_type, ""};
    return FakeReply{
        200,
        R"({"types":[{"name":"command","built_in":true,"title":"Any command","parameters":[)"
        R"({"name":"Command"},{"name":"Frames","default":"1"}]},{"name":"bad","built_in":false,"error":"line 1"}]})",
        ""};
  });
  const auto list = kiln_runs({"--server", controller.url(), "types"});
  check_equal(list.code, 0);
  check_contains(list.out,
                 "command  Any command\n         Command!, Frames\nbad      cannot be used: line 1\n");
  check_equal(kiln_runs({"--server", controller.url(), "types", "show", "command"}).out, some_type);
}

void results_come_as_one_archive() {
  FakeController controller([&](const FakeRequest& request) {
    if (request.path.ends_with("/archive")) return FakeReply{200, "PK-zip", ""};
    return FakeReply{200, job("done", 4).dump(), ""};
  });
  Folder folder;
  const auto ran =
      kiln_runs({"--server", controller.url(), "download", "7", folder.path().string(), "--zip"});
  check_equal(ran.code, 0);
  check_equal(kiln::test::read(folder.path() / "vase-7.zip"), "PK-zip");
  const auto named = folder.path() / "new/all.zip";
  check_equal(kiln_runs({"--server", controller.url(), "download", "7", named.string(), "--zip"}).code, 0);
  check_equal(kiln::test::read(named), "PK-zip");
}

void without_blender_the_scene_goes_alone_and_says_so() {
  Folder folder;
  const auto scene = folder.write("s.blend", tiny_blend());
  FakeController controller([&](const FakeRequest& request) {
    if (request.path == "/api/v1/blobs/missing") return FakeReply{200, R"({"missing":[]})", ""};
    return FakeReply{201, job("queued").dump(), ""};
  });
  const std::vector<std::string> common = {"--server", controller.url(), "--blender", "/nonexistent/blender",
                                           "submit",   scene.string()};
  const auto unknown = kiln_runs(common);
  check_equal(unknown.code, 2);
  check_contains(unknown.err, "--frames 1-24");
  auto args = common;
  args.insert(args.end(), {"--frames", "1-4"});
  const auto ran = kiln_runs(args);
  check_equal(ran.code, 0);
  check_contains(ran.err, "could not be looked up");
}

void a_damaged_scene_is_named_before_anything_is_sent() {
  Folder folder;
  const auto scene = folder.write("s.blend", "BLENDER-v304DATA");
  const auto ran = kiln_runs({"--server", "http://127.0.0.1:1", "submit", scene.string(), "--frames", "1"});
  check_equal(ran.code, 2);
  check_contains(ran.err, "s.blend");
}

// ---- steering
// -------------------------------------------------------------------------------------------------

// What each command asks of the controller, and what it says.
void steering_asks_for_what_was_typed() {
  const struct {
    std::vector<std::string> args;
    const char* request;  // method, path and body of the last one
    const char* said;
  } cases[] = {
      {{"requeue", "7", "--failed"},
       R"(POST /api/v1/jobs/7-abcde/requeue {"which":"failed"})",
       "3 tasks queued"},
      {{"requeue", "7", "--frames", "1-10", "--step", "render"},
       R"(POST /api/v1/jobs/7-abcde/requeue {"which":"all","step":"render","frames":"1-10"})",
       "3 tasks queued"},
      {{"set", "7", "--priority", "80", "--max-slots", "4", "--max-nodes", "0"},
       R"(PATCH /api/v1/jobs/7-abcde {"priority":80,"slot_limit":4,"node_limit":0})",
       "nodes at once: no limit"},
      {{"set", "7", "--tag", "rtx", "--tag", "basement", "--after", "5"},
       R"(PATCH /api/v1/jobs/7-abcde {"tags":["rtx","basement"],"after":["5"]})",
       "priority 50"},
      {{"set", "7", "--tag", "", "--start", "now"},
       R"(PATCH /api/v1/jobs/7-abcde {"tags":[],"start_ms":0})",
       "tags none, starts at once"},
      {{"node", "enable", "n1"}, R"(PATCH /api/v1/nodes/n1 {"enabled":true})", "node n1: enabled"},
      {{"node", "disable", "n1"}, R"(PATCH /api/v1/nodes/n1 {"enabled":false})", "disabled"},
      {{"node", "drain", "n1"}, "POST /api/v1/nodes/n1/drain {}", "takes nothing new"},
      {{"node", "resume", "n1"}, "POST /api/v1/nodes/n1/resume {}", "takes work again"},
      {{"node", "reboot", "n1"}, R"(PATCH /api/v1/nodes/n1 {"reboot":true})", "as soon as it is idle"},
      {{"node", "wake", "n1"}, "POST /api/v1/nodes/n1/wake {}", "being woken"},
      {{"node", "sleep", "n1"}, "POST /api/v1/nodes/n1/sleep {}", "goes to sleep"},
      {{"node", "forget", "n1"}, "DELETE /api/v1/nodes/n1 ", "forgotten"},
      {{"node", "tag", "n1", "rtx", "attic"},
       R"(PATCH /api/v1/nodes/n1 {"tags":["rtx","attic"]})",
       "tags none"},
      {{"node", "tag", "n1"}, R"(PATCH /api/v1/nodes/n1 {"tags":[]})", "tags none"},
      {{"node", "schedule", "n1", "mon-fri", "20:00-07:00"},
       R"(PATCH /api/v1/nodes/n1 {"schedule":[{"days":"mon-fri","from":"20:00","to":"07:00"}]})",
       "renders always"},
      {{"node", "limits", "n1", "--soft", "70", "--hard", "farm", "--sleep-after", "15"},
       R"(PATCH /api/v1/nodes/n1 {"soft_c":70,"hard_c":null,"sleep_after_s":900})",
       "never sleeps by itself"},
      {{"farm", "--fair-share", "on", "--limit", "nuke=4", "--limit", "houdini=0"},
       R"(PATCH /api/v1/farm {"fair_share":true,"limits":{"nuke":4,"houdini":0}})",
       "farm"},
      {{"jobs", "--project", "moon", "--shot", "010 020"},
       "GET /api/v1/jobs?project=moon&shot=010%20020&limit=20 ",
       "no such jobs"},
  };
  for (const auto& one : cases) {
    FakeController controller([](const FakeRequest& request) {
      if (request.path.ends_with("/requeue")) return FakeReply{200, R"({"tasks":3})", ""};
      if (request.path.find("/jobs/") != std::string::npos) return FakeReply{200, job("running").dump(), ""};
      return FakeReply{200, R"({"id":"n1"})", ""};
    });
    std::vector<std::string> args = {"--server", controller.url()};
    args.insert(args.end(), one.args.begin(), one.args.end());
    const auto ran = kiln_runs(args);
    const auto last = controller.requests().back();
    check_equal(last.method + " " + last.path + " " + last.body, one.request);
    check_equal(ran.code, 0);
    check_contains(ran.out, one.said);
  }
}

void why_names_the_jobs_own_reasons_first_and_then_each_node() {
  FakeController controller([](const FakeRequest& request) {
    if (!request.path.ends_with("/why")) return FakeReply{200, job("queued").dump(), ""};
    return FakeReply{200,
                     R"({"reasons":[{"tasks":24,"what":"the job waits for job 2"},
                                    {"step":"film","tasks":1,"what":"it waits for the step render"},
                                    {"node":"n1","what":"it has no tag 'rtx'"},
                                    {"node":"n2","what":"GPU 0 has 88 °C"}]})",
                     ""};
  });
  const auto ran = kiln_runs({"--server", controller.url(), "why", "7"});
  check_equal(ran.code, 0);
  check_equal(ran.out,
              "job 7 'vase': queued\n"
              "the job waits for job 2 (24 tasks)\n"
              "step film: it waits for the step render (1 task)\n"
              "NODE  WHY\n"
              "n1    it has no tag 'rtx'\n"
              "n2    GPU 0 has 88 °C\n");
}

void statistics_and_productions_are_tables() {
  FakeController controller([](const FakeRequest& request) {
    if (request.path.ends_with("/statistics")) {
      return FakeReply{200,
                       R"({"all":{"tasks":4,"unit_s":5,"median_s":9,"p95_s":16,"total_s":40},
              "nodes":[{"node":"n1","tasks":4,"unit_s":5,"median_s":9,"p95_s":16,"total_s":40}],
              "histogram":[{"up_to_s":10,"tasks":3},{"up_to_s":20,"tasks":1}],
              "waste":{"failed_s":60,"lost_s":0,"superseded_s":5}})",
                       ""};
    }
    if (request.path.find("/productions") != std::string::npos) {
      return FakeReply{
          200,
          R"({"productions":[{"project":"moon","jobs":2,"jobs_open":1,"render_s":60,"newest_ms":0,
                          "tasks":{"queued":2,"running":0,"done":2,"failed":0,"cancelled":0}},
                          {"jobs":1,"tasks":{}}]})",
          ""};
    }
    if (request.path.find("/usage") != std::string::npos)
      return FakeReply{200, R"({"usage":[],"total":{"online_s":200,"busy_s":50}})", ""};
    if (request.path.find("/nodes") != std::string::npos) {
      return FakeReply{200, R"({"nodes":[{"id":"n1","use":{"online_s":100,"busy_s":75,"done_s":60}}]})", ""};
    }
    return FakeReply{200, job("running").dump(), ""};
  });
  const auto of_job = kiln_runs({"--server", controller.url(), "stats", "7"});
  check_equal(of_job.code, 0);
  check_contains(of_job.out, "all       4    5.0 s        9.0 s        16 s    40 s\n");
  check_contains(of_job.out, "≤ 10 s ############################## 3\n");
  check_contains(of_job.out, "≤ 20 s ########## 1\n");
  check_contains(of_job.out, "wasted 1 min 05 s: 1 min 00 s in attempts that failed");
  const auto of_farm = kiln_runs({"--server", controller.url(), "stats"});
  check_contains(of_farm.out, "slots were busy 25% of their time online");
  check_contains(of_farm.out, "n1     75%");
  const auto productions = kiln_runs({"--server", controller.url(), "productions"});
  check_contains(productions.out, "PROJECT       JOBS  OPEN  DONE");
  check_contains(productions.out, "moon             2     1   50%    2/4");
  check_contains(productions.out, "(no project)     1     0    0%    0/0");
}

void a_node_shows_what_it_is_at() {
  const struct {
    const char* node;
    const char* state;
  } cases[] = {
      {R"({"id":"n1","presence":"online"})", "online"},
      {R"({"id":"n1","presence":"online","enabled":false,"hot":"x"})", "disabled"},
      {R"({"id":"n1","presence":"offline","asleep":true})", "asleep"},
      {R"({"id":"n1","presence":"online","off_hours":true,"enabled":true})", "off hours"},
      {R"({"id":"n1","presence":"online","reboot":true})", "to restart"},
      {R"({"id":"n1","presence":"online","hot":"GPU 0 has 88 °C"})", "hot"},
      {R"({"id":"n1","presence":"offline","enabled":false})", "offline"},
  };
  for (const auto& one : cases) {
    FakeController controller([&](const FakeRequest& request) {
      const std::string node = one.node;
      return FakeReply{200, request.path.ends_with("/nodes") ? "{\"nodes\":[" + node + "]}" : node, ""};
    });
    const auto all = kiln_runs({"--server", controller.url(), "nodes"});
    check_contains(all.out, fmt::format("n1    {}", one.state));
    const auto shown = kiln_runs({"--server", controller.url(), "node", "show", "n1"});
    check_contains(shown.out, fmt::format("state     {}\n", one.state));
    check_contains(shown.out, "schedule  always\n");
  }
}

}  // namespace

int main() {
  const Folder home;
  setenv("HOME", home.path().c_str(), 1);
  for (const char* name : {"KILN_SERVER", "KILN_BLENDER", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"})
    unsetenv(name);
  setenv("USER", "Ana Lima", 1);
  return kiln::test::run(
      "cli app",
      {{"wrong input is 2 and one line on stderr", wrong_input_is_2_and_one_line},
       {"no controller is 3", no_controller_is_3},
       {"what the controller says becomes the exit code", what_the_controller_says_becomes_the_exit_code},
       {"help and version are 0", help_and_version_are_0},
       {"waiting ends as the job ends", waiting_ends_as_the_job_ends},
       {"a broken event stream is taken up where it broke", a_broken_event_stream_is_taken_up_where_it_broke},
       {"Ctrl-C is 130 and says that the job goes on", ctrl_c_is_130_and_says_that_the_job_goes_on},
       {"--json is one document", json_is_one_document},
       {"frames held for a look are shown and judged", frames_held_for_a_look_are_shown_and_judged},
       {"a quarantine is told and ended", a_quarantine_is_told_and_ended},
       {"a table of jobs tells the state", a_table_of_jobs_tells_the_state},
       {"a download resumes, checks and keeps what is here",
        a_download_resumes_checks_and_keeps_what_is_here},
       {"a file name from the controller stays in the folder",
        a_file_name_from_the_controller_stays_in_the_folder},
       {"a submission goes once and carries a key", a_submission_goes_once_and_carries_a_key},
       {"a scene is sent, and sent on from where it broke", a_scene_is_sent_and_sent_on_from_where_it_broke},
       {"a type takes files of this machine along", a_type_takes_files_of_this_machine_along},
       {"a template of one's own goes with the job", a_template_of_one_s_own_goes_with_the_job},
       {"a film makes a job of a type of a scene", a_film_makes_a_job_of_a_type_of_a_scene},
       {"every problem of a job is a line", every_problem_of_a_job_is_a_line},
       {"job types are listed and printed", job_types_are_listed_and_printed},
       {"results come as one archive", results_come_as_one_archive},
       {"without Blender the scene goes alone and says so", without_blender_the_scene_goes_alone_and_says_so},
       {"a damaged scene is named before anything is sent", a_damaged_scene_is_named_before_anything_is_sent},
       {"steering asks for what was typed", steering_asks_for_what_was_typed},
       {"why names the job's own reasons first, and then each node",
        why_names_the_jobs_own_reasons_first_and_then_each_node},
       {"statistics and productions are tables", statistics_and_productions_are_tables},
       {"a node shows what it is at", a_node_shows_what_it_is_at}});
}
