// Renderers that nodes fetch: who may take their tasks, and what the fetch costs.
#include "controller/scheduler/farm.h"

using namespace kiln;
using namespace kiln::test;

namespace {

constexpr std::uint64_t mib = 1024UL * 1024;

payloads::Bundle bundle(const std::string& name = "blender-4.2.1", std::uint64_t size = 500 * mib) {
  return {name, "4.2.1", "sha256:" + std::string(64, 'c'), size, 3 * size, "blender/blender"};
}

// The box says what it has; "" for nothing, and how much room there is.
void has(Farm& farm, const std::string& name, const std::vector<std::string>& bundles,
         std::uint64_t room_mib = 20'000, bool fetching = false) {
  payloads::NodeInfo info;
  info.sid = farm.boxes.at(name).sid;
  info.name = name;
  info.slots = 1;
  info.bundles_max_mib = room_mib;
  for (const auto& one : bundles)
    info.bundles.push_back({one, payloads::short_digest(bundle().digest), fetching});
  farm.on(NodeInfoSeen{farm.boxes.at(name).id, info, false});
}

void add(Farm& farm, const payloads::Bundle& one = bundle()) {
  farm.on(AddRenderer{1, {one, one.name + ".tar.xz", "ada", 1}});
  check(farm.granted());
}

SubmitJob job_of(const std::string& frames, const payloads::Bundle& one = bundle(),
                 const std::string& manifest = manifest_a) {
  SubmitJob event;
  event.request = 1;
  event.spec.name = "test";
  event.spec.renderer = "blender";
  event.spec.frames = *payloads::FrameSet::parse(frames);
  event.spec.manifest = manifest;
  event.spec.bundle = one;
  return event;
}

JobId submit(Farm& farm, const std::string& frames, const std::string& manifest = manifest_a) {
  farm.on(job_of(frames, bundle(), manifest));
  return std::get<JobAccepted>(*farm.effects<Answer>().at(0).value).job;
}

void names_stay_unique_and_what_is_needed_stays() {
  Farm farm;
  add(farm);
  check_equal(farm.effects<SaveRenderer>().size(), 1U);
  add(farm);  // the same again
  check_equal(farm.effects<SaveRenderer>().size(), 0U);
  auto other = bundle();
  other.digest.back() = 'd';
  farm.on(AddRenderer{1, {other, "other.tar", "ada", 1}});
  check_contains(farm.refusal(), "another blender-4.2.1 already (blender-4.2.1.tar.xz)");
  farm.on(RemoveRenderer{1, "blender-9"});
  check_contains(farm.refusal(), "no renderer blender-9");
  farm.join("a");
  const auto job = submit(farm, "1");
  farm.on(RemoveRenderer{1, "blender-4.2.1"});
  check_contains(farm.refusal(), "job 1 (test) needs blender-4.2.1");
  farm.on(CancelJob{1, job});
  farm.on(RemoveRenderer{1, "blender-4.2.1"});
  check(farm.granted());
  check_equal(farm.effects<EraseRenderer>().at(0).name, "blender-4.2.1");
  farm.on(job_of("1"));  // it was resolved before, and is gone by now
  check_contains(farm.refusal(), "removed or replaced");
}

void any_node_with_room_takes_it_and_is_told_what_to_fetch() {
  Farm farm;
  add(farm);
  farm.join("old", 1);  // an agent that knows nothing of it
  farm.join("small", 1);
  has(farm, "small", {}, 1'000);    // 2000 MiB are needed
  farm.join("plain", 1, "povray");  // without a Blender of its own
  has(farm, "plain", {});
  farm.on(job_of("1-2"));
  check_equal(farm.runs(), "plain<-0/1 plain<-1/1");
  const auto run = std::get<payloads::RunTask>(farm.effects<SendCommand>().at(0).command.op);
  check(run.bundle == bundle());
  check_equal(run.renderer, "blender");
  const auto job = submit(farm, "1");
  const auto why = farm.why(job);
  check_contains(why, "old||it has no blender-4.2.1 and fetches no renderers");
  check_contains(
      why, "small||it has room for 1000 MiB of renderers; blender-4.2.1 takes 2000 while it is unpacked");
}

void who_has_it_comes_first_among_idle_ones() {
  Farm farm;
  add(farm);
  for (const auto* name : {"a", "b", "c"}) farm.join(name);
  has(farm, "a", {});
  has(farm, "b", {"blender-4.2.1"});
  has(farm, "c", {"blender-4.2.1"}, 20'000, true);  // not there yet
  submit(farm, "1");
  check_equal(farm.runs(), "b<-0/1");
}

void an_open_scene_and_files_come_before_it() {
  Farm farm;
  add(farm);
  for (const auto* name : {"a", "b", "c"}) farm.join(name);
  has(farm, "a", {"blender-4.2.1"});
  has(farm, "b", {"blender-4.2.1"});
  has(farm, "c", {"blender-4.2.1"});
  farm.boxes.at("c").warm = {manifest_b};
  farm.beat("c");
  submit(farm, "1", manifest_b);
  check_equal(farm.runs(), "c<-0/1");
}

void nobody_starves_while_those_who_have_it_are_busy() {
  Farm farm;
  add(farm);
  farm.join("a");
  farm.join("b");
  has(farm, "a", {"blender-4.2.1"});
  has(farm, "b", {});
  submit(farm, "1-9");  // nothing is known of its frames: b fetches
  check_equal(farm.runs(), "a<-0/1 b<-1/1 a<-2/1 b<-3/1");
}

// Frames of a second, and a fetch of twenty: what is left of a small job waits for who has it.
void a_fetch_that_costs_more_than_waiting_is_not_begun() {
  Farm farm;
  add(farm);
  farm.join("a");
  has(farm, "a", {"blender-4.2.1"});
  const auto job = submit(farm, "1-6");
  for (std::uint32_t i = 0; i < 3; ++i) {
    farm.take("a");
    farm.finish(task(job, i), 1, "a", 1.0);
  }
  farm.take("a");
  farm.join("b");
  has(farm, "b", {});
  farm.pass(5'000, {"a", "b"});
  check_equal(farm.boxes.at("b").held.size(), 0U);
  check_equal(farm.runs(), "");
  // What waits on a is not asked back for b either.
  check_equal(farm.cancels(), "");
}

// The same with frames of a minute: b is worth its fetch.
void a_long_job_is_worth_a_fetch() {
  Farm farm;
  add(farm);
  farm.join("a");
  has(farm, "a", {"blender-4.2.1"});
  const auto job = submit(farm, "1-60");
  farm.take("a");
  farm.finish(task(job, 0), 1, "a", 60.0);
  farm.take("a");
  farm.join("b");
  has(farm, "b", {});
  check_contains(farm.runs(), "b<-");
}

// Those who have it belong to somebody else now: the job does not wait for them.
void it_does_not_wait_for_nodes_that_do_not_work_on_it() {
  Farm farm;
  add(farm);
  farm.join("a");
  has(farm, "a", {"blender-4.2.1"});
  const auto job = submit(farm, "1-3");
  farm.take("a");
  farm.finish(task(job, 0), 1, "a", 1.0);
  farm.take("a");
  farm.finish(task(job, 1), 1, "a", 1.0);
  farm.take("a");
  farm.on(DrainNode{1, node_id("a"), true});
  farm.finish(task(job, 2), 1, "a", 1.0);
  const auto again = submit(farm, "1");
  farm.join("b");
  has(farm, "b", {});
  check_equal(farm.runs(), "b<-0/1");
  static_cast<void>(again);
}

void a_node_that_could_not_unpack_it_is_avoided_at_once() {
  Farm farm;
  add(farm);
  farm.join("a");
  farm.join("b");
  has(farm, "a", {"blender-4.2.1"});
  has(farm, "b", {});
  const auto job = submit(farm, "1");
  check_equal(farm.runs(), "a<-0/1");
  farm.take("a");
  FinishAttempt event{1, task(job, 0), 1, {}};
  event.report.node = node_id("a");
  event.report.failure = {"renderer-broken", "blender-4.2.1 does not start on this box", {}};
  farm.on(event);
  check_equal(farm.runs(), "b<-0/2");
}

void a_restart_knows_them_still() {
  Farm farm;
  add(farm);
  farm.join("a");
  has(farm, "a", {"blender-4.2.1"});
  const auto job = submit(farm, "1-4");
  farm.restart();
  farm.on(RemoveRenderer{1, "blender-4.2.1"});
  check_contains(farm.refusal(), "needs blender-4.2.1");
  static_cast<void>(job);
}

}  // namespace

int main() {
  return kiln::test::run(
      "renderers",
      {{"names stay unique, and what is needed stays", names_stay_unique_and_what_is_needed_stays},
       {"any node with room takes it, and is told what to fetch",
        any_node_with_room_takes_it_and_is_told_what_to_fetch},
       {"who has it comes first among idle ones", who_has_it_comes_first_among_idle_ones},
       {"an open scene comes before it", an_open_scene_and_files_come_before_it},
       {"nobody starves while those who have it are busy", nobody_starves_while_those_who_have_it_are_busy},
       {"a fetch that costs more than waiting is not begun",
        a_fetch_that_costs_more_than_waiting_is_not_begun},
       {"a long job is worth a fetch", a_long_job_is_worth_a_fetch},
       {"it does not wait for nodes that do not work on it",
        it_does_not_wait_for_nodes_that_do_not_work_on_it},
       {"a node that could not unpack it is avoided at once",
        a_node_that_could_not_unpack_it_is_avoided_at_once},
       {"a restart knows them still", a_restart_knows_them_still}});
}
