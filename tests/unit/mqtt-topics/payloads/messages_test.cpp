#include "payloads/messages.h"

#include <functional>

#include "check.h"
#include "payloads/http_bodies.h"

using namespace kiln;
using namespace kiln::payloads;

namespace {

const std::string digest = "sha256:" + std::string(64, 'a');
TaskId task(std::string_view text) {
  return *TaskId::parse(text);
}

template <class T>
void round_trip(const T& value, Result<T> (*decode)(std::string_view)) {
  const auto text = encode(value);
  const auto again = decode(text);
  check_ok(again);
  if (!(*again == value)) print_error("%s\n", text.c_str());
  check(*again == value);
  check(text.size() <= max_message_bytes);
}

NodeInfo maximal_info() {
  NodeInfo info;
  info.sid = JsonReader::max_exact;
  info.name = "render-box-in-the-basement-17";
  info.os = "Debian GNU/Linux 12 (bookworm), Linux 6.1.0-28-amd64";
  info.agent_version = "0.1.0-123-g0123456789ab";
  info.cpu = "AMD Ryzen Threadripper PRO 7995WX 96-Cores";
  info.cores = 192;
  info.memory_mib = 2'000'000;
  info.slots = max_slots;
  for (int i = 0; i < 8; ++i) info.renderers.push_back({"blender", "4.2.1" + std::to_string(i)});
  for (std::uint32_t i = 0; i < max_gpus; ++i) {
    info.gpus.push_back({i, "NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "nvidia",
                         "GPU-01234567-89ab-cdef-0123-456789abcdef", 97'887, "580.126.09"});
  }
  return info;
}

// As full as a node gets: every slot at work on another scene, and as much queued as is listed.
NodeTasks maximal_tasks() {
  NodeTasks tasks;
  tasks.sid = 123'456;
  tasks.seq = 98'765'432;
  for (std::size_t i = 0; i < max_tasks_listed; ++i) {
    HeldTask held;
    held.task = task("1234567-k3fqa-" + std::to_string(900'000 + i));
    held.attempt = 12;
    if (i < max_slots) {
      held.phase = TaskPhase::rendering;
      held.slot = static_cast<int>(i);
      held.frame = -1'000'000;
      held.percent = 41.7;
      held.eta_s = 86'399.9;
    }
    tasks.run.push_back(held);
  }
  for (std::size_t i = 0; i < max_slots; ++i) tasks.warm.push_back(digest);
  return tasks;
}

void every_message_survives_the_wire() {
  round_trip(ControllerStatus{true, 24, "0.1.0", "http://farm:8780", "5c1d0a9be2f47a33"},
             decode_controller_status);
  round_trip(ControllerStatus{false, 24, "", "", ""}, decode_controller_status);
  round_trip(ControllerSummary{1, 2, 3, 4, 5, 6, 7, 8}, decode_controller_summary);
  for (const auto state : {NodeState::online, NodeState::draining, NodeState::offline}) {
    round_trip(NodeStatus{state, 17}, decode_node_status);
  }
  round_trip(NodeInfo{}, decode_node_info);
  round_trip(maximal_info(), decode_node_info);
  round_trip(NodeTasks{}, decode_node_tasks);
  round_trip(NodeTasks{1, 2, {{task("7-k3fqa-0"), 1, TaskPhase::fetching, 0, 0, 0, 0.5}}, {"", digest}},
             decode_node_tasks);
  for (const auto phase :
       {TaskPhase::queued, TaskPhase::fetching, TaskPhase::rendering, TaskPhase::delivering}) {
    round_trip(NodeTasks{1, 2, {{task("7-k3fqa-12"), 3, phase, -1, -5, 99.9, {}}}, {}}, decode_node_tasks);
  }
  round_trip(maximal_tasks(), decode_node_tasks);
  round_trip(GpuTelemetry{}, decode_gpu_telemetry);
  round_trip(GpuTelemetry{-3.5, 98.0, 212.3, 9120.0, 0.0, 1'795'000'000}, decode_gpu_telemetry);
  round_trip(HostTelemetry{}, decode_host_telemetry);
  round_trip(HostTelemetry{61.5, 12.3, 1, 2, 3, 4, 5}, decode_host_telemetry);
  round_trip(NodeEvent{"renderer-crashed", "Blender ended (killed by SIGSEGV)", "7-k3fqa-12", 5},
             decode_node_event);
  round_trip(NodeEvent{"started", "", "", 5}, decode_node_event);
  round_trip(Ack{"c1", true, "", ""}, decode_ack);
  round_trip(Ack{"c1", false, "unsupported", "reboot is not known here"}, decode_ack);
  round_trip(JobStatus{"shot \"7\" ö", "running", 50, {1, 2, 3, 4, 5}, 33.3, 12.5}, decode_job_status);
  round_trip(JobStatus{}, decode_job_status);
  round_trip(JobEvent{task("7-k3fqa-12"), "1-5", "done", 1, "n1", 2.5, ""}, decode_job_event);
  round_trip(JobEvent{task("7-k3fqa-12"), "1-5", "failed", 1, "", {}, "no camera"}, decode_job_event);
  round_trip(Request{"c1", Json::object({{"cid", "c1"}, {"job", "7"}})}, decode_request);
  round_trip(Response{"c1", 201, "", Json::object({{"id", "7-k3fqa"}})}, decode_response);
  round_trip(Response{"c1", 404, "there is no job 9", Json()}, decode_response);
}

void every_command_survives_the_wire() {
  RunTask run;
  run.task = task("7-k3fqa-12");
  run.attempt = 2;
  run.renderer = "blender";
  run.manifest = digest;
  run.frames = *FrameSet::parse("1-100x10,1-100");
  run.options = {"scenes/shot 7.blend", "OPEN_EXR", true, Device::gpu, 3600, 60};
  RunTask noop;
  noop.task = run.task;
  noop.attempt = 1;
  noop.renderer = "noop";
  noop.frames = FrameSet::of(-4);
  RunTask of_template = noop;
  of_template.renderer = "openjd";
  of_template.frames = {};
  of_template.slot = SlotKind::gpu;
  of_template.memory_mib = 4096;
  of_template.of_template = {digest, 1, 40, 3, true};
  for (const auto& op : std::initializer_list<decltype(Command::op)>{
           run, noop, of_template, CancelTask{run.task, 2}, Drain{}, Resume{}, Rebirth{}, Reboot{}, Sleep{},
           UpdateImage{3, 1, digest, 261'700'000, "0.2.0"}, WithdrawUpdate{3}, UnknownCommand{"polish"}}) {
    round_trip(Command{"c1", 24, op}, decode_command);
  }
}

void an_update_survives_the_wire_and_nonsense_is_named() {
  NodeUpdate idle;
  idle.version = "0.1.0";
  idle.machine = "kiln-amd64-trixie-bare";
  round_trip(idle, decode_node_update);
  NodeUpdate troubled = idle;
  troubled.problems = {"kiln.toml, line 3: tags is a list of words", "this disk has a copy in this computer"};
  round_trip(troubled, decode_node_update);
  troubled.problems.assign(max_problems + 1, std::string(max_text_bytes + 1, 'x'));
  const auto bounded = decode_node_update(encode(troubled));
  check_ok(bounded);
  check_equal(bounded->problems.size(), max_problems);
  NodeUpdate update = idle;
  update.slot = "B";
  update.image = digest;
  update.rollout = 7;
  update.attempt = 2;
  update.percent = 41.5;
  update.message = "it did not start";
  for (const auto state :
       {UpdateState::downloading, UpdateState::downloaded, UpdateState::installing, UpdateState::installed,
        UpdateState::restarting, UpdateState::good, UpdateState::rolled_back, UpdateState::failed}) {
    update.state = state;
    round_trip(update, decode_node_update);
    check(parse_update_state(to_string(state)) == state);
  }
  const struct {
    const char* text;
    const char* wrong;
  } cases[] = {
      {R"({"version":"1","state":"updating"})", "rolled-back"},
      {R"({"state":"idle"})", "version"},
      {R"({"version":"1","state":"good"})", "only what is idle has none"},
      {R"({"version":"1","state":"good","image":"sha256:12"})", "image"},
      {R"({"version":"1","state":"good","image":7})", "image"},
      {R"({"version":"a\nb","state":"idle"})", "version"},
  };
  for (const auto& one : cases) {
    const auto got = decode_node_update(one.text);
    check(!got);
    check_contains(got.error().message, one.wrong);
  }
  const auto bad = decode_command(
      R"({"op":"update","cid":"c","epoch":1,"rollout":1,"attempt":0,"image":"x","bytes":1,"version":"1"})");
  check(!bad);
  check_contains(bad.error().message, "attempts count from 1");
}

void the_sizes_hold_that_the_contract_promises() {
  check(encode(maximal_info()).size() <= 4 * 1024);
  check(encode(maximal_tasks()).size() <= max_message_bytes);
  const GpuTelemetry telemetry{-100.123, 100.123, 9'999.123, 999'999.123, 100.123, 9'999'999'999};
  check(encode(telemetry).size() <= 150);
}

void numbers_for_people_have_one_decimal() {
  check_equal(encode(GpuTelemetry{61.26, 98.04, {}, {}, {}, 7}), R"({"temp_c":61.3,"util_pct":98,"ts":7})");
  check_equal(
      encode(HostTelemetry{{}, 33.3333, 1, 2, 3, 4, 5}),
      R"({"cpu_pct":33.3,"mem_used_mib":1,"mem_total_mib":2,"disk_free_mib":3,"disk_total_mib":4,"ts":5})");
}

void a_longer_inventory_than_fits_keeps_its_head_and_loses_the_hint() {
  NodeTasks tasks = maximal_tasks();
  for (auto& held : tasks.run) {
    held.task = task("123456789-abcdefghijklmno-" + std::to_string(4'294'000'000ULL).substr(0, 6));
    held.attempt = 4'000'000'000;
    held.phase = TaskPhase::delivering;
    held.slot = 63;
    held.eta_s = 1e6 + 0.1;
  }
  tasks.run.push_back(tasks.run.front());
  const auto text = encode(tasks);
  check(text.size() <= max_message_bytes);
  const auto again = decode_node_tasks(text);
  check_ok(again);
  check_equal(again->run.size(), max_tasks_listed);
  check(again->warm.empty());
}

void texts_for_people_are_cut_and_not_refused() {
  NodeEvent event{"note", std::string(5'000, 'x') + "ö", "", 1};
  const auto again = decode_node_event(encode(event));
  check_ok(again);
  check_equal(again->message.size(), max_text_bytes);
  JobStatus status;
  status.name = std::string(max_name_bytes - 1, 'x') + "ö";  // the cut falls into a character
  const auto job = decode_job_status(encode(status));
  check_ok(job);
  check_equal(job->name, std::string(max_name_bytes - 1, 'x'));
  const auto odd = decode_ack(encode(Ack{"c", false, "io", "file \xff\xfe gone"}));
  check_ok(odd);
  check_equal(odd->message, "file \xef\xbf\xbd\xef\xbf\xbd gone");
}

void unknown_fields_are_ignored() {
  check_ok(decode_node_status(R"({"state":"online","sid":17,"mood":["good"],"new":{"a":1}})"));
  check_ok(decode_command(R"({"op":"drain","cid":"c","epoch":1,"until":"noon"})"));
}

template <class T>
std::string problem(Result<T> result) {
  return result ? "accepted" : result.error().message;
}

void a_malformed_message_is_refused_by_the_name_of_its_field() {
  const auto run = [](std::string_view rest) {
    return problem(decode_command(R"({"op":"run","cid":"c","epoch":1,)" + std::string(rest) + "}"));
  };
  const auto held = [](std::string_view rest) {
    return problem(
        decode_node_tasks(R"({"sid":1,"seq":1,"run":[{"task":"7-a-1","attempt":1,"state":"queued"},{)" +
                          std::string(rest) + "}]}"));
  };
  const std::string digest_wanted = "'sha256:' and 64 lower-case hex digits are expected";
  const struct {
    std::string got, want;
  } cases[] = {
      {problem(decode_node_status("")), "node status: no JSON: error at byte 0"},
      {problem(decode_node_status("[]")), "node status: a JSON object is expected"},
      {problem(decode_node_status("null")), "node status: a JSON object is expected"},
      {problem(decode_node_status("{}")), "node status.state: missing"},
      {problem(decode_node_status(R"({"state":7,"sid":1})")), "node status.state: a string is expected"},
      {problem(decode_node_status(R"({"state":"up","sid":1})")),
       "node status.state: online, draining or offline is expected"},
      {problem(decode_node_status(R"({"state":"online","sid":-1})")),
       "node status.sid: a whole number from 0 to 9007199254740992 is expected, not -1"},
      {problem(decode_node_status(R"({"state":"online"})")), "node status.sid: missing"},
      {problem(decode_controller_status(R"({"state":"draining","epoch":1})")),
       "controller status.state: online or offline is expected"},
      {problem(decode_node_info(R"({"sid":1,"slots":65})")),
       "node info.slots: a whole number from 0 to 64 is expected, not 65"},
      {problem(decode_node_info(R"({"sid":1,"slots":1,"name":"a\nb"})")),
       "node info.name: one line without control characters is expected"},
      {problem(decode_node_info(R"({"sid":1,"slots":1,"gpus":[{"index":0},{}]})")),
       "node info.gpus[1].index: missing"},
      {problem(decode_node_info(R"({"sid":1,"slots":1,"gpus":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]})")),
       "node info.gpus: 17 items; at most 16"},
      {problem(decode_node_info(R"({"sid":1,"slots":1,"renderers":[{"version":"3"}]})")),
       "node info.renderers[0].name: missing"},
      {problem(decode_node_tasks(R"({"sid":1,"seq":1})")), "node tasks.run: missing"},
      {problem(decode_node_tasks(R"({"sid":1,"seq":1,"run":{}})")), "node tasks.run: an array is expected"},
      {problem(decode_node_tasks(R"({"sid":1,"seq":1,"run":[],"warm":["x"]})")),
       "node tasks.warm: digests or empty strings are expected"},
      {held(R"("task":"7","attempt":1,"state":"queued")"),
       "node tasks.run[1].task: '7' is no task id: a job's id, '-' and the task's number, as in 7-k3fqa-12"},
      {held(R"("task":"7-a-1","attempt":1,"state":"lazy")"),
       "node tasks.run[1].state: queued, fetching, rendering or delivering is expected"},
      {held(R"("task":"7-a-1","attempt":1,"state":"queued","percent":101)"),
       "node tasks.run[1].percent: 101 is not from 0 to 100"},
      {held(R"("task":"7-a-1","attempt":1,"state":"queued","eta_s":-1)"),
       "node tasks.run[1].eta_s: -1 is below 0"},
      {held(R"("task":"7-a-1","attempt":1,"state":"queued","slot":64)"),
       "node tasks.run[1].slot: a whole number from -1 to 63 is expected, not 64"},
      {problem(decode_gpu_telemetry(R"({"temp_c":"hot","ts":1})")),
       "gpu telemetry.temp_c: a number is expected"},
      {problem(decode_gpu_telemetry(R"({"temp_c":60})")), "gpu telemetry.ts: missing"},
      {problem(decode_node_event(R"({"kind":"Bad Kind","ts":1})")),
       "node event.kind: 1 to 32 of a-z, 0-9 and - are expected"},
      {problem(decode_ack(R"({"cid":"c","ok":1})")), "ack.ok: true or false is expected"},
      {problem(decode_command(R"({"op":"drain","epoch":1})")), "command.cid: missing"},
      {problem(decode_command(R"({"op":"drain","cid":"","epoch":1})")),
       "command.cid: 1 to 64 printable characters without spaces are expected"},
      {problem(decode_command(R"({"op":"drain","cid":"a b","epoch":1})")),
       "command.cid: 1 to 64 printable characters without spaces are expected"},
      {problem(decode_command(R"({"op":"drain","cid":"c"})")), "command.epoch: missing"},
      {problem(decode_command(R"({"cid":"c","epoch":1})")), "command.op: missing"},
      {problem(decode_command(R"({"op":"cancel","cid":"c","epoch":1,"task":"7-a-1","attempt":0})")),
       "command.attempt: attempts count from 1"},
      {run(R"("task":"7-a-1","attempt":1)"), "command.renderer: missing"},
      {run(R"("task":"7-a-1","attempt":1,"renderer":"blender","frames":"1")"), "command.manifest: missing"},
      {run(R"("task":"7-a-1","attempt":1,"renderer":"blender","frames":"1","manifest":"md5:1")"),
       "command.manifest: " + digest_wanted},
      {run(R"("task":"7-a-1","attempt":1,"renderer":"noop","frames":"10-1")"),
       "command.frames: 10-1 runs backwards: write 1-10"},
      {run(R"("task":"7-a-1","attempt":1,"renderer":"noop","frames":"1","options":{"scene_file":"../x"})"),
       "command.options.scene_file: a path inside the manifest is expected, as in scenes/shot.blend"},
      {run(R"("task":"7-a-1","attempt":1,"renderer":"noop","frames":"1","options":{"format":"png;"})"),
       "command.options.format: a Blender image format is expected, as in PNG or OPEN_EXR"},
      {run(R"("task":"7-a-1","attempt":1,"renderer":"noop","frames":"1","options":{"device":"tpu"})"),
       "command.options.device: any, cpu or gpu is expected"},
      {run(R"("task":"7-a-1","attempt":1,"renderer":"noop","frames":"1","options":{"max_run_s":2592001})"),
       "command.options.max_run_s: a whole number from 0 to 2592000 is expected, not 2592001"},
      {run(R"("task":"7-a-1","attempt":1,"renderer":"blender","frames":"1","manifest":")" + digest + "\""),
       "command.options.scene_file: missing"},
      {problem(decode_job_status(R"({"name":"x","state":"done","priority":1,"tasks":{}})")),
       "job status.tasks.queued: missing"},
      {problem(decode_job_event(R"({"task":"7-a-1","frames":"1","state":"done","attempt":1,"node":"A"})")),
       "job event.node: a node's id is expected"},
      {problem(decode_request(R"({"job":"7"})")), "request.cid: missing"},
      {problem(decode_response(R"({"cid":"c","status":99})")),
       "response.status: a whole number from 100 to 599 is expected, not 99"},
      {problem(decode_ack(std::string(20'000, ' '))),
       "ack: 20000 bytes of JSON; at most 16384 are read here"},
  };
  for (const auto& one : cases) check_equal(one.got, one.want);
}

void a_broken_command_can_still_be_answered() {
  check_equal(peek_cid(R"({"cid":"c-17","op":"run"})"), "c-17");
  for (const char* none : {"", "{", "{}", R"({"cid":7})", R"({"cid":"a b"})", "[1]"})
    check_equal(peek_cid(none), "");
}

}  // namespace

int main() {
  return kiln::test::run(
      "messages", {{"every message survives the wire", every_message_survives_the_wire},
                   {"every command survives the wire", every_command_survives_the_wire},
                   {"an update survives the wire, and nonsense is named",
                    an_update_survives_the_wire_and_nonsense_is_named},
                   {"the sizes hold that the contract promises", the_sizes_hold_that_the_contract_promises},
                   {"numbers for people have one decimal", numbers_for_people_have_one_decimal},
                   {"a longer inventory than fits keeps its head",
                    a_longer_inventory_than_fits_keeps_its_head_and_loses_the_hint},
                   {"texts for people are cut, not refused", texts_for_people_are_cut_and_not_refused},
                   {"unknown fields are ignored", unknown_fields_are_ignored},
                   {"a malformed message is refused by the name of its field",
                    a_malformed_message_is_refused_by_the_name_of_its_field},
                   {"a broken command can still be answered", a_broken_command_can_still_be_answered}});
}
