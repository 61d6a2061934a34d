// What a job waits for, and how much of the farm it may have.
#include <set>

#include "controller/scheduler/farm.h"

using namespace kiln;
using namespace kiln::test;

namespace {

// On which boxes tasks of the job are out: "ab".
std::string boxes_of(const Farm& farm, const JobId& job) {
  std::string text;
  for (const auto& [node, count] : farm.state.data().find_job(job)->out_on)
    text += farm.state.data().node(node).row.id.str();
  return text;
}
std::uint32_t out(const Farm& farm, const JobId& job) {
  return farm.state.data().find_job(job)->out;
}
void join(Farm& farm, const std::string& names, std::uint32_t slots = 1) {
  for (const char name : names) farm.join(std::string(1, name), slots);
}
void edit(Farm& farm, const JobId& job, const std::function<void(EditJob&)>& change) {
  EditJob event{1, job, {}, {}};
  change(event);
  farm.on(event);
}

void a_slot_limit_holds_and_can_be_changed() {
  Farm farm;
  join(farm, "abc");
  JobWishes wishes;
  wishes.slot_limit = 2;
  const auto job = farm.submit_with("1-20", wishes);
  check_equal(out(farm, job), 2U);
  check_contains(farm.why(job), "its slot limit allows are out: 2 of 2");
  edit(farm, job, [](EditJob& event) { event.slot_limit = 3; });
  check_equal(out(farm, job), 3U);
  const auto other = farm.submit("1-2");  // it does not stand in others' way
  check_equal(out(farm, other), 2U);
  edit(farm, job, [](EditJob& event) { event.slot_limit = 0; });
  check(out(farm, job) > 3);
}

void a_node_limit_keeps_a_job_where_it_is() {
  Farm farm;
  join(farm, "abc", 2);
  JobWishes wishes;
  wishes.node_limit = 2;
  const auto job = farm.submit_with("1-40", wishes);
  check_equal(boxes_of(farm, job), "ab");
  check_equal(out(farm, job), 8U);  // both are full, and one a slot waits there
  check_contains(farm.why(job), "c||the job is on as many nodes as it may be");
  farm.take("a", 2);
  check_equal(farm.finish(task(job, 0), 1, "a"), "accepted");
  check_equal(boxes_of(farm, job), "ab");
  check_equal(farm.runs(), "a<-8/1");
  edit(farm, job, [](EditJob& event) { event.node_limit = 3; });
  check_equal(boxes_of(farm, job), "abc");
}

void a_job_waits_for_those_before_it() {
  Farm farm;
  join(farm, "a", 2);
  const auto first = farm.submit("1");
  JobWishes wishes;
  wishes.after = {farm.state.job(first)->number};
  const auto second = farm.submit_with("1-2", wishes);
  check_equal(out(farm, second), 0U);
  check_contains(farm.why(second), "it waits for job 1 (test), which is queued");
  farm.take("a", 2);
  check_equal(farm.finish(task(first, 0), 1, "a"), "accepted");
  check_equal(out(farm, second), 2U);
  // In a ring nobody would ever start.
  const auto third = farm.submit_with("1", {0, 0, {}, {farm.state.job(second)->number}, 0});
  edit(farm, second,
       [&](EditJob& event) { event.after = std::vector<std::uint64_t>{farm.state.job(third)->number}; });
  check_contains(farm.refusal(), "would wait for itself");
  edit(farm, third, [](EditJob& event) { event.after = std::vector<std::uint64_t>{99}; });
  check_contains(farm.refusal(), "there is no job 99");
}

void who_waits_for_a_job_that_went_unfinished_says_so_until_told_otherwise() {
  Farm farm;
  join(farm, "a");
  const auto first = farm.submit("1-4");
  const auto second = farm.submit_with("1", {0, 0, {}, {farm.state.job(first)->number}, 0});
  farm.on(CancelJob{1, first});
  check_contains(farm.why(second), "which is cancelled");
  farm.on(DeleteJob{1, first});
  check_contains(farm.why(second), "which was deleted before it was done");
  farm.restart();
  join(farm, "a");
  check_equal(out(farm, second), 0U);
  edit(farm, second, [](EditJob& event) { event.after.emplace(); });
  check(farm.granted());
  check_equal(out(farm, second), 1U);
}

void a_done_job_that_is_deleted_keeps_nobody_waiting() {
  Farm farm;
  join(farm, "a");
  const auto first = farm.submit("1");
  farm.take("a");
  farm.finish(task(first, 0), 1, "a");
  const auto second = farm.submit_with("1", {0, 0, {}, {farm.state.job(first)->number}, 0});
  check_equal(out(farm, second), 1U);
  farm.on(DeleteJob{1, first});
  check(farm.state.job(second)->wishes.after.empty());
  farm.restart();
  check(farm.state.data().find_job(second)->blockers.empty());
}

void a_job_starts_at_its_time() {
  Farm farm;
  join(farm, "a");
  const auto job = farm.submit_with("1", {0, 0, {}, {}, farm.now.unix_ms + 10'000});
  check_equal(out(farm, job), 0U);
  check_contains(farm.why(job), "it starts at 2027-01-15 08:00");
  farm.pass(5'000, {"a"});
  check_equal(out(farm, job), 0U);
  farm.restart();
  join(farm, "a");
  farm.pass(6'000, {"a"});
  check_equal(out(farm, job), 1U);
}

void tags_choose_the_nodes() {
  Farm farm;
  join(farm, "ab");
  JobWishes wishes;
  wishes.tags = {"rtx"};
  const auto job = farm.submit_with("1-2", wishes);
  check_equal(boxes_of(farm, job), "");
  check_contains(farm.why(job), "a||it has not the tag rtx");
  EditNode edited{1, node_id("b"), {}};
  edited.tags = std::vector<std::string>{"rtx"};
  farm.on(edited);
  check_equal(boxes_of(farm, job), "b");
  edit(farm, job, [](EditJob& event) { event.tags.emplace(); });
  check_equal(boxes_of(farm, job), "b");  // both its tasks are there already
}

StepSpec licensed(std::uint32_t tasks, std::uint32_t count) {
  StepSpec step;
  step.name = "Comp";
  step.units = tasks;
  step.needs.renderer = "blender";
  step.needs.limits = {{"nuke", count}};
  return step;
}

void counted_limits_are_shared_by_all_jobs() {
  Farm farm;
  join(farm, "abcd");
  farm.on(EditFarm{1, {}, {{"nuke", 3}}});
  const auto one = farm.submit_steps({licensed(4, 1)});
  const auto two = farm.submit_steps({licensed(4, 2)});
  check_equal(out(farm, one), 3U);
  check_equal(out(farm, two), 0U);
  check_contains(farm.why(two), "limit nuke: 3 of 3 are taken, it needs 2");
  const auto free = farm.submit("1-2");  // who needs none of it goes on
  check_equal(out(farm, free), 2U);
  farm.on(EditFarm{1, {}, {{"nuke", 6}}});
  check_equal(out(farm, one), 4U);
  check_equal(out(farm, two), 1U);
  farm.on(EditFarm{1, {}, {{"Nuke", 6}}});
  check_contains(farm.refusal(), "limits.Nuke: an id and a number");
  farm.on(EditFarm{1, {}, {{"nuke", 0}}});  // nobody counts it any more
  check_equal(out(farm, two), 2U);          // as many as there is room for
}

void a_fair_share_gives_everybody_his_turn() {
  Farm farm;
  farm.on(EditFarm{1, true, {}});
  const auto hers = farm.submit_with("1-100", {}, "ada");
  const auto his = farm.submit_with("1-100", {}, "bob");
  const auto urgent = farm.submit_with("1", {}, "ada", 90);
  join(farm, "abcd");
  check_equal(out(farm, urgent), 1U);  // priority comes before fairness
  check_equal(out(farm, hers) + out(farm, urgent), 4U);
  check_equal(out(farm, his), 4U);
  farm.on(EditFarm{1, false, {}});
  join(farm, "e", 2);
  check_equal(out(farm, his), 4U);  // in the order of submission again
  check_equal(out(farm, hers), 7U);
}

void memory_is_reserved() {
  Farm farm;
  farm.join("a", 4);
  auto info = farm.state.node(node_id("a"))->info;
  info.memory_mib = 64'000;
  farm.on(NodeInfoSeen{node_id("a"), info, false});
  StepSpec heavy;
  heavy.name = "Sim";
  heavy.units = 10;
  heavy.needs.renderer = "blender";
  heavy.needs.amounts = {{"amount.worker.memory", 32'000}};
  const auto job = farm.submit_steps({heavy});
  // Two fill its memory and so its four slots; two more are queued ahead, which the box starts when they fit.
  check_equal(out(farm, job), 4U);
  const auto run = farm.effects<SendCommand>().at(0);
  check_equal(std::get<payloads::RunTask>(run.command.op).memory_mib, 32'000U);
  heavy.needs.amounts[0].min = 100'000;
  const auto never = farm.submit_steps({heavy});
  check_contains(farm.why(never), "it has 64000 MiB of memory; 100000 are asked for");
}

void gpu_slots_and_cpu_slots_are_two_things() {
  Farm farm;
  farm.join("a", 3);
  auto info = farm.state.node(node_id("a"))->info;
  info.gpu_slots = 2;
  info.gpus = {{0, "A4000", "nvidia", "", 16'000, ""}, {1, "A4000", "nvidia", "", 16'000, ""}};
  farm.on(NodeInfoSeen{node_id("a"), info, false});
  StepSpec step;
  step.name = "Render";
  step.units = 10;
  step.needs.renderer = "blender";
  step.needs.device = payloads::Device::gpu;
  const auto gpu = farm.submit_steps({step});
  check_equal(out(farm, gpu), 4U);  // two slots, one ahead of each
  step.needs.device = payloads::Device::cpu;
  const auto cpu = farm.submit_steps({step});
  check_equal(out(farm, cpu), 2U);
  const auto run = farm.effects<SendCommand>().at(0);
  check(std::get<payloads::RunTask>(run.command.op).slot == payloads::SlotKind::cpu);
}

}  // namespace

int main() {
  return run("wishes", {{"a slot limit holds and can be changed", &a_slot_limit_holds_and_can_be_changed},
                        {"a node limit keeps a job where it is", &a_node_limit_keeps_a_job_where_it_is},
                        {"a job waits for those before it", &a_job_waits_for_those_before_it},
                        {"who waits for a job that went unfinished says so until told otherwise",
                         &who_waits_for_a_job_that_went_unfinished_says_so_until_told_otherwise},
                        {"a done job that is deleted keeps nobody waiting",
                         &a_done_job_that_is_deleted_keeps_nobody_waiting},
                        {"a job starts at its time", &a_job_starts_at_its_time},
                        {"tags choose the nodes", &tags_choose_the_nodes},
                        {"counted limits are shared by all jobs", &counted_limits_are_shared_by_all_jobs},
                        {"a fair share gives everybody his turn", &a_fair_share_gives_everybody_his_turn},
                        {"memory is reserved", &memory_is_reserved},
                        {"GPU slots and CPU slots are two things", &gpu_slots_and_cpu_slots_are_two_things}});
}
