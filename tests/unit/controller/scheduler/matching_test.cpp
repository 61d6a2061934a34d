#include "scheduler/matching.h"

// check.h last
#include "check.h"

using namespace kiln::scheduler;
using kiln::payloads::Device;

namespace {

NodeRow box() {
  NodeRow node;
  node.info.cores = 16;
  node.info.memory_mib = 64216;
  node.info.slots = 3;
  node.info.gpu_slots = 2;
  node.info.renderers = {{"blender", "3.4.1"}, {"POV-Ray", "3.7"}};
  node.info.gpus = {{0, "GPU", "nvidia", "", 8192, ""}, {1, "GPU", "nvidia", "", 24576, ""}};
  node.info.tags = {"Basement"};
  node.settings.tags = {"rtx"};
  return node;
}

Needs with(Attribute attribute) {
  Needs needs;
  needs.attributes = {std::move(attribute)};
  return needs;
}

Needs with(Amount amount) {
  Needs needs;
  needs.amounts = {std::move(amount)};
  return needs;
}

// "" for a fit node.
std::string lacks(const Needs& needs, const std::vector<std::string>& tags = {},
                  const NodeRow& node = box()) {
  return lacking(needs, tags, node).value_or("");
}

void who_asks_for_nothing_gets_every_node() {
  check_equal(lacks({}), "");
  check_equal(lacks({}, {}, NodeRow()), "");
  Needs noop;
  noop.renderer = "noop";
  check_equal(lacks(noop, {}, NodeRow()), "");
}

void a_renderer_must_be_installed() {
  Needs needs;
  needs.renderer = "blender";
  check_equal(lacks(needs), "");
  needs.renderer = "ffmpeg";
  check_equal(lacks(needs), "it has no ffmpeg");
}

void a_gpu_is_a_slot_with_one_and_a_cpu_is_everywhere() {
  Needs needs;
  needs.device = Device::gpu;
  check_equal(lacks(needs), "");
  auto node = box();
  node.info.gpu_slots = 0;  // there are GPUs, and its settings give them to nobody
  check_equal(lacks(needs, {}, node), "it has no slot with a GPU");
  needs.device = Device::cpu;
  check_equal(lacks(needs, {}, node), "");
  node.info.gpu_slots = node.info.slots;
  check_equal(lacks(needs, {}, node), "");
}

void a_node_must_have_all_tags_of_the_job_in_any_case() {
  check_equal(lacks({}, {"basement", "RTX"}), "");
  check_equal(lacks({}, {"basement", "quiet"}), "it has not the tag quiet");
}

void attributes_are_matched_by_any_and_all() {
  const struct {
    Attribute attribute;
    const char* lacks;
  } cases[] = {
      {{"attr.worker.os.family", {"windows", "linux"}, {}}, ""},
      {{"attr.worker.os.family", {"Linux"}, {}}, ""},
      {{"attr.worker.os.family", {"windows", "macos"}, {}},
       "its attr.worker.os.family is not windows or macos"},
      {{"attr.worker.cpu.arch", {"x86_64"}, {}}, ""},
      {{"attr.worker.cpu.arch", {}, {"arm64"}}, "its attr.worker.cpu.arch is not arm64"},
      {{"kiln:attr.renderer", {"maya", "pov-ray"}, {}}, ""},
      {{"kiln:attr.renderer", {}, {"blender", "pov-ray"}}, ""},
      {{"kiln:attr.renderer", {}, {"blender", "maya"}}, "it has no maya"},
      {{"kiln:attr.renderer", {"maya", "nuke"}, {}}, "it has no maya or nuke"},
      {{"kiln:attr.tag", {"rtx"}, {"basement"}}, ""},
      {{"kiln:attr.tag", {"attic"}, {}}, "it has not the tag attic"},
      {{"acme:attr.scanner", {"big"}, {}}, "its acme:attr.scanner is not big"},
  };
  for (const auto& one : cases) check_equal(lacks(with(one.attribute)), one.lacks);
}

void amounts_are_matched_by_what_the_node_has() {
  const struct {
    Amount amount;
    const char* lacks;
  } cases[] = {
      {{"amount.worker.vcpu", 16}, ""},
      {{"amount.worker.vcpu", 17}, "it has 16 CPU cores; 17 are asked for"},
      {{"amount.worker.vcpu", 1, 8}, "it has 16 CPU cores; at most 8 may be there"},
      {{"amount.worker.memory", 64216}, ""},
      {{"amount.worker.memory", 256000}, "it has 64216 MiB of memory; 256000 are asked for"},
      {{"amount.worker.memory", 12345678}, "it has 64216 MiB of memory; 12345678 are asked for"},
      {{"amount.worker.gpu", 2}, ""},
      {{"amount.worker.gpu", 3}, "it has 2 GPUs; 3 are asked for"},
      {{"amount.worker.gpu.memory", 24000}, ""},
      {{"amount.worker.gpu.memory", 25000}, "it has 24576 MiB of GPU memory; 25000 are asked for"},
      {{"amount.worker.disk.scratch", 1e9}, ""},  // no node says
      {{"acme:amount.scanner", 0}, ""},
      {{"acme:amount.scanner", 1}, "it has 0 of acme:amount.scanner; 1 is asked for"},
  };
  for (const auto& one : cases) check_equal(lacks(with(one.amount)), one.lacks);
}

}  // namespace

int main() {
  return kiln::test::run(
      "matching", {{"who asks for nothing gets every node", &who_asks_for_nothing_gets_every_node},
                   {"a renderer must be installed", &a_renderer_must_be_installed},
                   {"a GPU is a slot with one, and a CPU is everywhere",
                    &a_gpu_is_a_slot_with_one_and_a_cpu_is_everywhere},
                   {"a node must have all tags of the job, in any case",
                    &a_node_must_have_all_tags_of_the_job_in_any_case},
                   {"attributes are matched by any and all", &attributes_are_matched_by_any_and_all},
                   {"amounts are matched by what the node has", &amounts_are_matched_by_what_the_node_has}});
}
