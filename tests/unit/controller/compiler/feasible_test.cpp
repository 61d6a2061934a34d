#include "compiler/feasible.h"

// check.h last
#include "check.h"

using namespace kiln;
using namespace kiln::compiler;

namespace {

scheduler::NodeRow node(const char* name, std::uint64_t memory_mib) {
  scheduler::NodeRow row;
  row.id = *NodeId::parse(name);
  row.info.agent_version = "1";
  row.info.name = name;
  row.info.cores = 8;
  row.info.memory_mib = memory_mib;
  row.info.renderers = {{"blender", "3.4.1"}};
  return row;
}

std::vector<scheduler::NodeRow> farm() {
  return {node("n1", 16000), node("n2", 32000), node("n3", 64216)};
}

CompiledJob asking(scheduler::Needs needs, std::vector<std::string> tags = {}) {
  CompiledJob job;
  job.spec.renderer = "openjd";
  scheduler::StepSpec step;
  step.name = "Render";
  step.units = 1;
  step.needs = std::move(needs);
  job.spec.steps = {step};
  job.wishes.tags = std::move(tags);
  return job;
}

std::string said(const CompiledJob& job, const std::vector<scheduler::NodeRow>& nodes) {
  const auto problems = impossible(job, nodes);
  return problems.empty() ? "" : problems.front().to_text();
}

void what_no_node_can_do_names_the_requirement_and_who_is_nearest() {
  scheduler::Needs ffmpeg, gpu, memory, arch, both, few;
  ffmpeg.renderer = "ffmpeg";
  gpu.renderer = "blender";
  gpu.device = payloads::Device::gpu;
  memory.amounts = {{"amount.worker.memory", 256000, {}}};
  arch.attributes = {{"attr.worker.cpu.arch", {"arm64"}, {}}};
  both.amounts = {{"amount.worker.memory", 60000, {}}, {"amount.worker.vcpu", 16, {}}};
  few.amounts = {{"amount.worker.vcpu", 1, 4}};
  const struct {
    scheduler::Needs needs;
    std::vector<std::string> tags;
    const char* says;
  } cases[] = {
      {ffmpeg, {}, "step Render: no node has ffmpeg: install ffmpeg on a node"},
      {gpu, {}, "step Render: the job asks for a GPU, and none of the farm's nodes with blender has one"},
      {memory, {}, "step Render asks for amount.worker.memory 256000 MiB; the largest node, n3, has 64216"},
      {arch, {}, "step Render asks for attr.worker.cpu.arch arm64, and no node is such; n1: its"},
      {few, {}, "amount.worker.vcpu of 1 to 4; no node is in between: n1 has 8"},
      {{}, {"attic"}, "step Render: no node has the tag attic; n1: it has not the tag attic"},
  };
  for (const auto& one : cases) check_contains(said(asking(one.needs, one.tags), farm()), one.says);
  auto nodes = farm();
  nodes[0].info.cores = 32;  // enough of them, but little memory
  check_contains(said(asking(both), nodes),
                 "step Render: no node has all that it asks for; n1: it has 16000 MiB of memory; 60000 are");
}

void what_one_node_can_do_is_fine() {
  scheduler::Needs needs;
  needs.renderer = "blender";
  needs.amounts = {{"amount.worker.memory", 64000, {}}};
  check_equal(said(asking(needs), farm()), "");
}

void nobody_is_judged_by_boxes_that_have_not_spoken() {
  scheduler::Needs needs;
  needs.renderer = "ffmpeg";
  check_equal(said(asking(needs), {}), "");
  auto nodes = farm();
  nodes[1].info.agent_version.clear();
  check_equal(said(asking(needs), nodes), "");
}

void a_noop_job_goes_anywhere_unless_it_asks() {
  CompiledJob job;
  job.spec.renderer = "noop";
  job.spec.frames = payloads::FrameSet::of(1);
  check_equal(said(job, farm()), "");
  job.wishes.tags = {"attic"};
  check_contains(said(job, farm()), "no node has the tag attic");
}

}  // namespace

int main() {
  return kiln::test::run(
      "feasible",
      {{"what no node can do names the requirement and who is nearest",
        what_no_node_can_do_names_the_requirement_and_who_is_nearest},
       {"what one node can do is fine", what_one_node_can_do_is_fine},
       {"nobody is judged by boxes that have not spoken", nobody_is_judged_by_boxes_that_have_not_spoken},
       {"a noop job goes anywhere unless it asks", a_noop_job_goes_anywhere_unless_it_asks}});
}
